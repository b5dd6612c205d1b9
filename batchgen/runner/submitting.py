"""Sends submissions: when each may leave, and what its answer means for it and for those that follow."""

from __future__ import annotations

import asyncio
import random

from batchgen.errors import AccountBlocked, AnswerInDoubt, APIError, RequestRefused, TryLater
from batchgen.lifecycle import (
    AnswerLost,
    GaveUp,
    Record,
    Reopened,
    Resubmitted,
    State,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
)
from batchgen.model import Failure, FailureKind, JobId, Request
from batchgen.policy import Brakes
from batchgen.ports import Accepted, Failed, Submission
from batchgen.runner.limits import Ports, RunLimits
from batchgen.runner.pace import Pace
from batchgen.runner.recording import Recorder
from batchgen.runner.slots import Slots
from batchgen.runner.stopping import Stop


class Submitter:
    """Sends a run's submissions."""

    def __init__(
        self,
        ports: Ports,
        limits: RunLimits,
        *,
        recorder: Recorder,
        slots: Slots,
        brakes: Brakes,
        stop: Stop,
        chance: random.Random,
    ) -> None:
        self._ports, self._recorder, self._slots, self._brakes, self._stop = ports, recorder, slots, brakes, stop
        self._pace = Pace(ports.clock, rate=limits.rate, chance=chance)
        self._decided = asyncio.Event()  #: set when the answer to a submission is there, or lost

    async def ready(self, request: Request) -> None:
        """Wait until the request may be submitted; the run is stopped where it would ask for too much."""
        await self._pace.ready()
        while (reason := self._brakes.ask_for(request.samples)) is not None:
            if not self._brakes.undecided:
                self._stop.pull(reason)
                return
            self._decided.clear()
            await self._decided.wait()

    async def submit(self, request: Request, record: Record) -> Record:
        """Send the POST, once; the record after its answer.

        Raises:
            AccountBlocked: nothing more will be accepted.
            StorageFailed: the intent is not on disk, and nothing was sent.
        """
        if record.state is State.IN_DOUBT:
            record = await self._recorder.record(request, record, Resubmitted())
        elif record.state is State.FAILED:
            record = await self._recorder.record(request, record, Reopened())
        record = await self._recorder.record(request, record, SubmitStarted(samples=request.samples))
        refused = False
        try:
            answer = await self._ports.api.submit(self._ports.as_sent(request))
        except AnswerInDoubt as lost:
            return await self._doubted(request, record, lost)
        except (TryLater, RequestRefused, AccountBlocked) as refusal:
            refused = True
            return await self._refused(request, record, refusal)
        finally:
            self._brakes.decided(request.samples, refused=refused)
            self._decided.set()
        return await self._taken(request, record, answer)

    async def found(self, request: Request, record: Record, job_id: JobId) -> Record:
        """The API knows the job that the broken answer to a submission named: it was accepted."""
        self._brakes.taken()
        return await self._recorder.record_paid(request, record, SubmitAccepted(job_id=job_id))

    async def _taken(self, request: Request, record: Record, answer: Submission) -> Record:
        self._brakes.taken()
        self._pace.accepted()
        if isinstance(answer, Failed) and answer.crowded:
            self._slots.refused()
        else:
            self._slots.accepted()
        if isinstance(answer, Accepted):
            accepted = SubmitAccepted(job_id=answer.job_id, early_urls=answer.early_urls)
            return await self._recorder.record_paid(request, record, accepted)
        return await self._recorder.record_end(request, record, answer)

    async def _doubted(self, request: Request, record: Record, lost: AnswerInDoubt) -> Record:
        failure = _failure(FailureKind.ANSWER_LOST, lost)
        named = None if lost.job_id is None else JobId(lost.job_id)
        record = await self._recorder.record(request, record, AnswerLost(failure=failure, job_id=named))
        self._pace.refused()
        self._stop.pull(self._brakes.doubted(lost.message))
        return record

    async def _refused(
        self, request: Request, record: Record, refusal: TryLater | RequestRefused | AccountBlocked
    ) -> Record:
        if isinstance(refusal, AccountBlocked):
            failure = Failure(kind=FailureKind.REFUSED, message=str(refusal))
            await self._recorder.record(request, record, SubmitRefused(failure=failure))
            raise refusal
        if isinstance(refusal, TryLater):
            kind = FailureKind.BUSY if refusal.http_status else FailureKind.UNREACHABLE
            record = await self._recorder.record(request, record, SubmitRefused(failure=_failure(kind, refusal)))
            self._after_refusal(refusal)
            return record
        policy = refusal.code == "CONTENT_POLICY"
        failure = _failure(FailureKind.CONTENT_POLICY if policy else FailureKind.REFUSED, refusal)
        record = await self._recorder.record(request, record, SubmitRefused(failure=failure))
        self._stop.pull(self._brakes.refused(refusal.message))
        return await self._recorder.record(request, record, GaveUp(failure=failure))

    def _after_refusal(self, trouble: TryLater) -> None:
        if trouble.crowded:
            self._slots.refused()
        pause = self._pace.refused(trouble.retry_after)
        refused_for = self._pace.refused_for
        wait, words = trouble.retry_after, trouble.message
        self._stop.pull(self._brakes.waited(retry_after=wait, refused_for=refused_for, message=words))
        if pause and not self._stop.pulled:
            self._ports.observer.paused(pause, words)


def _failure(kind: FailureKind, error: APIError) -> Failure:
    return Failure(
        kind=kind, message=error.message, http_status=error.http_status, code=error.code, response=error.response
    )
