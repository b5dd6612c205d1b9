"""Two batches beside each other: what became of the same request, what changed, what is lost and what is new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from batchgen import index
from batchgen.model import INDEX_NAME, BatchFacts
from batchgen.review.facets import facets, shown

#: Bits of a perceptual hash.
BITS = 64
#: Rows of the same prompt among which the likest is looked for.
_CANDIDATES = 50
_COLUMNS = (
    "file_name", "rejected_file", "prompt", "status", "request_key", "sample_index", "sha256", "phash", "params_json",
    "error_class", "error_message", "split", "checks", "endpoint", "model",
)  # fmt: skip
_NOT_ASKED = frozenset({"status", "error_class", "checks", "split"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A row of one of the batches."""

    request_key: str
    sample: int
    prompt: str
    status: str
    file: str | None  #: of its image, relative to its batch folder
    sha256: str | None
    phash: str | None  #: 16 hex digits
    error: str | None  #: kind of failure and message
    facets: Mapping[str, str | None]  #: what was asked for, besides the prompt, as text


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A facet in which two rows of the same prompt differ."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A row of the one batch and what stands for it in the other."""

    before: Side
    after: Side
    changes: Sequence[Change]  #: where it is the same request, of labels only

    @property
    def same_file(self) -> bool:
        """Whether the images are the same byte for byte."""
        return self.before.sha256 is not None and self.before.sha256 == self.after.sha256

    @property
    def distance(self) -> int | None:
        """Bits, of 64, in which the perceptual hashes differ; None where one has no image."""
        if self.before.phash is None or self.after.phash is None:
            return None
        return (int(self.before.phash, 16) ^ int(self.after.phash, 16)).bit_count()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two batches compared, each list in plan order."""

    same: Sequence[Pair]  #: the same request key and sample
    changed: Sequence[Pair]  #: the same prompt, with other parameters, labels or another model
    lost: Sequence[Side]  #: only in the first
    new: Sequence[Side]  #: only in the second

    @property
    def identical(self) -> int:
        """Pairs of the same request whose image files are the same."""
        return sum(pair.same_file for pair in self.same)

    @property
    def distances(self) -> list[int]:
        """Of the pairs of the same request that have an image on both sides, ascending."""
        return sorted(pair.distance for pair in self.same if pair.distance is not None)

    @property
    def typical(self) -> float | None:
        """The median of the distances."""
        return median(self.distances) if self.distances else None

    def settings(self, pair: Pair) -> dict[str, str | None]:
        """What the second side of a pair was asked for, of the facets in which the pairs are not all alike."""
        return {name: value for name, value in pair.after.facets.items() if name in self._varying}

    @cached_property
    def _varying(self) -> set[str]:
        values: dict[str, set[str | None]] = defaultdict(set)
        for pair in (*self.same, *self.changed):
            for name, value in pair.after.facets.items():
                values[name].add(value)
        return {name for name, some in values.items() if len(some) > 1}

    def furthest(self) -> list[Pair]:
        """All pairs: those first that have an image on one side only, then by distance, the furthest first."""
        return sorted((*self.same, *self.changed), key=_by_distance)


def compare(before: Path, after: Path) -> Difference:
    """Compare the batches in two folders by their indexes. Holds a few hundred bytes a row.

    Raises:
        StorageFailed: an index cannot be read.
    """
    old = {(side.request_key, side.sample): side for side in _sides(before)}
    same, unpaired = [], []
    for side in _sides(after):
        if (known := old.pop((side.request_key, side.sample), None)) is None:
            unpaired.append(side)
        else:
            same.append(Pair(before=known, after=side, changes=_changes(known, side)))
    changed, new = _by_prompt(old, unpaired)
    return Difference(same=same, changed=changed, lost=list(old.values()), new=new)


def _by_prompt(old: dict[tuple[str, int], Side], unpaired: Sequence[Side]) -> tuple[list[Pair], list[Side]]:
    """Pair what has the same prompt and differs in the fewest facets; what is paired is taken out of *old*."""
    waiting: dict[tuple[str, int], dict[tuple[str, int], Side]] = defaultdict(dict)
    for key, side in old.items():
        waiting[side.prompt, side.sample][key] = side
    changed, new = [], []
    for side in unpaired:
        candidates = waiting[side.prompt, side.sample]
        if not candidates:
            new.append(side)
            continue
        key = min(islice(candidates, _CANDIDATES), key=lambda key: len(_changes(candidates[key], side)))
        known = candidates.pop(key)
        del old[key]
        changed.append(Pair(before=known, after=side, changes=_changes(known, side)))
    return changed, new


def _changes(before: Side, after: Side) -> list[Change]:
    names = dict.fromkeys((*before.facets, *after.facets))
    found = ((name, before.facets.get(name), after.facets.get(name)) for name in names)
    return [Change(name=name, before=was, after=now) for name, was, now in found if was != now]


def _sides(folder: Path) -> Iterator[Side]:
    path = folder / INDEX_NAME
    _, labels = index.read_facts(path)
    for row in index.read(path, [*_COLUMNS, *labels]):
        yield _side(row, labels)


def _side(row: Mapping[str, Any], labels: Sequence[str]) -> Side:
    error = ": ".join(part for part in (row["error_class"], row["error_message"]) if part)
    asked = {name: value for name, value in facets(row, labels).items() if name not in _NOT_ASKED}
    return Side(
        request_key=row["request_key"],
        sample=row["sample_index"],
        prompt=row["prompt"],
        status=row["status"],
        file=row["file_name"] or row["rejected_file"],
        sha256=row["sha256"],
        phash=row["phash"],
        error=error or None,
        facets=asked | {"endpoint": shown(row["endpoint"]), "model": shown(row["model"])},
    )


def facts_of(folder: Path) -> BatchFacts:
    """What is true of the whole batch in a folder.

    Raises:
        StorageFailed: its index cannot be read.
    """
    return index.read_facts(folder / INDEX_NAME)[0]


def _by_distance(pair: Pair) -> tuple[bool, int]:
    one_sided = (pair.before.file is None) != (pair.after.file is None)
    return (not one_sided, -1 if pair.distance is None else -pair.distance)
