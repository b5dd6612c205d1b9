"""What `grid`, `report` and `diff` print."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.cli.words.phrases import plural, printable
from batchgen.model import PARTS_FOLDER

if TYPE_CHECKING:
    from batchgen.app.reporting import Report
    from batchgen.review.difference import Difference, Pair, Side
    from batchgen.review.labelled_grid import Cells
    from batchgen.review.sheet import Drawn

#: Pairs that `diff` lists, and kinds of changes.
_SHOWN = 20
#: Files, and letters, that a warning names.
_NAMED, _LETTERS = 5, 60
_MEGABYTE = 1e6


def grid_text(picture: str, cells: Cells, sheet: Drawn) -> str:
    """What `grid` says of a labelled one."""
    size = f"{len(cells.down)} x {len(cells.across)}"
    said = f"{picture} drawn: {size} cells, {plural(len(cells.files) - len(sheet.unreadable), 'image')}"
    if cells.most > 1:
        said += f"\n  cells hold up to {cells.most:,} images, and the first is shown: choose with --select NAME=VALUE"
    return said


def sheet_warnings(out: str, sheet: Drawn) -> list[str]:
    """What of a picture could not be drawn."""
    warnings = []
    if gone := sheet.unreadable:
        some = ", ".join(gone[:_NAMED]) + (", …" if len(gone) > _NAMED else "")
        warnings.append(
            f"{plural(len(gone), 'image file')} cannot be read, and the cells say so: {some}. "
            f"`batchgen check {out}` says more."
        )
    if sheet.lacking:
        warnings.append(
            f"no font that was found has all letters of the labels: {sheet.lacking[:_LETTERS]} are drawn as boxes. "
            "Fonts are found by fontconfig; install one that has them, such as Noto Sans."
        )
    return warnings


def sheet_json(picture: str, sheet: Drawn) -> dict[str, Any]:
    """What `grid --json` says of a contact sheet, and of every picture."""
    return {"picture": picture, "unreadable": list(sheet.unreadable), "letters_lacking": sheet.lacking}


def grid_json(picture: str, cells: Cells, sheet: Drawn) -> dict[str, Any]:
    """What `grid --json` says of a labelled one."""
    return sheet_json(picture, sheet) | {
        "x": cells.x,
        "y": cells.y,
        "columns": list(cells.across),
        "rows": list(cells.down),
        "images": len(cells.files) - len(sheet.unreadable),
        "most_in_a_cell": cells.most,
    }


def report_text(made: Report) -> str:
    """What `report` says."""
    said = f"{made.page} written, {made.page_bytes / _MEGABYTE:.1f} MB"
    if made.parts:
        where = made.page.parent / PARTS_FOLDER
        said += f"; its thumbnails are {plural(made.parts, 'file')} in {where}, {made.parts_bytes / _MEGABYTE:.1f} MB"
    return f"{said}\nNext: open it in a browser; it needs no network"


def report_json(made: Report) -> dict[str, Any]:
    """What `report --json` says."""
    return {
        "page": str(made.page),
        "page_bytes": made.page_bytes,
        "parts": made.parts,
        "parts_bytes": made.parts_bytes,
    }


def difference_text(before: str, after: str, found: Difference, *, page: str | None) -> str:
    """What `diff` says."""
    lines = [f"{before} -> {after}", f"  {plural(len(found.same), 'image')} of the same request"]
    if found.identical:
        lines.append(f"    {found.identical:,} the same file")
    if found.typical is not None:
        lines.append(f"    perceptual distance: median {found.typical:g}, at most {found.distances[-1]} of 64 bits")
    lines.append(f"  {plural(len(found.changed), 'image')} of the same prompt, asked for otherwise")
    lines += [f"    {number:,} with {changes}" for changes, number in _kinds(found).most_common(_SHOWN)]
    lines += [f"  {len(found.lost):,} only in {before}", f"  {len(found.new):,} only in {after}"]
    furthest = [pair for pair in found.furthest() if not pair.same_file][:_SHOWN]
    if furthest:
        lines += [
            "Furthest apart:",
            "  bits  request     prompt and settings",
            *(_line(pair, found) for pair in furthest),
        ]
    if page:
        lines.append(f"Next: look at them side by side in {page}")
    elif found.same or found.changed:
        lines.append("Next: see them side by side with --html PAGE.html")
    return "\n".join(lines)


def difference_json(before: str, after: str, found: Difference) -> dict[str, Any]:
    """What `diff --json` says."""
    return {
        "before": str(Path(before)),
        "after": str(Path(after)),
        "same_images": len(found.same),
        "same_files": found.identical,
        "distance": {"median": found.typical, "most": found.distances[-1] if found.distances else None},
        "same": list(map(_pair_json, found.same)),
        "changed": list(map(_pair_json, found.changed)),
        "lost": list(map(_side_json, found.lost)),
        "new": list(map(_side_json, found.new)),
    }


def _kinds(found: Difference) -> Counter[str]:
    """What was changed, and of how many images."""
    return Counter(
        ", ".join(f"{change.name} {_word(change.before)} -> {_word(change.after)}" for change in pair.changes)
        or "nothing but the repeat"
        for pair in found.changed
    )


def _line(pair: Pair, found: Difference) -> str:
    distance = "–" if pair.distance is None else str(pair.distance)
    settings = "".join(f"; {name} {_word(value)}" for name, value in found.settings(pair).items())
    said = f"  {distance:>4}  {pair.after.request_key[:10]}  {_word(pair.after.prompt)}{settings}"
    if pair.before.status != pair.after.status:
        said += f"; {pair.before.status} -> {pair.after.status}"
    return said


def _word(value: str | None) -> str:
    text = "none" if value is None else printable(" ".join(value.split())) or "(empty)"
    return text if len(text) <= 40 else f"{text[:39]}…"


def _pair_json(pair: Pair) -> dict[str, Any]:
    return {
        "before": _side_json(pair.before),
        "after": _side_json(pair.after),
        "distance": pair.distance,
        "same_file": pair.same_file,
        "changes": {change.name: [change.before, change.after] for change in pair.changes},
    }


def _side_json(side: Side) -> dict[str, Any]:
    return {
        "request_key": side.request_key,
        "sample": side.sample,
        "prompt": side.prompt,
        "status": side.status,
        "file": side.file,
        "error": side.error,
    }
