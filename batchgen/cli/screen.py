"""A text on standard output that changes in place on a terminal, and is printed again and again elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
from typing import Self

from batchgen.cli.speech import say
from batchgen.cli.words.phrases import cut, printable

_COLUMNS, _ROWS = 80, 24  # of a terminal that does not say
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[2J"


class Screen(contextlib.AbstractContextManager["Screen"]):
    """Shows texts, each in place of the one before if that is on a terminal."""

    def __init__(self) -> None:
        self._in_place = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_place and self._shown:
            say("")

    def show(self, text: str) -> bool:
        """Show a text; on a terminal lines are folded to its width, and no more are shown than it has room for.

        Returns:
            Whether it could be shown.
        """
        self._shown += 1
        lines = [printable(line) for line in text.splitlines()]
        if not self._in_place:
            return say("\n".join([*lines, ""]))
        columns, rows = self._size()
        lines = [part for line in lines for part in _folded(line, columns - 1)]
        if len(lines) >= rows:
            lines = [*lines[: rows - 2], f"… and {len(lines) - rows + 2} more lines"]
        start = _CLEAR + _HOME if self._shown == 1 else _HOME
        body = "\n".join(f"{cut(line, columns - 1)}{_CLEAR_LINE}" for line in lines)
        return say(f"{start}{body}{_CLEAR_BELOW}", end="")

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:  # it has gone away, which `say` will notice
            return _COLUMNS, _ROWS
        return size.columns or _COLUMNS, size.lines or _ROWS


def _folded(line: str, columns: int) -> list[str]:
    """The line in as many as it takes; what goes on is further to the right than what begins."""
    begins = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, max(20, columns), subsequent_indent=begins + "  ", drop_whitespace=True) or [""]
