"""Which call goes wrong, and how: by the seed and by what was asked, never by when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

from batchgen.simulator.faults import LASTING, PASSING, Fault, Faults, chosen
from batchgen.simulator.jobs import Job

#: Faults of a submission with which its job is accepted all the same.
_ACCEPTED = frozenset(
    {
        None,
        Fault.RESET_AFTER,
        Fault.DRIP,
        Fault.MALFORMED,
        Fault.NO_ID,
        Fault.SUCCESS_AT_ONCE,
        Fault.FAILURE_AT_ONCE,
    }
)
#: … or accepted or not, evenly: what makes such an answer one in doubt.
_EITHER = frozenset({Fault.SERVER_ERROR, Fault.BAD_GATEWAY, Fault.UNAVAILABLE, Fault.HANG})
#: Faults of what is said about a job that has ended.
_OF_THE_END = frozenset({Fault.FLAPPING, Fault.ONE_LINK_LESS})
#: Faults that keep an accepted submission's answer from its submitter.
ANSWER_LOST = _EITHER | {Fault.RESET_AFTER, Fault.MALFORMED, Fault.NO_ID}


class Mishaps:
    """Draws the faults of calls. A call is known by its place, what it is about, and how often that was asked before.

    Args:
        happened: counts what happens, as `place.fault`.
    """

    def __init__(self, faults: Faults, *, seed: int, happened: Counter[str]) -> None:
        self._faults = faults
        self._seed = seed
        self._happened = happened
        self._calls: Counter[str] = Counter()

    def submit(self, body: str) -> tuple[Fault | None, bool]:
        """What goes wrong with a submission of that fingerprint, and whether it is accepted."""
        if not self._faults.submit:
            return None, True
        dice = self._dice("submit", body)
        fault = self._of_call("submit", dice)
        return fault, fault in _ACCEPTED or (fault in _EITHER and dice.random() < 0.5)

    def accepted(self, job: Job) -> None:
        """The job is accepted, with what is wrong with it from the beginning."""
        self._noted("job", job.fault)

    def status(self, job: Job, *, ended: bool) -> Fault | None:
        """What goes wrong with a status call about that job.

        Args:
            ended: whether it has; some faults have nothing to spoil before.
        """
        if not self._faults.status:
            return None
        fault = self._drawn("status", self._dice("status", str(job.draw)))
        return self._noted("status", None if fault in _OF_THE_END and not ended else fault)

    def webhook(self, job: Job) -> Fault | None:
        """What goes wrong with that job's webhook."""
        return self._of_call("webhook", self._dice("webhook", str(job.draw)))

    def image(self, job: Job, sample: int) -> Fault | None:
        """What goes wrong with a download of that image: what is wrong with its file, else what happens on the way."""
        odds = self._faults.image
        if not odds:
            return None
        if not isinstance(odds, Mapping):
            return self._of_call("image", Random(0))
        place = f"{job.draw}/{sample}"
        lasting = {fault: share for fault, share in odds.items() if fault in LASTING}
        passing = {fault: share for fault, share in odds.items() if fault not in LASTING}
        fault = chosen(lasting, number=0, dice=Random(f"{self._seed}/file/{place}"))
        if fault in PASSING and self._tries(f"late/{place}") >= self._faults.late:
            fault = None
        return self._noted("image", fault or chosen(passing, number=0, dice=self._dice("image", place)))

    def _of_call(self, place: str, dice: Random) -> Fault | None:
        return self._noted(place, self._drawn(place, dice))

    def _drawn(self, place: str, dice: Random) -> Fault | None:
        return chosen(getattr(self._faults, place), number=self._tries(place), dice=dice)

    def _dice(self, place: str, about: str) -> Random:
        return Random(f"{self._seed}/{place}/{about}/{self._tries(f'{place}/{about}')}")

    def _tries(self, name: str) -> int:
        """How often this was asked before."""
        self._calls[name] += 1
        return self._calls[name] - 1

    def _noted(self, place: str, fault: Fault | None) -> Fault | None:
        if fault is not None:
            self._happened[f"{place}.{fault}"] += 1
        return fault
