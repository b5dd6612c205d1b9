"""How a simulator is started and stopped: in an event loop, or in a thread of its own."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

from batchgen.errors import UsageError
from batchgen.simulator.server import Simulator

_STOP_WITHIN = 2.0  # seconds that open requests are given to end


@asynccontextmanager
async def serve(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Let the simulator answer while the context lasts; gives its base URL, without a slash at the end.

    Args:
        port: 0 takes any free one.

    Raises:
        UsageError: the port cannot be had.
    """
    runner = web.AppRunner(simulator.application(), access_log=None, shutdown_timeout=_STOP_WITHIN)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise _no_port(host, port, error) from error
        bound = runner.addresses[0][1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
    finally:
        await runner.cleanup()


def _no_port(host: str, port: int, error: Exception) -> UsageError:
    taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    reason = "another program is using it" if taken else str(error)
    return UsageError(
        f"The simulator cannot listen on port {port} of {host}: {reason}. "
        "Choose another with --port, or --port 0 for any free one."
    )


@contextmanager
def background(simulator: Simulator, *, port: int = 0) -> Iterator[str]:
    """As `serve`, in a thread with an event loop of its own, which has ended when the context has.

    Raises:
        UsageError: the port cannot be had.
    """
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def until_stopped() -> None:
        async with serve(simulator, port=port) as base_url:
            stop = asyncio.Event()
            started.set_result((base_url, asyncio.get_running_loop(), stop))
            await stop.wait()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="simulator") as thread:
        ended = thread.submit(lambda: asyncio.run(until_stopped()))
        either: list[Future[Any]] = [started, ended]
        wait(either, return_when=FIRST_COMPLETED)
        if ended.done():
            ended.result()  # it raises: the server cannot end by itself in any other way
        base_url, loop, stop = started.result()
        try:
            yield base_url
        finally:
            loop.call_soon_threadsafe(stop.set)
            ended.result()
