"""The server's process: `python -m tests.benchmarks.serving WORK PORT`; ends with its standard input."""

from __future__ import annotations

import asyncio
import heapq
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from batchgen.simulator import Audit, Behaviour, Simulator, serve
from tests.benchmarks.bare import photograph, picture, serve_bare
from tests.benchmarks.works import WORKS, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a server saw of one client."""

    jobs: int
    status_calls: int
    downloads: int
    ideal: float | None = None  #: seconds; the same jobs packed on the slots of the work, without any delay
    makespan: float | None = None  #: seconds from the first submission until the end of the last job was seen


def packed(durations: Sequence[float], slots: int) -> float:
    """Seconds in which those jobs are done, each begun as soon as a slot is free."""
    free = [0.0] * slots
    for duration in durations:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def image_of(work: Work) -> bytes:
    """The image that the bare server gives, again and again."""
    return photograph(work.side, work.grain) if work.grain else picture(work.side, work.image_bytes)


async def _simulate(work: Work, port: int, until: asyncio.Event) -> Told:
    behaviour = Behaviour.model_validate(
        {"latency": work.latency, "capacity": work.capacity, "pictures": work.pictures}
    )
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "jobs.jsonl")
        simulator = Simulator("sd3", behaviour=behaviour, record=record)
        async with serve(simulator, port=port):
            await until.wait()
        return _told(work, simulator.audit(), _jobs(record))


def _jobs(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def _told(work: Work, audit: Audit, jobs: list[dict[str, Any]]) -> Told:
    if not jobs:
        return Told(jobs=0, status_calls=0, downloads=0)
    last = max(job["ends_at"] + audit.seen_after.get(job["id"], 0.0) for job in jobs)
    return Told(
        jobs=len(jobs),
        status_calls=audit.status_calls,
        downloads=audit.downloads,
        ideal=packed([job["ends_at"] - job["begins_at"] for job in jobs], work.capacity or work.concurrency),
        makespan=last - min(job["accepted_at"] for job in jobs),
    )


async def _bare(work: Work, port: int, until: asyncio.Event) -> Told:
    counts = await serve_bare(port, image=image_of(work), samples=work.samples, until=until)
    return Told(jobs=counts.submissions, status_calls=counts.questions, downloads=counts.downloads)


async def main(work: Work, port: int) -> None:
    """Serve until the standard input ends."""
    until = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, until.set)
    print(json.dumps(asdict(await (_bare if work.bare else _simulate)(work, port, until))), flush=True)


if __name__ == "__main__":
    uvloop.run(main(WORKS[sys.argv[1]], int(sys.argv[2])))
