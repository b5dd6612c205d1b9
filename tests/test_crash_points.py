"""A run that dies at any write of its journal: whatever it was, nothing is lost and nothing is paid for twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import batchgen
from batchgen.adapters.profiles import find_profile
from batchgen.app.checking import check
from batchgen.simulator import Simulator, background

ROOT = Path(__file__).parents[1]


def accepted(record: Path, batch: str) -> Counter[str]:
    """How many jobs the simulator accepted for each prompt of a batch, by its own record."""
    jobs = [json.loads(line)["body"] for line in record.read_text().splitlines()]
    return Counter(str(body["prompt"]) for body in jobs if body["batch_id"] == batch)


def die_everywhere_and_go_on(folder: Path, *, prompts: int, concurrency: int) -> dict[str, tuple[int, int]]:
    """Hold a batch to the promise that dies at every write of its journal.

    Returns:
        For each place where it died, how many requests were in doubt then, and how many jobs were paid for in the end.
    """
    record = folder / "accepted.jsonl"
    simulator = Simulator(find_profile("simulator"), latency=(0, 0.01), record=record)
    wanted = [f"prompt {n}" for n in range(prompts)]
    params = "{samples: 2, width: 16, height: 16}"
    manifest = folder / "m.yaml"
    manifest.write_text(f"profile: simulator\nconcurrency: {concurrency}\nparams: {params}\nprompts: {wanted}\n")
    found: dict[str, tuple[int, int]] = {}
    with background(simulator) as url:
        program = [sys.executable, "-m", "tests.crash_points", str(manifest), str(folder), url]
        died = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
        assert died.returncode == 0, died.stderr
        for out in map(Path, died.stdout.splitlines()):
            settings = batchgen.Settings(base_url=url, batch_id=out.name)
            held = batchgen.run(manifest, out=out, settings=settings)
            doubts = {doubt.request.prompt for doubt in held.doubts}
            assert held.samples[batchgen.Status.STORED] == 2 * (prompts - len(doubts)), out
            ended = batchgen.run(manifest, out=out, settings=replace(settings, in_doubt=batchgen.InDoubt.RETRY))
            assert (ended.exit_code, check(out, repair=True).exit_code) == (0, 0), out
            paid = accepted(record, out.name)
            assert all(paid[prompt] == 1 or (paid[prompt] == 2 and prompt in doubts) for prompt in wanted), out
            found[out.name] = (len(doubts), sum(paid.values()))
    return found


def test_a_run_that_dies_at_any_write_of_its_journal_loses_nothing_and_repeats_only_what_was_in_doubt(
    tmp_path: Path,
) -> None:
    assert die_everywhere_and_go_on(tmp_path, prompts=1, concurrency=1) == {
        "before-1": (0, 1),  # nothing was sent
        "before-2": (1, 2),  # accepted, and the job's id not yet on disk: the one place where money can be lost
        "before-3": (0, 1),
        "before-4": (0, 1),
        "after-1": (1, 1),  # about to be sent
        "after-2": (0, 1),
        "after-3": (0, 1),
        "after-4": (0, 1),
    }


@pytest.mark.campaign
@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_a_larger_batch_that_dies_at_any_write_keeps_the_promise(tmp_path: Path, concurrency: int) -> None:
    found = die_everywhere_and_go_on(tmp_path, prompts=8, concurrency=concurrency)
    assert all(doubts <= concurrency for doubts, _ in found.values())
