"""The space of combinations of axes and variables, and draws from it. It is never listed, so its size costs nothing.

Combinations are numbered like the digits of a number: the last dimension varies fastest.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import overload

from batchgen.manifest.names import did_you_mean, shown, written
from batchgen.manifest.problems import Refused
from batchgen.model import ParamValue

#: A tuple is a list that a parameter takes.
Value = ParamValue | None
#: Values of one range; more are refused.
LONGEST = 10**15
#: `draw` tries this many indices, and as many again for each wanted one, before it gives up.
PATIENCE, PATIENCE_EACH = 100_000, 100
_KEYS = ("from", "to", "step", "count")
_FORMS = "A range is {from, to, step}, {from, count} or {from, to, count}."
_ROUNDS = 10  # of the permutation; four would do for large spaces, small ones need more to be fair


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """What varies together: one grid axis or variable, or the axes of a zip group.

    Raises:
        Refused: there are no names or no values, or columns differ in length.
    """

    names: tuple[str, ...]  #: unique
    columns: tuple[Sequence[Value], ...]  #: the values of each name; all of one length, at least 1

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in zip(self.names, self.columns, strict=True)}
        if not lengths:
            raise Refused("an axis needs a name and values.", "Write it like guidance_scale: [4, 7, 10].")
        for name, length in lengths.items():
            if length == 0:
                raise Refused(f"{name}: has no values.", f"Give it at least one, or remove {name}.")
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
            raise Refused(f"paired axes need equally many values, but {counts}.", "Move one to grid to combine all.")

    def __len__(self) -> int:
        return len(self.columns[0])


class Space:
    """All combinations of the dimensions' values.

    Args:
        dimensions: none give one empty combination.
        exclude: combinations that agree with all entries of one of these are left out.
        include: combinations to add, each as given.

    Raises:
        Refused: a name is in two dimensions, or an exclude is empty and so would leave out everything.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        *,
        exclude: Sequence[Mapping[str, Value]] = (),
        include: Sequence[Mapping[str, Value]] = (),
    ) -> None:
        self.dimensions = tuple(dimensions)
        self._include = tuple(include)
        #: the values to leave out, by the names they are of: takes a look-up, however many there are
        self._exclude: dict[tuple[str, ...], set[tuple[object, ...]]] = {}
        #: of the full product, before exclude and include
        self.size = math.prod(len(dimension) for dimension in self.dimensions)
        self._refuse_repeated_names()
        for entries in exclude:
            if not entries:
                raise Refused("exclude: an empty mapping would leave out everything.", "Name at least one axis in it.")
            names = tuple(sorted(entries))
            self._exclude.setdefault(names, set()).add(_identity(entries, names))

    def _refuse_repeated_names(self) -> None:
        seen: set[str] = set()
        for name in (name for dimension in self.dimensions for name in dimension.names):
            if name in seen:
                raise Refused(f"{name}: is given twice.", "An axis or variable stands once, in grid or in zip.")
            seen.add(name)

    def at(self, index: int) -> dict[str, Value]:
        """The combination of a number, excluded or not; names in the order of the dimensions.

        Raises:
            IndexError: *index* is not in range(size).
        """
        if not 0 <= index < self.size:
            raise IndexError("index is not in range(size)")
        digits: list[int] = []
        for dimension in reversed(self.dimensions):
            index, digit = divmod(index, len(dimension))
            digits.append(digit)
        return {
            name: column[digit]
            for dimension, digit in zip(self.dimensions, reversed(digits), strict=True)
            for name, column in zip(dimension.names, dimension.columns, strict=True)
        }

    @property
    def excludes(self) -> bool:
        """Whether anything is left out."""
        return bool(self._exclude)

    @property
    def excluded_names(self) -> frozenset[str]:
        """The names that excludes look at."""
        return frozenset(name for names in self._exclude for name in names)

    def excluded(self, combination: Mapping[str, Value]) -> bool:
        """Whether some exclude has no entry that differs. Values are the same if they are in a text."""
        return any(
            all(name in combination for name in names) and _identity(combination, names) in left_out
            for names, left_out in self._exclude.items()
        )

    def __iter__(self) -> Iterator[dict[str, Value]]:
        """The combinations in their order without the excluded ones, then the included ones as they were given."""
        for index in range(self.size):
            combination = self.at(index)
            if not self.excluded(combination):
                yield combination
        yield from map(dict, self._include)


def _identity(entries: Mapping[str, Value], names: Sequence[str]) -> tuple[object, ...]:
    """The values of the names such that only what counts as the same is equal."""
    return tuple(spelling(entries[name]) for name in names)


def spelling(value: Value) -> str | None:
    """Equal for values that are the same in a text: 7, 7.0 and "7", but not 1 and true. None for null alone."""
    if value is None:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else written(value)


@dataclass(frozen=True, slots=True)
class _Steps(Sequence[float]):
    """Numbers at equal distances, each the float nearest to the exact one."""

    start: Fraction
    step: Fraction
    positions: range

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> _Steps: ...
    def __getitem__(self, index: int | slice) -> float | _Steps:
        if isinstance(index, slice):
            return replace(self, positions=self.positions[index])
        return float(self.start + self.step * self.positions[index])


def read_range(spec: Mapping[str, object]) -> Sequence[int | float]:
    """The numbers of a range, computed when asked for: a long one takes no memory.

    `{from, to, step}` goes from one to the other, including `to` where a step hits it; `{from, count}` counts up
    by 1; `{from, to, count}` spaces evenly, both ends included. Computed as decimals are written: 0.1, 0.2, 0.3.
    Whole numbers where all of them are and no number was written with a point; else floats.

    Raises:
        Refused: it is none of these, or empty, endless, or longer than 10^15.
    """
    for key in spec:
        if key not in _KEYS:
            guess = did_you_mean(str(key), _KEYS)
            raise Refused(f"{key}: unknown key.", f"{guess} {_FORMS}" if guess else _FORMS)
    given = frozenset(key for key, value in spec.items() if value is not None)
    whole = all(isinstance(spec[key], int) for key in given)
    if given == {"from", "to", "step"}:
        start, to, step = (_number(key, spec[key]) for key in ("from", "to", "step"))
        return _steps(start, step, _count_to(start, to, step), whole=whole)
    if given == {"from", "count"}:
        return _steps(_number("from", spec["from"]), Fraction(1), _count(spec["count"]), whole=whole)
    if given == {"from", "to", "count"}:
        start, to, count = _number("from", spec["from"]), _number("to", spec["to"]), _count(spec["count"])
        return _steps(start, _distance(start, to, count), count, whole=whole)
    raise _wrong_keys(given)


def _wrong_keys(given: frozenset[str]) -> Refused:
    if "from" not in given:
        return Refused("a range needs from.", _FORMS)
    if not given & {"step", "count"}:
        return Refused("a range needs step or count.", _FORMS)
    if "count" in given:
        return Refused("a range with count has no step.", _FORMS)
    return Refused("a range with step needs to.", _FORMS)


def _number(key: str, value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{key}: must be a number, not {shown(value)}.")
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise Refused(f"{key}: is too large.")
    if not math.isfinite(value):
        raise Refused(f"{key}: must be a finite number, not {value}.")
    return Fraction(str(value))  # as it is written: 0.1 is a tenth


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(f"count: must be a whole number of at least 1, not {shown(value)}.")
    if value < 1:
        raise Refused("count: must be at least 1.")
    return value


def _count_to(start: Fraction, to: Fraction, step: Fraction) -> int:
    if step == 0:
        raise Refused("step: 0 never gets from one number to the next.", "Give the distance between two values.")
    if (to - start) * step < 0:
        rising = to > start
        raise Refused(
            f"step: leads away from to, which is {'above' if rising else 'below'} from.",
            f"Make it {'positive' if rising else 'negative'}, or swap from and to.",
        )
    return (to - start) // step + 1


def _distance(start: Fraction, to: Fraction, count: int) -> Fraction:
    """Between two of *count* values that are spaced evenly."""
    if (count == 1) != (start == to):
        if count == 1:
            raise Refused("count: 1 value cannot stand at both ends of a range.", "Make it 2, or leave out to.")
        raise Refused("from and to are the same, so there is only one value.", "Make count 1, or repeat the prompts.")
    return (to - start) / max(count - 1, 1)


def _steps(start: Fraction, step: Fraction, count: int, *, whole: bool) -> Sequence[int | float]:
    if count > LONGEST:
        raise Refused(f"the range has more than {LONGEST:,} values.", "Give it a larger step or a smaller count.")
    if whole and step.denominator == 1:
        first, by = int(start), int(step) or 1
        return range(first, first + by * count, by)
    values = _Steps(start, step, range(count))
    if count > 1 and (values[0] == values[1] or values[-1] == values[-2]):
        raise Refused("the values of the range are too close to tell apart.", "Give it a larger step.")
    return values


def draw(
    size: int,
    count: int,
    *,
    seed: int,
    wanted: Callable[[int], bool] = lambda _: True,
    favour: Callable[[int], int] | None = None,
) -> list[int]:
    """Indices picked at random, in ascending order, each at most once; the same for a seed on every machine.

    Indices are tried in the order of a keyed permutation of range(size), so memory grows with *count* only.

    Args:
        size: indices lie in range(size); of any size.
        count: how many; fewer are given only if no more are wanted.
        wanted: which of them may be picked.
        favour: gives the index to take in the place of another, so that some are picked more often; it still picks
            each at most once, and where it finds too few, the rest are picked without it.

    Raises:
        Refused: after 100,000 + 100 × *count* tries in a larger space, too few of them were wanted.
    """
    if count >= size:
        return [index for index in range(size) if wanted(index)]
    if count <= 0:
        return []
    shuffled = _shuffled(size, seed)
    tries = min(size, PATIENCE + PATIENCE_EACH * count)
    tried: Iterable[int] = map(shuffled, range(tries))
    if favour is not None:
        tried = chain(map(favour, tried), map(shuffled, range(tries)))
    picked: set[int] = set()
    for index in tried:
        if index not in picked and wanted(index):
            picked.add(index)
            if len(picked) == count:
                break
    if len(picked) < count and tries < size:
        raise Refused(
            f"sample: nearly everything is excluded: {tries:,} combinations picked at random "
            f"hold only {len(picked):,} of the {count:,} wanted.",
            "Shorten the axes instead of excluding so much, or ask for a smaller sample.",
        )
    return sorted(picked)


def _shuffled(size: int, seed: int) -> Callable[[int], int]:
    """A permutation of range(size), at least 1: a Feistel network over the square that just holds it.

    Positions that fall outside of size are sent through again until they fall inside, which keeps it one to one.
    """
    side = math.isqrt(size - 1) + 1
    width = side.bit_length() // 8 + 1
    rounds = [hashlib.shake_128(b"%d/" % number + _bytes(seed) + b"/") for number in range(_ROUNDS)]

    def shuffled(position: int) -> int:
        while True:
            left, right = divmod(position, side)
            for keyed in rounds:
                state = keyed.copy()
                state.update(right.to_bytes(width, "little"))
                left, right = right, (left + int.from_bytes(state.digest(width + 8), "little")) % side
            position = left * side + right
            if position < size:
                return position

    return shuffled


def _bytes(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
