"""The whole expansion of a manifest as a CSV table, for people and spreadsheets: one line a request."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from batchgen.errors import StorageFailed
from batchgen.model import LabelValue, ParamValue, Request

#: A spreadsheet takes a cell that begins so for a formula, and runs it; an apostrophe before it makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(requests: Iterable[Request], path: Path, *, params: Sequence[str], labels: Sequence[str]) -> None:
    """Write a plan's requests, streamed, so that the file is there whole or not at all.

    Args:
        params: the parameters that become columns.
        labels: the labels that become columns, as `label.NAME`.

    Raises:
        StorageFailed: the disk does not take it.
    """
    part = path.with_name(f".{path.name}.part")
    header = ["prompt", *params, *(f"label.{name}" for name in labels), "split"]
    header += ["batch_id", "file_prefix", "file_stem", "row_index", "repeat", "request_key"]
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(
                file
            )  # its line ends are those of RFC 4180; with others it would not quote them in cells
            writer.writerow(map(_cell, header))
            writer.writerows(map(_cell, _line(request, params, labels)) for request in requests)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise StorageFailed(f"{path} cannot be written: {error}. Mend that and run the same command again.") from error
    finally:
        part.unlink(missing_ok=True)


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
