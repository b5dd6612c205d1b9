"""Shards: a split cut into files of about the same size, each made once whatever interrupts the export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

from batchgen.export.pictures import Picture
from batchgen.export.selection import Row
from batchgen.export.source import Source
from batchgen.export.working import Working

Sample = tuple[Row, Picture]
#: Fills one file with as many samples as fit and gives their number, at least 1; takes none that it does not write.
Fill = Callable[[Path, "Samples"], int]


class Samples:
    """Samples in order, of which the next can be looked at before it is taken."""

    def __init__(self, samples: Iterator[Sample]) -> None:
        self._samples = samples
        self._next = next(samples, None)

    def peek(self) -> Sample | None:
        """The next one; None if there is none left."""
        return self._next

    def take(self) -> Sample:
        """The next one; only after `peek` has shown it."""
        taken = self._next
        if taken is None:
            raise StopIteration
        self._next = next(self._samples, None)
        return taken


def write_shards(source: Source, working: Working, split: str, *, name: Callable[[int], str], fill: Fill) -> list[str]:
    """Write the shards of a split and give their names.

    Args:
        name: of the shard with a number, from 0.
        fill: writes one.
    """
    log = working.log(f"shards-{split}")
    done = list(takewhile(lambda entry: working.path(entry["name"]).is_file(), log.read()))
    log.keep(len(done))
    names = [entry["name"] for entry in done]
    samples = Samples(source.pictures(split, skip=sum(entry["rows"] for entry in done)))
    while samples.peek() is not None:
        shard = name(len(names))
        with working.growing(shard) as path:
            rows = fill(path, samples)
        log.append(name=shard, rows=rows)
        names.append(shard)
    return names
