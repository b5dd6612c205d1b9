"""Text files: a prompt a line; empty lines and `# comments` are left out."""

from __future__ import annotations

from collections.abc import Iterator

from batchgen.manifest.problems import Problems
from batchgen.manifest.source import Source
from batchgen.manifest.tables.record import Record, Table


def open_table(source: Source, problems: Problems) -> Table | None:
    """A table of the one column prompt."""

    def records(_: Problems) -> Iterator[Record]:
        for number, line in enumerate(source.lines(), start=1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield Record(number, [text])

    if next(records(problems), None) is None:
        problems.add(None, "the file has no prompts.", "Write one a line.")
        return None
    return Table(names=["prompt"], line=None, records=records)
