"""What a scorer of one's own is, and what may be believed of what it says. Pure.

A package gives a scorer to batchgen by an entry point of the group `batchgen.scorers`. Its name is what manifests call
the scorer, and it leads to what makes one when it is called without arguments:

    [project.entry-points."batchgen.scorers"]
    sharpness = "my_package:Sharpness"
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any, Protocol

from batchgen.model import ScoreValue

#: Where packages name their scorers.
ENTRY_POINTS = "batchgen.scorers"
#: What a scorer's column may hold, as `columns` says it.
TYPES = ("int", "float", "bool", "str")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image that is part of the dataset, as a scorer sees it."""

    path: str  #: of the image file
    prompt: str
    sha256: str  #: of the file's bytes, 64 hex digits
    format: str  #: png, jpg or webp
    width: int  #: pixels
    height: int  #: pixels
    labels: Mapping[str, object]  #: of its row


class Scorer(Protocol):
    """Says something of each image. Used in one thread; may keep what it loads."""

    #: column -> int, float, bool or str. In the index, `score_` stands before each.
    columns: Mapping[str, str]

    def score(self, picture: Picture) -> Mapping[str, Any]:
        """A value for each column, or None where it has none. Whatever it raises leaves the columns null."""


class Unbelievable(ValueError):
    """A scorer says what its columns do not hold."""


def believed(columns: Mapping[str, str], said: Mapping[str, Any]) -> dict[str, ScoreValue]:
    """What a scorer said, as its columns hold it. Numbers that are not finite are none.

    Raises:
        Unbelievable: a column is missing, is not among its columns, or has a value of another type.
    """
    if set(said) != set(columns):
        raise Unbelievable(f"it gave {sorted(said)} instead of {sorted(columns)}")
    return {name: _fitted(name, columns[name], value) for name, value in said.items()}


def _fitted(name: str, kind: str, value: Any) -> ScoreValue:
    try:
        return None if value is None else _CASTS[kind](value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unbelievable(f"{name} is {value!r}, and its column holds {kind}") from error


def _whole(value: Any) -> int:
    number = operator.index(value)  # numpy's, too
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    return number


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes):
        raise TypeError
    number = float(value)
    return number if isfinite(number) else None


def _truth(value: Any) -> bool:
    if bool(value) != value:
        raise TypeError
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half of a surrogate pair is no text
    return str(value)


_CASTS = MappingProxyType({"int": _whole, "float": _number, "bool": _truth, "str": _text})
