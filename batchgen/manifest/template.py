"""Text with names to fill in and alternatives to choose among: `A {animal}, {3::at dawn|at night}`.

    template    = { text | "{{" | "}}" | name in braces | choices } ;
    name in braces = "{" , blanks , name , blanks , "}" ;
    name        = letter , { letter | digit | "_" | "." } ;
    choices     = "{" , alternative , "|" , alternative , { "|" , alternative } , "}" ;
    alternative = [ blanks , weight , blanks , "::" ] , template ;
    weight      = a decimal number from 0.000001 to 1000000 ;

`{{` and `}}` are braces to be shown. Outside of choices they may stand alone, and `|` and `::` are plain text.
In an alternative they come in pairs, `{a|{{b}}}`, so that `}}` can also end two choices, `{a|{b|c}}`, and there `|`
and `::` always separate. A choice inside another that comes first in it is kept apart by a weight, `{1::{a|b}|c}`,
for `{{` is a brace to be shown. An alternative may be empty, `{|very }big`; blanks in it count.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from random import Random

from batchgen.manifest.names import shown
from batchgen.manifest.problems import Refused

#: Braces within braces; more are refused.
DEEPEST = 32
LIGHTEST, HEAVIEST = 0.000001, 1_000_000.0  # weights; so that no product of them is undefined
_OUTSIDE = re.compile(r"\{\{|\}\}|[{}]")
_INSIDE = re.compile(r"\{\{|::|[{}|]")
_WEIGHT = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_DOUBLE = "Braces to be shown are doubled: {{ and }}."


@dataclass(frozen=True, slots=True)
class _Name:
    name: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    """Parts one after the other; no text beside text, none of it empty."""

    parts: tuple[str | _Name | _Choices, ...]
    size: int = field(compare=False)

    @property
    def heft(self) -> float:
        """Logarithm of the sum of the weights of all ways: the sum itself may be of thousands of digits."""
        return math.fsum(part.heft for part in self.parts if isinstance(part, _Choices))


@dataclass(frozen=True, slots=True)
class _Alternative:
    weight: float
    sequence: _Sequence


@dataclass(frozen=True, slots=True)
class _Choices:
    """At least two alternatives; the ways of each follow on those of the one before."""

    alternatives: tuple[_Alternative, ...]
    ends: tuple[int, ...] = field(compare=False)  #: ways of an alternative and all before it
    reach: tuple[float, ...] = field(compare=False)  #: how often an alternative, or one before it, is drawn; to scale
    heft: float = field(compare=False)  #: logarithm of the sum of the weights of all ways

    @property
    def size(self) -> int:
        return self.ends[-1]

    def pick(self, way: int) -> tuple[_Alternative, int]:
        """The alternative, and which of its own ways."""
        position = bisect_right(self.ends, way)
        return self.alternatives[position], way - (self.ends[position - 1] if position else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A parsed text. `str` writes it in its shortest form; two are equal if they are written the same in it."""

    source: str = field(compare=False)  #: as the user wrote it
    names: tuple[str, ...] = field(compare=False)  #: to be filled in, unique, in order of first appearance
    size: int = field(compare=False)  #: ways to choose; 1 without alternatives; may be of thousands of digits
    tree: _Sequence = field(repr=False)

    def render(self, values: Mapping[str, str], choice: int = 0) -> str:
        """The text with values in place of names, as they are: braces in a value mean nothing.

        Args:
            values: of the names; those of alternatives that are not chosen may be missing.
            choice: in range(size). The first choices of the text vary slowest, alternatives in their order.

        Raises:
            IndexError: *choice* is none of them.
            KeyError: a value is missing.
        """
        if not 0 <= choice < self.size:
            raise IndexError("choice is not in range(size)")
        backwards: list[str] = []
        _render(self.tree, values, choice, backwards)
        return "".join(reversed(backwards))

    @property
    def weighted(self) -> bool:
        """Whether some ways to choose are wanted more often than others."""
        return _is_weighted(self.tree)

    def draw(self, chance: Random) -> int:
        """A way to choose, each as often as the product of the weights of its alternatives says.

        A weight holds for each way of its alternative: in `{a|{b|c}}` all three are drawn equally often.
        """
        return _drawn(self.tree, chance)

    def __str__(self) -> str:
        return _written(self.tree)


def parse(text: str) -> Template:
    """The template in a text; takes time in proportion to its length, and to that of the digits of its size.

    Raises:
        Refused: with the column, from 1, of what is wrong.
    """
    tree = _Parser(text).whole()
    return Template(source=text, names=tuple(dict.fromkeys(_names(tree))), size=tree.size, tree=tree)


def escaped(text: str) -> str:
    """The text as a template that renders to it, whatever it holds. Not meant for use inside an alternative."""
    return text.replace("{", "{{").replace("}", "}}")


def _render(sequence: _Sequence, values: Mapping[str, str], choice: int, backwards: list[str]) -> None:
    for part in reversed(sequence.parts):
        if isinstance(part, str):
            backwards.append(part)
        elif isinstance(part, _Name):
            backwards.append(values[part.name])
        else:
            choice, way = divmod(choice, part.size)
            alternative, own = part.pick(way)
            _render(alternative.sequence, values, own, backwards)


def _is_weighted(sequence: _Sequence) -> bool:
    return any(
        alternative.weight != 1.0 or _is_weighted(alternative.sequence)
        for part in sequence.parts
        if isinstance(part, _Choices)
        for alternative in part.alternatives
    )


def _drawn(sequence: _Sequence, chance: Random) -> int:
    choice = 0
    for part in sequence.parts:
        if isinstance(part, _Choices):
            position = bisect_right(part.reach, chance.random() * part.reach[-1], hi=len(part.reach) - 1)
            before = part.ends[position - 1] if position else 0
            choice = choice * part.size + before + _drawn(part.alternatives[position].sequence, chance)
    return choice


def _names(sequence: _Sequence) -> Iterator[str]:
    for part in sequence.parts:
        if isinstance(part, _Name):
            yield part.name
        elif isinstance(part, _Choices):
            for alternative in part.alternatives:
                yield from _names(alternative.sequence)


def _written(sequence: _Sequence) -> str:
    written: list[str] = []
    for part in sequence.parts:
        if isinstance(part, str):
            written.append(escaped(part))
        elif isinstance(part, _Name):
            written.append(f"{{{part.name}}}")
        else:
            first, *others = map(_written_alternative, part.alternatives)
            apart = "1::" if first.startswith("{") else ""  # else it would read as a brace to be shown
            written.append(f"{{{apart}{'|'.join([first, *others])}}}")
    return "".join(written)


def _written_alternative(alternative: _Alternative) -> str:
    weight = "" if alternative.weight == 1 else f"{Decimal(repr(alternative.weight)).normalize():f}::"
    return weight + _written(alternative.sequence)


def _choices(alternatives: Sequence[_Alternative]) -> _Choices:
    total = math.fsum(alternative.weight for alternative in alternatives)
    hefts = [
        math.log(one.weight * len(alternatives) / total) + one.sequence.heft for one in alternatives
    ]  # a weight holds for each way of its alternative
    heaviest = max(hefts)
    shares = [math.exp(heft - heaviest) for heft in hefts]
    return _Choices(
        alternatives=tuple(alternatives),
        ends=tuple(accumulate(alternative.sequence.size for alternative in alternatives)),
        reach=tuple(accumulate(shares)),
        heft=heaviest + math.log(math.fsum(shares)),
    )


class _Building:
    """Gathers the parts of a sequence."""

    def __init__(self) -> None:
        self._parts: list[str | _Name | _Choices] = []
        self._text: list[str] = []

    def show(self, text: str) -> None:
        if text:
            self._text.append(text)

    def add(self, part: _Name | _Choices) -> None:
        self._end_text()
        self._parts.append(part)

    def forget(self) -> None:
        """What was gathered was a weight."""
        self._text.clear()

    def sequence(self) -> _Sequence:
        self._end_text()
        size = math.prod(part.size for part in self._parts if isinstance(part, _Choices))
        return _Sequence(tuple(self._parts), size)

    def _end_text(self) -> None:
        if self._text:
            self._parts.append("".join(self._text))
            self._text.clear()


class _Parser:
    """One reading of one text, from left to right without going back.

    After an index moved past a character, it is also that character's column, for columns count from 1.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> _Sequence:
        building = _Building()
        while mark := self._advance(_OUTSIDE, building):
            match mark:
                case "{":
                    building.add(self._braces(1))
                case "}":
                    raise Refused(
                        f"the }} at column {self._at} closes nothing.",
                        f"{_DOUBLE} A choice that begins with another is written {{1::{{a|b}}|c}}.",
                    )
                case _:
                    building.show(mark[0])
        return building.sequence()

    def _advance(self, marks: re.Pattern[str], building: _Building) -> str:
        """Gather the text up to the next mark and go past it; an empty mark is the end."""
        found = marks.search(self._text, self._at)
        building.show(self._text[self._at : found.start() if found else None])
        self._at = found.end() if found else len(self._text)
        return found[0] if found else ""

    def _braces(self, depth: int) -> _Name | _Choices:
        opened = self._at
        if depth > DEEPEST:
            raise Refused(
                f"the {{ at column {opened} is more than {DEEPEST} braces deep.",
                f"Make the inner choices variables of their own. {_DOUBLE}",
            )
        alternatives: list[_Alternative] = []
        mark = "|"
        while mark == "|":
            alternative, mark = self._alternative(depth)
            alternatives.append(alternative)
        if not mark:
            raise Refused(f"the {{ at column {opened} is never closed.", f"Close it with }}. {_DOUBLE}")
        if len(alternatives) == 1:
            return self._name(opened)
        return _choices(alternatives)

    def _alternative(self, depth: int) -> tuple[_Alternative, str]:
        """One, and the mark that ends it: a bar, a closing brace, or nothing where the text ends."""
        start = self._at
        weight: float | None = None
        doubled: list[int] = []  # columns of opening braces to be shown that are still without a closing one
        building = _Building()
        while True:
            match self._advance(_INSIDE, building):
                case "{":
                    building.add(self._braces(depth + 1))
                case "{{":
                    doubled.append(self._at - 1)
                    building.show("{")
                case "::":
                    weight = self._weight(start, weight)
                    building.forget()
                case "}" if doubled and self._text.startswith("}", self._at):
                    self._at += 1
                    doubled.pop()
                    building.show("}")
                case mark:
                    if mark and doubled:
                        raise self._not_doubled(mark, doubled[-1])
                    return _Alternative(1.0 if weight is None else weight, building.sequence()), mark

    def _not_doubled(self, mark: str, opened: int) -> Refused:
        return Refused(
            f"the {mark} at column {self._at} comes before the }}}} that belongs to the {{{{ at column {opened}.",
            "In an alternative, braces to be shown come in pairs: {a|{{b}}}. "
            "A choice that begins with another is written {1::{a|b}|c}.",
        )

    def _name(self, opened: int) -> _Name:
        """What stands in braces without a bar."""
        inside = self._text[opened : self._at - 1]
        name = inside.strip()
        if not name:
            raise Refused(
                f"the braces at column {opened} are empty.", f"Write a name in them, like {{animal}}. {_DOUBLE}"
            )
        if not (name[0].isalpha() and name.replace(".", "_").isidentifier()):
            raise Refused(
                f"{shown(inside)} in the braces at column {opened} is not a name (letters, digits, _ and ., "
                "a letter first).",
                f"{_DOUBLE} Alternatives need a bar: {{red|blue}}.",
            )
        return _Name(name)

    def _weight(self, start: int, given: float | None) -> float:
        column = self._at - 1
        if given is not None:
            raise Refused(
                f"the :: at column {column} is the second one of its alternative.",
                "A weight stands once, at the start: {3::red|blue}. Text with :: in it is put into a variable.",
            )
        before = self._text[start : column - 1].strip()
        weight = float(before) if _WEIGHT.fullmatch(before) else 0.0
        if not LIGHTEST <= weight <= HEAVIEST:
            raise Refused(
                f"{shown(before)} before the :: at column {column} is not a weight, a number from 0.000001 to 1000000.",
                "A weight stands at the start of an alternative: {3::red|blue}. "
                "Text with :: in it is put into a variable.",
            )
        return weight
