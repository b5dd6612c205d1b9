"""Which pictures look alike: held to a comparison of each with each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.likeness import NEAR, NONE, LookAlikes, distance

HASHES = st.integers(0, 2**64 - 1)


@st.composite
def families(draw: st.DrawFn) -> list[int]:
    """Hashes of which many are close to others, some by just as many bits as count and some by one more."""
    found = draw(st.lists(HASHES, min_size=1, max_size=6))
    for _ in range(draw(st.integers(0, 30))):
        changed = draw(st.sampled_from(found))
        for bit in draw(st.sets(st.integers(0, 63), max_size=NEAR + 2)):
            changed ^= 1 << bit
        found.append(changed)
    return found


def by_comparing_all(hashes: list[int]) -> list[int]:
    like: list[int] = []
    for later, one in enumerate(hashes):
        near = (n for n in range(later) if like[n] == NONE and (one ^ hashes[n]).bit_count() <= NEAR)
        like.append(next(near, NONE))
    return like


def met(hashes: list[int], *, at_once: int) -> list[int]:
    look_alikes = LookAlikes()
    some = [hashes[start : start + at_once] for start in range(0, len(hashes), at_once)]
    return [int(number) for part in some for number in look_alikes.meet(np.array(part, np.uint64))]


@settings(deadline=None)
@given(families(), st.integers(1, 40))
def test_each_picture_is_like_the_first_near_one_that_is_like_none(hashes: list[int], at_once: int) -> None:
    assert met(hashes, at_once=at_once) == by_comparing_all(hashes)


@settings(deadline=None)
@given(families())
def test_pictures_that_look_like_none_are_never_alike(hashes: list[int]) -> None:
    kept = [one for one, like in zip(hashes, met(hashes, at_once=7), strict=True) if like == NONE]
    assert all((one ^ other).bit_count() > NEAR for n, one in enumerate(kept) for other in kept[:n])


@given(HASHES, HASHES)
def test_the_distance_is_the_number_of_bits_that_differ(one: int, other: int) -> None:
    assert distance(np.array([one], np.uint64), np.array([other], np.uint64)).tolist() == [(one ^ other).bit_count()]


@pytest.mark.parametrize("bits", [1, NEAR, NEAR + 1])
def test_no_near_picture_is_missed_wherever_its_bits_differ(bits: int) -> None:
    dice = np.random.default_rng(7)
    known = dice.integers(0, 2**64, 1_500, dtype=np.uint64)
    changed = [int(one) ^ sum(1 << int(bit) for bit in dice.choice(64, bits, replace=False)) for one in known]
    look_alikes = LookAlikes()
    assert set(look_alikes.meet(known).tolist()) == {NONE}
    found = look_alikes.meet(np.array(changed, np.uint64))
    assert found.tolist() == (list(range(1_500)) if bits <= NEAR else [NONE] * 1_500)


def test_thousands_of_the_same_picture_are_like_the_first() -> None:
    found = LookAlikes().meet(np.full(3_000, 5, np.uint64))
    assert found.tolist() == [NONE, *[0] * 2_999]


def test_nothing_is_like_nothing() -> None:
    assert LookAlikes().meet(np.empty(0, np.uint64)).tolist() == []
