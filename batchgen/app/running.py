"""`run`: one pass over a batch, from manifest to index."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.adapters.clock import SystemClock
from batchgen.adapters.file_store import FileStore
from batchgen.adapters.http_api.client import HTTPImageAPI
from batchgen.adapters.journal import JournalView, SQLiteJournal
from batchgen.adapters.memory import give_back
from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.run_log import RunLog
from batchgen.app.announcing import Announced, announced
from batchgen.app.built_in import hosted
from batchgen.app.completion import arranged
from batchgen.app.earlier import others, remarks, unfinished
from batchgen.app.ending import Ending
from batchgen.app.event_loop import run_in_loop
from batchgen.app.feed import PlanFeed
from batchgen.app.folder import BatchFolder
from batchgen.app.freezing import frozen_plan
from batchgen.app.holding import Patience, held
from batchgen.app.images import image_processes
from batchgen.app.metrics import measured
from batchgen.app.opening import must_have_its_journal
from batchgen.app.preview import read_for
from batchgen.app.repeating import kept_up_to_date
from batchgen.app.rounds import Rounds
from batchgen.app.running_batch import RunningBatch
from batchgen.app.screened import was_screened
from batchgen.app.screening import Note, Screening, scorers_for
from batchgen.app.settings import Settings, find_key
from batchgen.app.switch import Stopped, StopSwitch
from batchgen.errors import BatchgenError, StillPlanning, StorageFailed, UsageError
from batchgen.lifecycle import State
from batchgen.manifest import Manifest
from batchgen.model import RunId
from batchgen.ports import Observer, Observers, Progress
from batchgen.runner import Ports, RunLimits, Runner

if TYPE_CHECKING:  # what it is made with is loaded when the run is over
    from batchgen.app.result import RunResult

#: Thumbnails that a run makes at most: half a minute's. `batchgen report` makes all.
_THUMBNAILS = 1_000


async def run_async(
    manifest: Path | str,
    *,
    out: Path | str | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    switch: StopSwitch | None = None,
) -> RunResult:
    """Run a batch, or go on with it; the same call again costs nothing for what is done.

    Args:
        manifest: a YAML, CSV or TSV file.
        out: the batch folder; default `outputs/<batch_id>`.
        settings: what to say over the manifest.
        observer: told of every step.
        switch: to stop the run from outside.

    Raises:
        ManifestError, UsageError: nothing was sent and nothing written.
        AccountBlocked: no key, or the API refuses it; what was submitted before is in the folder.
        StorageFailed: the folder cannot be read or written; nothing paid for is lost.
        FolderBusy: another run holds the folder; nothing was sent.
    """
    settings, switch, observer = settings or Settings(), switch or StopSwitch(), observer or Observer()
    # Settled once, so that a run that waits past midnight stays in the batch, and the folder, of its night.
    moment = settings.moment or datetime.now().astimezone()
    began = time.monotonic() if settings.began is None else settings.began
    settings = replace(settings, moment=moment, began=began)
    reading = partial(read_for, manifest, out, settings)
    left = settings.time_left(time.monotonic())
    patience = Patience(settings.wait_lock if left is None else min(settings.wait_lock, left), observer, switch)
    async with announced(settings, manifest, switch, observer) as announcement:
        while True:
            try:
                return await _run_announced(reading, settings, observer, switch, patience, announcement)
            except StillPlanning as busy:  # our folder is let go, or two would wait for each other
                announcement.ending = None
                await patience.planned(busy)


async def _run_announced(
    reading: Callable[[], tuple[Manifest, BatchFolder]],
    settings: Settings,
    observer: Observer,
    switch: StopSwitch,
    patience: Patience,
    announcement: Announced,
) -> RunResult:
    read_in, folder = await asyncio.to_thread(reading)
    async with held(folder, patience, switch) as waited:
        if waited:  # the other run may have begun the batch, and settled its words
            read_in, named = await asyncio.to_thread(reading)
            if named != folder:
                raise UsageError(
                    f"{read_in.path} was edited while this run waited, and now names {named.root}, not {folder.root}. "
                    "Nothing was sent; run the same command again."
                )
        ending = announcement.ending = Ending(
            folder=folder, run_id=new_run_id(), manifest=read_in, warnings=_costly(folder, settings)
        )
        async with measured(settings, ending, observer) as metrics:
            with ending.recorded(stopped_with=switch.settle):
                watched = Observers(observer, ending.count, metrics)
                ending.result = await _run_held(read_in, folder, settings, ending, watched, switch)
    return ending.result


async def _run_held(
    manifest: Manifest, folder: BatchFolder, settings: Settings, ending: Ending, observer: Observer, switch: StopSwitch
) -> RunResult:
    """One pass over the batch in a folder that is held for it."""
    run_id = ending.run_id
    scorers = await asyncio.to_thread(scorers_for, settings.checks or manifest.checks)
    must_have_its_journal(folder)
    async with SQLiteJournal.open(folder.journal, run_id=run_id, clock=SystemClock().now) as journal:
        freezing = partial(frozen_plan, manifest, settings, folder, go_on=switch.go_on)
        plan = await asyncio.to_thread(freezing)
        await _tidy(settings)
        batch = RunningBatch(
            manifest=manifest, settings=settings, folder=folder, plan=plan, run_id=run_id, scorers=scorers
        )
        index_anew = partial(_index_anew, batch)
        async with kept_up_to_date(index_anew, every=settings.index_every):
            outcome = await _pass(batch, journal, observer, switch)
    await _tidy(settings)
    await asyncio.to_thread(index_anew)
    await _tidy(settings)
    if settings.report and outcome.error is None and not switch.told:
        with contextlib.suppress(Stopped):
            await asyncio.to_thread(_write_report, folder, switch)
    if outcome.error is not None:
        raise outcome.error
    return await asyncio.to_thread(_result, batch, outcome)


async def _tidy(settings: Settings) -> None:
    """What a part of the run had needed for a while is not the run's for as long as it goes on."""
    if settings.own_process:
        await asyncio.to_thread(give_back)


def _result(batch: RunningBatch, outcome: _Outcome) -> RunResult:
    from batchgen.app.result import RunResult, under_way

    head = batch.plan.head
    result = RunResult.of(
        batch.folder.root,
        run_id=batch.run_id,
        stopped=outcome.stopped,
        cut_short=outcome.cut_short,
        account=batch.account(),
        under_way=under_way(batch.folder),
    )
    unfinished = _unfinished(batch.folder, batch.settings)
    dated = bool(batch.manifest.words)
    return replace(result, wanted=head.wanted, elsewhere=head.elsewhere, unfinished=unfinished, dated=dated)


def _index_anew(batch: RunningBatch) -> None:
    from batchgen.app.indexing import bring_up_to_date

    bring_up_to_date(batch.folder, PlanFile(batch.folder.plan), batch.facts)  # the plan may have grown


def run(
    manifest: Path | str,
    *,
    out: Path | str | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> RunResult:
    """As `run_async`, for callers without an event loop.

    In the main thread, Ctrl-C stops submitting, waits for jobs in flight for the grace time, and raises
    KeyboardInterrupt once the index is written; a second one does not wait.
    """
    interrupted = False

    async def until_interrupted() -> RunResult:
        switch = StopSwitch()

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            switch.stop("Ctrl-C", exit_code=130)

        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(NotImplementedError):  # Windows
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
        return await run_async(manifest, out=out, settings=settings, observer=observer, switch=switch)

    try:
        return run_in_loop(until_interrupted())
    finally:
        if interrupted:
            raise KeyboardInterrupt


def new_run_id() -> RunId:
    """A name for a run: its time, and chance."""
    return RunId(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    stopped: str | None = None  #: why not all of it was submitted; None if it was
    cut_short: bool = False  #: whether not all was submitted, or tried again, that was to be
    error: Exception | None = None  #: what the user must mend first


async def _pass(batch: RunningBatch, journal: SQLiteJournal, observer: Observer, switch: StopSwitch) -> _Outcome:
    """Carry the plan as far as it goes."""
    feed: PlanFeed | None = PlanFeed(batch.plan, journal, retry=batch.settings.retry)
    idle = feed is None or await feed.is_empty()
    screened = partial(was_screened, batch.folder, batch.checks, batch.scorers)
    if idle and (not batch.checks.of_the_batch or await asyncio.to_thread(screened)):
        return _Outcome()
    if not idle:
        _must_have_its_key(batch)
    _note(batch, journal)
    with contextlib.closing(_opened_log(batch)) as log:
        rounds = _rounds(batch, journal, note=log.note, over=lambda: switch.told)
        feed = await rounds.next() if idle else feed
        if feed is None:
            return _Outcome()
        _must_have_its_key(batch)
        outcome = await _carry(batch, feed, journal, Observers(observer, log), switch, rounds)
        if outcome.stopped and outcome.error is None:
            await rounds.screen()  # what is there is looked at, though nothing more is asked for
        log.note("run.ended", stopped=outcome.stopped, error=None if outcome.error is None else str(outcome.error))
    if outcome.stopped is None:
        return outcome
    rest = PlanFeed(PlanFile(batch.folder.plan), journal, retry=batch.settings.retry)  # the plan may have grown
    return replace(outcome, cut_short=await rest.has_more(ended_by=batch.run_id))


def _rounds(batch: RunningBatch, journal: SQLiteJournal, *, note: Note, over: Callable[[], bool]) -> Rounds:
    screening = Screening(
        root=batch.folder.root, journal=journal, checks=batch.checks, scorers=batch.scorers, note=note, over=over
    )
    return Rounds(folder=batch.folder, profile=batch.manifest.profile, journal=journal, screening=screening)


def _must_have_its_key(batch: RunningBatch) -> None:
    """Key and address are the user's to mend; they are looked at before anything is noted."""
    HTTPImageAPI(batch.manifest.profile, key=find_key(batch.manifest.profile), base_url=batch.settings.base_url)


def _note(batch: RunningBatch, journal: SQLiteJournal) -> None:
    """Note what is run, before the log tells of the run: a journal that does not know it has forgotten it."""
    noted = {"version": version("batchgen"), **asdict(batch.facts), "budget": asdict(batch.manifest.budget)}
    journal.begin_run(json.dumps(noted, ensure_ascii=False))


async def _carry(
    batch: RunningBatch, feed: PlanFeed, journal: SQLiteJournal, observer: Observer, switch: StopSwitch, rounds: Rounds
) -> _Outcome:
    profile, clock = batch.manifest.profile, SystemClock()
    key = find_key(profile)
    await asyncio.to_thread(FileStore(batch.folder.root).sweep)
    limits = _limits(batch)
    with hosted(profile, base_url=batch.settings.base_url, folder=batch.folder) as host:
        open_at_once = limits.concurrency + 64
        async with (
            arranged(batch.manifest, batch.settings, base_url=host.base_url) as arrangement,
            HTTPImageAPI(profile, key=key, base_url=host.base_url, connections=open_at_once) as api,
            image_processes(
                batch.manifest, batch.settings, folder=batch.folder, base_url=host.base_url, clean=api.without_secrets
            ) as images,
        ):
            if arrangement.secret is not None:
                api.keep_secret(arrangement.secret)
            ports = Ports(
                api=api,
                journal=journal,
                images=host.fetching(images),
                clock=clock,
                observer=observer,
                as_sent=arrangement.as_sent,
                notices=arrangement.notices,
            )
            runner = Runner(ports, limits)
            switch.connect(runner)
            observer.begun(_progress(batch, limits))
            _stop_in_time(runner, batch.settings)
            await runner.run(feed, following=rounds.next if batch.checks.of_the_batch else None)
    return _Outcome(stopped=runner.stop_reason, error=runner.error)


def _stop_in_time(runner: Runner, settings: Settings) -> None:
    left = settings.time_left(time.monotonic())
    if left is None:
        return
    reason = f"--max-runtime {settings.max_runtime:g} s is over"
    if left:
        asyncio.get_running_loop().call_later(left, runner.stop, reason)
    else:  # planning, and waiting for others, took all of it
        runner.stop(reason)


def _limits(batch: RunningBatch) -> RunLimits:
    manifest, settings = batch.manifest, batch.settings
    return RunLimits(
        concurrency=settings.concurrency or manifest.concurrency,
        rate=settings.rate or manifest.rate,
        completion=settings.completion or manifest.completion,
        in_doubt=settings.in_doubt or manifest.in_doubt,
        max_images=settings.max_images,
        allowance=batch.account().allowance(),
        job_deadline=manifest.profile.job_deadline,
        max_wait=settings.max_wait,
        grace=settings.grace,
    )


def _progress(batch: RunningBatch, limits: RunLimits) -> Progress:
    with JournalView(batch.folder.journal) as journal:
        stored = journal.tallies().get(State.STORED)
    return Progress(
        wanted=batch.plan.head.wanted,
        stored=0 if stored is None else stored.images,
        concurrency=limits.concurrency,
        simulated=batch.manifest.profile.simulated,
        warnings=(*batch.manifest.warnings, *batch.folder.remarks()),
        costly=_costly(batch.folder, batch.settings),
    )


def _costly(folder: BatchFolder, settings: Settings) -> Sequence[str]:
    return tuple(remarks(settings.against, itself=folder)) if settings.only_new else ()


def _unfinished(folder: BatchFolder, settings: Settings) -> Sequence[Path]:
    """The batches that new requests were told by, and that are not done."""
    with contextlib.suppress(BatchgenError):  # this run is done, whatever has become of the others
        return unfinished(others(settings.against, itself=folder)) if settings.only_new else ()
    return ()


def _opened_log(batch: RunningBatch) -> RunLog:
    try:
        return RunLog(batch.folder.log, run_id=batch.run_id)
    except OSError as error:
        message = f"The log {batch.folder.log} cannot be written: {error}. Mend that and run again."
        raise StorageFailed(message) from error


def _write_report(folder: BatchFolder, switch: StopSwitch) -> None:
    """The page, unless there is one that is as new as the index; a run does not spend minutes on thumbnails."""
    from batchgen.app.reporting import report

    page, found = folder.report, folder.index
    if not page.is_file() or page.stat().st_mtime_ns < found.stat().st_mtime_ns:
        report(folder.root, thumbnails=_THUMBNAILS, begun=lambda _: lambda _: switch.go_on())
