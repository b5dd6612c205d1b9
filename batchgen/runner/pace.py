"""When the next request may be submitted: the user's rate, and the pauses that the API asks for."""

from __future__ import annotations

import asyncio
import random

from aiolimiter import AsyncLimiter

from batchgen.policy import backoff
from batchgen.ports import Clock


class Pace:
    """One gate for all submissions of a run.

    Args:
        rate: submissions a second, evenly spread; None for no limit.
    """

    def __init__(self, clock: Clock, *, rate: float | None, chance: random.Random) -> None:
        self._clock = clock
        # One at a time, not a period's worth at once: a burst is what a rate is there to prevent.
        self._limiter = None if rate is None else AsyncLimiter(1, 1 / rate)
        self._chance = chance
        self._resume_at = 0.0
        self._refusals = 0
        self._refused_since: float | None = None

    async def ready(self) -> None:
        """Wait until a submission is due."""
        if self._limiter is not None:
            await self._limiter.acquire()
        while (wait := self._resume_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait)
            # Those who waited together do not go on in the same instant.
            await asyncio.sleep(0)

    def accepted(self) -> None:
        """The API took one."""
        self._refusals = 0
        self._refused_since = None

    def refused(self, retry_after: float | None = None) -> float:
        """The API did not take one, or did not say; pause.

        Args:
            retry_after: seconds that it asks for; None if it does not.

        Returns:
            Seconds of the pause that begins now; 0 if it falls into one that was known already.
        """
        now = self._clock.monotonic()
        if self._refused_since is None:
            self._refused_since = now
        if now < self._resume_at and retry_after is None:
            return 0.0
        self._refusals += 1
        wait = backoff(self._refusals, draw=self._chance.random()) if retry_after is None else retry_after
        before = self._resume_at
        self._resume_at = max(before, now + wait)
        return wait if self._resume_at > before else 0.0

    @property
    def refused_for(self) -> float:
        """Seconds since the first of the refusals that no acceptance has interrupted; 0 if the last was taken."""
        return 0.0 if self._refused_since is None else self._clock.monotonic() - self._refused_since
