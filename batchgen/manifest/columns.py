"""What the columns of a table mean, and the rows that its records make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from batchgen.manifest.names import near, safe_name, squashed
from batchgen.manifest.parameters import LabelNames, Parameters, misspelt_column
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.table import Record, delimiter_name
from batchgen.model import ParamValue, Row

#: Different cells of a column whose checked value is remembered.
_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The meaning of a table's cells, by their position in a record."""

    count: int
    prompt: int
    file_prefix: int | None
    params: Mapping[int, tuple[str, Callable[[str], ParamValue]]]  #: name, and how its cells are checked
    labels: Mapping[int, str]


def columns_of(header: Record, parameters: Parameters, problems: Problems, *, delimiter: str) -> Columns | None:
    """What the header says; None if there is no reading on, with the reasons in *problems*."""
    names = [cell.strip() for cell in header.cells]
    _refuse_doubtful(header.line, names, problems)
    params: dict[int, tuple[str, Callable[[str], ParamValue]]] = {}
    labels: dict[int, str] = {}
    label_names = LabelNames()
    for position, name in enumerate(names):
        if name in parameters.known:
            params[position] = (name, _cell_check(parameters, name))
        elif name and name not in ("prompt", "file_prefix"):
            try:
                _check_label_column(name, header.line, parameters, label_names)
            except Refused as refusal:
                problems.refuse(header.line, refusal)
            labels[position] = name
    if "prompt" not in names:
        if "prompt" not in map(squashed, names):  # else it was named already
            problems.add(header.line, "the table has no column prompt.", _prompt_hint(names, delimiter))
        return None
    prefix = names.index("file_prefix") if "file_prefix" in names else None
    return Columns(count=len(names), prompt=names.index("prompt"), file_prefix=prefix, params=params, labels=labels)


def _refuse_doubtful(line: int, names: list[str], problems: Problems) -> None:
    for position, name in enumerate(names):
        if not name:
            problems.add(line, f"column {position + 1} has no name.", "Name it in the first line, or remove it.")
        elif name in names[:position]:
            first = names.index(name) + 1
            problems.add(
                line, f"{name}: stands twice in the header, as columns {first} and {position + 1}.", "Rename one."
            )


def _check_label_column(name: str, line: int, parameters: Parameters, label_names: LabelNames) -> None:
    if name == "batch_id":
        raise Refused("batch_id: a table is one batch, so no column can set it.", "Remove it; use --batch-id instead.")
    if meant := misspelt_column(name, parameters.known):
        raise Refused(f"{name}: unknown column.", f"Did you mean {meant}?")
    if name == "seed":
        parameters.must_know(name)  # says why there is none
    label_names.check(name, line)


def _prompt_hint(names: list[str], delimiter: str) -> str:
    if meant := near("prompt", names):
        return f"Is it {meant}? Call it prompt."
    found = ", ".join(name for name in names[:20] if name)
    return f"The first line names the columns; read with {delimiter_name(delimiter)} it has: {found}."


def _cell_check(parameters: Parameters, name: str) -> Callable[[str], ParamValue]:
    check = partial(parameters.parse, name)
    return check if parameters.known[name].type == "text" else lru_cache(_REMEMBERED)(check)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMaker:
    """Makes rows of records, and notes what is wrong with those of which it cannot."""

    columns: Columns
    parameters: Parameters
    problems: Problems
    overrides: Mapping[str, ParamValue]  #: whatever the table says
    file_prefix: str  #: where the table says nothing; safe
    prefix_fixed: bool  #: whether it holds whatever the table says

    def rows(self, records: Iterator[Record]) -> Iterator[Row]:
        """In the order of the table; positions count the refused ones, too."""
        for index, record in enumerate(records):
            if len(record.cells) == self.columns.count:
                row = self._row(index, record)
                if row is not None:
                    yield row
            else:
                self._refuse_count(record)

    def _row(self, index: int, record: Record) -> Row | None:
        cells, columns = record.cells, self.columns
        params = self._params(record)
        prompt = cells[columns.prompt]
        if not prompt or prompt.isspace():
            self.problems.add(record.line, "prompt: is empty.", "Write what the image shows, or remove the row.")
            return None
        if params is None:
            return None
        return Row(
            index=index,
            prompt=prompt,
            params=params,
            file_prefix=self._prefix(cells),
            labels={name: cells[position] or None for position, name in columns.labels.items()},
        )

    def _params(self, record: Record) -> dict[str, ParamValue] | None:
        values = dict(self.parameters.defaults)
        refused = False
        for position, (name, check) in self.columns.params.items():
            cell = record.cells[position]
            if not cell or cell.isspace():
                continue
            try:
                values[name] = check(cell)
            except Refused as refusal:
                self.problems.refuse(record.line, refusal)
                refused = True
        if refused:
            return None
        try:
            return self.parameters.complete({**values, **self.overrides})
        except Refused as refusal:
            self.problems.refuse(record.line, refusal)
            return None

    def _prefix(self, cells: list[str]) -> str:
        position = self.columns.file_prefix
        if position is None or self.prefix_fixed or not cells[position].strip():
            return self.file_prefix
        return safe_name(cells[position], fallback=self.file_prefix)

    def _refuse_count(self, record: Record) -> None:
        found, expected = len(record.cells), self.columns.count
        hint = None
        if found > expected:
            hint = "A cell with the separator in it goes in double quotes."
        cells = "cell" if found == 1 else "cells"
        self.problems.add(record.line, f"{found} {cells} where the header names {expected} columns.", hint)
