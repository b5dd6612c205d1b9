"""Kill -9 at random moments, over and over: is anything lost, or paid for twice?

    python -m tests.campaigns.crash --kills 300 --batches 30 --seed 1

Each batch is run by `batchgen run` as a process of its own against a simulator that lives on, killed at random
moments, and run again until it is done. The judge is not the runner's own word: it is the simulator's record of the
jobs that it accepted, and the files, byte by byte against what the simulator gives for their links.

Judged of each batch:

- lost: images that are not there in the end, or are not those of a job of their prompt;
- repeated: jobs accepted for a request that had one already and was not in doubt;
- in doubt although answered: requests in doubt whose job the simulator had accepted well before the kill.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from batchgen.adapters.profiles import find_profile
from batchgen.simulator import Simulator, background

SAMPLES = 2
#: Seconds around a kill: before it, an answer may have been on its way or not yet on disk; after it, what the killed
#: run had sent may still have been on the wire.
UNDER_WAY = 1.0


@dataclass(slots=True)
class Tally:
    """What the campaign has seen so far."""

    kills: int = 0
    batches: int = 0
    requests: int = 0
    doubts: int = 0  #: requests that a kill left in doubt
    paid_twice: int = 0  #: jobs repeated because the user said so, of requests in doubt
    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)  #: in doubt although answered
    resumes: list[float] = field(default_factory=list)  #: seconds from a run's start to its first call, after a kill
    journal_bytes: list[float] = field(default_factory=list)  #: of a finished batch, for each request

    @property
    def sound(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.repeated or self.answered)


class Batch:
    """One batch, its simulator and the kills that it suffers."""

    def __init__(self, folder: Path, chance: random.Random, tally: Tally) -> None:
        self._chance, self._tally = chance, tally
        self._folder, self._out, self._record = folder, folder / "out", folder / "accepted.jsonl"
        self._requests = chance.randrange(30, 90)
        self._concurrency = chance.choice([2, 8, 16, 48])
        longest = chance.choice([0.05, 0.3, 0.8])
        self._simulator = Simulator(find_profile("simulator"), latency=(0.0, longest), record=self._record)
        self._kill_times: list[float] = []  #: seconds since the epoch
        self._unheard: Counter[str] = Counter()  #: by prompt, jobs whose answer a kill cut off
        prompts = "\n".join(f"  - prompt {n}" for n in range(self._requests))
        params = f"{{samples: {SAMPLES}, width: 16, height: 16}}"
        (folder / "m.yaml").write_text(f"profile: simulator\nparams: {params}\nprompts:\n{prompts}\n")

    def suffer(self, kills: int) -> None:
        """Be killed up to so many times, then be finished and judged."""
        with background(self._simulator) as url:
            self._url = url
            for _ in range(kills):
                if not self._killed_run():
                    break
            self._run_to_its_end()
            self._note_doubts()
            self._run_to_its_end("--in-doubt", "retry")
            self._judge()
        self._tally.batches += 1
        self._tally.requests += self._requests

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        named = ["--out", str(self._out), "--base-url", self._url, "--concurrency", str(self._concurrency), "-q"]
        command = [sys.executable, "-m", "batchgen", "run", str(self._folder / "m.yaml"), *named, *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _calls(self) -> int:
        audit = self._simulator.audit()
        return audit.accepted + audit.status_calls + audit.downloads

    def _killed_run(self) -> bool:
        """Start a run and kill it; False if it ended before."""
        retry = self._chance.random() < 0.2
        if retry:
            self._note_doubts()
        calls, started = self._calls(), time.monotonic()
        with self._start(*(("--in-doubt", "retry") if retry else ())) as run:
            if self._chance.random() < 0.15:  # at any moment of its start
                time.sleep(self._chance.uniform(0.0, 1.0))
            else:
                while self._calls() == calls and run.poll() is None:
                    time.sleep(0.002)
                if self._kill_times and run.poll() is None:
                    self._tally.resumes.append(time.monotonic() - started)
                time.sleep(self._chance.uniform(0.0, self._chance.choice([0.02, 0.1, 0.5])))
            run.kill()
        if run.returncode != -9:
            return False
        self._kill_times.append(time.time())
        self._tally.kills += 1
        return True

    def _run_to_its_end(self, *arguments: str) -> None:
        with self._start(*arguments) as run:
            run.wait()
        if run.returncode not in (0, 6):
            self._tally.lost.append(f"{self._folder}: a run ended with {run.returncode}")

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self._out / "metadata.parquet").to_pylist()
        return rows

    def _accepted(self) -> list[dict[str, Any]]:
        if not self._record.exists():
            return []
        return [json.loads(line) for line in self._record.read_text().splitlines()]

    def _note_doubts(self) -> None:
        """Before they are submitted again: which requests are in doubt, and had the API answered long before?"""
        if not (self._out / ".batchgen/plan.parquet").is_file():
            return
        with self._start("--max-images", "0") as run:  # submits nothing, and writes the index
            run.wait()
        doubted = {row["prompt"] for row in self._rows() if row["status"] == "in_doubt"}
        for prompt in doubted:
            self._tally.doubts += 1
            jobs = [job for job in self._accepted() if job["body"]["prompt"] == prompt]
            for job in jobs[self._unheard[prompt] :]:
                self._unheard[prompt] += 1
                away = min((abs(kill - job["accepted_at"]) for kill in self._kill_times), default=float("inf"))
                if away > UNDER_WAY:
                    self._tally.answered.append(f"{self._folder}: {prompt}, {away:.1f} s from the nearest kill")

    def _judge(self) -> None:
        rows, jobs = self._rows(), self._accepted()
        prompts = {job["id"]: job["body"]["prompt"] for job in jobs}
        stored = Counter(row["prompt"] for row in rows if self._is_right(row, prompts))
        for n in range(self._requests):
            if stored[f"prompt {n}"] != SAMPLES:
                self._tally.lost.append(f"{self._folder}: prompt {n} has {stored[f'prompt {n}']} images")
        for prompt, times in Counter(prompts.values()).items():
            if times > 1 + self._unheard[prompt]:
                self._tally.repeated.append(f"{self._folder}: {prompt} {times} times")
            self._tally.paid_twice += times - 1
        size = sum(path.stat().st_size for path in (self._out / ".batchgen").glob("journal.sqlite*"))
        self._tally.journal_bytes.append(size / self._requests)
        check = [sys.executable, "-m", "batchgen", "check", str(self._out), "--repair"]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        if done.returncode:
            self._tally.lost.append(f"{self._folder}: {done.stdout}{done.stderr}")

    def _is_right(self, row: dict[str, Any], prompts: dict[str, str]) -> bool:
        """Whether the row's file holds what the simulator gives for its link, and its job was one of the prompt."""
        if row["status"] != "stored" or prompts.get(row["job_id"]) != row["prompt"]:
            return False
        with urllib.request.urlopen(row["source_url"]) as answer:
            given = answer.read()
        content = (self._out / row["file_name"]).read_bytes()
        return bool(content == given and hashlib.sha256(content).hexdigest() == row["sha256"])


def campaign(*, kills: int, batches: int, seed: int, folder: Path) -> Iterator[Tally]:
    """Batch after batch until there were enough kills and batches; the same tally after each."""
    chance, tally = random.Random(seed), Tally()
    a_batch = -(-kills // batches)
    while tally.kills < kills or tally.batches < batches:
        place = folder / f"batch-{tally.batches}"
        place.mkdir()
        Batch(place, chance, tally).suffer(min(a_batch + 2, max(1, kills - tally.kills)))
        yield tally


def main() -> None:
    """Run the campaign; ends with 0 if nothing was lost, repeated, or in doubt without need."""
    parser = argparse.ArgumentParser(description="Kill runs at random moments and judge what is left.")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="batchgen-crash-") as folder:
        for tally in campaign(kills=wanted.kills, batches=wanted.batches, seed=wanted.seed, folder=Path(folder)):
            print(f"{tally.batches} batches, {tally.kills} kills, {tally.doubts} in doubt", flush=True)
    resumes = sorted(tally.resumes)
    print(
        f"{tally.kills} kills over {tally.batches} batches, {tally.requests} requests for {tally.requests * SAMPLES}"
        f" images, in {time.monotonic() - started:.0f} s\n"
        f"images lost: {len(tally.lost)}\n"
        f"accepted submissions repeated that were not in doubt: {len(tally.repeated)}\n"
        f"in doubt: {tally.doubts}; although the answer had come before: {len(tally.answered)}\n"
        f"paid twice because `--in-doubt retry` said so: {tally.paid_twice}\n"
        f"journal: {sum(tally.journal_bytes) / len(tally.journal_bytes):.0f} bytes a request\n"
        f"from start to first call after a kill: median {resumes[len(resumes) // 2]:.2f} s, longest {resumes[-1]:.2f} s"
    )
    print(*tally.lost, *tally.repeated, *tally.answered, sep="\n")
    sys.exit(not tally.sound)


if __name__ == "__main__":
    main()
