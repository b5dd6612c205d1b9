"""What is written anew now and then while a run goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from batchgen.errors import BatchgenError


@contextlib.asynccontextmanager
async def kept_up_to_date(bring: Callable[[], None], *, every: float) -> AsyncIterator[None]:
    """Have *bring* called now and then in a thread, for as long as the context lasts; never when it has ended.

    Args:
        bring: raises an error of ours if it cannot be done now; the next time may be better.
        every: seconds from the end of one call to the next; 0: never.
    """
    over = asyncio.Event()

    async def repeated() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), every or None)
                return
            with contextlib.suppress(BatchgenError):
                await asyncio.to_thread(bring)

    task = asyncio.create_task(repeated())
    try:
        yield
    finally:
        over.set()
        await task
