"""What is allowed in a manifest, and most likely not meant: each told once, with how often it was met."""

from __future__ import annotations

from dataclasses import dataclass

#: Different remarks that are kept.
_KEPT = 100


@dataclass(slots=True)
class _Met:
    """Where something was met first, and in how many lines."""

    source: str
    line: int | None
    count: int = 1
    last: int | None = None

    def again(self, line: int | None) -> None:
        if line is None or line != self.last:  # combinations of one row count once
            self.count, self.last = self.count + 1, line


class Remarks:
    """Those of the document, and those of its rows, which the last reading of them met."""

    def __init__(self) -> None:
        self._document: dict[str, _Met] = {}
        self._rows: dict[str, _Met] = {}

    def note(self, text: str, source: str, line: int | None) -> None:
        """Note something of the document.

        Args:
            text: what is told of all places alike, without a full stop.
            source: the file, as the user named it.
            line: 1-based; None where the whole file is meant.
        """
        _put(self._document, text, source, line)

    def begin(self) -> None:
        """The rows are read anew."""
        self._rows.clear()

    def meet(self, text: str, source: str, line: int | None) -> None:
        """Note something of a row, as `note` does."""
        _put(self._rows, text, source, line)

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them as sentences."""
        return tuple(_sentence(text, met) for told in (self._document, self._rows) for text, met in told.items())


def _put(told: dict[str, _Met], text: str, source: str, line: int | None) -> None:
    met = told.get(text)
    if met is not None:
        met.again(line)
    elif len(told) < _KEPT:
        told[text] = _Met(source, line, last=line)


def _sentence(text: str, met: _Met) -> str:
    place = met.source if met.line is None else f"{met.source}:{met.line}"
    return f"{place}: {text}{'' if met.count == 1 else f' (met {met.count:,} times)'}."
