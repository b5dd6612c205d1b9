"""The loop that carries each request through its life, driven by the state that the journal gives back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from batchgen.errors import StorageFailed
from batchgen.lifecycle import (
    ENDED,
    MAY_STILL_EXIST,
    AnswerLost,
    GaveUp,
    ImagesStored,
    Record,
    Reopened,
    ResultLost,
    State,
)
from batchgen.model import Completion, Failure, FailureKind, InDoubt, JobId, MissingImage, Request, StoredImage
from batchgen.policy import FRESH_LINKS, GIVE_UP_AFTER, SETTLING, Brakes, InFlightLimit, backoff
from batchgen.ports import Claim, Failed, Feed, Notices, Unusable
from batchgen.runner.collecting import Collector, EarlyLinks, Lost
from batchgen.runner.limits import Ports, RunLimits
from batchgen.runner.polls import Polls
from batchgen.runner.recording import Recorder
from batchgen.runner.slots import Places, Slots
from batchgen.runner.stopping import Stop
from batchgen.runner.submitting import Submitter
from batchgen.runner.watching import Awaited, Overdue

#: Seconds that an earlier run's job is asked about, however old it is.
_ASK_AT_LEAST = 60.0


class Runner:
    """One pass over a batch.

    A runner is used once. Whatever ends it, the journal knows all that was paid for, and a later run goes on.
    """

    def __init__(self, ports: Ports, limits: RunLimits, *, chance: random.Random | None = None) -> None:
        self._ports = ports
        self._limits = limits
        self._chance = chance or random.Random()
        self._stop = Stop(ports.observer, grace=limits.grace, leave=self._leave)
        self._recorder = Recorder(ports, self._stop)
        self._slots = Slots(InFlightLimit(limits.concurrency))
        self._brakes = Brakes(max_images=limits.max_images, allowance=limits.allowance, max_wait=limits.max_wait)
        self._submitter = Submitter(
            ports,
            limits,
            recorder=self._recorder,
            slots=self._slots,
            brakes=self._brakes,
            stop=self._stop,
            chance=self._chance,
        )
        self._polls = Polls(ports.api, ports.clock, rate=limits.status_rate, chance=self._chance)
        self._collector = Collector(ports, limits, chance=self._chance)
        # Finished jobs that wait for their download push back on submitting once this many requests are alive.
        self._alive = Places(lambda: limits.concurrency + 2 * self._collector.at_once)
        self._carried: set[asyncio.Task[None]] = set()

    @property
    def stop_reason(self) -> str | None:
        """Why not everything was submitted; None if everything was."""
        return self._stop.reason

    @property
    def error(self) -> Exception | None:
        """What has to be mended first: account, disk, or a bug of ours."""
        return self._stop.error

    async def run(self, feed: Feed, *, following: Callable[[], Awaitable[Feed | None]] | None = None) -> None:
        """Carry every request of the feed as far as it goes; what stood in the way is in the attributes then.

        Args:
            following: asked for another feed once one is carried and nothing stood in the way; None: there is no more.
        """
        beside = [asyncio.ensure_future(self._polls.run())]
        if self._ports.notices is not None:
            beside.append(asyncio.ensure_future(self._listen(self._ports.notices)))
        for one in beside:
            one.add_done_callback(self._ended_beside)
        upcoming: Feed | None = feed
        try:
            while upcoming is not None:
                await self._carry_all(upcoming)
                upcoming = await self._next(following)
        finally:
            left = [*beside, *self._carried]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def stop(self, reason: str | None) -> None:
        """Submit nothing more, and wait for jobs in flight until the grace time is over, for answers a little longer.

        Without a reason nothing happens, and calls after the first do nothing.
        """
        self._stop.pull(reason)

    def abandon(self) -> None:
        """Leave the jobs in flight where they are, at once; a later run asks about them.

        Submissions whose answer is outstanding are in doubt then.
        """
        self._leave(frozenset())

    def _leave(self, but: frozenset[asyncio.Future[Any]]) -> None:
        for task in self._carried - but:
            task.cancel()

    async def _carry_all(self, feed: Feed) -> None:
        admission = asyncio.ensure_future(self._admit(feed))
        self._stop.lets_go(admission)
        try:
            await asyncio.wait((admission,))
            while self._carried:
                await asyncio.wait(self._carried)
        finally:
            admission.cancel()
            await asyncio.gather(admission, return_exceptions=True)

    async def _next(self, following: Callable[[], Awaitable[Feed | None]] | None) -> Feed | None:
        if following is None or self._stop.pulled:
            return None
        try:
            feed = await following()
        except Exception as error:  # noqa: BLE001  # a disk that is full, most likely; what is paid for is safe
            self._stop.halt(error)
            return None
        return None if self._stop.pulled else feed

    async def _listen(self, notices: Notices) -> None:
        while True:
            self._polls.wake(await notices.next())

    def _ended_beside(self, beside: asyncio.Future[None]) -> None:
        if not beside.cancelled() and (error := beside.exception()) is not None:
            self._stop.halt(error if isinstance(error, Exception) else RuntimeError(str(error)))

    async def _admit(self, feed: Feed) -> None:
        try:
            while not self._stop.pulled and (claims := await feed.claim(self._limits.concurrency)):
                for claim in claims:
                    await self._alive.take()
                    task = asyncio.ensure_future(self._carry_alive(claim))
                    self._carried.add(task)
                    task.add_done_callback(self._carried.discard)
        except Exception as error:  # noqa: BLE001  # whatever it is, jobs in flight must not die of it
            self._stop.halt(error)

    async def _carry_alive(self, claim: Claim) -> None:
        try:
            await self._carry(claim.request, claim.record)
        except Overdue:
            pass  # told to the observer where it was noticed; the journal says where the request stands
        except Exception as error:  # noqa: BLE001  # whatever it is, other jobs in flight must not die of it
            self._stop.halt(error)
        finally:
            self._alive.leave()

    async def _carry(self, request: Request, record: Record) -> None:
        """Take the request from where it stands to its end, or as far as this run may."""
        if record.state in ENDED:
            record = await self._reopen(request, record)
        links_lost = record.results_lost
        while record.state not in ENDED:
            match record.state:
                case State.PLANNED:
                    if self._stop.pulled:
                        return
                    record = await self._submit_in_slot(request, record)
                case State.SUBMITTED:
                    record = await self._await_end_in_slot(request, record)
                case State.SUBMITTING:
                    # Only a run that was killed leaves this behind: its POST may have arrived.
                    lost = Failure(kind=FailureKind.ANSWER_LOST, message="The run ended before the API's answer came.")
                    record = await self._recorder.record(request, record, AnswerLost(failure=lost))
                case State.IN_DOUBT:
                    record = await self._settle_doubt(request, record)
                    if record.state is State.IN_DOUBT:
                        return
                case State.READY:
                    record = await self._collect(request, record, fresh_links=record.results_lost - links_lost)
                case _:
                    raise AssertionError(record.state)

    async def _reopen(self, request: Request, record: Record) -> Record:
        """Try again what had failed, in whole or in part: for nothing, where the API may still have it."""
        kind = record.failure.kind if record.failure is not None else None
        if record.may_be_had or (record.job_id is not None and await self._may_exist(record.job_id, kind)):
            return await self._recorder.record(request, record, Reopened(ask=True))
        return await self._submit_anew(request, record)

    async def _may_exist(self, job_id: JobId, kind: FailureKind | None) -> bool:
        """Whether the API may have a job that failed so; one that a broken answer named, only if it says so."""
        return kind in MAY_STILL_EXIST or (kind is FailureKind.ANSWER_LOST and await self._polls.knows(job_id))

    async def _settle_doubt(self, request: Request, record: Record) -> Record:
        if record.job_id is not None and await self._polls.knows(record.job_id):
            return await self._submitter.found(request, record, record.job_id)
        match self._limits.in_doubt:
            case InDoubt.HOLD:
                return record
            case InDoubt.FAIL:
                failure = record.failure or Failure(kind=FailureKind.ANSWER_LOST, message="No answer came.")
                return await self._recorder.record(request, record, GaveUp(failure=failure))
            case InDoubt.RETRY:
                # Once a run: an answer that is lost again is again in doubt, and paid for again perhaps.
                return record if self._stop.pulled else await self._submit_anew(request, record)

    async def _submit_anew(self, request: Request, record: Record) -> Record:
        """Submit what may have been paid for. Refused for now, it is in doubt as it was before, and waits for room."""
        doubted = record.doubted
        record = await self._submit_in_slot(request, record)
        while record.state is State.IN_DOUBT and record.doubted == doubted and not self._stop.pulled:
            record = await self._submit_in_slot(request, record)
        return record

    async def _submit_in_slot(self, request: Request, record: Record) -> Record:
        """From the submission to the end of the job: as long as it counts as in flight at the API."""
        with self._stop.lets_this_go():
            if record.job_failures and record.state is State.PLANNED:
                await self._ports.clock.sleep(backoff(record.job_failures, draw=self._chance.random()))
            await self._slots.take()
        try:
            with self._slots.submitting():
                with self._stop.lets_this_go():
                    await self._submitter.ready(request)
                if self._stop.pulled:
                    return record
                began = self._ports.clock.monotonic()
                with self._stop.lets_this_be_answered():
                    record = await self._submitter.submit(request, record)
            if record.state is State.SUBMITTED:
                record = await self._await_end(request, record, began=began)
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

    async def _await_end(self, request: Request, record: Record, *, began: float | None = None) -> Record:
        """
        Args:
            began: when its submission began, in monotonic seconds, if it was submitted just now.
        """
        detached = self._limits.completion is Completion.DETACH
        if began is not None and detached:
            self._ports.observer.left_for_later(request, record)
            raise Overdue

        async def keep(told: Unusable) -> None:
            nonlocal record
            record = await self._recorder.record_unusable(request, record, told)

        try:
            end = await self._polls.ended(self._awaited(request, record, began, keep=keep))
        except Overdue:
            tell = self._ports.observer.left_for_later if detached else self._ports.observer.overdue
            tell(request, record)
            raise
        if isinstance(end, Failed):
            if end.crowded:
                self._slots.refused()
            elif end.failure.kind is FailureKind.JOB_FAILED:
                self._stop.pull(self._brakes.failed(end.failure.message))
        return await self._recorder.record_end(request, record, end)

    def _awaited(
        self, request: Request, record: Record, began: float | None, *, keep: Callable[[Unusable], Awaitable[None]]
    ) -> Awaited:
        assert record.job_id is not None
        fresh = began is not None
        # Only of a job of an earlier run is nothing known but what the wall clock says, which somebody may set.
        age = self._ports.clock.now() - (record.submitted_at or 0.0)
        age = max(0.0, age if began is None else self._ports.clock.monotonic() - began)
        told = fresh and self._ports.notices is not None and self._ports.notices.expected(request)
        # A link for each image, or none is tried; and none again that has proved useless.
        wants_links = self._limits.completion is Completion.EARLY_URLS
        tries_links = wants_links and not record.results_lost and len(record.early_urls) >= request.samples
        # What is there before the end proves nothing about it.
        look = None if wants_links or record.early_urls else partial(self._collector.look, request)
        return Awaited(
            job_id=record.job_id,
            age=age,
            # A job of an earlier run may be past its deadline already; it is asked about all the same.
            deadline=max(self._limits.job_deadline - age, min(_ASK_AT_LEAST, self._limits.job_deadline)),
            fresh=fresh,
            once=self._limits.completion is Completion.DETACH,
            samples=request.samples,
            notice=request.key if told else None,
            early=EarlyLinks(self._collector, request, record.early_urls) if tries_links else None,
            look=look,
            keep=keep,
        )

    async def _collect(self, request: Request, record: Record, *, fresh_links: int) -> Record:
        """Fetch the images of a finished job; what cannot be had now may be had later, for it is paid for.

        Args:
            fresh_links: how often this run has asked the job for fresh links.
        """
        if isinstance(self._stop.error, StorageFailed):
            raise Overdue  # no room for images; the next run fetches them
        age = self._ports.clock.now() - (record.completed_at or 0.0)
        settled = age >= SETTLING or fresh_links >= FRESH_LINKS
        failed = record.failed is not None
        images, lost = await self._collector.collect(
            request, record.urls, record.images, settled=settled, failed=failed
        )
        stored = ImagesStored(images=tuple(images), missing=_missing(request, record, images, lost))
        if not lost:
            self._brakes.stored()
            return await self._recorder.record(request, record, stored)
        failure = lost[0].missing.failure
        self._ports.observer.trouble(request, failure.message)
        record = await self._recorder.record_kept(request, record, images)
        if record.job_id is not None and fresh_links < (int(age >= SETTLING) if failed else FRESH_LINKS):
            record = await self._recorder.record(request, record, ResultLost(failure=failure))
            if fresh_links:  # links that were fresh are no better: the host needs time
                await self._ports.clock.sleep(backoff(fresh_links, draw=self._chance.random(), base=5.0))
            return record
        age = self._ports.clock.now() - (record.completed_at or 0.0)
        if age < GIVE_UP_AFTER and any(one.passing for one in lost):
            self._ports.observer.overdue(request, record)
            self._stop.pull(self._brakes.missed(failure.message))
            raise Overdue
        if images:
            return await self._recorder.record(request, record, stored)
        if record.failed is not None:
            return await self._recorder.record_failed(request, record, record.failed, why=failure.message)
        self._stop.pull(self._brakes.missed(failure.message))  # no more are worth paying for that go the same way
        if record.reopened:
            return await self._recorder.record(request, record, ResultLost(failure=failure, again=True))
        return await self._recorder.record(request, record, GaveUp(failure=failure))


def _missing(
    request: Request, record: Record, images: Sequence[StoredImage], lost: Sequence[Lost]
) -> tuple[MissingImage, ...]:
    """The samples without an image, each with its reason."""
    safe, gone = {image.sample for image in images}, {one.missing.sample: one.missing for one in lost}
    made = max(record.made, len(safe) + len(gone))
    left = (sample for sample in range(request.samples) if sample not in safe)
    if record.failed is not None:
        links = {sample: one.source_url for sample, one in gone.items()}
        message = f"The job made {len(safe)} of {request.samples} images, and failed: {record.failed.failure.message}"
        told = replace(record.failed.failure, kind=FailureKind.MISSING, message=message)
        return tuple(MissingImage(sample=sample, failure=told, source_url=links.get(sample)) for sample in left)
    return tuple(gone.get(sample) or _unlinked(sample, made, request.samples) for sample in left)


def _unlinked(sample: int, made: int, wanted: int) -> MissingImage:
    """Why no link is for a sample: its job never made it, or no longer names it."""
    if sample < made:
        message = "The job had made it, and its last answer no longer names a link to it."
        return MissingImage(sample=sample, failure=Failure(kind=FailureKind.RESULT_LOST, message=message))
    message = f"The job made {made} of {wanted} images."
    return MissingImage(sample=sample, failure=Failure(kind=FailureKind.MISSING, message=message))
