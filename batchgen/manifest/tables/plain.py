"""Text files: a prompt a line; empty lines and `# comments` are left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from batchgen.manifest.problems import Problems
from batchgen.manifest.source import Source
from batchgen.manifest.tables.record import Record, Table


def open_table(source: Source, problems: Problems) -> Table | None:
    """A table of the one column prompt."""

    def records(_: Problems, __: Collection[int] = ()) -> Iterator[Record]:
        for number, text in source.values():
            yield Record(number, [text])

    first = next(records(problems), None)
    if first is None:
        problems.add(None, "the file has no prompts.", "Write one a line.")
        return None
    header = str(first.cells[0]).lower().split("\t")
    if "prompt" in header:
        message = "this is a table: its first line names the column prompt."
        problems.add(first.line, message, "Rename the file to .tsv if tabs separate its cells, else to .csv.")
        return None
    return Table(names=["prompt"], line=None, records=records)
