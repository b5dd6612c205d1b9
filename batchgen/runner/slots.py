"""Places for jobs in flight: as many as the API bears, which may change while the run goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator

from batchgen.policy import InFlightLimit


class Slots:
    """Places, given in the order in which they were asked for."""

    def __init__(self, limit: InFlightLimit) -> None:
        self._limit = limit
        self._held = 0
        self._unanswered = 0  #: of these, for jobs that are not at the API as far as is known
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def held(self) -> int:
        """Places taken now."""
        return self._held

    def accepted(self) -> None:
        """The API took one more job."""
        self._limit.accepted(self._held - self._unanswered + 1)
        self._admit()

    def refused(self) -> None:
        """The API says that too much is in flight; the one refused does not count, nor does any other unanswered."""
        self._limit.refused(self._held - self._unanswered)

    @contextlib.contextmanager
    def submitting(self) -> Iterator[None]:
        """Within, a place is held for a submission that has no answer yet."""
        self._unanswered += 1
        try:
            yield
        finally:
            self._unanswered -= 1

    async def take(self) -> None:
        """Wait for a place; it is held until `leave`."""
        if self._held < self._limit.limit and not self._waiting:
            self._held += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given and the taker cancelled in the same turn of the loop
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._held -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._held < self._limit.limit:
            place = self._waiting.popleft()
            if not place.done():
                self._held += 1
                place.set_result(None)
