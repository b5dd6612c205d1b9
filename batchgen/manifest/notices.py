"""What is allowed in a manifest, and most likely not meant: each told once, with how often it was met."""

from __future__ import annotations

from collections.abc import Iterable

#: Different notices about rows that are kept.
_KEPT = 100


class Notices:
    """Those of the document, and those of its rows, which the last reading of them met.

    Args:
        document: whole sentences.
    """

    def __init__(self, document: Iterable[str] = ()) -> None:
        self._document = tuple(document)
        self._rows: dict[str, tuple[str, int]] = {}  # of each kind where it was met first, and how often

    def begin(self) -> None:
        """The rows are read anew."""
        self._rows.clear()

    def meet(self, text: str, source: str, line: int | None) -> None:
        """Note something of a row.

        Args:
            text: what is told of all rows alike, without a full stop.
            source: the file, as the user named it.
            line: 1-based; None where the whole file is meant.
        """
        first, count = self._rows.get(text, (source if line is None else f"{source}:{line}", 0))
        if count or len(self._rows) < _KEPT:
            self._rows[text] = first, count + 1

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them as sentences."""
        rows = (
            f"{first}: {text}{'' if count == 1 else f' (met {count:,} times)'}."
            for text, (first, count) in self._rows.items()
        )
        return (*self._document, *rows)
