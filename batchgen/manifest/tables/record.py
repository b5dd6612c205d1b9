"""What every kind of table gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from batchgen.manifest.problems import Problems

#: What a cell holds: text, or a value of the table's own types. None: nothing.
Cell = object


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table as it stands there; several lines of the file where cells have newlines in them."""

    line: int  #: 1-based, where it begins; of Parquet: its position
    cells: Sequence[Cell]  #: as many as the table has columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that is there, with at least one row."""

    names: Sequence[str]  #: of its columns; may be doubtful: empty, or twice the same
    line: int | None  #: where they stand; None where they have no line
    read_as: str | None = None  #: how the header was read, where that was found out: `comma`
    text: bool = True  #: whether its cells are text, of which an empty one is nothing
    types: Mapping[str, str] = field(default_factory=dict)  #: column -> int, float, bool or str, where the file says so
    records: Callable[[Problems], Iterator[Record]] = field(repr=False)  #: anew by each call; adds what is wrong
