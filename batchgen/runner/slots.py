"""Places of which there may be more or fewer while the run goes on: for jobs in flight, and for images on their way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator

from batchgen.policy import InFlightLimit


class Places:
    """Places, given in the order in which they were asked for.

    Args:
        limit: how many there are now; looked at whenever one is asked for or given back.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def held(self) -> int:
        """Places taken now."""
        return self._held

    async def take(self) -> None:
        """Wait for a place; it is held until `leave`."""
        if self._held < self._limit() and not self._waiting:
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

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def _admit(self) -> None:
        while self._waiting and self._held < self._limit():
            place = self._waiting.popleft()
            if not place.done():
                self._held += 1
                place.set_result(None)


class Slots(Places):
    """Places for jobs in flight: as many as the API bears."""

    def __init__(self, limit: InFlightLimit) -> None:
        super().__init__(lambda: limit.limit)
        self._in_flight = limit
        self._unanswered = 0  #: places held for jobs that are not at the API as far as is known

    def accepted(self) -> None:
        """The API took one more job."""
        self._in_flight.accepted(self._held - self._unanswered + 1)
        self._admit()

    def refused(self) -> None:
        """The API says that too much is in flight; the one refused does not count, nor does any other unanswered."""
        self._in_flight.refused(self._held - self._unanswered)

    @contextlib.contextmanager
    def submitting(self) -> Iterator[None]:
        """Within, a place is held for a submission that has no answer yet."""
        self._unanswered += 1
        try:
            yield
        finally:
            self._unanswered -= 1
