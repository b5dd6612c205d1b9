"""Which pictures look alike, told by their perceptual hashes. Pure.

Hashes that differ in at most `NEAR` of their 64 bits are found by an index over parts of them: cut into four parts
of 16 bits, two such hashes have a part in which they differ in at most one bit. So each hash is looked up under its own
four parts and those one bit away, and only what stands there is compared.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64] | npt.NDArray[np.int32]

#: Bits in which pictures that look alike differ at most; the index finds up to 7. Unlike pictures differ in some 32:
#: among all pairs of 100,000 of those, 0.02 are expected to be this close.
NEAR = 6
#: Where a picture stands that looks like none before it.
NONE = -1
_PARTS, _PART_BITS = 4, 16
_AT_ONCE = 512  #: hashes that are compared with each other; their pairs are held in memory
_COMPARED = 1 << 17  #: pairs of hashes in memory
_PROBES = np.array([0, *(1 << bit for bit in range(_PART_BITS))], np.uint16)
#: Bit of each part, in order. Neighbouring bits of a hash are alike in many pictures, so they go to different parts.
_ORDER = np.array(
    [8 * row + (row + part + _PARTS * half) % 8 for part in range(4) for row in range(8) for half in (0, 1)]
)


class LookAlikes:
    """Pictures met so far, in order. One that looks like an earlier one is said to look like the first such that
    looks like none before it: to keep only pictures that look like none leaves no two that are alike.

    Memory: some 40 bytes for each picture that looks like none before it.
    """

    def __init__(self) -> None:
        self._met = 0
        self._known = _Known(np.empty(0, np.uint64))
        self._numbers: Numbers = np.empty(0, np.int64)  #: of the known ones

    def meet(self, hashes: Hashes) -> Numbers:
        """For each hash the number of the picture it looks like, or NONE; the first picture ever met has number 0."""
        hashes = _mixed(hashes)
        found = [self._meet(hashes[start : start + _AT_ONCE]) for start in range(0, len(hashes), _AT_ONCE)]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _meet(self, hashes: Hashes) -> Numbers:
        numbers = np.arange(self._met, self._met + len(hashes))
        like = self._among_known(hashes)
        new = np.flatnonzero(like == NONE)
        like[new] = _among_themselves(hashes[new], numbers[new])
        alone = like == NONE
        self._met += len(hashes)
        if alone.any():
            self._known = _Known(np.concatenate([self._known.hashes, hashes[alone]]))
            self._numbers = np.concatenate([self._numbers, numbers[alone]])
        return like

    def _among_known(self, hashes: Hashes) -> Numbers:
        first = np.full(len(hashes), len(self._numbers))
        for asked, known in self._known.near(hashes):
            np.minimum.at(first, asked, known)
        found: Numbers = np.append(self._numbers, NONE)[first]
        return found


def _among_themselves(hashes: Hashes, numbers: Numbers) -> Numbers:
    like = np.full(len(hashes), NONE)
    near = np.tril(distance(hashes[:, None], hashes[None, :]) <= NEAR, k=-1)
    for later in np.flatnonzero(near.any(axis=1)).tolist():  # in order: what it looks like is settled
        alone = near[later] & (like == NONE)
        if alone.any():
            like[later] = numbers[alone.argmax()]
    return like


class Names:
    """Names by number, at one byte a letter."""

    def __init__(self) -> None:
        self._letters = bytearray()
        self._ends = array("q", [0])

    def extend(self, names: Iterable[str]) -> None:
        for name in names:
            self._letters += name.encode()
            self._ends.append(len(self._letters))

    def __getitem__(self, number: int) -> str:
        return self._letters[self._ends[number] : self._ends[number + 1]].decode()


class _Known:
    """Hashes that can be looked up by each of their parts."""

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        self._parts = [_Part(values) for values in _parts(hashes)]

    def near(self, hashes: Hashes) -> Iterator[tuple[Numbers, Positions]]:
        """Pairs that look alike, as positions in *hashes* and in these: each pair at least once."""
        asked = np.repeat(np.arange(len(hashes)), len(_PROBES))
        for part, values in zip(self._parts, _parts(hashes), strict=True):
            yield from self._look_up(part, (values[:, None] ^ _PROBES).ravel(), asked, hashes)

    def _look_up(
        self, part: _Part, values: npt.NDArray[np.uint16], asked: Numbers, hashes: Hashes
    ) -> Iterator[tuple[Numbers, Positions]]:
        start = part.starts[values]
        count = part.starts[values.astype(np.int32) + 1] - start
        if (pairs := int(count.sum())) > _COMPARED and len(values) > 1:
            half = len(values) // 2
            yield from self._look_up(part, values[:half], asked[:half], hashes)
            yield from self._look_up(part, values[half:], asked[half:], hashes)
        elif pairs:
            within = np.arange(pairs) - np.repeat(np.cumsum(count) - count, count)
            known, wanted = part.order[np.repeat(start, count) + within], np.repeat(asked, count)
            near = distance(hashes[wanted], self.hashes[known]) <= NEAR
            yield wanted[near], known[near]


class _Part:
    """Hashes by one of their parts."""

    def __init__(self, values: npt.NDArray[np.uint16]) -> None:
        self.order: Positions = np.argsort(values, kind="stable").astype(np.int32)  #: hashes, by value
        #: Where in the order the hashes with each value begin; and behind the last of them, where they end.
        self.starts: Positions = np.zeros((1 << _PART_BITS) + 1, np.int32)
        np.cumsum(np.bincount(values, minlength=1 << _PART_BITS), out=self.starts[1:])


def distance(one: Hashes, other: Hashes) -> npt.NDArray[np.uint8]:
    """Bits in which hashes differ."""
    ones: npt.NDArray[np.uint8] = np.bitwise_count(one ^ other)
    return ones


def _mixed(hashes: Hashes) -> Hashes:
    """The hashes with their bits in another order, which changes no distance."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    return np.ascontiguousarray(np.packbits(bits[:, _ORDER], axis=1)).view(np.uint64).ravel()


def _parts(hashes: Hashes) -> Iterator[npt.NDArray[np.uint16]]:
    """The four parts of all hashes, one after the other."""
    values = hashes.view(np.uint16).reshape(-1, _PARTS)
    return (values[:, part] for part in range(_PARTS))
