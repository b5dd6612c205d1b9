"""What a person sees while a run goes on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TextIO

from tqdm import tqdm

from batchgen.cli.speech import put
from batchgen.lifecycle import Event, Record, State
from batchgen.model import Request
from batchgen.ports import Observer, Progress

#: Seconds between two lines where there is no terminal.
_EVERY = 30.0
_COLUMNS, _ROWS = 80, 24  # of a terminal that does not say
_IN_FLIGHT = (State.SUBMITTING, State.SUBMITTED)


class ProgressView(Observer):
    """Counts what it is told and shows it.

    Args:
        stream: standard error.
        verbose: also say what is tried again, and why.
        quiet: say nothing at all; the summary and the exit code tell what was wrong.
    """

    def __init__(self, stream: TextIO, *, verbose: bool = False, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._verbose = verbose
        self._bar: tqdm[NoReturn] | None = None
        self._submitted = 0  #: jobs that a later run collects
        self._wanted = self._done = self._failed = self._stored_before = 0
        self._waiting: dict[str, tuple[float, Request]] = {}  #: requests in flight, oldest first
        self._began = self._said = time.monotonic()

    def begun(self, progress: Progress) -> None:
        """Show the bar, or say what is to come."""
        self._wanted, self._done = progress.wanted, progress.stored
        self._stored_before, self._began = progress.stored, time.monotonic()
        for warning in progress.costly:
            self.untold(f"warning: {warning}")
        for warning in progress.warnings:
            self._say(f"warning: {warning}")
        if progress.simulated:
            self._say("simulated: pictures are drawn on this machine, nothing is generated or paid")
        if self._stream.isatty() and not self._quiet:
            self._bar = bar_on(self._stream, total=progress.wanted, initial=progress.stored)
        else:
            left = progress.wanted - progress.stored
            self._say(f"{left} of {progress.wanted} images to go, {progress.concurrency} jobs at a time")

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self._bar is not None:
            self._bar.close()

    def changed(self, request: Request, before: Record, event: Event, after: Record) -> None:
        """Count a step."""
        if after.state in _IN_FLIGHT:
            self._waiting.setdefault(request.key, (time.monotonic(), request))
        else:
            self._waiting.pop(request.key, None)
        if before.state is State.STORED:  # reopened: it counts again when it has ended again
            self._count(-before.stored)
        if after.state is State.STORED:
            self._count(after.stored)
            self._failed += len(after.missing) + len(after.images) - after.stored
        elif after.state is State.FAILED:
            self._failed += request.samples
            if self._verbose and after.failure is not None:
                self._say(f"failed: {_short(request.prompt)}: {after.failure.message}")
        self._refresh()

    def _count(self, images: int) -> None:
        self._done += images
        if self._bar is not None:
            self._bar.update(images)

    def paused(self, seconds: float, reason: str) -> None:
        """Say why nothing seems to happen."""
        if seconds >= 1 or self._verbose:
            self._say(f"pausing {seconds:.0f} s: {reason}")

    def overdue(self, request: Request, record: Record) -> None:
        """Say what is left behind."""
        self._waiting.pop(request.key, None)
        what = "the images of" if record.state is State.READY else "the end of"
        self._say(f"no longer waiting for {what} job {record.job_id} ({_short(request.prompt)}); run again to go on")

    def left_for_later(self, request: Request, record: Record) -> None:
        """Forget a job that is not waited for."""
        self._waiting.pop(request.key, None)
        self._submitted += 1
        self._refresh()

    def trouble(self, request: Request, reason: str) -> None:
        """Say what is tried again, if that is wanted."""
        if self._verbose:
            self._say(f"trying again: {_short(request.prompt)}: {reason}")

    def stopping(self, reason: str) -> None:
        """Say what happens now."""
        self._say(f"stopping: {reason}; waiting for {len(self._waiting)} jobs in flight")

    def untold(self, reason: str) -> None:
        """Say so, however quiet it is to be: nobody else will."""
        put(f"batchgen: {reason}", self._stream)

    def _refresh(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(self._parts()), refresh=False)
        elif time.monotonic() - self._said >= _EVERY:
            said = f"{self._done}/{self._wanted} images, {', '.join(self._parts())}"
            if self._done > self._stored_before:
                rate = (self._done - self._stored_before) / (time.monotonic() - self._began)
                said += f", about {(self._wanted - self._done - self._failed) / rate:.0f} s to go"
            self._say(said)

    def _parts(self) -> list[str]:
        parts = [f"{len(self._waiting)} in flight"]
        if self._submitted:
            parts.append(f"{self._submitted} left to a later run")
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._waiting and self._done + self._failed + 3 * len(self._waiting) >= self._wanted:
            since, request = next(iter(self._waiting.values()))
            parts.append(f"waiting {time.monotonic() - since:.0f} s for {_short(request.prompt, 24)}")
        return parts

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        put(text, self._stream)
        if self._bar is not None:
            self._bar.refresh()


def bar_on(terminal: TextIO, *, total: int, initial: int = 0) -> tqdm[NoReturn]:
    """A bar that counts images."""
    # Some terminals do not know their size; the bar would hide from them.
    sized = min(os.get_terminal_size(terminal.fileno())) > 0
    return tqdm(
        total=total,
        initial=initial,
        unit="image",
        file=terminal,
        dynamic_ncols=sized,
        ncols=None if sized else _COLUMNS,
        nrows=None if sized else _ROWS,
        smoothing=0.1,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
    )


@contextlib.contextmanager
def counter(what: str, *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, and nothing elsewhere; told how many images are done, and of how many."""
    bar = bar_on(sys.stderr, total=0) if shown and sys.stderr.isatty() else None
    if bar is None:
        yield lambda done, wanted: None
        return

    def progress(done: int, wanted: int) -> None:
        bar.total = wanted
        bar.update(done - bar.n)

    bar.set_description(what, refresh=False)
    with contextlib.closing(bar):
        yield progress


def _short(text: str, width: int = 40) -> str:
    line = " ".join(text.split())
    return f"“{line if len(line) <= width else line[: width - 1] + '…'}”"
