"""One scheduler for all status calls of a run: each job is asked about when its answer is likely."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from dataclasses import dataclass, field

from batchgen.errors import RequestRefused, TryLater
from batchgen.model import Failure, FailureKind, JobId
from batchgen.policy import (
    GIVE_UP_AFTER,
    UNKNOWN_JOB_ANSWERS,
    UNKNOWN_JOB_SECONDS,
    LatencyProfile,
    backoff,
    next_poll,
)
from batchgen.ports import Clock, Completed, Failed, ImageAPI, Working

#: Seconds; a job that is younger was submitted by this run.
_FRESH = 5.0


class Overdue(Exception):
    """A job has not ended within its deadline."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Watch:
    """One job that is waited for."""

    job_id: JobId
    submitted: float  #: monotonic seconds
    began: float  #: monotonic seconds; later than `submitted` for a job of an earlier run
    deadline: float  #: monotonic seconds
    ended: asyncio.Future[Completed | Failed]
    unknown: int = 0  #: answers in a row that did not know the job
    unknown_since: float = 0.0  #: monotonic; of the first of them
    troubles: int = 0  #: calls in a row without a usable answer


@dataclass(slots=True, order=True)
class _Due:
    at: float
    number: int
    watch: _Watch = field(compare=False)


class Polls:
    """Asks the API about jobs until they end.

    Args:
        at_once: status calls that may be under way together.
        chance: where jitter comes from.
    """

    def __init__(self, api: ImageAPI, clock: Clock, *, at_once: int = 32, chance: random.Random) -> None:
        self._api = api
        self._clock = clock
        self._chance = chance
        self._lane = asyncio.Semaphore(at_once)
        self._due: list[_Due] = []
        self._numbers = itertools.count()
        self._woken = asyncio.Event()
        self._not_before = 0.0  #: monotonic; set when the API asks for fewer calls
        self._last_known = -1.0  #: monotonic; when the API last knew a job
        self.learned = LatencyProfile()

    async def ended(self, job_id: JobId, *, age: float, deadline: float) -> Completed | Failed:
        """Wait for the end of a job.

        Args:
            age: seconds since it was submitted.
            deadline: seconds from now until it is no longer waited for.

        Raises:
            Overdue: it has not ended by then.
            AccountBlocked: the API no longer takes the key.
        """
        now = self._clock.monotonic()
        end: asyncio.Future[Completed | Failed] = asyncio.get_running_loop().create_future()
        watch = _Watch(job_id=job_id, submitted=now - age, began=now, deadline=now + deadline, ended=end)
        # A job of an earlier run has most likely ended while nobody asked.
        self._plan(watch, self._wait(watch) if age < _FRESH else 0.0)
        return await end

    async def run(self) -> None:
        """Make the calls; goes on until cancelled."""
        async with asyncio.TaskGroup() as calls:
            while True:
                watch = await self._next_due()
                if watch.ended.done():  # nobody waits any more
                    continue
                await self._lane.acquire()
                calls.create_task(self._call(watch))

    async def _next_due(self) -> _Watch:
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            if not self._due:
                await self._woken.wait()
                continue
            first = self._due[0]
            # A pause that the API asked for ends, for a job, at the latest with its deadline.
            wait = max(first.at, min(self._not_before, first.watch.deadline)) - self._clock.monotonic()
            if wait <= 0:
                return heapq.heappop(self._due).watch
            timer = loop.call_later(wait, self._woken.set)
            try:
                await self._woken.wait()
            finally:
                timer.cancel()

    def _plan(self, watch: _Watch, wait: float) -> None:
        now = self._clock.monotonic()
        # The last question is asked at the deadline itself, so that a job is not given up unasked.
        at = max(now, min(now + wait, watch.deadline))
        heapq.heappush(self._due, _Due(at, next(self._numbers), watch))
        if self._due[0].watch is watch:
            self._woken.set()

    async def _call(self, watch: _Watch) -> None:
        try:
            await self._ask(watch)
        except Exception as error:  # noqa: BLE001  # whoever waits for the job is told; the other jobs go on
            _settle(watch, error)
        finally:
            self._lane.release()

    async def _ask(self, watch: _Watch) -> None:
        try:
            status = await self._api.status(watch.job_id)
        except TryLater as trouble:
            self._after_trouble(watch, trouble)
            return
        except RequestRefused as refused:
            self._after_unknown(watch, refused)
            return
        watch.troubles = watch.unknown = 0
        self._last_known = now = self._clock.monotonic()
        if isinstance(status, Working):
            self._again(watch, self._wait(watch))
            return
        if isinstance(status, Completed) and now - watch.began >= now - watch.submitted - _FRESH:
            self.learned.add(now - watch.submitted)  # how long an older job took was not seen
        _settle(watch, status)

    def _wait(self, watch: _Watch) -> float:
        now = self._clock.monotonic()
        return next_poll(now - watch.submitted, self.learned, watched=now - watch.began, draw=self._chance.random())

    def _after_trouble(self, watch: _Watch, trouble: TryLater) -> None:
        """A failed status call says nothing about the job; at most, that fewer calls are wanted."""
        watch.troubles += 1
        if trouble.retry_after is not None:
            self._not_before = max(self._not_before, self._clock.monotonic() + trouble.retry_after)
        self._again(watch, backoff(watch.troubles, draw=self._chance.random(), base=0.5, cap=30.0))

    def _after_unknown(self, watch: _Watch, refused: RequestRefused) -> None:
        now = self._clock.monotonic()
        if not watch.unknown:
            watch.unknown_since = now
        watch.unknown += 1
        if self._is_lost(watch, now):
            message = f"The API cannot give the result of job {watch.job_id}: {refused.message}"
            failure = Failure(kind=FailureKind.JOB_LOST, message=message, http_status=refused.http_status)
            _settle(watch, Failed(failure=failure, retryable=False))
        else:
            self._again(watch, backoff(watch.unknown, draw=self._chance.random()))

    def _is_lost(self, watch: _Watch, now: float) -> bool:
        """Whether it is the job that is unknown, for good, and not the API that is out of order."""
        long = watch.unknown >= UNKNOWN_JOB_ANSWERS and now - watch.unknown_since >= UNKNOWN_JOB_SECONDS
        knows_others = self._last_known >= watch.unknown_since
        return (long and knows_others) or now - watch.submitted >= GIVE_UP_AFTER

    def _again(self, watch: _Watch, wait: float) -> None:
        if self._clock.monotonic() >= watch.deadline:
            _settle(watch, Overdue())
        else:
            self._plan(watch, wait)


def _settle(watch: _Watch, end: Completed | Failed | Exception) -> None:
    if watch.ended.done():
        return
    if isinstance(end, Exception):
        watch.ended.set_exception(end)
    else:
        watch.ended.set_result(end)
