"""The page of `diff`: two batches side by side, all in one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from batchgen.review.difference import BITS, Difference, facts_of
from batchgen.review.pages import render
from batchgen.review.thumbnails import data_uri

T = TypeVar("T")

#: Pairs, and rows lost and new, that are shown at most; each picture takes some 10 KB.
MOST_SHOWN = 300
_SIDE = 256  # pixels


def make(before: Path, after: Path, found: Difference) -> bytes:
    """The page, the furthest apart first."""
    return render(
        "difference.html",
        before=facts_of(before),
        after=facts_of(after),
        folders=(before, after),
        found=found,
        bits=BITS,
        most=MOST_SHOWN,
        pairs=_first(found.furthest()),
        alone=[
            ("Only in the first", _first(found.lost), len(found.lost), _thumbnails(before)),
            ("Only in the second", _first(found.new), len(found.new), _thumbnails(after)),
        ],
        pictures=(_thumbnails(before), _thumbnails(after)),
    )


def _first(some: Sequence[T]) -> Sequence[T]:
    return some[:MOST_SHOWN]


def _thumbnails(folder: Path) -> Callable[[str | None], str | None]:
    return partial(data_uri, folder, side=_SIDE)
