"""The loop that carries each request through its life, driven by the state that the journal gives back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from batchgen.errors import (
    AccountBlocked,
    AnswerInDoubt,
    APIError,
    RequestRefused,
    ResultUnavailable,
    StorageFailed,
    TryLater,
)
from batchgen.lifecycle import (
    ENDED,
    AnswerLost,
    Event,
    GaveUp,
    ImagesStored,
    JobCompleted,
    JobFailed,
    Record,
    Reopened,
    ResultLost,
    State,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
)
from batchgen.model import Failure, FailureKind, InDoubt, MissingImage, Request, StoredImage
from batchgen.policy import FRESH_LINKS, JOB_FAILURES, LINK_TRIES, InFlightLimit, backoff, settle_doubt
from batchgen.ports import (
    Accepted,
    Claim,
    Clock,
    Completed,
    Failed,
    Feed,
    ImageAPI,
    ImageCheck,
    ImageStore,
    Journal,
    Observer,
)
from batchgen.runner.pace import Pace
from batchgen.runner.polls import Overdue, Polls
from batchgen.runner.slots import Slots


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What a run may do at once, and how long it waits."""

    concurrency: int  #: jobs in flight
    rate: float | None = None  #: submissions a second
    in_doubt: InDoubt = InDoubt.HOLD
    job_deadline: float = 900.0  #: seconds from submission until a job is left for a later run
    max_wait: float = 900.0  #: seconds that the API may refuse everything before the run stops
    grace: float = 30.0  #: seconds that jobs in flight are waited for once the run is stopping
    downloads: int = 16  #: images downloaded at once
    decoders: int = 2  #: images decoded at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world as the runner sees it."""

    api: ImageAPI
    journal: Journal
    store: ImageStore
    check: ImageCheck
    clock: Clock
    observer: Observer


class Runner:
    """One pass over a batch.

    A runner is used once. Whatever ends it, the journal knows all that was paid for, and a later run goes on.
    """

    def __init__(self, ports: Ports, limits: RunLimits, *, chance: random.Random | None = None) -> None:
        self._ports = ports
        self._limits = limits
        self._chance = chance or random.Random()
        self._slots = Slots(InFlightLimit(limits.concurrency))
        self._pace = Pace(ports.clock, rate=limits.rate, chance=self._chance)
        self._polls = Polls(ports.api, ports.clock, chance=self._chance)
        self._downloads = asyncio.Semaphore(limits.downloads)
        # Finished jobs that wait for their download push back on submitting once this many requests are alive.
        self._alive = asyncio.Semaphore(limits.concurrency + 2 * limits.downloads)
        self._decoders = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode")
        self._carried: set[asyncio.Task[None]] = set()
        self._unsubmitted: set[asyncio.Task[None]] = set()  #: tasks, the admission among them, that a stop lets go
        self._stopping = False
        self.stop_reason: str | None = None  #: why not everything was submitted; None if everything was
        self.blocked: AccountBlocked | None = None  #: what the API said when it refused the account
        self.failed: StorageFailed | None = None  #: what the disk said when it gave way

    async def run(self, feed: Feed) -> None:
        """Carry every request of the feed as far as it goes; what stood in the way is in the attributes then."""
        try:
            async with asyncio.TaskGroup() as group:
                polls = group.create_task(self._polls.run())
                admission = group.create_task(self._admit(feed, group))
                self._unsubmitted.add(admission)
                await asyncio.wait((admission,))
                while self._carried:
                    await asyncio.wait(self._carried)
                polls.cancel()
        except ExceptionGroup as several:
            raise _first(several) from None
        finally:
            self._decoders.shutdown(cancel_futures=True)

    def stop(self, reason: str) -> None:
        """Submit nothing more, and wait for jobs in flight until the grace time is over.

        Calls after the first do nothing.
        """
        if self._stopping:
            return
        self._stopping = True
        self.stop_reason = reason
        self._ports.observer.stopping(reason)
        for task in self._unsubmitted:
            task.cancel()
        asyncio.get_running_loop().call_later(self._limits.grace, self.abandon)

    def abandon(self) -> None:
        """Leave the jobs in flight where they are; a later run asks about them."""
        for task in self._carried:
            task.cancel()

    async def _admit(self, feed: Feed, group: asyncio.TaskGroup) -> None:
        while claims := await feed.claim(self._limits.concurrency):
            for claim in claims:
                await self._alive.acquire()
                task = group.create_task(self._carry_alive(claim))
                self._carried.add(task)
                task.add_done_callback(self._carried.discard)

    async def _carry_alive(self, claim: Claim) -> None:
        try:
            await self._carry(claim.request, claim.record)
        except AccountBlocked as blocked:
            self.blocked = self.blocked or blocked
            self.stop("the API refuses the account")
        except StorageFailed as failed:
            # Jobs in flight are still waited for: their ids may yet find room in the journal.
            self.failed = self.failed or failed
            self.stop("the disk or the journal gave way")
        except Overdue:
            pass  # told to the observer where it was noticed; the journal still says SUBMITTED
        finally:
            self._alive.release()

    async def _carry(self, request: Request, record: Record) -> None:
        """Take the request from where it stands to its end, or as far as this run may."""
        if record.state is State.FAILED:
            record = await self._record(request, record, Reopened())
        while record.state not in ENDED:
            match record.state:
                case State.PLANNED:
                    if self._stopping:
                        return
                    record = await self._submit_in_slot(request, record)
                case State.SUBMITTED:
                    record = await self._await_end_in_slot(request, record)
                case State.SUBMITTING:
                    # Only a run that was killed leaves this behind: its POST may have arrived.
                    lost = Failure(kind=FailureKind.ANSWER_LOST, message="The run ended before the API's answer came.")
                    record = await self._record(request, record, AnswerLost(failure=lost))
                case State.IN_DOUBT:
                    failure = record.failure or Failure(kind=FailureKind.ANSWER_LOST, message="No answer came.")
                    event = settle_doubt(self._limits.in_doubt, failure)
                    if event is None:
                        return
                    record = await self._record(request, record, event)
                case State.READY:
                    record = await self._collect(request, record)
                case _:
                    raise AssertionError(record.state)

    async def _submit_in_slot(self, request: Request, record: Record) -> Record:
        """From the submission to the end of the job: as long as it counts as in flight at the API."""
        with self._let_go_by_a_stop():
            if record.job_failures:
                await self._ports.clock.sleep(backoff(record.job_failures, draw=self._chance.random()))
            await self._slots.take()
        try:
            with self._let_go_by_a_stop():
                await self._pace.ready()
            record = await self._submit(request, record)
            if record.state is State.SUBMITTED:
                record = await self._await_end(request, record)
            return record
        finally:
            self._slots.leave()

    async def _await_end_in_slot(self, request: Request, record: Record) -> Record:
        """For a job that was submitted before: by an earlier run, or for the links of its images."""
        await self._slots.take()
        try:
            return await self._await_end(request, record)
        finally:
            self._slots.leave()

    @contextlib.contextmanager
    def _let_go_by_a_stop(self) -> Iterator[None]:
        """Within, nothing is paid for yet: a stop need not wait."""
        task = asyncio.current_task()
        assert task is not None
        self._unsubmitted.add(task)
        try:
            yield
        finally:
            self._unsubmitted.discard(task)

    async def _submit(self, request: Request, record: Record) -> Record:
        record = await self._record(request, record, SubmitStarted())
        try:
            answer = await self._ports.api.submit(request)
        except TryLater as trouble:
            kind = FailureKind.BUSY if trouble.http_status else FailureKind.UNREACHABLE
            record = await self._record(request, record, SubmitRefused(failure=_failure(kind, trouble)))
            self._after_refusal(trouble)
            return record
        except RequestRefused as refused:
            policy = refused.code == "CONTENT_POLICY"
            failure = _failure(FailureKind.CONTENT_POLICY if policy else FailureKind.REFUSED, refused)
            record = await self._record(request, record, SubmitRefused(failure=failure))
            return await self._record(request, record, GaveUp(failure=failure))
        except AnswerInDoubt as lost:
            return await self._record(request, record, AnswerLost(failure=_failure(FailureKind.ANSWER_LOST, lost)))
        except AccountBlocked as blocked:
            failure = Failure(kind=FailureKind.REFUSED, message=str(blocked))
            await self._record(request, record, SubmitRefused(failure=failure))
            raise
        self._pace.accepted()
        self._slots.accepted()
        if isinstance(answer, Accepted):
            event = SubmitAccepted(job_id=answer.job_id, early_urls=answer.early_urls)
            return await self._record(request, record, event)
        return await self._ended(request, record, answer)

    def _after_refusal(self, trouble: TryLater) -> None:
        if trouble.capacity:
            self._slots.refused()
        pause = self._pace.refused(trouble)
        if pause > self._limits.max_wait:
            self.stop(f"the API asks to wait {pause:.0f} s, longer than --max-wait {self._limits.max_wait:.0f} s")
        elif self._pace.refused_for > self._limits.max_wait:
            self.stop(f"the API has taken nothing for {self._pace.refused_for:.0f} s ({trouble.message})")
        elif pause:
            self._ports.observer.paused(pause, trouble.message)

    async def _await_end(self, request: Request, record: Record) -> Record:
        assert record.job_id is not None
        age = max(0.0, self._ports.clock.now() - (record.submitted_at or 0.0))
        # A job of an earlier run may be past its deadline already; it is asked about all the same.
        deadline = max(self._limits.job_deadline - age, min(60.0, self._limits.job_deadline))
        try:
            end = await self._polls.ended(record.job_id, age=age, deadline=deadline)
        except Overdue:
            self._ports.observer.overdue(request, record)
            raise
        return await self._ended(request, record, end)

    async def _ended(self, request: Request, record: Record, end: Completed | Failed) -> Record:
        if isinstance(end, Completed):
            return await self._record(
                request, record, JobCompleted(urls=end.urls, job_id=end.job_id, response=end.response)
            )
        again = end.blocked is not None or (end.retryable and record.job_failures + 1 < JOB_FAILURES)
        if again:
            self._ports.observer.trouble(request, end.failure.message)
        failed = JobFailed(failure=end.failure, again=again, response=end.response)
        record = await self._record(request, record, failed)
        if end.blocked is not None:
            raise end.blocked
        return record

    async def _collect(self, request: Request, record: Record) -> Record:
        """Download, verify and keep the images of a finished job."""
        urls = record.urls[: request.samples]
        samples = await asyncio.gather(*(self._sample(request, n, url) for n, url in enumerate(urls)))
        images = tuple(sample for sample in samples if isinstance(sample, StoredImage))
        lost = tuple(sample for sample in samples if isinstance(sample, MissingImage))
        if lost and record.job_id is not None and record.results_lost < FRESH_LINKS:
            self._ports.observer.trouble(request, lost[0].failure.message)
            return await self._record(request, record, ResultLost(failure=lost[0].failure))
        if not images:
            return await self._record(request, record, GaveUp(failure=lost[0].failure))
        unmade = tuple(_unmade(sample, len(urls), request.samples) for sample in range(len(urls), request.samples))
        return await self._record(request, record, ImagesStored(images=images, missing=lost + unmade))

    async def _sample(self, request: Request, sample: int, url: str) -> StoredImage | MissingImage:
        loop = asyncio.get_running_loop()
        for failures in range(1, LINK_TRIES + 1):
            try:
                async with self._downloads:
                    content = await self._ports.api.download(url)
                    return await loop.run_in_executor(self._decoders, self._keep, request, sample, url, content)
            except ResultUnavailable as unavailable:
                trouble = unavailable
            if trouble.permanent or failures == LINK_TRIES:
                break
            await self._ports.clock.sleep(backoff(failures, draw=self._chance.random(), base=0.5))
        failure = _failure(FailureKind.RESULT_LOST, trouble)
        return MissingImage(sample=sample, failure=failure, source_url=url)

    def _keep(self, request: Request, sample: int, url: str, content: bytes) -> StoredImage:
        image = self._ports.check.verify(content)
        name = self._ports.store.keep(f"{request.file_stem}-{sample}", image, content)
        return StoredImage(sample=sample, file_name=name, source_url=url, image=image)

    async def _record(self, request: Request, before: Record, event: Event) -> Record:
        after = await self._ports.journal.record(request.key, event)
        self._ports.observer.changed(request, before, event, after)
        return after


def _failure(kind: FailureKind, error: APIError) -> Failure:
    return Failure(kind=kind, message=error.message, http_status=error.http_status, code=error.code)


def _unmade(sample: int, made: int, wanted: int) -> MissingImage:
    message = f"The job made {made} of {wanted} images."
    return MissingImage(sample=sample, failure=Failure(kind=FailureKind.MISSING, message=message))


def _first(several: ExceptionGroup[Exception]) -> Exception:
    inner = several.exceptions[0]
    return _first(inner) if isinstance(inner, ExceptionGroup) else inner
