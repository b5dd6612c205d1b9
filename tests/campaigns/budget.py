"""The budget run: batches under faults that cost money, run again and again; the simulator counts what was accepted.

    python -m tests.campaigns.budget [--runs 100] [--seed 0]

Each batch has a budget of images or of money, 64 jobs in flight, and requests of one to four images. Answers get lost,
jobs fail and are tried again, submissions are refused, runs are broken off in the middle of it all; later runs repeat
what is in doubt and what has failed, and in some the budget is raised or lowered. The judge is what the simulator
accepted, lost answers included: after each run, not one image more than the budget.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest.mock import patch

import batchgen
from batchgen.adapters.profiles import find_profile
from batchgen.app.settings import Settings
from batchgen.budget import most_images
from batchgen.model import Budget, FailureKind, InDoubt, Status
from batchgen.simulator import Behaviour, Simulator, background
from batchgen.simulator.faults import Fault, Faults
from tests.campaigns.faults import KEY, impatient

CONCURRENCY = 64
PRICES = (0.008, 0.03, 0.1, 1 / 3)
_MOST_SAMPLES = 4
#: A share of the patience that a run has by itself.
_PATIENCE = 0.1


@dataclass(slots=True, kw_only=True)
class Pass:
    """One run of a batch, and what the simulator had accepted by then."""

    seed: int
    number: int  #: of the run in its batch
    allowed: int  #: images
    accepted: int  #: images of all runs
    counted: int  #: images that the batch's journal takes for paid
    doubted: int  #: of those, images whose answers were lost
    wasted: int  #: of those, images of failed jobs
    exit_code: int
    left: int  #: images of the budget that may still be asked for
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """What came of it, on one line."""
        return (
            f"batch {self.seed:>3} run {self.number}  {self.accepted:>4} accepted of {self.allowed:>4} allowed, "
            f"{self.counted:>4} counted: {self.wasted:>3} wasted, {self.doubted:>3} in doubt  exit {self.exit_code}  "
            + ("; ".join(self.problems) or "as promised")
        )


def costly_faults(dice: Random) -> Faults:
    """Whatever may part what is paid for from what is known, at shares that differ from batch to batch."""
    shares = {
        "submit": (
            *(Fault.RESET_AFTER, Fault.RESET_BEFORE, Fault.BAD_GATEWAY, Fault.HANG, Fault.MALFORMED, Fault.REFUSED),
            *(Fault.RATE_LIMITED, Fault.SUCCESS_AT_ONCE, Fault.FAILURE_AT_ONCE, Fault.NO_ID, Fault.BUSY),
        ),
        "job": (Fault.FAILURE, Fault.FEWER_URLS, Fault.NO_URLS, Fault.LOST, Fault.INVALID_INPUT),
        "status": (Fault.SERVER_ERROR,),
        "image": (Fault.GONE, Fault.TRUNCATED),
    }
    told = {place: {fault: round(dice.uniform(0.0, 0.06), 4) for fault in faults} for place, faults in shares.items()}
    told["job"][Fault.FAILURE] = round(dice.uniform(0.1, 0.5), 4)
    return Faults.model_validate({**told, "hang": 6.0})


def batch(folder: Path, seed: int) -> Iterator[Pass]:
    """Run a batch three to six times.

    Args:
        folder: an empty one.
    """
    dice = Random(f"budget/{seed}")
    samples = [dice.randint(1, _MOST_SAMPLES) for _ in range(dice.randint(80, 160))]
    prompts = [{"prompt": f"number {n}", "params": {"samples": wanted}} for n, wanted in enumerate(samples)]
    price, share = dice.choice(PRICES), dice.uniform(0.2, 1.5)
    wanted = int(share * sum(samples))
    budget = Budget(images=wanted) if dice.random() < 0.5 else Budget(cost=round(wanted * price, 4))
    manifest, out = folder / "budget.yaml", folder / "out"
    head = {"batch_id": "budget", "profile": "sd3", "params": {"width": 32, "height": 24}, "price_per_image": price}
    manifest.write_text(json.dumps({**head, "concurrency": CONCURRENCY, "prompts": prompts}))
    behaviour = Behaviour(latency=(0.02, 0.2), pictures="tiny", faults=costly_faults(dice))
    simulator = Simulator(find_profile("sd3"), key=KEY, behaviour=behaviour, seed=seed)
    counted = 0
    with background(simulator) as url, impatient(_PATIENCE), patch.dict("os.environ", {"IMAGEPIPELINE_API_KEY": KEY}):
        for number in range(1, dice.randint(3, 6) + 1):
            if number > 1 and dice.random() < 0.7:
                budget = _changed(budget, dice)
            before, counted_before = _accepted(simulator), counted
            result = batchgen.run(manifest, out=out, settings=_settings(dice, budget, url))
            most = most_images(budget, price)
            assert most is not None
            counted = result.account.spending.total
            # What was spent before a budget was lowered is spent.
            one = _judged(result, simulator, seed=seed, number=number, allowed=max(most, before))
            if counted > max(most, counted_before):
                one.problems.append("more is counted than the budget allows")
            yield one


def _changed(budget: Budget, dice: Random) -> Budget:
    factor = dice.uniform(0.9, 1.7)
    if budget.images is not None:
        return Budget(images=int(budget.images * factor))
    assert budget.cost is not None
    return Budget(cost=round(budget.cost * factor, 4))


def _settings(dice: Random, budget: Budget, url: str) -> Settings:
    broken_off = dice.random() < 0.3
    return Settings(
        base_url=url,
        budget=budget,
        in_doubt=dice.choice(list(InDoubt)),
        retry=frozenset(FailureKind) if dice.random() < 0.5 else frozenset(),
        max_runtime=dice.uniform(0.05, 1.0) if broken_off else None,
        grace=0.0 if broken_off else 30.0,
    )


def _accepted(simulator: Simulator) -> int:
    """Images of all submissions that became jobs, whether the answer arrived or not."""
    return sum(job.samples for job in simulator._book.jobs())


def _judged(result: batchgen.RunResult, simulator: Simulator, *, seed: int, number: int, allowed: int) -> Pass:
    account = result.account
    assert account.left is not None
    judged = Pass(
        seed=seed,
        number=number,
        allowed=allowed,
        accepted=_accepted(simulator),
        counted=account.spending.total,
        doubted=account.spending.in_doubt,
        wasted=account.spending.wasted,
        exit_code=result.exit_code,
        left=account.left,
    )
    made = result.samples[Status.STORED] + result.samples[Status.REJECTED]
    wrong = {
        f"{judged.accepted - allowed} images over the budget": judged.accepted > allowed,
        "more was accepted than is counted": judged.accepted > judged.counted,
        f"{made} images are there, and {account.spending.made} are counted": made != account.spending.made,
        f"stopped although {account.left} images were left": _stopped_early(result),
        "images are pending, and the exit code is not 6": bool(
            result.samples[Status.PENDING] and result.exit_code != 6
        ),
    }
    judged.problems += [problem for problem, is_so in wrong.items() if is_so]
    return judged


def _stopped_early(result: batchgen.RunResult) -> bool:
    assert result.account.left is not None
    return "the budget" in (result.stopped or "") and result.account.left >= _MOST_SAMPLES


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; 1 if anything was not as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="runs at least; a batch is finished")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch")
    asked = parser.parse_args(arguments)
    passes: list[Pass] = []
    began = time.monotonic()
    for seed in itertools.count(asked.seed):
        if len(passes) >= asked.runs:
            break
        with tempfile.TemporaryDirectory(prefix="batchgen-budget-") as folder:
            for one in batch(Path(folder), seed):
                passes.append(one)
                print(one.line(), flush=True)
    broken = sum(bool(one.problems) for one in passes)
    spent = sum(one.left < _MOST_SAMPLES for one in passes)
    print(
        f"{len(passes)} runs of {len({one.seed for one in passes})} batches in {time.monotonic() - began:.0f} s: "
        f"{spent} ended with the budget spent, {sum(one.accepted > one.allowed for one in passes)} with more accepted; "
        f"{broken} runs with problems"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
