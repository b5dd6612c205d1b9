"""Stage 5: index -> other people's formats, one module each.

Each is a dataclass that keeps to `Format`; `write` chooses the rows, gives the format their pictures and a folder to
work in, and puts what it made in its place. It needs the index and the image files, no key and no network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from batchgen.errors import UsageError
from batchgen.export.destination import Destination, Origin
from batchgen.export.format import Format
from batchgen.export.imagefolder import ImageFolder
from batchgen.export.lines import Csv, JsonLines
from batchgen.export.lora import Lora
from batchgen.export.parquet import Parquet
from batchgen.export.pictures import Change
from batchgen.export.preference import Preference
from batchgen.export.selection import Choice, Selection, select
from batchgen.export.source import Source, Tick
from batchgen.export.webdataset import WebDataset
from batchgen.export.working import disk
from batchgen.model import INDEX_NAME

#: By the name that the user knows each by.
FORMATS: Mapping[str, type[Format]] = {
    form.NAME: form for form in (ImageFolder, WebDataset, Parquet, Lora, JsonLines, Csv, Preference)
}
_MAKERS = ("batchgen", "pillow", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export made."""

    path: Path
    rows: Mapping[str, int]  #: images, rows or pairs, by split
    there_already: bool  #: nothing was left to do
    place: str | None = None  #: where it was put then; None: it stays at *path*


def write(
    batch: Path,
    path: Path,
    form: Format,
    *,
    choice: Choice,
    change: Change,
    begun: Callable[[int], Tick],
    ours: bool = False,
) -> Exported:
    """Export a batch: all of it is at *path* afterwards, or nothing. The same input gives the same bytes.

    Args:
        batch: the batch folder.
        path: where to; nothing may be there but what this very export made before.
        begun: is told how many rows there are, and gives what is told of the progress.
        ours: whatever is at *path* is an earlier export that nobody else knows of, and may be replaced.

    Raises:
        UsageError: the options do not fit the batch, or something else is at *path*.
        ExportBusy: another export writes there.
        StorageFailed: the batch cannot be read, or the disk does not take the export.
    """
    with Destination(path, batch, single_file=not form.HOLDS_IMAGES, ours=ours) as destination:
        index = destination.snapshot(batch / INDEX_NAME)
        with closing(select(index, choice, images_only=form.HOLDS_IMAGES)) as selection, disk(destination.folder):
            origin = _origin(index, form, selection, change)
            if (rows := destination.finished(origin)) is not None:
                destination.drop()
                return Exported(path=path, rows=rows, there_already=True)
            number = sum(selection.counts.values())
            if not number:
                raise UsageError(
                    f"There is nothing to export: no {'image' if form.HOLDS_IMAGES else 'row'} was chosen."
                )
            source = Source(folder=batch, selection=selection, change=change, tick=begun(number))
            form.check(source)
            working = destination.begin(origin)
            rows = form.write(source, working)
        destination.publish(working, origin, rows, made=None if form.HOLDS_IMAGES else form.NAME)
    return Exported(path=path, rows=rows, there_already=False)


def _origin(index: Path, form: Format, selection: Selection, change: Change) -> Origin:
    """What decides the bytes of an export: the rows chosen, not the words for them, which may leave it to chance."""
    decides = {"format": form.NAME, "options": asdict(form), "change": asdict(change)}  # type: ignore[call-overload]
    decides["rows"] = selection.fingerprint
    with index.open("rb") as file:
        decides["index"] = hashlib.file_digest(file, "sha256").hexdigest()
    made_from = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return Origin(made_from=made_from, made_by=", ".join(f"{name} {version(name)}" for name in _MAKERS))


__all__ = ["FORMATS", "Change", "Choice", "Exported", "Format", "write"]
