"""What a document sweeps: its variables and axes, as dimensions of a space, each value checked with its line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from batchgen.errors import ManifestError
from batchgen.manifest.axes import Dimension, Space, Value, read_range, spelling
from batchgen.manifest.document import Location, Mark, Node, keys_at, line_of
from batchgen.manifest.names import QUOTE, did_you_mean, is_of_images, shown, written
from batchgen.manifest.parameters import Parameters
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.remarks import Remarks
from batchgen.manifest.source import Reach
from batchgen.manifest.words import BUILT_IN

#: Values of an axis that are all looked at; of more, which only a range has, the ends tell.
_LONGEST_LOOKED_THROUGH = 100_000
_LISTED = 8  # values that a message names
#: Combinations as they are written, each with its position.
Combinations = Sequence[tuple[int, Mapping[str, Value]]]
_NAME = "a name has letters, digits, _ and ., a letter first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Draw so many of all combinations, instead of all."""

    count: int  #: at least 1
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The variables and axes of a manifest."""

    variables: Mapping[str, Dimension]  #: in the order of the document
    axes: Space
    axis_names: tuple[str, ...]
    include: Sequence[Mapping[str, Value]]
    include_lines: Sequence[int | None] = ()  #: where each stands
    sample: Sample | None
    names: frozenset[str]  #: of all variables and axes, the refused ones too
    line: int | None = None  #: where the axes stand
    lines: Mapping[str, int] = field(default_factory=dict)  #: where each variable and axis stands

    @property
    def dimensions(self) -> tuple[tuple[str, int], ...]:
        """What varies, and how many values it has; the axes of a zip group as one: `width, height`."""
        everything = (*self.variables.values(), *self.axes.dimensions)
        return tuple((", ".join(dimension.names), len(dimension)) for dimension in everything)


class SweepReader:
    """Reads `variables` and `axes`.

    Args:
        reach: the files that variables may name.
        parameters: of the profile; None if there is no such profile.
        remarks: filled with what is allowed and most likely not meant.
    """

    def __init__(
        self, root: Node | None, problems: Problems, parameters: Parameters | None, reach: Reach, remarks: Remarks
    ) -> None:
        self._root = root
        self._problems = problems
        self._parameters = parameters
        self._reach = reach
        self._remarks = remarks

    def read(self, top: Mapping[str, object]) -> Sweep:
        """What there is; with problems, what is sound of it."""
        axes = _mapping(top.get("axes"))
        variables = self._dimensions(_mapping(top.get("variables")), ("variables",))
        grid = self._dimensions(_mapping(axes.get("grid")), ("axes", "grid"))
        dimensions = [*grid.values(), *self._zips(axes.get("zip"))]
        names = tuple(name for dimension in dimensions for name in dimension.names)
        # What was refused as an axis is no reason to complain of it again elsewhere.
        groups = axes.get("zip")
        parts = [axes.get("grid"), *(groups if isinstance(groups, list) else [])]
        asked = tuple(name for part in parts for name in _mapping(part))
        for name in names:
            if name in variables:
                self._refuse(("axes",), Refused(f"{name}: is a variable and an axis.", "Rename one of them."))
        self._refuse_alike(names)
        include = self._combinations(axes.get("include"), "include", asked)
        excluded = self._combinations(axes.get("exclude"), "exclude", (*variables, *asked))
        exclude = self._excludes(excluded, (*variables.values(), *dimensions))
        return Sweep(
            variables=variables,
            axes=self._space(dimensions, exclude),
            axis_names=names,
            include=self._includes(include, names),
            include_lines=[self._line(("axes", "include", position)) for position, _ in include],
            sample=self._sample(axes.get("sample")),
            names=frozenset((*_mapping(top.get("variables")), *asked)),
            line=self._line(("axes",)),
            lines=self._lines(groups),
        )

    def _lines(self, groups: object) -> dict[str, int]:
        places: list[Location] = [("variables",), ("axes", "grid")]
        places += [("axes", "zip", position) for position in range(len(groups) if isinstance(groups, list) else 0)]
        found = [] if self._root is None else [keys_at(self._root, place) for place in places]
        return {name: line for lines in found for name, line in lines.items()}

    def _refuse_alike(self, names: Iterable[str]) -> None:
        """Two axes may not differ in case only: databases take their columns for one."""
        seen: dict[str, str] = {}
        for name in names:
            other = seen.setdefault(name.lower(), name)
            if other != name:
                self._refuse(("axes",), Refused(f"{name}: differs from the axis {other} only in case.", "Rename one."))

    def _space(self, dimensions: Sequence[Dimension], exclude: Sequence[tuple[int, Mapping[str, Value]]]) -> Space:
        try:
            return Space(dimensions, exclude=[one for _, one in exclude])
        except Refused as refusal:
            self._refuse(("axes",), refusal)
            return Space([])

    def _dimensions(self, given: Mapping[str, object], location: Location) -> dict[str, Dimension]:
        found: dict[str, Dimension] = {}
        for name, values in given.items():
            here = (*location, name)
            try:
                _check_name(name, axis=location[0] == "axes")
                column = self._values(name, values, here)
                if column is not None:
                    found[name] = Dimension(names=(name,), columns=(self._canonical(name, column, location),))
                    self._warn_of_values(name, column, here)
            except Refused as refusal:
                self._refuse(here, refusal)
        return found

    def _warn_of_values(self, name: str, column: Sequence[Value], location: Location) -> None:
        line, source = self._line(location), self._problems.source
        if (repeated := _twice(column)) and "zip" not in location:  # there, they may well repeat beside others
            value = "null" if repeated[0] is None else shown(repeated[0])
            stand = "stands" if len(repeated) == 1 else f"and {len(repeated) - 1:,} more stand"
            self._remarks.note(f"{name}: {value} {stand} there more than once", source, line)
        if len(column) <= _LONGEST_LOOKED_THROUGH and any(isinstance(one, str) and "{" in one for one in column):
            self._remarks.note(f"{name}: braces in its values mean nothing, they are sent as they stand", source, line)

    def _zips(self, given: object) -> list[Dimension]:
        found: list[Dimension] = []
        for position, group in enumerate(given if isinstance(given, list) else []):
            location: Location = ("axes", "zip", position)
            columns = self._dimensions(_mapping(group), location)
            if len(columns) != len(_mapping(group)):
                continue  # was refused
            try:
                lists = tuple(dimension.columns[0] for dimension in columns.values())
                found.append(Dimension(names=tuple(columns), columns=lists))
            except Refused as refusal:
                self._refuse(location, refusal)
        return found

    def _values(self, name: str, given: object, location: Location) -> Sequence[Value] | None:
        """The values of one name; None if they were refused already."""
        match given:
            case Mark.UNUSABLE:
                return None
            case list():
                if Mark.UNUSABLE in given:
                    return None
                if None in given and not self._is_parameter(name, location):
                    raise Refused(f"{name}: null is a value of parameters only.", "Write '' for no text.")
                if not self._is_parameter(name, location) and any(isinstance(value, bool) for value in given):
                    raise Refused(f"{name}: true or false is no text; YAML reads yes, no, on and off so.", QUOTE)
                if not all(_is_value(value) for value in given):
                    raise Refused(f"{name}: each value must be text, a finite number, true or false.")
                return tuple(given)
            case {"file": str(file), **others} if not others:
                return self._from_file(name, file, location)
            case dict() if Mark.UNUSABLE in given.values():
                return None
            case dict():
                try:
                    return read_range(given)
                except Refused as refusal:
                    raise Refused(f"{name}: {refusal.message}", refusal.hint) from refusal
            case _:
                message = f"{name}: must be a list, a range like {{from: 1, to: 9, step: 2}} or {{file: names.txt}}"
                raise Refused(f"{message}, not {shown(given)}.", "One value alone is a list, too: [fox].")

    def _from_file(self, name: str, file: str, location: Location) -> Sequence[Value]:
        try:
            values = self._reach.values(file)
        except ManifestError as error:
            self._problems.include(error)
            raise Refused(f"file: {file} cannot be read.") from error
        if self._parameters is None or not self._is_parameter(name, location):
            return values
        return tuple(self._parameters.parse(name, value) for value in values)

    def _is_parameter(self, name: str, location: Location) -> bool:
        return location[0] == "axes" and self._parameters is not None and name in self._parameters.known

    def _canonical(self, name: str, column: Sequence[Value], location: Location) -> Sequence[Value]:
        """An axis that is a parameter has values of that parameter; null removes it."""
        if self._parameters is None or not self._is_parameter(name, location):
            return column
        ends = (
            column if len(column) <= _LONGEST_LOOKED_THROUGH else (column[0], column[-1])
        )  # of a long range, the ends tell
        for value in ends:
            if value is not None:
                self._parameters.check(name, value)
        return column

    def _combinations(self, given: object, key: str, known: Sequence[str]) -> list[tuple[int, Mapping[str, Value]]]:
        """The sound ones, with their positions."""
        found: list[tuple[int, Mapping[str, Value]]] = []
        for position, one in enumerate(given if isinstance(given, list) else []):
            sound = True  # which new problems cannot tell: equal ones count once
            for name, value in _mapping(one).items():
                location: Location = ("axes", key, position, name)
                if name not in known:
                    there = f"Known: {', '.join(known)}." if known else "There are none; write it under grid or zip."
                    hint = did_you_mean(name, known) or there
                    self._refuse(location, Refused(f"{name}: is no axis.", hint))
                    sound = False
                elif value is Mark.UNUSABLE:  # was refused
                    sound = False
                elif not _is_value(value):
                    message = f"{name}: must be one value, not {shown(value)}."
                    self._refuse(location, Refused(message, f"Write an entry of {key} for each value."))
                    sound = False
            if sound and isinstance(one, dict):
                found.append((position, one))
        return [(position, one) for position, one in found if one or key == "exclude"]

    def _excludes(self, found: Combinations, dimensions: Sequence[Dimension]) -> Combinations:
        """Each names values that there are: one that leaves out nothing is surely meant to, and costs."""
        columns = {
            name: column
            for dimension in dimensions
            for name, column in zip(dimension.names, dimension.columns, strict=True)
            if len(column) <= _LONGEST_LOOKED_THROUGH and any(name in one for _, one in found)
        }
        spelt = {name: {spelling(value): value for value in column} for name, column in columns.items()}
        sound: list[tuple[int, Mapping[str, Value]]] = []
        for position, one in found:
            meant: dict[str, Value] = {}
            for name, value in one.items():
                try:
                    meant[name] = self._meant(name, value)
                    if name in spelt and spelling(meant[name]) not in spelt[name]:
                        raise _never(name, value, spelt[name])
                except Refused as refusal:
                    self._refuse(("axes", "exclude", position, name), refusal)
            if len(meant) == len(one) and not _is_met(meant, dimensions):
                never = Refused("exclude: no combination is like this, so nothing is left out.", "Remove it.")
                self._refuse(("axes", "exclude", position), never)
            sound.append((position, meant if len(meant) == len(one) else one))
        return sound

    def _meant(self, name: str, value: Value) -> Value:
        """The value of an axis that is a parameter as that has it; a list is written as in a table's cell."""
        known = None if self._parameters is None else self._parameters.known.get(name)
        if self._parameters is None or known is None or value is None:
            return value
        if known.is_list:
            return value
        if isinstance(value, str) and known.type != "text":
            return self._parameters.parse(name, value)
        return self._parameters.check(name, value)

    def _includes(
        self, found: Sequence[tuple[int, Mapping[str, Value]]], names: Sequence[str]
    ) -> list[Mapping[str, Value]]:
        """Each says all that texts name: only parameters have a value elsewhere."""
        known = {} if self._parameters is None else self._parameters.known
        for position, one in found:
            for name in names:
                try:
                    if name in known and self._parameters is not None and one.get(name) is not None:
                        self._parameters.check(name, one[name])
                    elif name not in known and one.get(name) is None:
                        raise Refused(f"include: says nothing for {name}, which texts take.", f"Give {name} a value.")
                except Refused as refusal:
                    self._refuse(("axes", "include", position), refusal)
        return [one for _, one in found]

    def _sample(self, given: object) -> Sample | None:
        if not isinstance(given, dict):
            return None
        count, seed = given.get("count"), given.get("seed", 0)
        if not isinstance(count, int) or not isinstance(seed, int):
            return None  # the document's model complains
        return Sample(count=count, seed=seed)

    def _refuse(self, location: Location, refusal: Refused) -> None:
        self._problems.refuse(self._line(location), refusal)

    def _line(self, location: Location) -> int | None:
        return None if self._root is None else line_of(self._root, location)


def _is_met(one: Mapping[str, Value], dimensions: Sequence[Dimension]) -> bool:
    """Whether the axes of each zip group have the values of an exclude side by side."""
    for dimension in dimensions:
        columns = [
            (spelling(one[name]), column)
            for name, column in zip(dimension.names, dimension.columns, strict=True)
            if name in one
        ]
        if len(columns) > 1 and len(dimension) <= _LONGEST_LOOKED_THROUGH:
            wanted = [value for value, _ in columns]
            rows = zip(*(column for _, column in columns), strict=True)
            if not any([spelling(value) for value in row] == wanted for row in rows):
                return False
    return True


def _never(name: str, value: Value, values: Mapping[str | None, Value]) -> Refused:
    spelt = ["null" if one is None else written(one) for one in values.values()]
    listed = ", ".join([*spelt[:_LISTED], *(["…"] if len(spelt) > _LISTED else [])])
    hint = did_you_mean(written(value), spelt) if isinstance(value, str) else None
    said = "null" if value is None else shown(value)
    return Refused(f"{name}: is never {said}, so nothing is left out.", hint or f"It is one of {listed}.")


def _check_name(name: str, *, axis: bool) -> None:
    if not (name[:1].isalpha() and name.replace(".", "_").isidentifier()):
        raise Refused(f"{name}: {_NAME}.", "Rename it.")
    if name in (*BUILT_IN, "prompt", "env") or name.startswith("env."):
        raise Refused(f"{name}: is a name that every manifest has.", "Rename it.")
    if axis and name in ("batch_id", "file_prefix"):
        raise Refused(f"{name}: a tag is no axis.", "Name an axis in the tag instead, like file_prefix: '{style}'.")
    if axis and is_of_images(f"axis_{name}"):
        raise Refused(f"{name}: no axis can be called so; loaders take such a column for images.", "Rename it.")


def _is_value(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _mapping(given: object) -> Mapping[str, object]:
    return given if isinstance(given, dict) else {}


def _twice(values: Sequence[Value]) -> Sequence[Value]:
    """The values that stand there more than once; of a long range, which has none, nothing is looked at."""
    if len(values) > _LONGEST_LOOKED_THROUGH:
        return ()
    counts = Counter(map(spelling, values))
    return [*{spelling(value): value for value in values if counts[spelling(value)] > 1}.values()]


def unused(sweep: Sweep, used: Iterable[str], parameters: Parameters) -> tuple[list[str], list[str]]:
    """Variables, and axes that are no parameter, which no template names."""
    named = set(used)
    axes = [name for name in sweep.axis_names if name not in named and name not in parameters.known]
    return [name for name in sweep.variables if name not in named], axes
