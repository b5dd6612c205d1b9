"""`report`, `grid` and `diff`: a batch as a page or a picture, and two batches beside each other."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from batchgen.adapters.file_store import write_atomically
from batchgen.app.folder import BatchFolder
from batchgen.errors import StorageFailed, UsageError
from batchgen.named_files import place_of
from batchgen.review import contact_sheet, difference, difference_page, labelled_grid
from batchgen.review import report as pages
from batchgen.review.difference import Difference
from batchgen.review.labelled_grid import Cells
from batchgen.review.sheet import Drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that was written."""

    page: Path
    page_bytes: int
    parts: int  #: files beside the page; 0 where it is all in one
    parts_bytes: int


def report(
    out: Path | str, *, thumbnails: int | None = None, begun: Callable[[int], Callable[[int], None]] | None = None
) -> Report:
    """Write the report of the batch in a folder, and remove what is left of an earlier one.

    Args:
        thumbnails: to make anew at most; None: all that are missing.
        begun: is told how many images there are, and gives what is told of the progress; what that raises ends the
            work, with the earlier page left as it was.

    Raises:
        UsageError: the folder holds no index yet.
        StorageFailed: the batch cannot be read, or the disk does not take the report.
    """
    folder = _with_index(out)
    tick = begun(pages.rows_shown(folder.root)) if begun else None
    sizes: dict[Path, int] = {}
    for file in pages.make(folder.root, thumbnails=thumbnails):
        path = folder.root / file.name
        if tick is not None:
            tick(file.rows)
        if file.content is not None:
            _write(path, file.content)
        sizes[path] = path.stat().st_size
    page_bytes = sizes.pop(folder.report)
    for old in folder.report_parts.glob("*.js"):
        if old not in sizes:
            old.unlink(missing_ok=True)
    return Report(page=folder.report, page_bytes=page_bytes, parts=len(sizes), parts_bytes=sum(sizes.values()))


def draw_contact_sheet(
    out: Path | str, picture: Path | str, *, columns: int = 4, at_most: int = 24, cell: int = 256
) -> Drawn:
    """Draw the first images of a batch, with their prompts, as one picture.

    Args:
        out: the batch folder.
        picture: the file to write; its ending says the format.
        columns: pictures side by side.
        at_most: pictures on the sheet.
        cell: width and height of each in pixels.

    Raises:
        UsageError: no image is stored yet, the ending is of no known format, or something else than a file is there.
        StorageFailed: the batch cannot be read, or the picture not written.
    """
    place = _picture(picture)
    sheet = contact_sheet.draw(_with_index(out).index, columns=columns, at_most=at_most, cell=cell)
    _save(sheet.picture, picture, place)
    return sheet


def draw_labelled_grid(
    out: Path | str,
    picture: Path | str,
    *,
    x: str | None,
    y: str | None,
    select: Mapping[str, str],
    cell: int = 256,
) -> tuple[Cells, Drawn]:
    """Draw the images of a sweep as one picture: a column for each value of one facet, a row for each of another.

    Args:
        out: the batch folder.
        picture: the file to write; its ending says the format.
        x, y: axes, labels or parameters; not both None.
        select: more of them -> the value that an image must have.
        cell: width and height of each in pixels.

    Raises:
        UsageError: there is no such facet or value, or the picture would be too large, has no known ending, or would
            take the place of something else than a file.
        StorageFailed: the batch cannot be read, or the picture not written.
    """
    place = _picture(picture)
    folder = _with_index(out).root
    cells = labelled_grid.lay_out(folder, x=x, y=y, select=select)
    sheet = labelled_grid.draw(folder, cells, cell=cell)
    _save(sheet.picture, picture, place)
    return cells, sheet


def diff(before: Path | str, after: Path | str, *, page: Path | str | None = None) -> Difference:
    """Compare two batches.

    Args:
        before, after: their folders.
        page: HTML file to write, with thumbnails inside.

    Raises:
        UsageError: a folder holds no index yet, or something else than a file is where the page is to be.
        StorageFailed: a batch cannot be read, or the disk does not take the page.
    """
    folders = _with_index(before).root, _with_index(after).root
    place = None if page is None else place_of(page, by="--html")
    found = difference.compare(*folders)
    if place is not None:
        _write(place, difference_page.make(*folders, found))
    return found


def _with_index(out: Path | str) -> BatchFolder:
    folder = BatchFolder(Path(out))
    if not folder.index.is_file():
        raise UsageError(f"{out} holds no index yet. Name a batch folder, or run its manifest first.")
    return folder


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"The folder {path.parent} cannot be made: {error}.") from error
    write_atomically(path, content)


def _picture(named: Path | str) -> Path:
    """Where the picture is to be put.

    Raises:
        UsageError: something else is there, or the ending is of no known format.
    """
    if Image.registered_extensions().get(Path(named).suffix.lower()) not in Image.SAVE:  # some it can only read
        raise UsageError(f"{named} has no ending of a known picture format; write .png, .jpg or .webp.")
    return place_of(named, by="PICTURE")


def _save(sheet: Image.Image, named: Path | str, place: Path) -> None:
    content = io.BytesIO()
    try:
        sheet.save(content, Image.registered_extensions()[Path(named).suffix.lower()])
    except (ValueError, OSError) as error:  # a format that cannot be written, or not in these colours or this size
        raise StorageFailed(f"The picture {named} cannot be written: {error}.") from error
    _write(place, content.getvalue())
