"""The loop that carries each request through its life, driven by the state that the journal gives back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator

from batchgen.errors import AccountBlocked, AnswerInDoubt, APIError, RequestRefused, StorageFailed, TryLater
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
    Resubmitted,
    ResultLost,
    State,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
)
from batchgen.model import Failure, FailureKind, InDoubt, MissingImage, Request
from batchgen.policy import FRESH_LINKS, GIVE_UP_AFTER, JOB_FAILURES, Brakes, InFlightLimit, backoff
from batchgen.ports import (
    Accepted,
    Claim,
    Completed,
    Failed,
    Feed,
    Submission,
)
from batchgen.runner.collecting import Collector
from batchgen.runner.limits import Ports, RunLimits
from batchgen.runner.pace import Pace
from batchgen.runner.polls import Overdue, Polls
from batchgen.runner.slots import Slots

#: Failures after which the API may still have what was paid for.
_MAY_STILL_EXIST = (FailureKind.JOB_LOST, FailureKind.RESULT_LOST)


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
        self._collector = Collector(ports, limits, chance=self._chance)
        # Finished jobs that wait for their download push back on submitting once this many requests are alive.
        self._alive = asyncio.Semaphore(limits.concurrency + 2 * limits.downloads)
        self._carried: set[asyncio.Task[None]] = set()
        self._unsubmitted: set[asyncio.Task[None]] = set()  #: tasks, the admission among them, that a stop lets go
        self._stopping = False
        self._decided = asyncio.Event()  #: set when the answer to a submission is there, or lost
        self._brakes = Brakes(max_images=limits.max_images, max_wait=limits.max_wait)
        self.stop_reason: str | None = None  #: why not everything was submitted; None if everything was
        self.error: Exception | None = None  #: what has to be mended first: account, disk, or a bug of ours

    async def run(self, feed: Feed) -> None:
        """Carry every request of the feed as far as it goes; what stood in the way is in the attributes then."""
        polls = asyncio.ensure_future(self._polls.run())
        polls.add_done_callback(self._polls_ended)
        admission = asyncio.ensure_future(self._admit(feed))
        self._unsubmitted.add(admission)
        try:
            await asyncio.wait((admission,))
            while self._carried:
                await asyncio.wait(self._carried)
        finally:
            left = [polls, admission, *self._carried]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            self._collector.close()

    def stop(self, reason: str | None) -> None:
        """Submit nothing more, and wait for jobs in flight until the grace time is over.

        Without a reason nothing happens, and calls after the first do nothing.
        """
        if reason is None or self._stopping:
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

    def _halt(self, error: Exception) -> None:
        """Something has to be mended; what is in flight still ends in its own time, for it is paid for."""
        self.error = self.error or error
        match error:
            case AccountBlocked():
                self.stop("the API refuses the account")
            case StorageFailed():
                self.stop("the disk or the journal gave way")
            case _:
                self.stop(f"a bug in batchgen ({type(error).__name__})")

    def _polls_ended(self, polls: asyncio.Future[None]) -> None:
        if not polls.cancelled() and (error := polls.exception()) is not None:
            self._halt(error if isinstance(error, Exception) else RuntimeError(str(error)))

    async def _admit(self, feed: Feed) -> None:
        try:
            while not self._stopping and (claims := await feed.claim(self._limits.concurrency)):
                for claim in claims:
                    await self._alive.acquire()
                    task = asyncio.ensure_future(self._carry_alive(claim))
                    self._carried.add(task)
                    task.add_done_callback(self._carried.discard)
        except Exception as error:  # noqa: BLE001  # whatever it is, jobs in flight must not die of it
            self._halt(error)

    async def _carry_alive(self, claim: Claim) -> None:
        try:
            await self._carry(claim.request, claim.record)
        except Overdue:
            pass  # told to the observer where it was noticed; the journal says where the request stands
        except Exception as error:  # noqa: BLE001  # whatever it is, other jobs in flight must not die of it
            self._halt(error)
        finally:
            self._alive.release()

    async def _carry(self, request: Request, record: Record) -> None:
        """Take the request from where it stands to its end, or as far as this run may."""
        if record.state is State.FAILED:
            record = await self._reopen(request, record)
        links_lost = record.results_lost
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
                    record = await self._settle_doubt(request, record)
                    if record.state is State.IN_DOUBT:
                        return
                case State.READY:
                    record = await self._collect(request, record, fresh_links=record.results_lost - links_lost)
                case _:
                    raise AssertionError(record.state)

    async def _reopen(self, request: Request, record: Record) -> Record:
        """Try again what had failed: for nothing, where the API may still have it."""
        lost = record.failure is not None and record.failure.kind in _MAY_STILL_EXIST
        if lost and record.job_id is not None:
            return await self._record(request, record, Reopened(ask=True))
        return await self._submit_in_slot(request, record)

    async def _settle_doubt(self, request: Request, record: Record) -> Record:
        match self._limits.in_doubt:
            case InDoubt.HOLD:
                return record
            case InDoubt.FAIL:
                failure = record.failure or Failure(kind=FailureKind.ANSWER_LOST, message="No answer came.")
                return await self._record(request, record, GaveUp(failure=failure))
            case InDoubt.RETRY:
                # Once a run: an answer that is lost again is again in doubt, and paid for again perhaps.
                return record if self._stopping else await self._submit_in_slot(request, record)

    async def _submit_in_slot(self, request: Request, record: Record) -> Record:
        """From the submission to the end of the job: as long as it counts as in flight at the API."""
        with self._let_go_by_a_stop():
            if record.job_failures and record.state is State.PLANNED:
                await self._ports.clock.sleep(backoff(record.job_failures, draw=self._chance.random()))
            await self._slots.take()
        try:
            with self._let_go_by_a_stop():
                await self._pace.ready()
                await self._leave_to_ask(request)
            if self._stopping:
                return record
            record = await self._submit(request, record)
            if record.state is State.SUBMITTED:
                record = await self._await_end(request, record)
            return record
        finally:
            self._slots.leave()

    async def _leave_to_ask(self, request: Request) -> None:
        """Count the request's images against what may be asked for; stop where that is too much."""
        while (reason := self._brakes.ask_for(request.samples)) is not None:
            if not self._brakes.undecided:
                self.stop(reason)
                return
            self._decided.clear()
            await self._decided.wait()

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
        if record.state is State.IN_DOUBT:
            record = await self._record(request, record, Resubmitted())
        elif record.state is State.FAILED:
            record = await self._record(request, record, Reopened())
        record = await self._record(request, record, SubmitStarted())
        refused = False
        try:
            answer = await self._ports.api.submit(request)
        except AnswerInDoubt as lost:
            record = await self._record(request, record, AnswerLost(failure=_failure(FailureKind.ANSWER_LOST, lost)))
            self._pace.refused()
            self.stop(self._brakes.doubted(lost.message))
            return record
        except (TryLater, RequestRefused, AccountBlocked) as refusal:
            refused = True
            return await self._refused(request, record, refusal)
        finally:
            self._brakes.decided(request.samples, refused=refused)
            self._decided.set()
        return await self._taken(request, record, answer)

    async def _taken(self, request: Request, record: Record, answer: Submission) -> Record:
        self._brakes.taken()
        self._pace.accepted()
        self._slots.accepted()
        if isinstance(answer, Accepted):
            accepted = SubmitAccepted(job_id=answer.job_id, early_urls=answer.early_urls)
            return await self._record_paid(request, record, accepted)
        return await self._ended(request, record, answer)

    async def _refused(
        self, request: Request, record: Record, refusal: TryLater | RequestRefused | AccountBlocked
    ) -> Record:
        if isinstance(refusal, AccountBlocked):
            failure = Failure(kind=FailureKind.REFUSED, message=str(refusal))
            await self._record(request, record, SubmitRefused(failure=failure))
            raise refusal
        if isinstance(refusal, TryLater):
            kind = FailureKind.BUSY if refusal.http_status else FailureKind.UNREACHABLE
            record = await self._record(request, record, SubmitRefused(failure=_failure(kind, refusal)))
            self._after_refusal(refusal)
            return record
        policy = refusal.code == "CONTENT_POLICY"
        failure = _failure(FailureKind.CONTENT_POLICY if policy else FailureKind.REFUSED, refusal)
        record = await self._record(request, record, SubmitRefused(failure=failure))
        self.stop(self._brakes.refused(refusal.message))
        return await self._record(request, record, GaveUp(failure=failure))

    def _after_refusal(self, trouble: TryLater) -> None:
        if trouble.capacity:
            self._slots.refused()
        pause = self._pace.refused(trouble.retry_after)
        refused_for = self._pace.refused_for
        wait, words = trouble.retry_after, trouble.message
        self.stop(self._brakes.waited(retry_after=wait, refused_for=refused_for, message=words))
        if pause and not self._stopping:
            self._ports.observer.paused(pause, words)

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
            completed = JobCompleted(urls=end.urls, job_id=end.job_id, response=end.response)
            return await self._record_paid(request, record, completed)
        again = end.blocked is not None or (end.retryable and record.job_failures + 1 < JOB_FAILURES)
        again = again or (record.reopened and end.failure.kind is FailureKind.JOB_LOST)
        if again:
            self._ports.observer.trouble(request, end.failure.message)
        failed = JobFailed(failure=end.failure, again=again, response=end.response)
        record = await self._record(request, record, failed)
        if end.blocked is not None:
            raise end.blocked
        return record

    async def _collect(self, request: Request, record: Record, *, fresh_links: int) -> Record:
        """Fetch the images of a finished job; what cannot be had now may be had later, for it is paid for.

        Args:
            fresh_links: how often this run has asked the job for fresh links.
        """
        if isinstance(self.error, StorageFailed):
            raise Overdue  # no room for images; the next run fetches them
        images, lost = await self._collector.collect(request, record.urls)
        if not lost:
            self._brakes.stored()
            made = len(images)
            unmade = tuple(_unmade(sample, made, request.samples) for sample in range(made, request.samples))
            return await self._record(request, record, ImagesStored(images=tuple(images), missing=unmade))
        failure = lost[0].missing.failure
        self._ports.observer.trouble(request, failure.message)
        if record.job_id is not None and fresh_links < FRESH_LINKS:
            return await self._record(request, record, ResultLost(failure=failure))
        age = self._ports.clock.now() - (record.completed_at or 0.0)
        if age < GIVE_UP_AFTER and any(one.passing for one in lost):
            self._ports.observer.overdue(request, record)
            self.stop(self._brakes.missed(failure.message))
            raise Overdue
        if record.reopened:
            return await self._record(request, record, ResultLost(failure=failure, again=True))
        if not images:
            return await self._record(request, record, GaveUp(failure=failure))
        gone = [one.missing for one in lost]
        made = len(images) + len(gone)
        gone += [_unmade(sample, made, request.samples) for sample in range(made, request.samples)]
        return await self._record(request, record, ImagesStored(images=tuple(images), missing=tuple(gone)))

    async def _record(self, request: Request, before: Record, event: Event) -> Record:
        after = await self._ports.journal.record(request.key, event)
        self._ports.observer.changed(request, before, event, after)
        return after

    async def _record_paid(self, request: Request, before: Record, event: Event) -> Record:
        """As `_record`, for what must not be forgotten: if the disk gives way it is tried until the grace is over."""
        while True:
            try:
                return await self._record(request, before, event)
            except StorageFailed as failed:
                self._halt(failed)
                self._ports.observer.trouble(request, f"not yet on disk: {event}")
                await self._ports.clock.sleep(1.0)


def _failure(kind: FailureKind, error: APIError) -> Failure:
    return Failure(
        kind=kind, message=error.message, http_status=error.http_status, code=error.code, response=error.response
    )


def _unmade(sample: int, made: int, wanted: int) -> MissingImage:
    message = f"The job made {made} of {wanted} images."
    return MissingImage(sample=sample, failure=Failure(kind=FailureKind.MISSING, message=message))
