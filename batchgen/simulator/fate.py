"""What becomes of a submission: how long its job waits and runs, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush, nlargest
from math import inf
from random import Random
from uuid import uuid4

from batchgen.model import JobId, ParamValue
from batchgen.simulator.behaviour import Behaviour
from batchgen.simulator.faults import FAILURES, Fault, chosen
from batchgen.simulator.jobs import Job, fingerprint

#: The share of a job's time that it spends waiting for its turn, where there is no capacity to wait for.
QUEUED_SHARE = 0.2


class Fate:
    """Settles jobs: the same body, the same number of times before, meets the same end under the same seed.

    Args:
        jobs: those of earlier lives; they may still be running.
    """

    def __init__(self, behaviour: Behaviour, *, seed: int, jobs: Iterable[Job] = ()) -> None:
        self._behaviour = behaviour
        self._seed = seed
        capacity = behaviour.capacity or 0
        self._busy_until = sorted(nlargest(capacity, (job.ends_at for job in jobs)))

    def job(
        self,
        number: int,
        *,
        endpoint: str,
        body: Mapping[str, ParamValue],
        times: int,
        at: float,
        fault: Fault | None = None,
    ) -> Job:
        """The job that a submission becomes.

        Args:
            number: how many jobs there were before it.
            times: how many of them had the same body.
            at: now, in seconds since the epoch.
            fault: of its submission; success or failure at once takes no time.
        """
        dice = Random(f"{self._seed}/job/{fingerprint(endpoint, body)}/{times}")
        duration = self._behaviour.latency.draw(dice)
        own = chosen(self._behaviour.faults.job, number=number, dice=dice)
        draw = dice.getrandbits(48)
        if fault in (Fault.SUCCESS_AT_ONCE, Fault.FAILURE_AT_ONCE):
            own = Fault.FAILURE if fault is Fault.FAILURE_AT_ONCE else None
            begins_at, ends_at = at, at
        else:
            begins_at, ends_at = self._turn(at, duration, ends=own is not Fault.STUCK)
        return Job(
            number=number,
            id=JobId(uuid4().hex),  # never that of another life, so that a forgotten job is not mistaken for a new one
            endpoint=endpoint,
            body=body,
            accepted_at=at,
            begins_at=begins_at,
            ends_at=ends_at,
            fails=own in FAILURES,
            fault=own,
            draw=draw,
        )

    def _turn(self, at: float, duration: float, *, ends: bool) -> tuple[float, float]:
        """When a job begins that is accepted now, first come, first served; and when it ends, if it does."""
        capacity = self._behaviour.capacity
        if capacity is None:
            return at + QUEUED_SHARE * duration, at + duration if ends else inf
        begins_at = max(at, heappop(self._busy_until)) if len(self._busy_until) >= capacity else at
        ends_at = begins_at + duration if ends else inf
        heappush(self._busy_until, ends_at)
        return begins_at, ends_at
