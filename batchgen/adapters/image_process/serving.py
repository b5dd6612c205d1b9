"""The far side: downloads, verifies, keeps what is verified by then together, and tells of each image.

The loop downloads, two threads decode, and others wait for the disk. All of it ends when the run does, however that
ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Protocol

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
from batchgen.errors import ResultUnavailable, StorageFailed
from batchgen.intake import Intake, Prepared
from batchgen.model import VerifiedImage
from batchgen.ports import SampleLink

#: Bytes of an image up to which it is verified where it came: handing it to a thread would take longer.
_SMALL = 32 * 1024
#: Images that a process decodes at a time. What takes long, inflating and hashing, leaves the interpreter to others.
_DECODED_AT_A_TIME = 2
#: Seconds.
_MOMENT = 0.01


class Hosts(Protocol):
    """Where images lie."""

    async def download(self, link: str) -> bytes:
        """The bytes behind a link, whole."""


class Store(Protocol):
    """Where images are kept, many at a time; see `adapters.file_store.FileStore`."""

    def keep_all(self, images: Sequence[tuple[str, VerifiedImage, bytes]]) -> Sequence[str | StorageFailed]:
        """Write images durably; for each its name, or why it is not kept."""


@dataclass(frozen=True, slots=True)
class _Done:
    """An order that is done, but for keeping what is prepared."""

    number: int
    outcome: Outcome | Prepared


class Serving:
    """Does what orders say until there are no more.

    Args:
        outcomes: frames of an order's number and its `Outcome` go there; before all others, one that says `UP`.
    """

    def __init__(self, hosts: Hosts, intake: Intake, store: Store, *, outcomes: BinaryIO) -> None:
        self._hosts, self._intake, self._store, self._outcomes = hosts, intake, store, outcomes
        self._run = os.getppid()
        self._decoding = ThreadPoolExecutor(_DECODED_AT_A_TIME, thread_name_prefix="decoding")
        self._done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._under_way: set[asyncio.Task[None]] = set()
        with contextlib.suppress(OSError):  # nobody listens any more
            self._tell([(UP, None)])
        threading.Thread(target=self._keep_all, name="keeping", daemon=True).start()

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
            done = _Done(order.number, self._taken_in(order, content))
        except ResultUnavailable as unusable:
            done = _Done(order.number, _told(unusable))
        except Exception:  # noqa: BLE001  # told where it is told of bugs
            done = _Done(order.number, Broken(traceback.format_exc()))
        self._done.put(done)

    def _taken_in(self, order: Order, content: bytes) -> VerifiedImage | Prepared:
        if isinstance(order.link, SampleLink):
            return self._intake.prepare(order.link, content)
        return self._intake.look(content)

    def _keep_all(self) -> None:
        while True:
            try:
                self._keep(_drained(self._done))
            except OSError:  # nobody listens any more
                os._exit(0)

    def _keep(self, done: Sequence[_Done]) -> None:
        if os.getppid() != self._run:
            os._exit(0)  # the run was killed, and another may work here: nothing more takes its place
        prepared = [one.outcome for one in done if isinstance(one.outcome, Prepared)]
        kept = iter(self._kept(prepared))
        self._tell([(one.number, next(kept) if isinstance(one.outcome, Prepared) else one.outcome) for one in done])

    def _tell(self, outcomes: Sequence[tuple[int, Outcome | None]]) -> None:
        for outcome in outcomes:
            self._outcomes.write(packed(outcome))
        self._outcomes.flush()

    def _kept(self, prepared: Sequence[Prepared]) -> list[Outcome]:
        try:
            names = self._store.keep_all([(one.file_stem, one.image, one.content) for one in prepared])
        except Exception:  # noqa: BLE001  # told where it is told of bugs
            return [Broken(traceback.format_exc()) for _ in prepared]
        return [
            NotWritten(str(name)) if isinstance(name, StorageFailed) else one.stored(name)
            for one, name in zip(prepared, names, strict=True)
        ]


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
