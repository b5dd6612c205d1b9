"""Tables of rows, one module for each kind of file; all give the names of their columns, and records of cells.

Text and CSV have cells of text; JSON lines and Parquet keep the types of theirs. Whatever the kind, a table is read
as a stream, anew by each call, and memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Collection

from batchgen.manifest.problems import Problems
from batchgen.manifest.source import Source
from batchgen.manifest.tables.record import Cell, Record, Table

__all__ = ["Cell", "Record", "Table", "open_table"]


def open_table(
    source: Source, problems: Problems, *, wanted: Collection[str] = (), delimiter: str | None = None
) -> Table | None:
    """The table in a file; None, with the reasons in *problems*, if it has no columns or no rows.

    Args:
        wanted: names that its columns probably have, by which its delimiter is found.
        delimiter: what separates its cells; None to find out.
    """
    match source.kind:
        case ".parquet":
            from batchgen.manifest.tables import parquet

            return parquet.open_table(source, problems)
        case ".jsonl":
            from batchgen.manifest.tables import json_lines

            return json_lines.open_table(source, problems)
        case ".txt":
            from batchgen.manifest.tables import plain

            return plain.open_table(source, problems)
        case _:
            from batchgen.manifest.tables import separated

            return separated.open_table(source, problems, wanted=wanted, delimiter=delimiter)
