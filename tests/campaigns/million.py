"""A batch of a million done requests: how long until `run` says so again, and `status` answers?

    python -m tests.campaigns.million --requests 1000000

Plan, journal, index and report are made by batchgen's own code from a table of as many prompts, the journal's events in
bulk and without images on disk; then the two commands are run as a user runs them, and measured from outside.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from batchgen.adapters.journal import SQLiteJournal
from batchgen.adapters.journal.database import put_events, put_records
from batchgen.adapters.plan_file import PlanFile
from batchgen.app.folder import BatchFolder
from batchgen.app.freezing import frozen_plan
from batchgen.app.indexing import bring_up_to_date
from batchgen.app.preview import read
from batchgen.app.reporting import report
from batchgen.app.settings import Settings
from batchgen.lifecycle import Event, ImagesStored, JobCompleted, Record, SubmitAccepted, SubmitStarted, advance
from batchgen.model import BatchFacts, JobId, Request, RunId, StoredImage, VerifiedImage

RUN = RunId("20260101T000000Z-abcdef")
#: What is promised: seconds and MB for `run`, seconds for `status`.
RUN_SECONDS, RUN_MEGABYTES, STATUS_SECONDS = 10.0, 300.0, 2.0


def life(request: Request) -> tuple[Event, ...]:
    """All that happens to a request whose first job gives its image."""
    link = f"https://images.test/b2api/v2/b2_download_file_by_id?fileId={request.key}"
    image = VerifiedImage(format="png", width=1024, height=1024, sha256="0" * 64, bytes=1_500_000, phash="0" * 16)
    stored = StoredImage(sample=0, file_name=f"{request.file_stem}-0.png", source_url=link, image=image)
    return (
        SubmitStarted(),
        SubmitAccepted(job_id=JobId(f"job-{request.key}")),
        JobCompleted(urls=(link,), response='{"status": "SUCCESS"}'),
        ImagesStored(images=(stored,)),
    )


def fill_journal(folder: BatchFolder, plan: PlanFile) -> None:
    """Let the journal say that every request of the plan is done."""
    SQLiteJournal.open(folder.journal, run_id=RUN, clock=time.time).close()
    connection = sqlite3.connect(folder.journal, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    requests: Iterator[Request] = iter(plan)
    while some := list(islice(requests, 20_000)):
        connection.execute("BEGIN")
        for request in some:
            record = Record()
            for at, event in enumerate(life(request)):
                record = advance(record, event, at=1.7e9 + at, run_id=RUN)
                put_events(connection, [(request.key, 1.7e9 + at, RUN, event)])
            put_records(connection, [(request.key, record)])
        connection.execute("COMMIT")
    connection.close()


def make(folder: Path, requests: int) -> None:
    """A manifest, and the batch that it became."""
    manifest = folder / "rows.csv"
    manifest.write_text("prompt\n" + "".join(f"a picture of thing number {n}\n" for n in range(requests)))
    batch, settings = BatchFolder(folder / "out"), Settings(profile="simulator")
    batch.state.mkdir(parents=True)
    SQLiteJournal.open(batch.journal, run_id=RUN, clock=time.time).close()
    read_in = read(manifest, settings)
    plan = frozen_plan(read_in, settings, batch, go_on=lambda: None)
    fill_journal(batch, plan)
    profile = read_in.profile
    facts = BatchFacts(
        batch_id=read_in.batch_id,
        profile=profile.name,
        provider=profile.provider,
        model=profile.model,
        endpoint=profile.endpoint,
        price_per_image=read_in.price_per_image,
    )
    bring_up_to_date(batch, plan, facts)
    report(batch.root, thumbnails=0)


def measure(folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds and most memory in MB that a command took.

    Raises:
        SystemExit: it did not end with 0.
    """
    command = [sys.executable, "-m", "batchgen", *arguments]
    started = time.monotonic()
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)} in {folder}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Make the batch and measure; ends with 0 if all stayed within what is promised."""
    parser = argparse.ArgumentParser(description="Measure how a finished batch of many requests is gone on with.")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the batch is made, or is already; default: a temporary one")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchgen-million-") as elsewhere:
        folder = wanted.folder or Path(elsewhere)
        folder.mkdir(exist_ok=True)
        if not (folder / "out/metadata.parquet").is_file():
            started = time.monotonic()
            # In a process of its own: what the system says of a process's memory begins with that of its parent.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                pool.submit(make, folder, wanted.requests).result()
            print(f"made {wanted.requests:,} done requests in {time.monotonic() - started:.0f} s", flush=True)
        out = str(folder / "out")
        run = measure(folder, "run", str(folder / "rows.csv"), "--out", out, "--profile", "simulator")
        status = measure(folder, "status", out)
    print(f"run again: {run[0]:.1f} s, {run[1]:.0f} MB\nstatus: {status[0]:.1f} s, {status[1]:.0f} MB")
    sys.exit(run[0] > RUN_SECONDS or run[1] > RUN_MEGABYTES or status[0] > STATUS_SECONDS)


if __name__ == "__main__":
    main()
