"""Takes a request from one record to the next: first into the journal, then told to the observer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchgen.errors import StorageFailed
from batchgen.lifecycle import (
    MAY_STILL_EXIST,
    Event,
    ImagesKept,
    ImagesStored,
    JobCompleted,
    JobFailed,
    LinksMissing,
    Record,
)
from batchgen.model import Failure, FailureKind, MissingImage, Request, StoredImage
from batchgen.policy import CROWDED_JOBS, JOB_FAILURES
from batchgen.ports import Completed, Failed, Unusable
from batchgen.runner.limits import Ports
from batchgen.runner.stopping import Stop


class Recorder:
    """The way of every event; a disk that gives way stops the run."""

    def __init__(self, ports: Ports, stop: Stop) -> None:
        self._ports = ports
        self._stop = stop

    async def record(self, request: Request, before: Record, event: Event) -> Record:
        """The record after the event, which is on disk then.

        Raises:
            StorageFailed: it is not.
        """
        after = await self._ports.journal.record(request.key, event)
        self._ports.observer.changed(request, before, event, after)
        return after

    async def record_paid(self, request: Request, before: Record, event: Event) -> Record:
        """As `record`, for what must not be forgotten: if the disk gives way it is tried until the grace is over."""
        while True:
            try:
                return await self.record(request, before, event)
            except StorageFailed as failed:
                self._stop.halt(failed)
                self._ports.observer.trouble(request, f"not yet on disk: {event}")
                await self._ports.clock.sleep(1.0)

    async def record_kept(self, request: Request, record: Record, images: Sequence[StoredImage]) -> Record:
        """Write down what is safe on disk, before anything else may happen to the job."""
        safe = {image.sample: image for image in (*record.images, *images)}
        if len(safe) == len(record.images):
            return record
        return await self.record(request, record, ImagesKept(images=tuple(safe[sample] for sample in sorted(safe))))

    async def record_unusable(self, request: Request, record: Record, told: Unusable) -> Record:
        """Write down what a finished job's answer says in place of links, once."""
        if record.completed_at is not None and record.response == told.response:
            return record
        failure = Failure(kind=FailureKind.RESULT_LOST, message=told.message, http_status=told.http_status)
        return await self.record(request, record, LinksMissing(failure=failure, response=told.response))

    async def record_end(self, request: Request, record: Record, end: Completed | Failed) -> Record:
        """The record after the end of the request's job.

        Raises:
            AccountBlocked: the account is why it failed.
        """
        if isinstance(end, Completed):
            completed = JobCompleted(urls=end.urls, job_id=end.job_id, response=end.response)
            return await self.record_paid(request, record, completed)
        paid = record.completed_at is not None and not record.reopened  # it had finished: its images are lost, at most
        again = end.blocked is not None or (end.retryable and not paid and record.job_failures + 1 < JOB_FAILURES)
        again = again or (end.crowded and not paid and record.job_failures + 1 < CROWDED_JOBS)
        again = again or (record.reopened and end.failure.kind in MAY_STILL_EXIST)
        urls = _worth_trying(end, record)
        if record.images and not urls:
            event: Event = _what_there_is(request, record, end.failure)  # it is not paid for a second time
        else:
            event = JobFailed(failure=end.failure, again=again, response=end.response, urls=urls, job_id=end.job_id)
        if again and not record.images and not urls:
            self._ports.observer.trouble(request, end.failure.message)
        record = await self.record(request, record, event)
        if end.blocked is not None:
            raise end.blocked
        return record

    async def record_failed(self, request: Request, record: Record, told: JobFailed, *, why: str) -> Record:
        """The record after the failure of a job whose links proved useless, too.

        Args:
            why: what they gave.
        """
        failure = replace(told.failure, message=f"{told.failure.message} (They gave no image: {why})")
        if told.again:
            self._ports.observer.trouble(request, failure.message)
        return await self.record(request, record, replace(told, failure=failure))


def _worth_trying(end: Failed, record: Record) -> tuple[str, ...]:
    """Links of a failed job that may lead to images that it made.

    Not those that were there before it had begun, whoever signed them since; and nothing that the API would not draw.
    """
    if end.failure.kind is FailureKind.CONTENT_POLICY:
        return ()
    early = {url.partition("?")[0] for url in record.early_urls}
    return tuple(url for url in end.urls if url.partition("?")[0] not in early)


def _what_there_is(request: Request, record: Record, failure: Failure) -> ImagesStored:
    safe = {image.sample for image in record.images}
    left = (sample for sample in range(request.samples) if sample not in safe)
    missing = tuple(MissingImage(sample=sample, failure=failure) for sample in left)
    return ImagesStored(images=record.images, missing=missing)
