"""`export`: a batch in other people's formats, from its index and images alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from batchgen import export as formats
from batchgen import index
from batchgen.app.folder import BatchFolder
from batchgen.errors import UsageError
from batchgen.export import FORMATS, Change, Choice, Exported, Format
from batchgen.export.imagefolder import Link, Metadata
from batchgen.export.lora import Layout
from batchgen.export.source import Tick

_WORDS: Mapping[str, type[StrEnum]] = {"link": Link, "metadata": Metadata, "layout": Layout}


def export(
    out: Path | str,
    dest: Path | str,
    form: Format,
    *,
    choice: Choice | None = None,
    change: Change | None = None,
    begun: Callable[[int], Tick] | None = None,
    ours: bool = False,
) -> Exported:
    """Export the batch in a folder.

    Args:
        out: the batch folder.
        dest: the folder, or for `jsonl` and `csv` the file, to make.
        form: see `find_format`.
        choice: which rows; all by default.
        change: what to do to each picture; nothing by default.
        begun: is told how many rows there are, and gives what is told of the progress.
        ours: whatever is at *dest* is an earlier export that nobody else knows of, and may be replaced.

    Raises:
        UsageError: the folder holds no batch, the options do not fit it, or something else is at *dest*.
        ExportBusy: another export writes there.
        StorageFailed: the batch cannot be read, or the disk does not take the export.
    """
    folder = BatchFolder(Path(out))
    if not folder.index.is_file():
        raise UsageError(f"{out} holds no index yet. Name a batch folder, or run its manifest first.")
    index.read_facts(folder.index)  # in its own name, before there is a copy
    change = change or Change()
    if not form.HOLDS_IMAGES and change != Change():
        raise UsageError(f"{form.NAME} holds no images; leave out --convert, --quality and --resize.")
    return formats.write(
        folder.root,
        Path(dest),
        form,
        choice=choice or Choice(),
        change=change,
        begun=begun or nobody,
        ours=ours,
    )


def find_format(name: str, options: Mapping[str, Any]) -> Format:
    """The format of that name with options.

    Args:
        options: by the names of its fields; those that are None are as by default.

    Raises:
        UsageError: there is no such format, or it has no such option.
    """
    if name not in FORMATS:
        raise UsageError(f"--to {name}: no such format. There are: {', '.join(FORMATS)}.")
    given = {option: value for option, value in options.items() if value is not None}
    for option in given.keys() - _options(FORMATS[name]):
        takers = [other for other, kind in FORMATS.items() if option in _options(kind)]
        raise UsageError(f"--{option.replace('_', '-')} says nothing to {name}; it is for {' and '.join(takers)}.")
    return FORMATS[name](**{option: _WORDS.get(option, _as_it_is)(value) for option, value in given.items()})


def _options(kind: type[Format]) -> set[str]:
    return {field.name for field in fields(kind)}  # type: ignore[arg-type]


def _as_it_is(value: Any) -> Any:
    return value


def nobody(_: int) -> Tick:
    """Where nobody watches."""
    return lambda _: None
