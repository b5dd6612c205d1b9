"""JSON lines: an object a line; its names are columns, its values keep their types."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator

from batchgen.manifest.names import shown
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.source import Source
from batchgen.manifest.tables.record import Record, Table

_FORM = 'Write one object a line: {"prompt": "A red fox"}; `jq -c .[]` makes them of a list.'
_LONGEST = 10_000_000  # characters of a line


def open_table(source: Source, problems: Problems) -> Table | None:
    """Its columns are the names of all objects, in the order in which they first appear."""
    names: dict[str, int] = {}  # and where each stands first
    rows = 0
    for line, found in _objects(source, Problems(problems.source)):
        rows += 1
        for name in found:
            names.setdefault(name, line)

    def records(noted: Problems, _: Collection[int] = ()) -> Iterator[Record]:
        for line, found in _objects(source, noted):
            yield Record(line, [found.get(name) for name in names])

    if not rows:
        for _ in _objects(source, problems):
            pass  # for what is wrong with the lines
        if not problems:
            problems.add(None, "the file has no objects.", _FORM)
        return None
    return Table(names=list(names), line=None, text=False, lines=names, records=records)


def _objects(source: Source, problems: Problems) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(source.lines(), start=1):
        if line.isspace():
            continue
        try:
            yield number, _object(line)
        except Refused as refusal:
            problems.refuse(number, refusal)


def _object(line: str) -> dict[str, object]:
    if len(line) > _LONGEST:
        raise Refused(f"the line is longer than {_LONGEST:,} characters.", _FORM)
    try:
        found = json.loads(line, object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        raise Refused(f"not valid JSON at column {error.colno}: {error.msg}.", _FORM) from error
    except RecursionError as error:
        raise Refused("the objects lie too deep in each other.", _FORM) from error
    except ValueError as error:  # a number with more digits than Python reads, or a name that stands twice
        if isinstance(error, Refused):
            raise
        raise Refused(f"not valid JSON: {error}.", _FORM) from error
    if not isinstance(found, dict):
        raise Refused(f"each line must be a JSON object, not {shown(found)}.", _FORM)
    return found


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise Refused(f"{twice}: stands twice in the same object.", "Remove one of them.")
    return found
