"""The jobs that are waited for, and the one queue of all questions about them."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from batchgen.model import JobId, RequestKey
from batchgen.ports import Clock, Completed, Failed, Unusable
from batchgen.runner.collecting import EarlyLinks

End = Completed | Failed


class Overdue(Exception):
    """A job has not ended within its deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A job whose end is waited for, and what may tell of it besides an answer of the API."""

    job_id: JobId
    age: float  #: seconds since it was submitted
    deadline: float  #: seconds from now until it is no longer waited for
    fresh: bool  #: whether it was submitted just now; any other has most likely ended while nobody asked
    once: bool = False  #: whether one answer of the API is enough, whatever it says
    samples: int = 1  #: links that it is to name in the end
    notice: RequestKey | None = None  #: how notices name it; None: none is expected
    early: EarlyLinks | None = None  #: links that hold its images once it has ended
    #: The SHA-256 of what links give, each; None where that cannot be its image. None: they would prove nothing.
    look: Callable[..., Awaitable[Sequence[str | None]]] | None = None
    keep: Callable[[Unusable], Awaitable[None]] | None = None  #: has the first answer without usable links written down


@dataclass(slots=True, kw_only=True, eq=False)
class Watch:
    """One job that is waited for."""

    job: Awaited
    submitted: float  #: monotonic seconds
    began: float  #: monotonic seconds; later than `submitted` for a job of an earlier run
    deadline: float  #: monotonic seconds
    ended: asyncio.Future[End]
    at: float = 0.0  #: monotonic; when it is due
    number: int = -1  #: of its place in the queue; any other is out of date
    asked: float = 0.0  #: monotonic; the last question about it
    worked: float = 0.0  #: its age, in seconds, when it was last asked about and went on
    by_age: bool = False  #: whether how long jobs take is why its next question is due then, and nothing else
    asking: bool = False
    shown: bool = False  #: whether its links gave pictures, which is why it was asked about
    backstop: float = 0.0  #: monotonic; until then its links are tried instead
    heard: bool = False  #: whether a notice came since the last question
    in_vain: int = 0  #: notices after which it went on
    unknown: int = 0  #: answers in a row that did not know the job
    unknown_since: float = 0.0  #: monotonic; of the first of them
    troubles: int = 0  #: calls in a row without a usable answer
    unusable: int = 0  #: answers in a row that said it had ended, and named no usable link
    unusable_since: float = 0.0  #: monotonic; of the first of them
    found: Completed | None = None  #: its end, if nothing better is said: of an unknown word, or too few links
    fewer: int = 0  #: answers that said it had ended, and named fewer links than samples: the fullest is `found`
    word: str | None = None  #: the last answer's, if no profile knows it and links stood beside it
    word_times: int = 0  #: answers in a row with that word, or without one
    word_since: float = 0.0  #: monotonic; of the first of them
    seen: Sequence[str | None] = ()  #: what their links gave when they were last looked at
    blocked: int = 0  #: answers in a row that refused the account


@dataclass(slots=True, order=True)
class _Due:
    at: float
    number: int
    watch: Watch = field(compare=False)


class Schedule:
    """Who is due, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[_Due] = []
        self._numbers = itertools.count()
        self._woken = asyncio.Event()
        self.not_before = 0.0  #: monotonic; the pause that the API asks for

    async def next_due(self) -> Watch:
        """Wait for the next that is due; it is planned no more."""
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            if not self._due:
                await self._woken.wait()
                continue
            first = self._due[0]
            if first.number != first.watch.number:
                heapq.heappop(self._due)
                continue
            # A pause that the API asked for ends, for a job, at the latest with its deadline.
            wait = max(first.at, min(self.not_before, first.watch.deadline)) - self._clock.monotonic()
            if wait <= 0:
                return heapq.heappop(self._due).watch
            timer = loop.call_later(wait, self._woken.set)
            try:
                await self._woken.wait()
            finally:
                timer.cancel()

    def plan(self, watch: Watch, wait: float) -> None:
        """Ask in so many seconds, and not when it was planned before."""
        now = self._clock.monotonic()
        # The last question is asked at the deadline itself, so that a job is not given up unasked.
        watch.at, watch.number = max(now, min(now + wait, watch.deadline)), next(self._numbers)
        heapq.heappush(self._due, _Due(watch.at, watch.number, watch))
        if self._due[0].watch is watch:
            self._woken.set()


def settle(watch: Watch, end: End | Exception) -> None:
    """Tell whoever waits for the job; the first word counts."""
    if watch.ended.done():
        return
    if isinstance(end, Exception):
        watch.ended.set_exception(end)
    else:
        watch.ended.set_result(end)
