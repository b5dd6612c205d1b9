"""What `clean` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batchgen.cli.words.phrases import plural

if TYPE_CHECKING:
    from batchgen.app.cleaning import OldBatch

_UNITS = ("B", "KB", "MB", "GB", "TB")


def clean_text(folder: str, found: Sequence[OldBatch], *, removing: bool, forget: bool) -> str:
    """What `clean` says: a line a batch, and what was, or would be, removed."""
    lines = [f"{folder}: {_batches(len(found))}, {size(sum(batch.bytes for batch in found))}"]
    lines += [_line(batch) for batch in found]
    old = [batch for batch in found if (batch.removed if removing else batch.old)]
    freed = f"{_batches(len(old))}, {size(sum(batch.bytes for batch in old))}"
    if removing:
        lines.append(f"Removed: {freed}")
    elif old:
        lines.append(f"Would be removed: {freed}; say --yes to do so")
    else:
        lines.append("Nothing would be removed; --older-than 30d says what is old")
    if any(batch.disputes for batch in old):
        lines.append(_of_disputes(removing=removing, forget=forget))
    return "\n".join(lines)


def _of_disputes(*, removing: bool, forget: bool) -> str:
    if not forget:
        return "Disputed submissions stay on record: `batchgen status OUT --disputes` lists them"
    if removing:
        return "Disputed submissions are forgotten, too"
    return "Disputed submissions would be forgotten, too: see `batchgen status OUT --disputes` first"


def _line(batch: OldBatch) -> str:
    age = "?" if batch.age is None else f"{batch.age / 86_400:.0f}d"
    fate = "removed" if batch.removed else "old" if batch.old else batch.kept_for or ""
    if batch.disputes:
        fate += f"; {plural(batch.disputes, 'disputed submission')}"
    return f"  {age:>5}  {size(batch.bytes):>9}  {batch.out}" + (f"  ({fate})" if fate else "")


def size(number: int) -> str:
    """`812 MB`, `1.2 GB`."""
    amount, unit = float(number), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1_000, unit + 1
    return f"{amount:.3g} {_UNITS[unit]}"


def _batches(number: int) -> str:
    return f"{number:,} batch" + ("" if number == 1 else "es")


def clean_json(folder: str, found: Sequence[OldBatch]) -> dict[str, Any]:
    """What `clean --json` says."""
    return {
        "folder": folder,
        "batches": [
            {
                "out": str(batch.out),
                "age_seconds": None if batch.age is None else round(batch.age),
                "bytes": batch.bytes,
                "kept_for": batch.kept_for,
                "disputes": batch.disputes,
                "old": batch.old,
                "cleaned": batch.cleaned,
                "removed": batch.removed,
            }
            for batch in found
        ],
    }
