"""The far side: downloads, verifies, writes, flushes what is written by then together, and tells of each image.

The loop downloads, one thread decodes, and another waits for the disk. All of it ends when the run does, however that
ends.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from batchgen.adapters.image_process.frames import Broken, NotWritten, Order, Outcome, Unavailable, Unpacking, packed
from batchgen.errors import ResultUnavailable, StorageFailed
from batchgen.intake import Intake
from batchgen.model import VerifiedImage
from batchgen.ports import SampleLink

#: Bytes of an image up to which it is verified where it came: handing it to a thread would take longer.
_SMALL = 32 * 1024
#: Seconds.
_MOMENT = 0.01


class Hosts(Protocol):
    """Where images lie."""

    async def download(self, link: str) -> bytes:
        """The bytes behind a link, whole."""


class Store(Protocol):
    """Where images are kept, many at a time; see `adapters.file_store.FileStore`."""

    def write(self, file_stem: str, image: VerifiedImage, content: bytes) -> Any:
        """Write the image under a temporary name; what it gives has the name that it will have."""

    def settle(self, images: Sequence[Any]) -> Sequence[StorageFailed | None]:
        """Put what was written in its place for good; for each, why not, or None."""


@dataclass(frozen=True, slots=True)
class _Done:
    """An order that is done; where an image is written, but for the disk."""

    number: int
    outcome: Outcome
    written: Any = None  #: as of `Store.write`


class Serving:
    """Does what orders say until there are no more.

    Args:
        outcomes: frames of an order's number and its `Outcome` go there.
    """

    def __init__(self, hosts: Hosts, intake: Intake, store: Store, *, outcomes: BinaryIO) -> None:
        self._hosts, self._intake, self._store, self._outcomes = hosts, intake, store, outcomes
        self._run = os.getppid()
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="decoding")
        self._done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._under_way: set[asyncio.Task[None]] = set()
        threading.Thread(target=self._settle_all, name="settling", daemon=True).start()

    def take(self, order: Order) -> None:
        """Begin to do it."""
        task = asyncio.get_running_loop().create_task(self._do(order))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _do(self, order: Order) -> None:
        url = order.link if isinstance(order.link, str) else order.link.url
        try:
            content = await self._hosts.download(url)
        except ResultUnavailable as unavailable:
            self._done.put(_Done(order.number, _told(unavailable)))
        except Exception:  # noqa: BLE001  # told where it is told of bugs
            self._done.put(_Done(order.number, Broken(traceback.format_exc())))
        else:
            if len(content) > _SMALL:
                await asyncio.get_running_loop().run_in_executor(self._decoding, self._take_in, order, content)
            else:
                self._take_in(order, content)

    def _take_in(self, order: Order, content: bytes) -> None:
        try:
            done = self._taken_in(order, content)
        except ResultUnavailable as unusable:
            done = _Done(order.number, _told(unusable))
        except StorageFailed as failed:
            done = _Done(order.number, NotWritten(str(failed)))
        except Exception:  # noqa: BLE001  # told where it is told of bugs
            done = _Done(order.number, Broken(traceback.format_exc()))
        self._done.put(done)

    def _taken_in(self, order: Order, content: bytes) -> _Done:
        if not isinstance(order.link, SampleLink):
            return _Done(order.number, self._intake.look(content))
        prepared = self._intake.prepare(order.link, content)
        written = self._store.write(prepared.file_stem, prepared.image, prepared.content)
        return _Done(order.number, prepared.stored(written.name), written)

    def _settle_all(self) -> None:
        while True:
            try:
                self._settle(_drained(self._done))
            except OSError:  # nobody listens any more
                os._exit(0)

    def _settle(self, done: Sequence[_Done]) -> None:
        if os.getppid() != self._run:
            os._exit(0)  # the run was killed, and another may work here: nothing more takes its place
        written = [one for one in done if one.written is not None]
        troubles = self._store.settle([one.written for one in written])
        failed = {one.number: trouble for one, trouble in zip(written, troubles, strict=True) if trouble is not None}
        for one in done:
            trouble = failed.get(one.number)
            outcome = one.outcome if trouble is None else NotWritten(str(trouble))
            self._outcomes.write(packed((one.number, outcome)))
        self._outcomes.flush()


class Orders(asyncio.Protocol):
    """Orders as they come through a pipe; done when it is closed.

    Args:
        first: makes of the setup, which comes before all orders, what they are given to.
    """

    def __init__(self, first: Callable[[object], Serving]) -> None:
        self._first = first
        self._unpacking = Unpacking()
        self._serving: Serving | None = None
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Orders, in pieces."""
        for value in self._unpacking.feed(data):
            if self._serving is None:
                self._serving = self._first(value)
            else:
                self._serving.take(value)

    def connection_lost(self, error: Exception | None) -> None:
        """The run has ended, or has been killed."""
        if not self.ended.done():
            self.ended.set_result(None)


def _told(unavailable: ResultUnavailable) -> Unavailable:
    return Unavailable(
        message=unavailable.message,
        http_status=unavailable.http_status,
        permanent=unavailable.permanent,
        came=unavailable.came,
        begins=unavailable.begins,
    )


def _drained(done: queue.SimpleQueue[_Done]) -> list[_Done]:
    """What is there, a moment after something is: many images are flushed for little more than one."""
    drained = [done.get()]
    time.sleep(_MOMENT)
    while not done.empty():
        drained.append(done.get())
    return drained
