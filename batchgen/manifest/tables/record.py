"""What every kind of table gives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
    lines: Mapping[str, int] = field(default_factory=dict)  #: column -> where it is named first, if not all in one line
    odd: Mapping[str, str] = field(default_factory=dict)  #: columns that hold what is neither text nor number, and what
    #: Anew by each call; told where to note what is wrong, and the positions of the cells that are needed.
    records: Callable[[Problems, Collection[int]], Iterator[Record]] = field(repr=False)

    def line_of(self, name: str) -> int | None:
        """Where a column is named first."""
        return self.lines.get(name, self.line)

    def type_of(self, position: int) -> str | None:
        """What a column holds; None where the file does not say."""
        return "str" if self.text else self.types.get(self.names[position])
