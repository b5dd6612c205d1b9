"""A text that changes in place on a terminal, and is printed again and again elsewhere."""

from __future__ import annotations

import contextlib
import os
from typing import Self, TextIO

from batchgen.cli.words.phrases import cut, printable

_COLUMNS, _ROWS = 80, 24  # of a terminal that does not say
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[2J"


class Screen(contextlib.AbstractContextManager["Screen"]):
    """Shows texts on a stream, each in place of the one before if that is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._in_place = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_place and self._shown:
            self._stream.write("\n")
            self._stream.flush()

    def show(self, text: str) -> None:
        """Show a text; on a terminal no line is wider, and no more lines are shown, than that has room for."""
        self._shown += 1
        lines = [printable(line) for line in text.splitlines()]
        if not self._in_place:
            print(*lines, "", sep="\n", file=self._stream, flush=True)
            return
        columns, rows = self._size()
        if len(lines) >= rows:
            lines = [*lines[: rows - 2], f"… and {len(lines) - rows + 2} more lines"]
        start = _CLEAR + _HOME if self._shown == 1 else _HOME
        body = "\n".join(f"{cut(line, columns - 1)}{_CLEAR_LINE}" for line in lines)
        self._stream.write(f"{start}{body}{_CLEAR_BELOW}")
        self._stream.flush()

    def _size(self) -> tuple[int, int]:
        size = os.get_terminal_size(self._stream.fileno())
        return size.columns or _COLUMNS, size.lines or _ROWS
