"""What `ports.Notices` promises. What only a real socket can show is in `test_webhook.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest

from batchgen.adapters.webhook import WebhookReceiver
from batchgen.model import RequestKey
from batchgen.ports import Notices
from batchgen.testing import MemoryNotices
from tests.factories import a_request

KEY, OTHER = RequestKey("0123456789bcdfgh"), RequestKey("hgfdcb9876543210")
DEAF = a_request(key=RequestKey("deaf"), params={"webhook": "https://theirs.test/"})

#: Notices, and a way to let them know.
Opened = tuple[Notices, Callable[[RequestKey], Awaitable[None]]]


@asynccontextmanager
async def _over_http() -> AsyncIterator[Opened]:
    listening = WebhookReceiver(listen=("127.0.0.1", 0), parameter="webhook")
    async with listening as receiver, aiohttp.ClientSession() as session:

        async def call(key: RequestKey) -> None:
            async with session.post(receiver.address(key), json={"job_id": "j"}) as answer:
                assert answer.status == 204

        yield receiver, call


@asynccontextmanager
async def _in_memory() -> AsyncIterator[Opened]:
    notices = MemoryNotices(deaf_to=[DEAF.key])

    async def call(key: RequestKey) -> None:
        notices.tell(key)

    yield notices, call


#: A further one is added here.
NOTICES: list[Callable[[], AbstractAsyncContextManager[Opened]]] = [_over_http, _in_memory]


@pytest.fixture(params=NOTICES, ids=lambda opened: opened.__name__.strip("_"))
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    async with request.param() as found:
        yield found


async def test_a_word_that_came_before_anybody_listened_is_not_lost(opened: Opened) -> None:
    notices, tell = opened
    await tell(KEY)
    assert await notices.next() == KEY


async def test_who_listens_is_woken_by_the_next_word(opened: Opened) -> None:
    notices, tell = opened
    listening = asyncio.ensure_future(notices.next())
    await tell(OTHER)
    assert await listening == OTHER


async def test_each_word_is_passed_on_and_a_double_one_once(opened: Opened) -> None:
    notices, tell = opened
    for key in (KEY, OTHER, KEY):
        await tell(key)
    assert {await notices.next(), await notices.next()} == {KEY, OTHER}
    listening = asyncio.ensure_future(notices.next())
    await tell(KEY)
    assert await listening == KEY


async def test_no_word_is_expected_of_a_job_that_tells_somebody_else(opened: Opened) -> None:
    notices, _ = opened
    assert notices.expected(a_request())
    assert not notices.expected(DEAF)
