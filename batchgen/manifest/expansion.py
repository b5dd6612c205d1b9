"""Entries and a sweep -> rows. The combinations are numbered, not listed; a draw of a thousand costs a thousand.

Order: entries as they stand; within one, variables in the order of the document, then the alternatives of its text,
then axes (grid, then zip, then includes). The last varies fastest.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from batchgen.manifest.axes import Space, Value, draw
from batchgen.manifest.names import safe_name
from batchgen.manifest.parameters import Parameters
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.sweep import Sweep
from batchgen.manifest.template import Template
from batchgen.model import LabelValue, ParamValue, Row

#: Ways to choose among the alternatives of one text whose weights are compared.
_WEIGHED = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One prompt of a manifest, with all that holds for it."""

    index: int  #: 0-based
    line: int
    prompt: Template
    file_prefix: Template
    params: Mapping[str, ParamValue | Template]  #: without defaults
    labels: Mapping[str, LabelValue | Template]

    @property
    def names(self) -> set[str]:
        """Everything that its templates name."""
        texts = (self.prompt, self.file_prefix, *self.params.values(), *self.labels.values())
        return {name for text in texts if isinstance(text, Template) for name in text.names}


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """All rows of a manifest, made anew by each iteration."""

    entries: Sequence[Entry]
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
        number = None
        try:
            for number in self._numbers():
                entry, choice, values = self._at(number)
                try:
                    yield self._row(entry, choice, values)
                except Refused as refusal:
                    problems.refuse(entry.line, refusal)
        except Refused as refusal:  # nearly everything is excluded
            problems.refuse(None, refusal)
        if number is None and not problems:
            problems.add(None, "axes: every combination is excluded.", "Remove an exclude, or add values to an axis.")
        problems.raise_any()

    @cached_property
    def _spaces(self) -> list[Space]:
        """Of each entry: the variables that it uses."""
        return [
            Space([dimension for name, dimension in self.sweep.variables.items() if name in entry.names])
            for entry in self.entries
        ]

    @cached_property
    def _axes_size(self) -> int:
        return self.sweep.axes.size + len(self.sweep.include)

    @cached_property
    def _ends(self) -> list[int]:
        """The number after the last of each entry."""
        sizes = (
            space.size * entry.prompt.size * self._axes_size
            for space, entry in zip(self._spaces, self.entries, strict=True)
        )
        return list(accumulate(sizes))

    def _numbers(self) -> Iterator[int]:
        size = self._ends[-1]
        sample = self.sweep.sample
        if sample is None:
            return (number for number in range(size) if self._wanted(number))
        count, seed = sample.count, sample.seed
        picked = draw(
            size, count, seed=seed, wanted=lambda number: self._wanted(number) and self._favoured(number, seed)
        )
        if len(picked) < count:  # the favoured ones do not suffice
            taken = frozenset(picked)
            picked += draw(
                size, count - len(picked), seed=seed, wanted=lambda number: number not in taken and self._wanted(number)
            )
        return iter(sorted(picked))

    def _wanted(self, number: int) -> bool:
        *_, values = self._at(number)
        return not self.sweep.axes.excluded(values)

    def _favoured(self, number: int, seed: int) -> bool:
        """True in proportion to the weights of the alternatives; always true where there are none."""
        entry, choice, _ = self._at(number)
        heaviest = self._heaviest[entry.index]
        if heaviest == 1.0:
            return True
        chance = int.from_bytes(hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest(), "big") / 2**64
        return chance * heaviest < entry.prompt.weight(choice)

    @cached_property
    def _heaviest(self) -> dict[int, float]:
        """Of each entry: the greatest weight of a way to choose; of very many ways, of the first few thousand."""
        return {
            entry.index: max(entry.prompt.weight(choice) for choice in range(min(entry.prompt.size, _WEIGHED)))
            for entry in self.entries
        }

    def _at(self, number: int) -> tuple[Entry, int, dict[str, Value]]:
        """The entry, the choice among its alternatives, and the values of its variables and of the axes."""
        position = bisect_right(self._ends, number)
        entry = self.entries[position]
        rest = number - (self._ends[position - 1] if position else 0)
        rest, axis = divmod(rest, self._axes_size)
        variables, choice = divmod(rest, entry.prompt.size)
        values = self._spaces[position].at(variables)
        added = axis - self.sweep.axes.size
        values.update(self.sweep.axes.at(axis) if added < 0 else self.sweep.include[added])
        return entry, choice, values

    def _row(self, entry: Entry, choice: int, values: Mapping[str, Value]) -> Row:
        words = {**self.words, "row": str(entry.index)}
        words.update((name, written(value)) for name, value in values.items())
        prompt = entry.prompt.render(words, choice)
        if not prompt.strip():
            raise Refused("prompt: is empty.", "Write what the image shows, or remove the line.")
        axes = {name: values[name] for name in self.sweep.axis_names if name in values}
        labels = {name: _filled(value, words) for name, value in entry.labels.items()}
        params = self._params(entry, axes, words)
        labels.update((f"axis_{name}", params.get(name, value)) for name, value in axes.items())
        return Row(
            index=entry.index,
            prompt=prompt,
            params=params,
            file_prefix=safe_name(entry.file_prefix.render(words), fallback=self.fallback_prefix),
            labels=labels,
        )

    def _params(self, entry: Entry, axes: Mapping[str, Value], words: Mapping[str, str]) -> dict[str, ParamValue]:
        known = self.parameters.known
        params: dict[str, ParamValue] = dict(self.parameters.defaults)
        for name, value in entry.params.items():
            params[name] = value.render(words) if isinstance(value, Template) else value
        params.update((name, self.parameters.check(name, value)) for name, value in axes.items() if name in known)
        return self.parameters.complete({**params, **self.overrides})


def _filled(value: LabelValue | Template, words: Mapping[str, str]) -> LabelValue:
    return value.render(words) if isinstance(value, Template) else value


def written(value: Value) -> str:
    """A value as it stands in a text: 7 for 7.0, true for True."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
