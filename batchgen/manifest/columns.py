"""What the columns of a table mean, and what its records so say of their rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TypeVar, cast

from batchgen.manifest.names import did_you_mean, is_split, near, sendable, shown, squashed, written
from batchgen.manifest.parameters import LabelNames, Parameters, check_label, misspelt_column, slip_of
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.schema import LabelType
from batchgen.manifest.tables import Cell, Record, Table
from batchgen.model import LabelValue, ParamValue
from batchgen.profile import Parameter

V = TypeVar("V")
#: Different cells of a column whose checked value is remembered.
_REMEMBERED = 4_096
_LABEL = "label."
#: What a column can be besides a parameter or a label.
_OWN = ("prompt", "file_prefix", "split", "repeat")
#: Columns of one table; more are refused.
_MOST = 2_000
_REPEAT = Parameter(type="integer", minimum=1)
_INDEX_TYPES: Mapping[LabelType, str] = {"text": "str", "integer": "int", "number": "float", "boolean": "bool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one column is: a target like `prompt`, `guidance_scale` or `label.class`; or nothing."""

    target: str | None
    type: LabelType | None = None  #: of a label; None: as it stands there

    @property
    def label(self) -> str | None:
        """The label that it is, if it is one."""
        return self.target.removeprefix(_LABEL) if self.target and self.target.startswith(_LABEL) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a row says for itself, over all that holds for its source."""

    line: int  #: 1-based
    prompt: str | None = None
    file_prefix: str | None = None
    split: str | None = None
    repeat: int | None = None  #: at least 1
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    labels: Mapping[str, LabelValue] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)  #: what templates may name


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The meaning of a table's cells, by their position in a record."""

    count: int
    prompt: int | None
    file_prefix: int | None
    split: int | None
    repeat: int | None
    nameless: Sequence[int]  #: those without a name; nothing may stand in them
    params: Mapping[int, tuple[str, Callable[[Cell], ParamValue]]]  #: name, and how its cells are checked
    labels: Mapping[int, tuple[str, Callable[[Cell], LabelValue]]]
    words: Mapping[str, int]  #: what templates may name
    label_types: Mapping[str, str]  #: label -> int, float, bool or str, where the table or its columns say so


class ColumnReader:
    """Finds out what the header of one table means.

    Args:
        mapping: what the manifest says of columns, by their names.
        label_names: of the whole manifest.
        prompt_given: whether the manifest has a prompt for all rows, so that no column need be one.
        alone: the table, where it is the manifest itself and has no mapping: one is written in a manifest of its own.
    """

    def __init__(
        self,
        parameters: Parameters,
        mapping: Mapping[str, Meaning],
        label_names: LabelNames,
        *,
        prompt_given: bool,
        alone: str | None = None,
    ) -> None:
        self._parameters = parameters
        self._mapping = mapping
        self._label_names = label_names
        self._prompt_given = prompt_given
        self._alone = alone

    def read(self, table: Table, problems: Problems) -> Columns | None:
        """What the header says; None if there is no reading on, with the reasons in *problems*."""
        if len(table.names) > _MOST:
            problems.add(table.line, f"the table has more than {_MOST:,} columns.", "Put what varies into rows.")
            return None
        _refuse_doubtful(table, problems)
        meanings = self._meanings(table, problems)
        at = {str(meaning.target): position for position, meaning in meanings.items()}
        if "prompt" not in at and not self._prompt_given:
            self._refuse_no_prompt(table, problems)
            return None
        labels = {position: meaning for position, meaning in meanings.items() if meaning.label is not None}
        types = {
            str(meaning.label): _INDEX_TYPES[meaning.type] if meaning.type else table.type_of(position)
            for position, meaning in labels.items()
        }
        return Columns(
            count=len(table.names),
            prompt=at.get("prompt"),
            file_prefix=at.get("file_prefix"),
            split=at.get("split"),
            repeat=at.get("repeat"),
            nameless=[] if "" in self._mapping else [n for n, name in enumerate(table.names) if not name],
            params={
                position: (name, _param_check(self._parameters, name))
                for name, position in at.items()
                if name in self._parameters.known
            },
            labels={
                position: (str(meaning.label), _label_check(meaning, text=table.text))
                for position, meaning in labels.items()
            },
            words={str(meaning.label): position for position, meaning in labels.items()}
            | {name: position for position, name in enumerate(table.names)},
            label_types={name: kind for name, kind in types.items() if kind is not None},
        )

    def _meanings(self, table: Table, problems: Problems) -> dict[int, Meaning]:
        """What each column is, by position, without those that are nothing; no two are the same."""
        found: dict[str, tuple[int, Meaning]] = {}
        first = _firsts(table.names)
        for position, name in enumerate(table.names):
            if not name or first[name] != position:
                continue  # refused already, or looked at row by row
            try:
                meaning = self._meaning(name, (table.line_of(name), problems.source))
                if meaning.label is not None and name in table.odd:
                    message = f"{name}: holds {table.odd[name]}, which no label does."
                    raise Refused(message, f"Leave it out: {self._mapped(name, 'null')}.")
                if meaning.target in found:
                    raise Refused(f"{name}: is a second column for {meaning.target}.", "Map one of them to null.")
            except Refused as refusal:
                problems.refuse(table.line_of(name), refusal)
            else:
                if meaning.target is not None:
                    found[meaning.target] = position, meaning
        return dict(found.values())

    def _meaning(self, name: str, place: tuple[int | None, str]) -> Meaning:
        if name in self._mapping:
            return self._mapping[name]
        if name in self._parameters.known or name in _OWN:
            return Meaning(target=name)
        if name == "batch_id":
            raise Refused(
                "batch_id: a table is one batch, so no column can set it.", "Remove it; use --batch-id instead."
            )
        if meant := misspelt_column(name, self._parameters.known):
            hint = f"Did you mean {meant}? Rename it, or map it: {self._mapped(name, meant)}."
            raise Refused(f"{name}: unknown column.", hint)
        if meant := slip_of(name, self._parameters.known):
            as_label = self._mapped(name, f"{_LABEL}{name}")
            hint = f"Did you mean {meant}? Rename it; or to have it as a label, write {as_label}."
            raise Refused(f"{name}: looks like {meant}, misspelt.", hint)
        if name == "seed":
            self._parameters.must_know(name)  # says why there is none
        self._label_names.check(name, *place)
        return Meaning(target=_LABEL + name)

    def _refuse_no_prompt(self, table: Table, problems: Problems) -> None:
        alike = [name for name in table.names if squashed(name) == "prompt"]
        if any(name in self._mapping for name in alike):
            message = f"{alike[0]} is mapped to something else, so no column is the prompt."
            problems.add(table.line, message, "Map another column to prompt, or give one prompt for all rows.")
        elif not alike:  # else it was refused already, for how it is written
            problems.add(table.line, "the table has no column prompt.", self._prompt_hint(table))

    def _prompt_hint(self, table: Table) -> str:
        if meant := near("prompt", table.names):
            return f"Is it {meant}? Call it prompt, or map it: {self._mapped(meant, 'prompt')}."
        found = ", ".join(name for name in table.names[:20] if name)
        if table.read_as is None:
            return f"It has: {found}."
        return f"The first line names the columns; read with {table.read_as} it has: {found}."

    def _mapped(self, name: str, target: str) -> str:
        """What to write so that a column is something."""
        columns = f"columns: {{{name}: {target}}}"
        return columns if self._alone is None else f"in a .yaml, prompts: {{file: {self._alone}, {columns}}}"


def check_meaning(column: str, meaning: Meaning, parameters: Parameters) -> None:
    """
    Raises:
        Refused: no column can have that meaning.
    """
    target = meaning.target
    if target is None or target in _OWN or target in parameters.known:
        return
    if meaning.label is not None:
        return
    known = [*_OWN, *parameters.known]
    hint = did_you_mean(target, known) or f"To keep the column as a label: {column}: {_LABEL}{target}."
    raise Refused(f"{column}: no column can be {target!r}; there are {', '.join(known)} and label.NAME.", hint)


def _firsts(names: Sequence[str]) -> dict[str, int]:
    """Where each name stands first."""
    return {name: position for position, name in reversed([*enumerate(names)])}


def _refuse_doubtful(table: Table, problems: Problems) -> None:
    first = _firsts(table.names)
    for position, name in enumerate(table.names):
        if name and first[name] != position:
            message = f"{name}: stands twice in the header, as columns {first[name] + 1} and {position + 1}."
            problems.add(table.line, message, "Rename one.")


def _param_check(parameters: Parameters, name: str) -> Callable[[Cell], ParamValue]:
    def check(cell: Cell) -> ParamValue:
        return parameters.parse(name, cell) if isinstance(cell, str) else parameters.check(name, cell)

    return check if parameters.known[name].type == "text" else _remembering(check)


def _label_check(meaning: Meaning, *, text: bool) -> Callable[[Cell], LabelValue]:
    """How cells become labels: as they are, or of the type that the manifest declares; an empty cell is nothing."""
    label = str(meaning.label)
    if meaning.type is None:
        return (lambda cell: str(cell) or None) if text else partial(check_label, label)
    declared, as_text = Parameter(type=meaning.type), meaning.type == "text"

    def check(cell: Cell) -> LabelValue:
        if cell is None or cell == "":
            return None
        try:
            if as_text and isinstance(cell, bool | int | float):
                return written(cell)
            return cast(LabelValue, declared.parse(cell) if isinstance(cell, str) else declared.check(cell))
        except ValueError as error:
            raise Refused(f"{label}: {error}") from error

    return _remembering(check)


def _remembering(check: Callable[[Cell], V]) -> Callable[[Cell], V]:
    remembered = lru_cache(_REMEMBERED, typed=True)(check)

    def checked(cell: Cell) -> V:
        try:
            return remembered(cell)
        except TypeError:  # a list has no hash
            return check(cell)

    return checked


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReader:
    """What the records of a table say of their rows, and what is wrong with those that say nothing."""

    table: Table
    columns: Columns
    named: Collection[str]  #: what the templates of the source name; other words are left out
    own_prompts: bool  #: whether each row's prompt is its own
    parameters: Parameters
    splits: Collection[str]  #: the manifest's parts; none if it makes none

    def rows(self, problems: Problems) -> Iterator[Given | None]:
        """In the order of the table; None for a row with problems."""
        words = {name: position for name, position in self.columns.words.items() if name in self.named}
        columns = self.columns
        needed = {*columns.params, *columns.labels, *words.values(), *columns.nameless}
        needed.update(
            at for at in (columns.prompt, columns.file_prefix, columns.split, columns.repeat) if at is not None
        )
        for record in self.table.records(problems, needed):
            try:
                yield self._given(record, words, problems)
            except Refused as refusal:
                problems.refuse(record.line, refusal)
                yield None

    def _given(self, record: Record, words: Mapping[str, int], problems: Problems) -> Given | None:
        cells, columns = record.cells, self.columns
        if len(cells) != columns.count:
            raise _wrong_count(len(cells), columns.count)
        for position in columns.nameless:
            if cells[position] not in (None, ""):
                message = f"column {position + 1} has no name, and {shown(cells[position])} stands in it."
                raise Refused(message, "Name it in the header, or leave it out: columns: {'': null}.")
        params = self._params(record, problems)
        prompt = self._text("prompt", columns.prompt, cells) if self.own_prompts else None
        if self.own_prompts and prompt is None:
            raise Refused("prompt: is empty.", "Write what the image shows, or remove the row.")
        if params is None:
            return None
        return Given(
            line=record.line,
            prompt=prompt,
            file_prefix=self._text("file_prefix", columns.file_prefix, cells),
            split=self._split(cells),
            repeat=self._repeat(cells),
            params=params,
            labels={name: check(cells[position]) for position, (name, check) in columns.labels.items()},
            words={name: _word(cells[position]) for name, position in words.items()},
        )

    def _params(self, record: Record, problems: Problems) -> dict[str, ParamValue] | None:
        values: dict[str, ParamValue] = {}
        refused = False
        for position, (name, check) in self.columns.params.items():
            cell = record.cells[position]
            if cell is None or (isinstance(cell, str) and self._is_blank(cell, name)):
                continue
            try:
                values[name] = check(cell)
            except Refused as refusal:
                problems.refuse(record.line, refusal)
                refused = True
        return None if refused else values

    def _is_blank(self, cell: str, name: str) -> bool:
        """Whether a cell says nothing; where a table has types, an empty text is a text."""
        return not cell.strip() and (self.table.text or self.parameters.known[name].type != "text")

    def _split(self, cells: Sequence[Cell]) -> str | None:
        part = self._text("split", self.columns.split, cells)
        if part is not None and not is_split(part):
            raise Refused(f"split: {shown(part)} is no name of a part.", "Write one like train or test.")
        if part is not None and self.splits and part not in self.splits:
            hint = did_you_mean(part, self.splits) or f"There are {', '.join(self.splits)}."
            raise Refused(f"split: the manifest has no part {shown(part)}.", hint)
        return part

    def _repeat(self, cells: Sequence[Cell]) -> int | None:
        cell = None if self.columns.repeat is None else cells[self.columns.repeat]
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return None
        try:
            return int(cast(int, _REPEAT.parse(cell) if isinstance(cell, str) else _REPEAT.check(cell)))
        except ValueError as error:
            raise Refused(f"repeat: {error}") from error

    def _text(self, name: str, position: int | None, cells: Sequence[Cell]) -> str | None:
        """What a cell of text says; None if it is blank."""
        cell = None if position is None else cells[position]
        if cell is None:
            return None
        if not isinstance(cell, str):
            raise Refused(f"{name}: must be text, not {shown(cell)}.", "Write it in quotes.")
        if not sendable(cell):
            raise Refused(f"{name}: has a NUL character or half of a surrogate pair in it, which no text may.")
        return cell if cell.strip() else None


def _word(cell: Cell) -> str:
    if cell is None or isinstance(cell, bool | int | float | str):
        return "" if cell is None else written(cell)
    raise Refused(f"a text names a cell that is {shown(cell)}.", "Only text and numbers can be filled in.")


def _wrong_count(found: int, expected: int) -> Refused:
    cells = "cell" if found == 1 else "cells"
    hint = "A cell with the separator in it goes in double quotes." if found > expected else None
    return Refused(f"{found} {cells} where the header names {expected} columns.", hint)
