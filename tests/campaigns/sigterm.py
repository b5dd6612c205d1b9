"""SIGTERM at random moments: does each run end with 143 in time, and does the next lose nothing and pay nothing twice?

    python -m tests.campaigns.sigterm --runs 50 --seed 1

As in `tests.campaigns.crash`, each batch is run by processes of its own against a simulator that lives on, and judged
by the simulator's record and the bytes of the files. Besides, judged of each run that was told to stop:

- its exit code: 143, from itself; or from the system, if the signal came before our first line, while Python started;
- its time: the grace time, and what it takes to write the index;
- its last summary, which must say the same.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaigns import crash

#: Seconds after the grace time until a run must have ended: the index, and a busy machine.
SLACK = 5.0
_ENDED, _KILLED = 143, -15


@dataclass(slots=True)
class Tally(crash.Tally):
    """What the campaign has seen so far."""

    by_itself: int = 0  #: runs that ended with 143
    by_system: int = 0  #: runs that the signal ended before they had made a call
    beyond: list[float] = field(default_factory=list)  #: seconds from the signal to the end, less the grace time
    wrong: list[str] = field(default_factory=list)  #: another exit code, too late, or another word in the summary

    @property
    def sound(self) -> bool:
        """Whether the promises were kept."""
        return not (self.lost or self.repeated or self.answered or self.wrong)


class Batch(crash.Batch):
    """One batch of which runs are told to stop."""

    def __init__(self, folder: Path, chance: random.Random, tally: Tally) -> None:
        super().__init__(folder, chance, tally)
        self._stops = tally

    def _killed_run(self) -> bool:
        """Start a run and tell it to stop; False if it ended before."""
        grace, calls = self._chance.choice([0.1, 0.5, 3.0]), self._calls()
        with self._start("--grace", f"{grace}s") as run:
            if self._chance.random() < 0.2:  # at any moment of its start
                time.sleep(self._chance.uniform(0.0, 1.5))
            else:
                while self._calls() == calls and run.poll() is None:
                    time.sleep(0.002)
                time.sleep(self._chance.uniform(0.0, self._chance.choice([0.02, 0.2, 1.0])))
            called = self._calls() > calls
            run.terminate()
            told = time.monotonic()
            run.wait()
            beyond = time.monotonic() - told - grace
        if run.returncode == 0:
            return False
        self._kill_times.append(time.time())
        self._stops.kills += 1
        self._judge_end(run.returncode, called=called, beyond=beyond)
        return True

    def _judge_end(self, code: int, *, called: bool, beyond: float) -> None:
        stops = self._stops
        stops.by_itself += code == _ENDED
        stops.by_system += code == _KILLED
        stops.beyond.append(beyond)
        if code != _ENDED and (called or code != _KILLED):
            stops.wrong.append(f"{self._folder}: ended with {code}")
        if beyond > SLACK:
            stops.wrong.append(f"{self._folder}: ended {beyond:.1f} s after its grace time")
        if called and code == _ENDED:
            said = json.loads((self._out / ".batchgen/last-run.json").read_text())["exit_code"]
            if said != _ENDED:
                stops.wrong.append(f"{self._folder}: its summary says {said}")


def campaign(*, runs: int, seed: int, folder: Path) -> Iterator[Tally]:
    """Batch after batch until there were so many runs that were told to stop; the same tally after each."""
    chance, tally = random.Random(seed), Tally()
    while tally.kills < runs:
        place = folder / f"batch-{tally.batches}"
        place.mkdir()
        Batch(place, chance, tally).suffer(min(chance.randrange(1, 5), runs - tally.kills))
        yield tally


def main() -> None:
    """Run the campaign; ends with 0 if all promises were kept."""
    parser = argparse.ArgumentParser(description="Tell runs to stop at random moments and judge what is left.")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchgen-sigterm-") as folder:
        for tally in campaign(runs=wanted.runs, seed=wanted.seed, folder=Path(folder)):
            sound = "all sound" if tally.sound else "NOT SOUND"
            print(f"{tally.batches} batches, {tally.kills} stops, {tally.doubts} in doubt: {sound}", flush=True)
    beyond = sorted(tally.beyond)
    print(
        f"{tally.kills} runs told to stop, of {tally.batches} batches with {tally.requests} requests\n"
        f"ended with 143: {tally.by_itself}; by the signal itself, before any call: {tally.by_system}\n"
        f"from the signal to the end, less the grace time: median {beyond[len(beyond) // 2]:.2f} s, "
        f"longest {beyond[-1]:.2f} s\n"
        f"images lost: {len(tally.lost)}; accepted submissions repeated: {len(tally.repeated)}; "
        f"in doubt: {tally.doubts}; wrong ends: {len(tally.wrong)}"
    )
    print(*tally.lost, *tally.repeated, *tally.answered, *tally.wrong, sep="\n")
    sys.exit(not tally.sound)


if __name__ == "__main__":
    main()
