"""The near side: hands links over to processes, as many as there is work for, and waits for what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Self, cast

from batchgen.adapters.image_process.frames import (
    UP,
    Broken,
    NotWritten,
    Order,
    Outcome,
    Unavailable,
    Unpacking,
    packed,
)
from batchgen.errors import Came, ResultUnavailable, StorageFailed
from batchgen.model import StoredImage, VerifiedImage
from batchgen.ports import SampleLink

#: Bytes of images in the hands of one process from which on another is worth its start.
_PLENTY = 8 * 1024 * 1024
#: Characters of a body that are quoted.
_QUOTED = 120
_NEVER_UP = (
    "The process to fetch images in ends before it begins; what it says of that stands above. Nothing that was paid "
    "for is lost; see that batchgen is installed whole and the system has room, then run the same command again."
)
#: Parts of names of variables that hold what no image process needs.
_SECRET = ("KEY", "SECRET", "TOKEN", "PASSWORD")


class ProcessDied(Exception):
    """An image process ended before it told what became of an image."""


class ImageProcesses:
    """`ports.ImageFetcher` by processes that are started as they are needed; an async context manager.

    An image whose process dies is tried once more in one of its own; only if that dies too, once it is up, is it the
    image's fault.

    Args:
        module: whose `main` the processes run; `serving.Orders` on standard input.
        setup: what it is told first; pickled.
        most: processes at once.
        ahead: whether the first is started before there is a link for it: it takes a while to come up.
        clean: takes secrets out of what is quoted of a body that is no image; no variable that holds one is passed on.
    """

    def __init__(
        self, module: str, setup: object, *, most: int, ahead: bool = False, clean: Callable[[str], str] = str
    ) -> None:
        self._module, self._setup, self._most, self._ahead, self._clean = module, setup, most, ahead, clean
        self._processes: list[_Process] = []
        self._changing = asyncio.Lock()
        self._alone = asyncio.Lock()
        self._usual = 0.0  #: bytes of an image, of late; before any came, as is guessed
        self._first: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Self:
        if self._ahead:
            self._first = asyncio.create_task(self._another())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._first is not None:
            await asyncio.wait([self._first])
            self._first.exception()  # if it could not be started, the first image has told so, or there was none
        await asyncio.gather(*(process.close() for process in self._processes))

    async def look(self, url: str) -> VerifiedImage:
        """What the bytes behind the link are found to be; see `ports.ImageFetcher`."""
        return cast(VerifiedImage, await self._done(url))

    async def fetch(self, link: SampleLink) -> StoredImage:
        """Download the image, verify, judge and keep it; see `ports.ImageFetcher`."""
        self._usual = self._usual or _guessed(link)
        stored = cast(StoredImage, await self._done(link))
        self._usual += (stored.image.bytes - self._usual) / 8
        return stored

    async def _done(self, link: SampleLink | str) -> StoredImage | VerifiedImage:
        try:
            outcome = await (self._free() or await self._another()).do(link)
        except ProcessDied:
            outcome = await self._tried_alone(link)
        match outcome:
            case Unavailable():
                raise self._refusal(outcome)
            case NotWritten(message):
                raise StorageFailed(message)
            case Broken(trace):
                raise RuntimeError(f"An image process failed:\n{trace}")
            case _:
                return outcome

    def _refusal(self, told: Unavailable) -> ResultUnavailable:
        quote = "" if told.begins is None else f" It begins: {self._clean(told.begins)[:_QUOTED]!r}"
        return ResultUnavailable(
            told.message + quote, http_status=told.http_status, permanent=told.permanent, came=told.came
        )

    async def _tried_alone(self, link: SampleLink | str) -> Outcome:
        async with self._alone, await self._started() as process:
            try:
                return await process.do(link)
            except ProcessDied:
                if not process.up:
                    raise StorageFailed(_NEVER_UP) from None
                return Unavailable(
                    message="What came makes the decoder crash.",
                    http_status=200,
                    permanent=True,
                    came=Came.SPOILT,
                    begins=None,
                )

    async def _started(self) -> _Process:
        environment = _environment().items()  # a key of a letter or two is in many a path, and no secret
        ours = {name: value for name, value in environment if name == "PYTHONPATH" or self._clean(value) == value}
        try:
            return await _Process.started(self._module, self._setup, ours)
        except OSError as error:
            raise StorageFailed(
                f"The system starts no process to fetch images in: {error}. Nothing that was paid for is lost; "
                "see that it has room for one more, then run the same command again."
            ) from error

    def _free(self) -> _Process | None:
        """The one that has least to do, unless there should be another."""
        alive = [process for process in self._processes if not process.died]
        free = min(alive, key=lambda process: process.orders, default=None)
        if free is None or (free.orders * self._usual >= _PLENTY and len(alive) < self._most):
            return None
        return free

    async def _another(self) -> _Process:
        async with self._changing:
            free = self._free()  # somebody else may have started it
            if free is None:
                free = await self._started()
                self._processes.append(free)
            return free


class _Process(asyncio.SubprocessProtocol):
    """One image process, as its event loop tells of it."""

    def __init__(self) -> None:
        self.died, self.up, self._unused = False, False, True
        self._numbers: Iterator[int] = count()
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._orders: list[bytes] = []  #: of this turn of the loop, which go through the pipe together
        self._unpacking = Unpacking()
        self._ended = asyncio.get_running_loop().create_future()
        self._transport: asyncio.SubprocessTransport
        self._pipe: asyncio.WriteTransport

    @classmethod
    async def started(cls, module: str, setup: object, environment: Mapping[str, str]) -> Self:
        """A process that is ready, or will be: orders wait in its pipe."""
        command = (sys.executable, "-P", "-c", f"from {module} import main; main()")
        transport, process = await asyncio.get_running_loop().subprocess_exec(
            cls, *command, env=environment, stderr=None, start_new_session=True
        )
        process._transport = transport
        process._pipe = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
        if not process._pipe.is_closing():  # else it has ended already, and whoever gives it an order is told
            process._pipe.write(packed(setup))
        return process

    @property
    def orders(self) -> int:
        """Links of which it has not told what became."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let it end; at once, if it may still be coming up and was given nothing to do."""
        if self._unused:
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()
        self._pipe.close()
        await asyncio.shield(self._ended)
        self._transport.close()

    async def do(self, link: SampleLink | str) -> Outcome:
        """What becomes of the image.

        Raises:
            ProcessDied: nobody knows; it may be kept.
        """
        if self.died:
            raise ProcessDied
        self._unused = False
        number = next(self._numbers)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[number] = outcome
        try:
            if not self._orders:
                asyncio.get_running_loop().call_soon(self._send)
            self._orders.append(packed(Order(number, link)))
            return await outcome
        finally:
            del self._waiting[number]

    def _send(self) -> None:
        orders, self._orders = self._orders, []
        if not self._pipe.is_closing():  # else whoever waits is told, or waits no more
            self._pipe.write(b"".join(orders))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Outcomes, in pieces."""
        for number, outcome in self._unpacking.feed(data):
            self.up = self.up or number == UP
            waiting = self._waiting.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(outcome)

    def pipe_connection_lost(self, fd: int, error: Exception | None) -> None:
        """One of its pipes is closed: it tells nothing more."""
        self._die()

    def connection_lost(self, error: Exception | None) -> None:
        """It has ended."""
        self._die()
        if not self._ended.done():
            self._ended.set_result(None)

    def _die(self) -> None:
        self.died = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ProcessDied())


def _guessed(link: SampleLink) -> float:
    """Bytes of an image of that size: one for each pixel, of a PNG hardly less."""
    sides = (link.request.params.get(name) for name in ("width", "height"))
    width, height = (side if isinstance(side, int) else 0 for side in sides)
    return float(width * height)


def _environment() -> dict[str, str]:
    """This process's, without what is called a secret, and so that modules are found where this process finds them."""
    ours = {name: value for name, value in os.environ.items() if not any(part in name.upper() for part in _SECRET)}
    ours["PYTHONPATH"] = os.pathsep.join(str(Path(place).absolute()) for place in sys.path)
    return ours | {"OPENBLAS_NUM_THREADS": "1"}  # else it makes a thread for each core, for nothing
