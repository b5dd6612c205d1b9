"""Sources of rows and a sweep -> rows. Combinations are numbered, not listed; a draw of a thousand costs a thousand.

Order: sources as they stand; within one, its rows; of each row variables in the order of the document, then the
alternatives of its text, then axes (grid, then zip, then includes). The last varies fastest.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from batchgen.manifest.axes import Dimension, Space, Value, draw
from batchgen.manifest.columns import Given
from batchgen.manifest.names import safe_name, written
from batchgen.manifest.parameters import Parameters
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.remarks import Remarks
from batchgen.manifest.sweep import Sweep
from batchgen.manifest.template import Template, parse
from batchgen.model import LabelValue, ParamValue, Row, number_of

#: Combinations of axes that are kept, for the next row takes the same.
_KEPT = 4_096
_PLAIN = parse("")
#: Ways to make a request of one row, without a sample; more are surely not meant, and would take days to list.
_MOST = 100_000_000
_BRACES = "braces in a prompt are sent as they stand; beside file:, `templates: true` gives them their meaning"
_SAME_AGAIN = "repeat asks again for what has a fixed seed, and so for the same images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What holds for every row of a source, as far as a row does not say otherwise."""

    prompt: Template | None  #: None: each row has its own
    file_prefix: Template
    prefix_fixed: bool = False  #: whether the prefix holds whatever a row says
    params: Mapping[str, ParamValue | Template | None]  #: without defaults; None: as if not given
    labels: Mapping[str, LabelValue | Template]
    repeat: int = 1

    @property
    def names(self) -> frozenset[str]:
        """Everything that its templates name."""
        return self.names_sent.union(self.file_prefix.names)

    @property
    def names_sent(self) -> frozenset[str]:
        """Everything that its templates name but for the tag."""
        return self.names_asked.union(_names_in(self.labels.values()))

    @property
    def names_asked(self) -> frozenset[str]:
        """What its prompt and parameters name: what makes a difference to what is asked for."""
        return _names_in((self.prompt, *self.params.values()))


def _names_in(texts: Iterable[object]) -> frozenset[str]:
    return frozenset(name for text in texts if isinstance(text, Template) for name in text.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """One place of a manifest from which rows come: a prompt, or a table."""

    named: str  #: the file that holds the rows, as messages name it
    place: tuple[str, int | None]  #: file and line where its texts stand
    form: Form
    columns: frozenset[str] = frozenset()  #: what its templates may name besides
    rows: Callable[[Problems], Iterator[Given | None]] = field(repr=False)  #: anew by each call; None: refused
    single: bool = False  #: whether it surely is one row


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """One combination of axes."""

    words: Mapping[str, str]  #: as texts take them
    params: Mapping[str, ParamValue | None]  #: of axes that are parameters; None: as if not given
    labels: Mapping[str, Value]  #: of axes that are none


class _Axes:
    """The combinations of those axes that make a difference to a source: parameters, and what its texts name."""

    def __init__(
        self, dimensions: Sequence[Dimension], include: Sequence[Mapping[str, Value]], parameters: Parameters
    ) -> None:
        self._space, self._include, self._parameters = Space(dimensions), include, parameters
        self._made: dict[int, _Setting] = {}
        self.size = self._space.size + len(include)

    def values(self, number: int) -> Mapping[str, Value]:
        """The values of a combination; those of the includes come last."""
        added = number - self._space.size
        return self._space.at(number) if added < 0 else self._include[added]

    def is_included(self, number: int) -> bool:
        """Whether a combination is one of the includes."""
        return number >= self._space.size

    def at(self, number: int) -> _Setting:
        """
        Raises:
            Refused: an axis has a value that its parameter does not take.
        """
        setting = self._made.get(number)
        if setting is None:
            setting = self._setting(self.values(number))
            if len(self._made) < _KEPT:
                self._made[number] = setting
        return setting

    def _setting(self, values: Mapping[str, Value]) -> _Setting:
        known, defaults = self._parameters.known, self._parameters.defaults
        params = {
            name: defaults.get(name) if value is None else self._parameters.check(name, value)
            for name, value in values.items()
            if name in known
        }
        sent = {**values, **{name: value for name, value in params.items() if values[name] is None}}
        return _Setting(
            words={name: "" if value is None else written(value) for name, value in sent.items()},
            params=params,
            labels={name: value for name, value in values.items() if name not in known},
        )


class _Combinations:
    """All ways to make a request of one row of a source: its variables, the alternatives of its text, and axes."""

    def __init__(self, source: RowSource, sweep: Sweep, axes: _Axes) -> None:
        used = source.form.names - source.columns
        self._space = Space([dimension for name, dimension in sweep.variables.items() if name in used])
        self._prompt, self._axes, self._excluded = source.form.prompt or _PLAIN, axes, sweep.axes
        self.weighted = self._prompt.weighted
        self.size = self._space.size * self._prompt.size * axes.size

    def wanted(self) -> Iterable[int]:
        """The numbers of those that the manifest does not leave out, in order."""
        numbers = range(self.size)
        return (number for number in numbers if not self.excluded(number)) if self._excluded.excludes else numbers

    def excluded(self, number: int) -> bool:
        """Whether the manifest leaves it out."""
        variables, _, axes = self.split(number)
        own = self._space.at(variables)
        # What is included is there to be made; an exclude of variables alone means that prompt, and all of it.
        return self._excluded.excluded(own if self._axes.is_included(axes) else {**own, **self._axes.values(axes)})

    def favoured(self, number: int, chance: random.Random) -> int:
        """One that differs from *number* in nothing but the alternatives, which are drawn by their weights."""
        variables, _, axes = self.split(number)
        return (variables * self._prompt.size + self._prompt.draw(chance)) * self._axes.size + axes

    def split(self, number: int) -> tuple[int, int, int]:
        """The numbers of its variables' values, of the choice among its alternatives, and of its axes' values."""
        rest, axes = divmod(number, self._axes.size)
        return *divmod(rest, self._prompt.size), axes

    def variables(self, number: int) -> dict[str, str]:
        """The values of variables as texts take them."""
        return {name: written(value) for name, value in self._space.at(number).items()}

    def setting(self, number: int) -> _Setting:
        """The values of axes."""
        return self._axes.at(number)


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """All rows of a manifest, made anew by each iteration."""

    sources: Sequence[RowSource]
    sweep: Sweep
    parameters: Parameters
    overrides: Mapping[str, ParamValue]  #: whatever the manifest says
    words: Mapping[str, str]  #: what is built in, but for `row`
    fallback_prefix: str
    problems: Callable[[], Problems]
    remarks: Remarks  #: filled while rows are made

    def rows(self) -> Iterator[Row]:
        """In order; rows with problems are left out.

        Raises:
            ManifestError: at the end, with every problem.
        """
        problems = self.problems()
        self.remarks.begin()
        made = False
        try:
            for maker, given, index, number in self._wanted(problems):
                made = True
                try:
                    yield maker.row(given, index, number)
                except Refused as refusal:
                    problems.of(maker.named).refuse(given.line, refusal)
        except Refused as refusal:  # nearly everything is excluded, or a sweep is out of all bounds
            problems.refuse(self.sweep.line, refusal)
        if not made and not problems:
            hint = "Remove an exclude, or add values to an axis."
            problems.add(self.sweep.line, "axes: every combination is excluded.", hint)
        problems.raise_any()

    def _wanted(self, problems: Problems) -> Iterator[tuple[_RowMaker, Given, int, int]]:
        """Each row, its position among all, and the numbers of the combinations that are to be made of it."""
        picked = self._picked(problems.source)
        following = next(picked, None) if picked is not None else None
        begin = index = 0
        for source, combinations in self._combinations():
            maker = _RowMaker(self, source, combinations)
            for given in source.rows(problems.of(source.named)):
                if picked is None and combinations.size > _MOST:
                    message = f"a row makes {combinations.size:,} requests, and more than {_MOST:,} are too many."
                    raise Refused(message, "Draw some of them: sample: {count: 1000}.")
                if picked is None and given is not None:
                    yield from ((maker, given, index, number) for number in combinations.wanted())
                end = begin + combinations.size
                while following is not None and following < end:
                    if given is not None:
                        yield maker, given, index, following - begin
                    following = next(picked, None) if picked is not None else None
                begin, index = end, index + 1

    def _combinations(self) -> Iterator[tuple[RowSource, _Combinations]]:
        """Those of each source, made when they are needed: there may be as many as prompts."""
        return ((source, _Combinations(source, self.sweep, self._axes_of(source))) for source in self.sources)

    def _axes_of(self, source: RowSource) -> _Axes:
        known = {*self.parameters.known, *source.form.names}
        parts = (*(one.names for one in self.sweep.axes.dimensions), *self.sweep.include)
        used = tuple(not known.isdisjoint(names) for names in parts)
        if used not in self._axes:
            dimensions = [one for one, is_used in zip(self.sweep.axes.dimensions, used, strict=False) if is_used]
            include = [one for one in self.sweep.include if not known.isdisjoint(one)]
            self._axes[used] = _Axes(dimensions, include, self.parameters)
        return self._axes[used]

    @cached_property
    def _axes(self) -> dict[tuple[bool, ...], _Axes]:
        return {}

    def _picked(self, named: str) -> Iterator[int] | None:
        """The numbers of the combinations that the sample holds, in order; None if all are wanted.

        Args:
            named: the manifest, as messages name it.
        """
        sample = self.sweep.sample
        if sample is None:
            return None
        parts = list(self._combinations())
        ends = list(accumulate(self._count(source) * combinations.size for source, combinations in parts))
        seed = sample.seed

        def locate(number: int) -> tuple[_Combinations, int]:
            position = bisect_right(ends, number)
            combinations = parts[position][1]
            return combinations, (number - (ends[position - 1] if position else 0)) % combinations.size

        def wanted(number: int) -> bool:
            combinations, local = locate(number)
            return not combinations.excluded(local)

        def favour(number: int) -> int:
            combinations, local = locate(number)
            if not combinations.weighted:
                return number
            return number - local + combinations.favoured(local, _chance(seed, number))

        weighted = any(combinations.weighted for _, combinations in parts)
        drawn = draw(ends[-1], sample.count, seed=seed, wanted=wanted, favour=favour if weighted else None)
        if len(drawn) < sample.count:
            there = f"the sample asks for {sample.count:,} combinations, and there are {len(drawn):,}"
            self.remarks.meet(there, named, self.sweep.line)
        return iter(drawn)

    def _count(self, source: RowSource) -> int:
        return 1 if source.single else sum(1 for _ in source.rows(self.problems()))


def _chance(seed: int, number: int) -> random.Random:
    """The same for the same arguments, on every machine."""
    told = b"/".join(n.to_bytes(n.bit_length() // 8 + 1, "big", signed=True) for n in (seed, number))
    return random.Random(hashlib.blake2b(told).digest())


class _RowMaker:
    """Makes rows of one source; what is the same for all of them is made once."""

    def __init__(self, expansion: Expansion, source: RowSource, combinations: _Combinations) -> None:
        self.named = source.named
        self._form, self._parameters, self._combinations = source.form, expansion.parameters, combinations
        self._axis_names = expansion.sweep.axis_names
        self._fallback = expansion.fallback_prefix
        self._overrides = expansion.overrides
        self._words = {name: expansion.words[name] for name in source.form.names & expansion.words.keys()}
        self._names = bool(source.form.names)
        self._remarks = expansion.remarks
        self._told = source.form.names & source.columns  # what a row's own cells say in texts
        self._prefix = None if source.form.file_prefix.names else self._safe(source.form.file_prefix.render({}))
        own = {name: value for name, value in source.form.params.items() if value is not None}
        self._params = {**expansion.parameters.defaults, **own}
        self._repeats = range(source.form.repeat)

    def row(self, given: Given, index: int, number: int) -> Row:
        """
        Raises:
            Refused: what the row says cannot be sent.
        """
        variables, choice, axes = self._combinations.split(number)
        setting = self._combinations.setting(axes)
        words: Mapping[str, str] = {}
        if self._names:  # the nearest wins: an axis, else the row's own, else a variable
            own, varying = {"row": str(index)}, self._combinations.variables(variables)
            words = {**self._words, **own, **varying, **given.words, **setting.words}
            self._look_for_empty(words, given.line)
        prompt = given.prompt if self._form.prompt is None else self._form.prompt.render(words, choice)
        if not prompt or prompt.isspace():
            raise Refused("prompt: is empty.", "Write what the image shows, or remove the line.")
        if self._form.prompt is None and "{" in prompt:
            self._remarks.meet(_BRACES, self.named, given.line)
        params = self._complete(given, setting, words)
        repeats = self._repeats if given.repeat is None else range(given.repeat)
        if len(repeats) > 1 and number_of(params, "seed", -1) >= 0:
            self._remarks.meet(_SAME_AGAIN, self.named, given.line)
        return Row(
            index=index,
            prompt=prompt,
            params=params,
            file_prefix=self._file_prefix(given, words),
            labels=self._labels(given, setting, params, words),
            repeats=repeats,
            split=given.split,
        )

    def _look_for_empty(self, words: Mapping[str, str], line: int) -> None:
        for name in self._told:
            if not words[name].strip():
                self._remarks.meet(f"{name} is empty, and a text that names it goes without", self.named, line)

    def _labels(
        self, given: Given, setting: _Setting, params: Mapping[str, ParamValue], words: Mapping[str, str]
    ) -> dict[str, LabelValue]:
        labels = {name: _filled(value, words) for name, value in self._form.labels.items()}
        for name, value in given.labels.items():
            if value is not None or name not in labels:  # an empty cell is nothing
                labels[name] = value
        for name in self._axis_names:
            if name in setting.params:
                labels[f"axis_{name}"] = _as_label(params.get(name))
            elif name in setting.labels:
                labels[f"axis_{name}"] = _as_label(setting.labels[name])
        return labels

    def _complete(self, given: Given, setting: _Setting, words: Mapping[str, str]) -> dict[str, ParamValue]:
        params = {**self._params, **given.params, **setting.params, **self._overrides}
        filled = {
            name: self._parameters.parse(name, value.render(words)) if isinstance(value, Template) else value
            for name, value in params.items()
            if value is not None
        }
        return self._parameters.complete(filled)

    def _file_prefix(self, given: Given, words: Mapping[str, str]) -> str:
        if given.file_prefix is not None and not self._form.prefix_fixed:
            return self._safe(given.file_prefix)
        return self._prefix if self._prefix is not None else self._safe(self._form.file_prefix.render(words))

    def _safe(self, prefix: str) -> str:
        return safe_name(prefix, fallback=self._fallback)


def _filled(value: LabelValue | Template, words: Mapping[str, str]) -> LabelValue:
    return value.render(words) if isinstance(value, Template) else value


def _as_label(value: ParamValue | None) -> LabelValue:
    """The value in a column of labels; a list is written as in a table's cell."""
    return written(value) if isinstance(value, tuple) else value
