"""How a caller ends a run from outside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchgen.errors import BatchgenError

if TYPE_CHECKING:
    from batchgen.runner import Runner


class Stopped(BatchgenError):
    """The run was stopped before it had begun to submit."""

    exit_code = 6


class StopSwitch:
    """Lets a caller end a run from a signal handler: first gently, then at once."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._reason: str | None = None
        self._settled = False
        self.pulled = asyncio.Event()  #: set once somebody waits for the run to end
        self.exit_code: int | None = None  #: what the run ends with; None as long as nobody waits for that

    def stop(self, reason: str, *, exit_code: int = Stopped.exit_code) -> None:
        """Submit nothing more, and wait for jobs in flight for the grace time. Called again: leave them at once."""
        if self._reason is not None and self._runner is not None:
            self._runner.abandon()
        self._reason = self._reason or reason
        self.pulled.set()
        if not self._settled:
            self.exit_code = self.exit_code or exit_code
        if self._runner is not None:
            self._runner.stop(reason)

    @property
    def told(self) -> bool:
        """Whether somebody waits for the run to end."""
        return self._reason is not None

    def settle(self) -> int | None:
        """Used by the run itself, at its end: what it ends with, None if nobody stopped it. That stands from now on."""
        self._settled = True
        return self.exit_code

    def connect(self, runner: Runner) -> None:
        """Used by the run itself."""
        self._runner = runner
        runner.stop(self._reason)

    def go_on(self) -> None:
        """Used by the run itself, while it waits or plans.

        Raises:
            Stopped: it was told to stop.
        """
        if self._reason is not None:
            raise Stopped(f"Stopped by {self._reason} before anything was sent. Run the same command again to go on.")
