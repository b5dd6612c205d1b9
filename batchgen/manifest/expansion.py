"""Sources of rows and a sweep -> rows. Combinations are numbered, not listed; a draw of a thousand costs a thousand.

Order: sources as they stand; within one, its rows; of each row variables in the order of the document, then the
alternatives of its text, then axes (grid, then zip, then includes). The last varies fastest.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from batchgen.manifest.axes import Space, Value, draw
from batchgen.manifest.columns import Given
from batchgen.manifest.names import safe_name, written
from batchgen.manifest.parameters import Parameters
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.sweep import Sweep
from batchgen.manifest.template import Template, parse
from batchgen.model import LabelValue, ParamValue, Row

#: Ways to choose among the alternatives of one text whose weights are compared.
_WEIGHED = 5_000
#: Combinations of one row that are kept for the next row of the same table.
_KEPT = 4_096
_PLAIN = parse("")


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
        texts = (self.prompt, self.file_prefix, *self.params.values(), *self.labels.values())
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
class _Combination:
    """One way to make a request of a row."""

    choice: int  #: among the alternatives of its text
    variables: Mapping[str, str]  #: as texts take them
    axes: Mapping[str, str]  #: as texts take them
    params: Mapping[str, ParamValue | None]  #: of axes that are parameters
    labels: Mapping[str, Value]  #: of axes that are none


class _Combinations:
    """All ways to make a request of one row of a source; the same for all its rows."""

    def __init__(self, form: Form, columns: frozenset[str], sweep: Sweep, parameters: Parameters) -> None:
        self._sweep, self._parameters = sweep, parameters
        used = form.names - columns
        self._space = Space([dimension for name, dimension in sweep.variables.items() if name in used])
        self._prompt = form.prompt or _PLAIN
        self._axes_size = sweep.axes.size + len(sweep.include)
        self._made: dict[int, _Combination] = {}
        self._wanted: list[int] | None = None
        self.size = self._space.size * self._prompt.size * self._axes_size

    def wanted(self) -> Iterable[int]:
        """The numbers of those that the manifest does not leave out, in order."""
        if not self._sweep.axes.excludes:
            return range(self.size)
        if self.size > _KEPT:
            return (number for number in range(self.size) if not self.excluded(number))
        if self._wanted is None:
            self._wanted = [number for number in range(self.size) if not self.excluded(number)]
        return self._wanted

    def excluded(self, number: int) -> bool:
        """Whether the manifest leaves it out."""
        _, variables, axes = self._at(number)
        return self._sweep.axes.excluded(variables | axes)

    def favoured(self, number: int, chance: float) -> bool:
        """True in proportion to the weights of the alternatives; always true where there are none.

        Args:
            chance: uniform in [0, 1).
        """
        choice, _, _ = self._at(number)
        return self._heaviest == 1.0 or chance * self._heaviest < self._prompt.weight(choice)

    def at(self, number: int) -> _Combination:
        """
        Raises:
            Refused: an axis has a value that its parameter does not take.
        """
        if number in self._made:
            return self._made[number]
        choice, variables, axes = self._at(number)
        known = self._parameters.known
        made = _Combination(
            choice=choice,
            variables={name: written(value) for name, value in variables.items()},
            axes={name: written(value) for name, value in axes.items()},
            params={
                name: self._parameters.defaults.get(name) if value is None else self._parameters.check(name, value)
                for name, value in axes.items()
                if name in known
            },
            labels={name: value for name, value in axes.items() if name not in known},
        )
        if len(self._made) < _KEPT:
            self._made[number] = made
        return made

    @cached_property
    def _heaviest(self) -> float:
        """The greatest weight of a way to choose; of very many ways, of the first few thousand."""
        return max(self._prompt.weight(choice) for choice in range(min(self._prompt.size, _WEIGHED)))

    def _at(self, number: int) -> tuple[int, dict[str, Value], dict[str, Value]]:
        """The choice among the alternatives, and the values of variables and of axes."""
        rest, axis = divmod(number, self._axes_size)
        variables, choice = divmod(rest, self._prompt.size)
        added = axis - self._sweep.axes.size
        axes = self._sweep.axes.at(axis) if added < 0 else dict(self._sweep.include[added])
        return choice, self._space.at(variables), axes


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

    def rows(self) -> Iterator[Row]:
        """In order; rows with problems are left out.

        Raises:
            ManifestError: at the end, with every problem.
        """
        problems = self.problems()
        made = False
        try:
            for maker, given, index, number in self._wanted(problems):
                made = True
                try:
                    yield maker.row(given, index, number)
                except Refused as refusal:
                    problems.of(maker.named).refuse(given.line, refusal)
        except Refused as refusal:  # nearly everything is excluded
            problems.refuse(None, refusal)
        if not made and not problems:
            problems.add(None, "axes: every combination is excluded.", "Remove an exclude, or add values to an axis.")
        problems.raise_any()

    def _wanted(self, problems: Problems) -> Iterator[tuple[_RowMaker, Given, int, int]]:
        """Each row, its position among all, and the numbers of the combinations that are to be made of it."""
        picked = self._picked()
        following = next(picked, None) if picked is not None else None
        begin = index = 0
        for source, combinations in zip(self.sources, self._combinations, strict=True):
            maker = _RowMaker(self, source, combinations)
            for given in source.rows(problems.of(source.named)):
                if picked is None and given is not None:
                    yield from ((maker, given, index, number) for number in combinations.wanted())
                end = begin + combinations.size
                while following is not None and following < end:
                    if given is not None:
                        yield maker, given, index, following - begin
                    following = next(picked, None) if picked is not None else None
                begin, index = end, index + 1

    @cached_property
    def _combinations(self) -> list[_Combinations]:
        return [_Combinations(source.form, source.columns, self.sweep, self.parameters) for source in self.sources]

    def _picked(self) -> Iterator[int] | None:
        """The numbers of the combinations that the sample holds, in order; None if all are wanted."""
        sample = self.sweep.sample
        if sample is None:
            return None
        seed, parts = sample.seed, zip(self.sources, self._combinations, strict=True)
        ends = list(accumulate(self._count(source) * combinations.size for source, combinations in parts))

        def locate(number: int) -> tuple[_Combinations, int]:
            position = bisect_right(ends, number)
            combinations = self._combinations[position]
            return combinations, (number - (ends[position - 1] if position else 0)) % combinations.size

        def wanted(number: int) -> bool:
            combinations, local = locate(number)
            return not combinations.excluded(local)

        def favoured(number: int) -> bool:
            combinations, local = locate(number)
            return not combinations.excluded(local) and combinations.favoured(local, _chance(seed, number))

        picked = draw(ends[-1], sample.count, seed=seed, wanted=favoured)
        if len(picked) < sample.count:  # the favoured ones do not suffice
            taken = frozenset(picked)
            left = sample.count - len(picked)
            picked += draw(ends[-1], left, seed=seed, wanted=lambda number: number not in taken and wanted(number))
        return iter(sorted(picked))

    def _count(self, source: RowSource) -> int:
        return 1 if source.single else sum(1 for _ in source.rows(self.problems()))


def _chance(seed: int, number: int) -> float:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest(), "big") / 2**64


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
        self._prefix = None if source.form.file_prefix.names else self._safe(source.form.file_prefix.render({}))
        own = {name: value for name, value in source.form.params.items() if value is not None}
        self._params = {**expansion.parameters.defaults, **own}
        self._repeats = range(source.form.repeat)

    def row(self, given: Given, index: int, number: int) -> Row:
        """
        Raises:
            Refused: what the row says cannot be sent.
        """
        combination = self._combinations.at(number)
        words: Mapping[str, str] = {}
        if self._names:  # the nearest wins: an axis, else the row's own, else a variable
            own = {"row": str(index)}
            words = {**self._words, **own, **combination.variables, **given.words, **combination.axes}
        prompt = given.prompt if self._form.prompt is None else self._form.prompt.render(words, combination.choice)
        if not prompt or prompt.isspace():
            raise Refused("prompt: is empty.", "Write what the image shows, or remove the line.")
        params = self._complete(given, combination, words)
        labels = {name: _filled(value, words) for name, value in self._form.labels.items()}
        labels.update(given.labels)
        for name in self._axis_names:
            if name in combination.params:
                labels[f"axis_{name}"] = params.get(name)
            elif name in combination.labels:
                labels[f"axis_{name}"] = combination.labels[name]
        return Row(
            index=index,
            prompt=prompt,
            params=params,
            file_prefix=self._file_prefix(given, words),
            labels=labels,
            repeats=self._repeats,
            split=given.split,
        )

    def _complete(self, given: Given, combination: _Combination, words: Mapping[str, str]) -> dict[str, ParamValue]:
        params = {**self._params, **given.params, **combination.params, **self._overrides}
        filled = {
            name: self._parameters.check(name, value.render(words)) if isinstance(value, Template) else value
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
