"""The real time."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Wall clock and event loop time; a loop with a time of its own makes waiting as short as a test likes."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of the running event loop."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
