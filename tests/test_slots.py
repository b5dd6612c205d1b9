"""Places for jobs in flight."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from batchgen.policy import InFlightLimit
from batchgen.runner.slots import Slots


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
