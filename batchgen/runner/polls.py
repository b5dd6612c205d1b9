"""One scheduler for all questions of a run about its jobs: each is asked when its answer is likely."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Coroutine, Iterable

from aiolimiter import AsyncLimiter

from batchgen.durations import Durations
from batchgen.errors import AccountBlocked, RequestRefused, TryLater
from batchgen.model import Failure, FailureKind, JobId, RequestKey
from batchgen.policy import (
    BLOCKED_ANSWERS,
    FEWER_LINKS_ANSWERS,
    GIVE_UP_AFTER,
    TROUBLES_AT_ONCE,
    UNKNOWN_JOB_ANSWERS,
    UNKNOWN_JOB_SECONDS,
    UNUSABLE_ANSWERS,
    UNUSABLE_SECONDS,
    Reliance,
    SecondLooks,
    backoff,
    next_backstop,
    next_poll,
    quiet_after,
)
from batchgen.ports import Clock, Completed, Failed, ImageAPI, JobStatus, Unusable, Working
from batchgen.runner.unknown_words import UnknownWords
from batchgen.runner.watching import Awaited, End, Overdue, Schedule, Watch, settle

#: Notices of jobs that nobody waits for yet: a quick job's may overtake the answer to its submission.
_REMEMBERED = 1_024
#: Seconds that a question about a doubt waits at most because the API asks for that; the next run asks again.
_LONGEST_PAUSE = 60.0


class Polls:
    """Asks about jobs until they end.

    Args:
        at_once: status calls that may be under way together.
        rate: status calls a second; None for no limit.
        chance: where jitter comes from.
    """

    def __init__(
        self, api: ImageAPI, clock: Clock, *, at_once: int = 32, rate: float | None = None, chance: random.Random
    ) -> None:
        self._api = api
        self._clock = clock
        self._chance = chance
        self._lane = asyncio.Semaphore(at_once)
        self._limiter = None if rate is None else AsyncLimiter(1, 1 / rate)
        self._schedule = Schedule(clock)
        self._last_known = -1.0  #: monotonic; when the API last knew a job
        self._told: dict[RequestKey, Watch] = {}  #: those of which a notice may tell
        self._overtaken: OrderedDict[RequestKey, None] = OrderedDict()  #: notices that came before their watch
        self._notices, self._links = Reliance(), Reliance()
        self._few_links = SecondLooks(FEWER_LINKS_ANSWERS)
        self._awaited: dict[Watch, None] = {}  #: in the order of their submission
        self._words = UnknownWords(clock)
        self.learned = Durations(going_on=self._ages_at_work)

    async def ended(self, job: Awaited) -> End:
        """Wait for the end of a job.

        Raises:
            Overdue: it has not ended by its deadline.
            AccountBlocked: the API no longer takes the key.
            StorageFailed: the disk does not take an image behind its early links.
        """
        now = self._clock.monotonic()
        end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        submitted = now - job.age
        # Whose submission took a while has been watched since it began: nothing was missed meanwhile.
        began = submitted if job.fresh else now
        watch = Watch(job=job, submitted=submitted, began=began, deadline=now + job.deadline, ended=end)
        watch.backstop = now + self._backstop(watch)
        self._awaited[watch] = None  # it counts among those that are waited for
        wait = self._wait(watch) if job.fresh else 0.0
        if job.notice is not None:
            self._told[job.notice] = watch
            if job.notice in self._overtaken:
                del self._overtaken[job.notice]
                watch.heard, wait = True, 0.0
        self._schedule.plan(watch, wait)
        watch.by_age = job.fresh
        try:
            return await end
        finally:
            self._awaited.pop(watch, None)
            if job.notice is not None:
                self._told.pop(job.notice, None)

    async def knows(self, job_id: JobId) -> bool:
        """Whether the API knows a job that a broken answer named; asked a few times, for it may be about to."""
        for tries in range(1, TROUBLES_AT_ONCE + 1):
            wait = backoff(tries, draw=self._chance.random())
            await self._call_is_due()
            try:
                await self._api.status(job_id)
            except TryLater as trouble:
                wait = max(wait, min(trouble.retry_after or 0.0, _LONGEST_PAUSE))
            except (RequestRefused, AccountBlocked):
                pass  # not known, or not yet; whoever doubts goes on doubting
            else:
                return True
            finally:
                self._lane.release()
            if tries < TROUBLES_AT_ONCE:
                await self._clock.sleep(wait)
        return False

    def wake(self, key: RequestKey) -> None:
        """A notice says that the job of that request may have ended: ask sooner, but not as often as anybody likes."""
        self._notices.seen()
        watch = self._told.get(key)
        if watch is None:
            self._overtaken[key] = None
            if len(self._overtaken) > _REMEMBERED:
                self._overtaken.popitem(last=False)
            return
        watch.heard = True
        if not watch.asking:
            self._hurry(watch)

    async def run(self) -> None:
        """Ask; goes on until cancelled."""
        async with asyncio.TaskGroup() as calls:
            while True:
                watch = await self._schedule.next_due()
                if watch.ended.done():  # nobody waits any more
                    continue
                watch.asking, watch.by_age = True, False
                if self._tries_links(watch):
                    calls.create_task(self._asked(watch, self._try_links(watch)))
                    continue
                await self._call_is_due()
                calls.create_task(self._asked(watch, self._ask_in_lane(watch)))

    def _hurry(self, watch: Watch) -> None:
        at = max(self._clock.monotonic(), watch.asked + quiet_after(watch.in_vain))
        if at < watch.at:
            self._schedule.plan(watch, at - self._clock.monotonic())

    def _wait(self, watch: Watch) -> float:
        if self._expects_notice(watch):
            return self._backstop(watch)
        now = self._clock.monotonic()
        watched = now - watch.began
        age, peers = now - watch.submitted, len(self._awaited)
        wait = next_poll(age, self.learned, watched=watched, peers=peers, draw=self._chance.random())
        return min(wait, watch.backstop - now) if self._tries_links(watch) else wait

    def _expects_notice(self, watch: Watch) -> bool:
        return watch.job.notice is not None and self._notices.justified

    def _backstop(self, watch: Watch) -> float:
        return next_backstop(self._clock.monotonic() - watch.submitted, self.learned, draw=self._chance.random())

    def _tries_links(self, watch: Watch) -> bool:
        now = self._clock.monotonic()
        if watch.job.early is None or watch.shown or not self._links.justified:
            return False
        return now < min(watch.backstop, watch.deadline)

    async def _asked(self, watch: Watch, question: Coroutine[object, object, None]) -> None:
        try:
            await question
        except Exception as error:  # noqa: BLE001  # whoever waits for the job is told; the other jobs go on
            settle(watch, error)

    async def _try_links(self, watch: Watch) -> None:
        """Pictures behind its links are a reason to ask, and no more: until the end there may be others."""
        assert watch.job.early is not None
        tried = self._clock.monotonic()
        if not await watch.job.early.shown():
            self._learn_that_it_goes_on(watch, tried)
            self._go_on(watch, self._wait(watch))
            return
        watch.shown = True
        await self._call_is_due()
        await self._ask_in_lane(watch)

    async def _call_is_due(self) -> None:
        """Wait until one more status call may be made; it has its place in the lane then."""
        if self._limiter is not None:
            await self._limiter.acquire()
        await self._lane.acquire()

    async def _ask_in_lane(self, watch: Watch) -> None:
        try:
            await self._ask(watch)
        finally:
            self._lane.release()

    async def _ask(self, watch: Watch) -> None:
        told, watch.heard, watch.asked = watch.heard, False, self._clock.monotonic()
        try:
            status = await self._api.status(watch.job.job_id)
        except (TryLater, RequestRefused, AccountBlocked) as trouble:
            self._after_no_answer(watch, trouble, told=told)
            return
        watch.troubles = watch.unknown = watch.blocked = 0
        self._last_known = self._clock.monotonic()
        self._words.told(watch, status)
        if watch.fewer or (isinstance(status, Completed) and len(status.urls) < watch.job.samples):
            self._after_fewer_links(watch, status, told=told)
            return
        if isinstance(status, Unusable):
            await self._after_unusable(watch, status)
            return
        watch.unusable = 0
        if isinstance(status, Working):
            watch.found = Completed(urls=status.urls, response=status.response) if status.urls else None
            if watch.found is None:
                self._learn_that_it_goes_on(watch, watch.asked)
            elif not watch.job.once and await self._words.mean_the_end(watch, status):
                settle(watch, watch.found)
                return
            self._after_working(watch, told=told)
        else:
            self._after_end(watch, status, told=told or watch.heard or watch.in_vain > 0)

    def _after_no_answer(
        self, watch: Watch, trouble: TryLater | RequestRefused | AccountBlocked, *, told: bool
    ) -> None:
        if isinstance(trouble, TryLater) and trouble.retry_after is not None:
            self._schedule.not_before = max(self._schedule.not_before, self._clock.monotonic() + trouble.retry_after)
        if watch.fewer:
            self._after_fewer_links(watch, trouble, told=told)
        elif isinstance(trouble, TryLater):
            watch.heard = told or watch.heard  # it has not been answered yet
            self._after_trouble(watch)
        elif isinstance(trouble, RequestRefused):
            self._after_unknown(watch, trouble)
        else:
            watch.blocked += 1
            if watch.blocked >= BLOCKED_ANSWERS:
                raise trouble
            self._again(watch, backoff(watch.blocked, draw=self._chance.random()))

    def _after_fewer_links(self, watch: Watch, status: JobStatus | Exception, *, told: bool) -> None:
        """It has ended and named fewer links than samples: it may be about to name more, and to ask is free.

        What it has named counts, whatever is said of it later.
        """
        if not watch.fewer:
            self._judge_signs(watch, told=told)
        best = [end for end in (watch.found, status) if isinstance(end, Completed)]
        watch.found = max(best, key=lambda end: len(end.urls))
        watch.fewer += 1
        whole = len(watch.found.urls) >= watch.job.samples
        going_on = isinstance(status, Completed | Working | TryLater)
        if whole or not going_on or not self._few_links.worth(watch.fewer):
            self._few_links.believed(watch.fewer, whole=whole)
            settle(watch, watch.found)
        else:
            self._again(watch, backoff(watch.fewer, draw=self._chance.random()))

    def _after_working(self, watch: Watch, *, told: bool) -> None:
        if watch.job.once and not self._is_a_day_old(watch):
            settle(watch, Overdue())
            return
        if (watch.job.once or self._has_worked_too_long(watch)) and watch.found is None:
            message = f"Job {watch.job.job_id} has not ended within {GIVE_UP_AFTER / 3600:.0f} hours."
            settle(watch, Failed(failure=Failure(kind=FailureKind.JOB_LOST, message=message), retryable=False))
            return
        if watch.shown:
            self._links.deceived()
        watch.in_vain += told
        watch.backstop = self._clock.monotonic() + self._backstop(watch)
        # A notice may be a little ahead of the status endpoint: that is worth one more question soon.
        self._go_on(watch, min(self._wait(watch), quiet_after(watch.in_vain)) if told else self._wait(watch))
        if watch.heard:
            self._hurry(watch)

    def _after_end(self, watch: Watch, status: Completed | Failed, *, told: bool) -> None:
        if isinstance(status, Completed):
            self._judge_signs(watch, told=told)
        settle(watch, status)

    def _judge_signs(self, watch: Watch, *, told: bool) -> None:
        """What the end of a job says about the signs that were to tell of it."""
        waited = False  # for a sign that did not come: that says nothing about how long jobs take
        if watch.shown:
            self._links.seen()
        elif watch.job.early is not None:
            waited = self._links.justified
            self._links.missed()
        if watch.job.notice is not None and not told:
            waited = self._notices.justified
            self._notices.missed()
            if waited and not self._notices.justified:
                self._ask_all()
        if not waited:
            self._learn(watch)

    def _ask_all(self) -> None:
        """No notice is waited for any more."""
        for watch in self._told.values():
            if not watch.asking:
                self._schedule.plan(watch, self._wait(watch))

    def _learn(self, watch: Watch) -> None:
        if not watch.job.fresh:  # how long an older job took was not seen
            return
        self._awaited.pop(watch, None)
        if self.learned.add(after=watch.worked, by=watch.asked - watch.submitted):
            self._ask_sooner()

    def _learn_that_it_goes_on(self, watch: Watch, at: float) -> None:
        age = at - watch.submitted
        if watch.job.fresh:
            self.learned.goes_on(since=watch.worked, age=age)
        watch.worked = age

    def _ask_sooner(self) -> None:
        """More is known of how long jobs take; some had better be asked about sooner than was planned."""
        now = self._clock.monotonic()
        for watch in self._awaited:
            by_age = watch.by_age and not watch.ended.done() and not self._expects_notice(watch)
            if by_age and now + (wait := self._wait(watch)) < watch.at:
                self._schedule.plan(watch, wait)

    def _ages_at_work(self) -> Iterable[float]:
        return [watch.worked for watch in self._awaited if watch.worked and watch.job.fresh]

    def _after_trouble(self, watch: Watch) -> None:
        """A failed status call says nothing about the job; at most, that fewer calls are wanted."""
        watch.troubles += 1
        if watch.job.once and watch.troubles >= TROUBLES_AT_ONCE:
            settle(watch, Overdue())
            return
        self._again(watch, backoff(watch.troubles, draw=self._chance.random(), base=0.5, cap=30.0))

    def _after_unknown(self, watch: Watch, refused: RequestRefused) -> None:
        now = self._clock.monotonic()
        if not watch.unknown:
            watch.unknown_since = now
        watch.unknown += 1
        if self._is_lost(watch, now):
            message = f"The API cannot give the result of job {watch.job.job_id}: {refused.message}"
            failure = Failure(kind=FailureKind.JOB_LOST, message=message, http_status=refused.http_status)
            settle(watch, Failed(failure=failure, retryable=False))
        elif watch.job.once and watch.unknown >= TROUBLES_AT_ONCE:
            settle(watch, Overdue())
        else:
            self._again(watch, backoff(watch.unknown, draw=self._chance.random()))

    async def _after_unusable(self, watch: Watch, status: Unusable) -> None:
        """It has ended; the links may be a little behind, and what is said instead of them must not be lost."""
        if not watch.unusable:
            watch.unusable_since = self._clock.monotonic()
            if watch.job.keep is not None:
                await watch.job.keep(status)
        watch.unusable += 1
        if watch.job.once and watch.unusable >= TROUBLES_AT_ONCE:
            settle(watch, Overdue())
            return
        now = self._clock.monotonic()
        long = watch.unusable >= UNUSABLE_ANSWERS and now - watch.unusable_since >= UNUSABLE_SECONDS
        if long or now - watch.submitted >= GIVE_UP_AFTER:  # a run may be shorter than all those answers take
            kind, message = FailureKind.RESULT_LOST, f"{status.message} ({watch.job.job_id})"
            failure = Failure(kind=kind, message=message, http_status=status.http_status, response=status.response)
            settle(watch, Failed(failure=failure, retryable=False, response=status.response))
        else:
            self._again(watch, backoff(watch.unusable, draw=self._chance.random()))

    def _is_lost(self, watch: Watch, now: float) -> bool:
        """Whether it is the job that is unknown, for good, and not the API that is out of order."""
        long = watch.unknown >= UNKNOWN_JOB_ANSWERS and now - watch.unknown_since >= UNKNOWN_JOB_SECONDS
        knows_others = self._last_known >= watch.unknown_since
        return (long and knows_others) or now - watch.submitted >= GIVE_UP_AFTER

    def _has_worked_too_long(self, watch: Watch) -> bool:
        """Whether nothing is left to wait for: asked until the deadline, and still at work after a day."""
        return self._clock.monotonic() >= watch.deadline and self._is_a_day_old(watch)

    def _is_a_day_old(self, watch: Watch) -> bool:
        return self._clock.monotonic() - watch.submitted >= GIVE_UP_AFTER

    def _go_on(self, watch: Watch, wait: float) -> None:
        """Ask in so many seconds, or sooner if that turns out to be better."""
        self._again(watch, wait)
        watch.by_age = not watch.ended.done()

    def _again(self, watch: Watch, wait: float) -> None:
        watch.asking = False
        if self._clock.monotonic() >= watch.deadline:
            settle(watch, watch.found or Overdue())
        else:
            self._schedule.plan(watch, wait)
