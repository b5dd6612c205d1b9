"""Facets: what the images of a batch are filtered by and laid out along: its axes, labels and parameters."""

from __future__ import annotations

import contextlib
import json
import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

_AXIS = "axis_"
#: Columns of every index that images are told apart by, too.
_COLUMNS = ("split", "status", "error_class", "checks")


def facets(row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, str | None]:
    """The facets of one row of an index, as text: axes first, then labels, parameters and where it stands.

    Args:
        labels: the columns that this index has over others; those of axes bear their axis's name here.
    """
    axes = [name for name in labels if name.startswith(_AXIS)]
    found = {name.removeprefix(_AXIS): row[name] for name in axes}
    for name, value in ({name: row[name] for name in labels if name not in axes} | params(row)).items():
        found.setdefault(name, value)
    found |= {name: row[name] for name in _COLUMNS}
    return {name: shown(value) for name, value in found.items()}


def axis_names(labels: Sequence[str]) -> list[str]:
    """The axes of a batch, in the order of its manifest."""
    return [name.removeprefix(_AXIS) for name in labels if name.startswith(_AXIS)]


def own_labels(row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """The labels that a row has and that a manifest can give: not those of axes."""
    return {name: row[name] for name in labels if not name.startswith(_AXIS) and row[name] is not None}


def params(row: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they were sent."""
    return dict(json.loads(row["params_json"]))


def shown(value: object) -> str | None:
    """A value as people read it; None if there is none."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float():
            short = f"{value:.10g}"
            return short if float(short) == value else repr(value)
        case list():
            return ", ".join(str(shown(one)) for one in value)
        case _:
            return str(value)


def in_order(values: Sequence[str | None]) -> list[str | None]:
    """Values as an axis shows them: numbers by size, words as they came, and what has none at the end."""
    there = [value for value in values if value is not None]
    with contextlib.suppress(ValueError):  # words keep the order in which the manifest has them
        if not any(math.isnan(float(value)) for value in there):  # nor has that word a size
            there = sorted(there, key=float)
    return [*there, *([None] if len(there) < len(values) else [])]


class Column:
    """One facet of all rows, each different value held once."""

    def __init__(self) -> None:
        self._codes: dict[str | None, int] = {}
        self._rows = array("q")

    def put(self, row: int, value: str | None) -> None:
        """Say the value of a row. Rows come in order; those that are left out have none."""
        if missing := row - len(self._rows):
            self._rows.extend([self._code(None)] * missing)
        self._rows.append(self._code(value))

    def coded(self, rows: int) -> tuple[list[str | None], list[int]]:
        """The values in order, and for each row the number of its value."""
        if missing := rows - len(self._rows):
            self._rows.extend([self._code(None)] * missing)
        values = in_order(list(self._codes))
        places = {value: place for place, value in enumerate(values)}
        moved = [places[value] for value in self._codes]
        return values, [moved[code] for code in self._rows]

    def _code(self, value: str | None) -> int:
        return self._codes.setdefault(value, len(self._codes))
