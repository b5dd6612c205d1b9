"""Exports as tests look at them."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from batchgen.app.exporting import export, find_format
from batchgen.export import Change, Choice


def exported(
    batch: Path, dest: Path, to: str, *, choice: Choice | None = None, change: Change | None = None, **options: Any
) -> Path:
    """An export, and where it is."""
    export(batch, dest, find_format(to, options), choice=choice, change=change)
    return dest


def contents(place: Path) -> dict[str, str]:
    """Hash of every file, hidden ones too, by its name."""
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def members(shard: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """The files in a tar, in order."""
    with tarfile.open(shard) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
