"""The feed of a run: the frozen plan, less what the journal says is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, islice
from typing import Protocol

from batchgen.lifecycle import ENDED, MAY_STILL_EXIST, Record, State
from batchgen.model import FailureKind, Request, RequestKey, RunId
from batchgen.ports import Claim, Journal

_LOOKED_UP_AT_ONCE = 1_000


class FrozenPlan(Protocol):
    """What the feed reads: the frozen plan, without what is done."""

    def without(self, done: Callable[[Sequence[RequestKey]], Collection[RequestKey]]) -> Iterator[Request]:
        """The requests in order but for those that are done."""


class PlanFeed:
    """Hands out what is left of a plan: first what the API may hold already, then the rest in plan order.

    Args:
        plan: read twice at most.
        retry: failed requests of these kinds are handed out again, and those stored in part for such a reason whose
            job can be asked.
    """

    def __init__(self, plan: FrozenPlan, journal: Journal, *, retry: frozenset[FailureKind] = frozenset()) -> None:
        self._plan = plan
        self._journal = journal
        self._retry = retry
        self._claims: Iterator[Claim] = self._walk()

    async def is_empty(self) -> bool:
        """Whether nothing is left to claim."""
        first = await self.claim(1)
        self._claims = chain(first, self._claims)
        return not first

    async def has_more(self, *, ended_by: RunId) -> bool:
        """Whether something is left to claim that has not ended, or not in that run: it was to be tried again."""

        def look() -> bool:
            return any(claim.record.state not in ENDED or claim.record.run_id != ended_by for claim in self._claims)

        return await asyncio.to_thread(look)

    async def claim(self, count: int) -> Sequence[Claim]:
        """See `ports.Feed`."""
        return await asyncio.to_thread(lambda: list(islice(self._claims, count)))

    def _walk(self) -> Iterator[Claim]:
        unfinished = frozenset(self._journal.unfinished())
        if unfinished:
            yield from self._look_up(self._plan.without(lambda keys: set(keys) - unfinished))
        over = ENDED
        if self._retry:  # what is stored may be so in part
            over = frozenset() if self._retry & MAY_STILL_EXIST else frozenset({State.STORED})

        def done(keys: Sequence[RequestKey]) -> Collection[RequestKey]:
            states = self._journal.states(keys)
            return {key for key, state in states.items() if state in over} | unfinished.intersection(keys)

        rest = self._look_up(self._plan.without(done))
        yield from (claim for claim in rest if self._wanted(claim.record))

    def _look_up(self, requests: Iterator[Request]) -> Iterator[Claim]:
        while some := list(islice(requests, _LOOKED_UP_AT_ONCE)):
            records = self._journal.records([request.key for request in some])
            yield from (Claim(request, records.get(request.key, Record())) for request in some)

    def _wanted(self, record: Record) -> bool:
        """Whether anything is to be done; a retry looks at what ended only by its kind of failure."""
        if record.state is State.STORED:
            return bool(record.may_be_had & self._retry)
        if record.state is State.FAILED:
            return record.failure is not None and record.failure.kind in self._retry
        return True
