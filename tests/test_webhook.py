"""The receiver of webhooks, over real sockets: whoever calls it, the run goes on and the right word gets through."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from batchgen.adapters import webhook
from batchgen.adapters.webhook import WebhookReceiver
from batchgen.app.event_loop import run_in_loop
from batchgen.errors import UsageError
from batchgen.model import RequestKey
from tests.factories import a_request

KEY = RequestKey("0123456789bcdfgh")


def receiver(**settings: object) -> WebhookReceiver:
    return WebhookReceiver(**{"listen": ("127.0.0.1", 0), "parameter": "webhook"} | settings)  # type: ignore[arg-type]


@pytest.fixture
async def open_receiver() -> AsyncIterator[WebhookReceiver]:
    async with receiver() as opened:
        yield opened


def place(opened: WebhookReceiver) -> tuple[str, int, str]:
    """Host, port and path of its address."""
    host, _, path = opened.address(KEY).removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    return name, int(port), f"/{path}"


async def call(url: str, **content: object) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, **content) as answer:  # type: ignore[arg-type]
        return answer.status


@contextlib.asynccontextmanager
async def connected(opened: WebhookReceiver) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port, _ = place(opened)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def raw(opened: WebhookReceiver, sent: bytes) -> bytes:
    """What comes back for these bytes, until the other side closes."""
    async with connected(opened) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
            return await reader.read()
    return b""


async def is_heard(opened: WebhookReceiver) -> bool:
    return await call(opened.address(KEY)) == 204 and await opened.next() == KEY


def test_the_path_cannot_be_guessed_and_is_new_for_every_run() -> None:
    secrets = {receiver().secret for _ in range(100)}
    assert len(secrets) == 100
    assert min(map(len, secrets)) >= 32


async def test_a_call_of_any_other_path_is_not_heard(open_receiver: WebhookReceiver) -> None:
    base = open_receiver.address(KEY).split(open_receiver.secret)[0]
    for path in ("", KEY, f"x/{KEY}", f"{open_receiver.secret}", f"{open_receiver.secret}/", f"é/{KEY}", "%00/%00"):
        assert await call(base + path) == 404
    assert await call(f"{open_receiver.address(KEY)}%2F..") == 404
    assert await is_heard(open_receiver)


async def test_garbage_is_survived(open_receiver: WebhookReceiver) -> None:
    for sent in (b"\x00\xff" * 500 + b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"A" * 20_000):
        assert b" 204 " not in await raw(open_receiver, sent)
    assert await is_heard(open_receiver)


async def test_headers_without_end_are_refused(open_receiver: WebhookReceiver) -> None:
    path = place(open_receiver)[2].encode()
    answer = await raw(open_receiver, b"POST " + path + b" HTTP/1.1\r\nHost: h\r\n" + b"X: " + b"y" * 100_000)
    assert b" 400 " in answer
    assert await is_heard(open_receiver)


async def test_a_body_that_never_comes_keeps_no_word_back(open_receiver: WebhookReceiver) -> None:
    path = place(open_receiver)[2]
    async with connected(open_receiver) as (reader, writer):
        writer.write(f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == b"204"
        assert await open_receiver.next() == KEY


async def test_a_body_as_large_as_an_image_is_taken_and_not_kept(open_receiver: WebhookReceiver) -> None:
    assert await call(open_receiver.address(KEY), data=BytesIO(b"\x89PNG" * 1_000_000)) == 204
    assert await open_receiver.next() == KEY


async def test_a_body_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, called = [], WebhookReceiver._called

    async def watched(self: WebhookReceiver, request: web.BaseRequest) -> web.Response:
        taken.append(request.content.total_bytes)
        return await called(self, request)

    monkeypatch.setattr(WebhookReceiver, "_called", watched)
    bomb = gzip.compress(bytes(10_000_000))
    async with receiver() as opened:
        head = f"POST {place(opened)[2]} HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}"
        assert b" 204 " in await raw(opened, head.encode() + b"\r\n\r\n" + bomb)
    assert 0 < max(taken) <= len(bomb)


async def test_a_flood_of_connections_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_LONGEST", 1e6)  # so that it is the flood that they are cut for
    async with receiver() as opened, contextlib.AsyncExitStack() as stack, asyncio.timeout(30):
        more = webhook._MOST_CONNECTIONS + 50
        idle = [await stack.enter_async_context(connected(opened)) for _ in range(more)]
        assert await is_heard(opened)
        cut = await asyncio.gather(*(reader.read() for reader, _ in idle[:50]), return_exceptions=True)
        assert all(one == b"" or isinstance(one, ConnectionError) for one in cut)


async def test_a_connection_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_LONGEST", 0.05)
    async with receiver() as opened, asyncio.timeout(5):
        assert await raw(opened, b"") == b""
        assert await raw(opened, b"POST /slo") == b""
        assert await is_heard(opened)


async def test_calls_beyond_the_rate_are_sent_away_and_wake_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_CALLS", 3)
    async with receiver() as opened:
        statuses = [await call(opened.address(RequestKey(f"k{n}"))) for n in range(10)]
        assert statuses.count(429) >= 6
        assert {await opened.next() for _ in range(statuses.count(204))} == {RequestKey(f"k{n}") for n in range(3)}


async def test_words_that_nobody_takes_do_not_pile_up(
    open_receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_MOST_WAITING", 2)
    for n in range(5):
        assert await call(open_receiver.address(RequestKey(f"k{n}"))) == 204
    assert len(open_receiver._waiting) == 2


async def test_nothing_of_it_is_logged_or_shown(
    open_receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        await raw(open_receiver, b"\x00\r\n\r\n")
        await is_heard(open_receiver)
    assert open_receiver.secret not in caplog.text + repr(open_receiver) + "".join(capfd.readouterr())


async def test_a_proxy_may_put_a_path_of_its_own_before_it() -> None:
    async with receiver(public_url="https://hooks.test/mine/") as opened:
        assert opened.address(KEY) == f"https://hooks.test/mine/{opened.secret}/{KEY}"
        port = opened._socket.sockets[0].getsockname()[1]
        for prefix in ("", "/mine", "/a/b"):
            assert await call(f"http://127.0.0.1:{port}{prefix}/{opened.secret}/{KEY}") == 204


async def test_it_listens_on_ipv6_too() -> None:
    async with receiver(listen=("::1", 0)) as opened:
        assert opened.address(KEY).startswith("http://[::1]:")
        assert await is_heard(opened)


async def test_a_webhook_of_the_users_own_is_left_alone(open_receiver: WebhookReceiver) -> None:
    assert open_receiver.addressed(a_request()) == {"webhook": open_receiver.address(a_request().key)}
    assert open_receiver.addressed(a_request(params={"webhook": "https://theirs.test"})) == {}


async def test_a_port_that_is_taken_is_a_sentence(open_receiver: WebhookReceiver) -> None:
    host, port, _ = place(open_receiver)
    with pytest.raises(UsageError, match=r"choose another address with --webhook-listen"):
        async with receiver(listen=(host, port)):
            pass


@given(path=st.text(st.characters(codec="utf-8")))
def test_no_path_without_the_secret_is_taken(path: str) -> None:
    async def status() -> int:
        return await receiver()._status(path)

    assert asyncio.run(status()) == 404


def test_it_listens_on_the_quicker_event_loop_too() -> None:
    pytest.importorskip("uvloop")

    async def told() -> tuple[int, RequestKey]:
        async with receiver() as opened:
            return await call(opened.address(KEY)), await asyncio.wait_for(opened.next(), 10)

    assert run_in_loop(told()) == (204, KEY)
