"""Places for jobs in flight, and for images on their way."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from batchgen.policy import SMALL_AT_ONCE, SMALL_IMAGES, FetchLimit, InFlightLimit
from batchgen.runner.slots import Places, Slots


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    slots = Slots(InFlightLimit(1))
    order: list[int] = []

    async def one(number: int) -> None:
        await slots.take()
        order.append(number)
        await asyncio.sleep(0)
        slots.leave()

    await asyncio.gather(*(one(number) for number in range(10)))
    assert order == list(range(10))


async def test_a_cut_limit_lets_nobody_in_until_enough_have_left() -> None:
    slots = Slots(InFlightLimit(4))
    for _ in range(4):
        await slots.take()
    with slots.submitting():
        slots.refused()  # three were in flight when the fourth was refused
    late = asyncio.ensure_future(slots.take())
    slots.leave()
    await turns()
    assert not late.done()
    slots.leave()
    await late
    assert slots.held == 3


async def test_a_taker_cancelled_in_the_turn_in_which_it_was_given_a_place_gives_it_back() -> None:
    slots = Slots(InFlightLimit(1))
    await slots.take()
    waiting = asyncio.ensure_future(slots.take())
    await turns()
    slots.leave()  # gives the place to the one who waits …
    waiting.cancel()  # … who is gone before it can wake up
    await asyncio.wait((waiting,))
    assert (waiting.cancelled(), slots.held) == (True, 0)


@given(st.integers(1, 5), st.lists(st.sampled_from(["take", "leave", "cancel", "refuse", "accept"]), max_size=60))
def test_whatever_happens_no_more_places_are_held_than_were_asked_for(wish: int, steps: list[str]) -> None:
    async def play() -> None:
        slots = Slots(InFlightLimit(wish))
        takers: list[asyncio.Task[None]] = []
        for step in steps:
            takers = [taker for taker in takers if not taker.cancelled()]
            inside = [taker for taker in takers if taker.done()]
            outside = [taker for taker in takers if not taker.done()]
            if step == "take":
                takers.append(asyncio.ensure_future(slots.take()))
            elif step == "leave" and inside:
                takers.remove(inside[0])
                slots.leave()
            elif step == "cancel" and outside:
                outside[0].cancel()
            elif step == "refuse" and inside:
                slots.refused()
            elif step == "accept":
                slots.accepted()
            await turns(3)
            assert slots.held == sum(taker.done() and not taker.cancelled() for taker in takers)
            assert slots.held <= wish
        for taker in takers:
            taker.cancel()
        await asyncio.gather(*takers, return_exceptions=True)

    asyncio.run(play())


async def test_places_that_have_become_more_are_given_with_the_next_that_is_given_back() -> None:
    number = 1
    places = Places(lambda: number)
    await places.take()
    waiting = [asyncio.ensure_future(places.take()) for _ in range(3)]
    number = 3
    places.leave()
    await turns()
    assert [one.done() for one in waiting] == [True, True, True]
    assert places.held == 3


@given(st.integers(1, 20), st.lists(st.integers(0, 10**8), max_size=50))
def test_small_images_are_fetched_more_at_once_and_large_ones_never_fewer_than_was_said(
    least: int, sizes: list[int]
) -> None:
    limit = FetchLimit(least)
    for size in sizes:
        limit.fetched(size)
        assert least <= limit.limit <= SMALL_AT_ONCE * least
        assert limit.limit == least or limit.limit * size <= SMALL_IMAGES


def test_images_as_small_as_icons_are_soon_fetched_as_many_at_once_as_may_be_and_a_large_one_ends_that() -> None:
    limit = FetchLimit(16)
    assert limit.limit == 16
    for _ in range(50):
        limit.fetched(4_000)
    assert limit.limit == 64
    limit.fetched(2_000_000)
    assert limit.limit == 16
