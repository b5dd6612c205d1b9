"""Parquet files: columns of plain types, which labels keep."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from batchgen.manifest.problems import Problems
from batchgen.manifest.source import Source
from batchgen.manifest.tables.record import Cell, Record, Table

_AT_ONCE = 2_000  # rows in memory


def open_table(source: Source, problems: Problems) -> Table | None:
    """Its columns; those whose type no label can have are for a column mapping to leave out."""
    try:
        with pq.ParquetFile(source.path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        problems.add(None, f"the file is no Parquet that can be read: {_short(error)}.", "Write it anew.")
        return None
    if not rows:
        problems.add(None, "the table has no rows.", "Write at least one.")
        return None
    kinds = {field.name: _kind(field.type) for field in schema}
    types = {name: kind for name, kind in kinds.items() if kind is not None}
    odd = {field.name: str(field.type) for field in schema if kinds[field.name] is None}

    def records(noted: Problems, needed: Collection[int]) -> Iterator[Record]:
        wanted = sorted(needed)
        number = 0
        try:
            with pq.ParquetFile(source.path) as file:
                for batch in file.iter_batches(batch_size=_AT_ONCE, columns=[schema.names[n] for n in wanted]):
                    columns: list[list[Cell]] = [[None] * len(batch)] * len(schema)
                    for position in wanted:
                        name = schema.names[position]
                        cells = batch.column(name).to_pylist()
                        columns[position] = [*map(_or_nothing, cells)] if kinds[name] == "float" else cells
                    for record in zip(*columns, strict=True):
                        number += 1
                        yield Record(number, record)
        except (OSError, pa.ArrowException, ValueError, OverflowError) as error:
            noted.add(number + 1, f"the table cannot be read from here on: {_short(error)}.", "Write it anew.")
            return
        if number != rows:
            raise source.changed()

    return Table(names=schema.names, line=None, text=False, types=types, odd=odd, records=records)


def _kind(arrow: pa.DataType) -> str | None:
    if pa.types.is_dictionary(arrow):
        return _kind(arrow.value_type)
    if pa.types.is_boolean(arrow):
        return "bool"
    if pa.types.is_integer(arrow):
        return "int"
    if pa.types.is_floating(arrow):
        return "float"
    return "str" if pa.types.is_string(arrow) or pa.types.is_large_string(arrow) else None


def _or_nothing(cell: Cell) -> Cell:
    """The cell, or None for not a number, by which data frames say that there is no value."""
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
