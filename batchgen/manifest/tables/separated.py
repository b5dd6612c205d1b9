"""CSV and TSV text -> records of cells that know their lines, quoted newlines and all.

Comma and semicolon tables are read strictly, as spreadsheets write them. Tab-separated ones are also found with
double quotes that mean nothing: there a cell counts as quoted only if its quotes are paired like a spreadsheet's.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain, islice

from batchgen.manifest.names import squashed
from batchgen.manifest.problems import Problems
from batchgen.manifest.source import Source
from batchgen.manifest.tables.record import Record, Table

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SAID = re.compile(r'"?sep=([^"])"?', re.IGNORECASE)  # how spreadsheets say in the first line what separates


def open_table(
    source: Source, problems: Problems, *, wanted: Collection[str] = (), delimiter: str | None = None
) -> Table | None:
    """See `tables.open_table`."""
    separator = delimiter or _find_delimiter(source, wanted)

    def records(noted: Problems, _: Collection[int] = ()) -> Iterator[Record]:
        found = islice(_records(source.lines(), separator, noted), 1, None)
        # Spreadsheets write empty rows, too, and editors leave a blank behind the last one.
        return (record for record in found if any(cell and not str(cell).isspace() for cell in record.cells))

    before = len(problems)
    head = list(islice(_records(source.lines(), separator, problems), 2))
    if len(head) == 1 and len(problems) == before:
        problems.add(None, "the table has no rows.", "Write at least one line below the header.")
    if not head:
        return None
    names = [str(cell).strip() for cell in head[0].cells]
    return Table(names=names, line=head[0].line, read_as=_DELIMITERS.get(separator), records=records)


def _find_delimiter(source: Source, wanted: Collection[str]) -> str:
    """What separates the cells: a tab in a .tsv; else what the first line says, or whatever makes a wanted column
    appear, or most columns."""
    if source.kind == ".tsv":
        return "\t"
    first = next(source.lines())
    if said := _SAID.fullmatch(first.rstrip("\r\n")):
        return said[1]
    known = {"prompt", *map(squashed, wanted)}

    def columns(delimiter: str) -> tuple[bool, int]:
        names = [squashed(name.strip().strip('"')) for name in first.split("\r")[0].split(delimiter)]
        return not known.isdisjoint(names), len(names)

    return max(_DELIMITERS, key=columns)


class _Lines:
    """The lines of a file, of which those since the last `mark` can be read again."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = _each(lines)
        self._again: deque[str] = deque()
        self._since_mark: list[str] = []
        self.read = 0  #: lines before the mark

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._since_mark.append(line)
        return line

    def mark(self) -> None:
        self.read += len(self._since_mark)
        self._since_mark.clear()

    def first_alone(self) -> str:
        """The first line since the mark; those after it come again."""
        first, *rest = self._since_mark
        self._again.extendleft(reversed(rest))
        self._since_mark = [first]
        return first


def _each(lines: Iterable[str]) -> Iterator[str]:
    """The lines; where the first has bare carriage returns in it (old spreadsheets), these end lines, too."""
    source = iter(lines)
    first = next(source, "")
    if _SAID.fullmatch(first.rstrip("\r\n")):
        first = "\n"  # an empty line, so that the lines after it keep their numbers
    if "\r" not in first.removesuffix("\r\n"):
        return chain([first], source)
    return chain.from_iterable(io.StringIO(line, newline="") for line in chain([first], source))


def _records(lines: Iterable[str], delimiter: str, problems: Problems) -> Iterator[Record]:
    """The records of a table, its header first; empty lines are left out.

    What cannot be read as a table is added to *problems*, and is the end.
    """
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    read = _forgiving(reader, source, delimiter) if delimiter == "\t" else reader.__next__
    while True:
        source.mark()
        try:
            cells = read()
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(source.read + 1, *_in_words(error, delimiter))
            return
        if cells:
            yield Record(source.read + 1, [_with_plain_ends(cell) if "\r" in cell else cell for cell in cells])


def _with_plain_ends(cell: str) -> str:
    """Newlines in a cell are newlines, whatever system wrote them: a text is the same text, and paid for once."""
    return cell.replace("\r\n", "\n").replace("\r", "\n")


def _forgiving(reader: Iterator[list[str]], source: _Lines, delimiter: str) -> Callable[[], list[str]]:
    def read() -> list[str]:
        try:
            return next(reader)
        except csv.Error:
            cells = source.first_alone().rstrip("\r\n").split(delimiter)
            if max(map(len, cells)) > csv.field_size_limit():
                raise
            return [cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell for cell in cells]

    return read


def _in_words(error: csv.Error, delimiter: str) -> tuple[str, str]:
    if "limit" in str(error):
        message = f"a cell that begins in this line is longer than {csv.field_size_limit():,} characters."
        return message, "Is a closing double quote missing?"
    if "unexpected end" in str(error):
        return "a quoted cell that begins in this line does not end.", "Add the closing double quote."
    if "new-line" in str(error):
        return "a carriage return stands in a cell that is not quoted.", "Put the cell in double quotes."
    expected = _DELIMITERS.get(delimiter, repr(delimiter))
    message = f"a quoted cell goes on after its closing quote, where a {expected} is expected."
    return message, 'Put the whole cell in double quotes, and write those inside it twice: "a ""big"" fox".'
