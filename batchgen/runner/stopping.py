"""The end of submitting: why, what has to be mended first, and who need not be waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from batchgen.errors import AccountBlocked, StorageFailed
from batchgen.ports import Observer

#: Seconds from a stop for which an answer to a submission on its way is waited for at least: cut off, it is in doubt.
ANSWER_SECONDS = 10.0


class Stop:
    """Pulled once; everything that submits looks at it.

    Args:
        grace: seconds from then until what is in flight is left, but for submissions whose answer is outstanding.
        leave: leaves it; told whom not to leave.
    """

    def __init__(
        self, observer: Observer, *, grace: float, leave: Callable[[frozenset[asyncio.Future[Any]]], None]
    ) -> None:
        self._observer = observer
        self._grace = grace
        self._leave = leave
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._over = False  # the grace time
        self._unsubmitted: set[asyncio.Future[Any]] = set()
        self.reason: str | None = None  #: why not everything was submitted; None if everything was
        self.error: Exception | None = None  #: what has to be mended first: account, disk, or a bug of ours

    @property
    def pulled(self) -> bool:
        """Whether nothing more is submitted."""
        return self.reason is not None

    def pull(self, reason: str | None) -> None:
        """Submit nothing more. Without a reason nothing happens, and calls after the first do nothing."""
        if reason is None or self.pulled:
            return
        self.reason = reason
        self._observer.stopping(reason)
        for one in self._unsubmitted:
            one.cancel()
        loop = asyncio.get_running_loop()
        loop.call_later(self._grace, self._end_grace)
        loop.call_later(max(self._grace, ANSWER_SECONDS), self._leave, frozenset())

    def _end_grace(self) -> None:
        self._over = True
        self._leave(frozenset(self._unanswered))

    def halt(self, error: Exception) -> None:
        """Something has to be mended; what is in flight still ends in its own time, for it is paid for."""
        self.error = self.error or error
        match error:
            case AccountBlocked():
                self.pull("the API refuses the account")
            case StorageFailed():
                self.pull("the disk or the journal gave way")
            case _:
                self.pull(f"a bug in batchgen ({type(error).__name__})")

    def lets_go(self, one: asyncio.Future[Any]) -> None:
        """It holds nothing that is paid for: it is cancelled when the stop is pulled."""
        self._unsubmitted.add(one)

    def lets_this_go(self) -> AbstractContextManager[object]:
        """Within, the current task holds nothing that is paid for."""
        return _among(self._unsubmitted)

    @contextlib.contextmanager
    def lets_this_be_answered(self) -> Iterator[None]:
        """Within, the task sends what may be paid for; if the grace time ends, it is left once that is answered."""
        with _among(self._unanswered) as task:
            try:
                yield
            finally:
                if self._over:
                    task.cancel()


@contextlib.contextmanager
def _among(tasks: set[asyncio.Future[Any]]) -> Iterator[asyncio.Future[Any]]:
    """Within, the current task is one of them."""
    task = asyncio.current_task()
    assert task is not None
    tasks.add(task)
    try:
        yield task
    finally:
        tasks.discard(task)
