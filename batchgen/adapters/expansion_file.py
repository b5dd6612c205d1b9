"""The whole expansion of a manifest as a CSV table, for people and spreadsheets: one line a request."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from batchgen.model import LabelValue, ParamValue, Request

#: A spreadsheet takes a cell that begins so for a formula, and runs it; an apostrophe before it makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


#: The last columns of every such table.
_LAST = ("batch_id", "file_prefix", "file_stem", "row_index", "repeat", "request_key")
_LONGEST_HEADER = 1_000_000  # characters; a file that is no table may be one endless line


def write(requests: Iterable[Request], path: Path, *, params: Sequence[str], labels: Sequence[str]) -> None:
    """Write a plan's requests, streamed.

    Args:
        params: the parameters that become columns.
        labels: the labels that become columns, as `label.NAME`.

    Raises:
        OSError: the disk does not take it.
    """
    header = ["prompt", *params, *(f"label.{name}" for name in labels), "split", *_LAST]
    with path.open("x", encoding="utf-8", newline="") as file:
        # Its line ends are those of RFC 4180; with others it would not quote them in cells.
        writer = csv.writer(file)
        writer.writerow(map(_cell, header))
        writer.writerows(map(_cell, _line(request, params, labels)) for request in requests)


def is_expansion(path: Path) -> bool:
    """Whether there is a table at *path* that `write` has made."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header = file.readline(_LONGEST_HEADER)
    except (OSError, UnicodeDecodeError):
        return False
    return header.startswith("prompt,") and header.rstrip().endswith(",".join(("split", *_LAST)))


def _line(request: Request, params: Sequence[str], labels: Sequence[str]) -> Iterable[LabelValue]:
    return (
        request.prompt,
        *(_flat(request.params.get(name)) for name in params),
        *(request.labels.get(name) for name in labels),
        request.split,
        request.batch_id,
        request.file_prefix,
        request.file_stem,
        request.row_index,
        request.repeat,
        request.key,
    )


def _flat(value: ParamValue | None) -> LabelValue:
    """A list as a manifest's cell writes it."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def _cell(value: LabelValue) -> str | int | float | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
