"""Scorers of the user's own, found among the entry points of what is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from batchgen.errors import UsageError
from batchgen.manifest import is_of_images
from batchgen.scoring import ENTRY_POINTS, TYPES, Scorer

#: What a column may be called: the index, SQL and shells take it as it is.
_COLUMN = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledScorer:
    """A scorer, made and ready."""

    name: str  #: of its entry point
    version: str  #: of the package that it comes with; another one scores anew
    columns: Mapping[str, str]  #: column without `score_` -> int, float, bool or str
    scorer: Scorer


def find_scorers(names: Sequence[str]) -> tuple[InstalledScorer, ...]:
    """Those scorers, in that order.

    Raises:
        UsageError: one is not installed, cannot be made, or has columns that no index can have.
    """
    found = tuple(_made(name) for name in names)
    owners: dict[str, str] = {}
    for one in found:
        for column in one.columns:
            if owners.setdefault(column, one.name) != one.name:
                raise UsageError(
                    f"checks.score: {owners[column]} and {one.name} both fill the column score_{column}. Leave one out."
                )
    return found


def _made(name: str) -> InstalledScorer:
    entry = _entry_point(name)
    try:
        scorer = entry.load()()
        columns = dict(scorer.columns)
    except (Exception, SystemExit) as error:  # whatever the code of others raises while it is loaded
        raise UsageError(
            f"checks.score: {name} ({entry.value}) cannot be made: {type(error).__name__}: {error}. "
            "Nothing was sent; mend that package, or leave the scorer out."
        ) from error
    for column, kind in columns.items():
        named = isinstance(column, str) and _COLUMN.fullmatch(column) and not is_of_images(f"score_{column}")
        if not named or kind not in TYPES:
            raise UsageError(
                f"checks.score: {name} ({entry.value}) has a column {column!r} of type {kind!r}. Columns are called "
                f"with a-z, 0-9 and _, not …file_name, and hold {', '.join(TYPES)}. Nothing was sent; mend that "
                "package."
            )
    return InstalledScorer(name=name, version=_version(entry), columns=columns, scorer=scorer)


def _entry_point(name: str) -> EntryPoint:
    there = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in there:
        known = f"There are {', '.join(sorted(there))}." if there else "No package here has any."
        raise UsageError(
            f"checks.score: there is no scorer {name}. {known} Nothing was sent; install the package that has it, or "
            "leave it out."
        )
    return there[name]


def _version(entry: EntryPoint) -> str:
    return entry.dist.version if entry.dist is not None else ""
