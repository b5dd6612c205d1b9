"""Parquet files: columns of plain types, which labels keep."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import pyarrow as pa

from batchgen.manifest.problems import Problems
from batchgen.manifest.source import Source
from batchgen.manifest.tables.record import Cell, Record, Table
from batchgen.streaming import streamed

_AT_ONCE = 2_000  # rows in memory
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def open_table(source: Source, problems: Problems) -> Table | None:
    """Its columns; those whose type no label can have are for a column mapping to leave out."""
    try:
        with streamed(source.path) as file:
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
            with streamed(source.path) as file:
                for batch in file.iter_batches(batch_size=_AT_ONCE, columns=[schema.names[n] for n in wanted]):
                    columns: list[list[Cell]] = [[None] * len(batch)] * len(schema)
                    for position in wanted:
                        name = schema.names[position]
                        columns[position] = _cells(batch.column(name))
                    for record in zip(*columns, strict=True):
                        number += 1
                        yield Record(number, record)
        except (OSError, pa.ArrowException, ValueError, OverflowError) as error:
            noted.add(number + 1, f"the table cannot be read from here on: {_short(error)}.", "Write it anew.")
            return
        source.must_be_unchanged()

    return Table(names=schema.names, line=None, text=False, types=types, odd=odd, records=records)


def _kind(arrow: pa.DataType) -> str | None:
    if pa.types.is_dictionary(arrow):
        return _kind(arrow.value_type)
    if pa.types.is_null(arrow):  # every row has nothing there
        return "str"
    if pa.types.is_boolean(arrow):
        return "bool"
    if pa.types.is_integer(arrow):
        return "int"
    if pa.types.is_floating(arrow):
        return "float"
    return "str" if any(is_text(arrow) for is_text in _TEXTS) else None


def _cells(column: pa.Array) -> list[Cell]:
    """Its values; None for not a number, by which data frames say that there is none."""
    if not pa.types.is_floating(column.type):
        return list(column.to_pylist())
    if pa.types.is_float64(column.type):
        cells = column.to_pylist()
    else:  # 7.1 of 32 bits is 7.1, not 7.099999904632568
        cells = [None if text is None else float(text) for text in column.cast(pa.string()).to_pylist()]
    return [None if cell is None or math.isnan(cell) else cell for cell in cells]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
