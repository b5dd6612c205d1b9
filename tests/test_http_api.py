"""The HTTP client against real sockets: what leaves, what comes back, and what is in doubt."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import aioresponses
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from batchgen.adapters.http_api.addresses import AddressRule
from batchgen.adapters.http_api.client import HTTPImageAPI
from batchgen.adapters.http_api.image_hosts import ImageHosts
from batchgen.adapters.http_api.transport import MEANINGS, Timeouts, meaning
from batchgen.errors import (
    AnswerInDoubt,
    APIError,
    BatchgenError,
    KeyMissing,
    KeyRejected,
    RequestRefused,
    ResultUnavailable,
    TryLater,
    UsageError,
)
from batchgen.model import JobId
from batchgen.ports import Accepted, Completed, Working
from batchgen.testing import tiny_png
from tests.factories import a_profile, a_request

KEY = "sk-a/secret+key=1"
SHORT = Timeouts(connect=0.2, submit=0.2, status=0.2, silence=0.2, download=1.0)
PNG = tiny_png()
JOB = JobId("j1")


Answer = Callable[[], web.StreamResponse]


def gives(body: object = None, *, status: int = 200, **headers: str) -> Answer:
    """An answer of a server: JSON, or bytes as they are."""
    raw_body = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: web.Response(status=status, body=raw_body, headers=named)


class Seen:
    """What a server was asked, and what it answers: in order, the last answer for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer()


@asynccontextmanager
async def served(*answers: Answer) -> AsyncIterator[Seen]:
    """A real server."""
    seen = Seen(*answers)
    runner = web.ServerRunner(web.Server(seen.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    seen.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield seen
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw(play: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that does to each connection whatever *play* does; the connection ends with it."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await play(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0)


def says(text: bytes, *, then_hangs: bool = False) -> Any:
    """Plays: read the request's head, send these bytes, and close or say nothing more."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        if then_hangs:
            await reader.read()
            await reader.read()

    return raw(play)


def api(url: str, *, timeouts: Timeouts | None = None, **options: Any) -> HTTPImageAPI:
    return HTTPImageAPI(a_profile(), key=KEY, base_url=url, timeouts=timeouts, **options)


async def submit_error(url: str, **options: Any) -> BatchgenError:
    async with api(url, timeouts=SHORT, **options) as client:
        with pytest.raises(BatchgenError) as caught:
            await client.submit(a_request())
    return caught.value


async def status_error(url: str) -> BatchgenError:
    async with api(url, timeouts=SHORT) as client:
        with pytest.raises(BatchgenError) as caught:
            await client.status(JOB)
    return caught.value


async def download_error(link: str, **options: Any) -> ResultUnavailable:
    async with hosts(timeouts=SHORT, **options) as near:
        with pytest.raises(ResultUnavailable) as caught:
            await near.download(link)
    return caught.value


def hosts(**options: Any) -> ImageHosts:
    return ImageHosts(AddressRule(loopback=True), **options)


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def deaf_port() -> Iterator[str]:
    """A port whose queue of connections is full: a further one is never answered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


# --- What leaves


async def test_a_submission_is_one_post_with_the_parameters_the_prompt_and_the_tags() -> None:
    async with served(gives({"id": "j1"}, status=202)) as seen, api(seen.url) as client:
        assert await client.submit(a_request()) == Accepted(job_id=JOB)
    (request,) = seen.requests
    assert (request.method, request.path, request.content_type) == ("POST", "/sd3/v1", "application/json")
    assert request.headers["API-Key"] == KEY
    assert request.headers["User-Agent"].startswith("batchgen/")
    expected = {"prompt": "A red fox", "batch_id": "animals", "file_prefix": "fox", **a_request().params}
    assert json.loads(seen.bodies[0]) == expected


async def test_tags_are_not_sent_to_an_api_that_does_not_know_them() -> None:
    parameters = {name: spec for name, spec in a_profile().parameters.items() if name != "batch_id"}
    async with served(gives({"id": "j1"})) as seen:
        client = HTTPImageAPI(a_profile(parameters=parameters), key=KEY, base_url=seen.url)
        async with client:
            await client.submit(a_request())
    assert "batch_id" not in json.loads(seen.bodies[0])
    assert "file_prefix" in json.loads(seen.bodies[0])


async def test_a_prompt_in_any_script_arrives_as_it_was_written() -> None:
    async with served(gives({"id": "j1"})) as seen, api(seen.url) as client:
        await client.submit(a_request(prompt='狐 – лиса \U0001f98a "quoted"\n'))
    assert json.loads(seen.bodies[0])["prompt"] == '狐 – лиса \U0001f98a "quoted"\n'


@pytest.mark.parametrize(
    ("job_id", "path"),
    [
        ("abc-1.2_3", "abc-1.2_3"),
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("../../keys", "..%2F..%2Fkeys"),
        ("..", "%2E%2E"),
        ("100%", "100%25"),
        ("狐 ", "%E7%8B%90%20"),
    ],
)
async def test_a_job_id_is_one_part_of_the_path_whatever_it_holds(job_id: str, path: str) -> None:
    async with served(gives({"status": "PENDING"})) as seen, api(seen.url) as client:
        assert await client.status(JobId(job_id)) == Working(state="pending")
    assert seen.requests[0].raw_path == f"/sd3/v1/status/{path}"
    assert seen.requests[0].headers["API-Key"] == KEY


async def test_a_base_url_may_have_a_path_and_a_slash_at_its_end() -> None:
    async with served(gives({"status": "PENDING"})) as seen, api(f" {seen.url}/proxy/ ") as client:
        await client.status(JOB)
    assert seen.requests[0].path == "/proxy/sd3/v1/status/j1"


@pytest.mark.parametrize("url", ["", "api.test", "ftp://api.test", "http://", "https://a b", "http://x:y", "//x"])
def test_a_base_url_that_cannot_be_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(UsageError, match="base URL"):
        HTTPImageAPI(a_profile().model_copy(update={"base_url": url}), key=KEY)


def test_a_base_url_with_a_name_that_no_resolver_takes_is_refused() -> None:
    with pytest.raises(UsageError, match="base URL"):
        api(f"https://{'a' * 70}.test")


@pytest.mark.parametrize("key", ["two\nlines", "clé", "a\0b"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UsageError, match="IMAGEPIPELINE_API_KEY") as caught:
        HTTPImageAPI(a_profile(), key=key)
    assert key not in str(caught.value)


def test_an_empty_key_is_missing() -> None:
    with pytest.raises(KeyMissing):
        HTTPImageAPI(a_profile(), key=" \n")


async def test_white_space_around_a_key_is_dropped() -> None:
    async with served(gives({"status": "PENDING"})) as seen:
        client = HTTPImageAPI(a_profile(), key=f" {KEY}\n", base_url=seen.url)
        async with client:
            await client.status(JOB)
    assert seen.requests[0].headers["API-Key"] == KEY


async def test_cookies_are_not_kept() -> None:
    async with served(gives({"status": "PENDING"}, Set_Cookie="a=b")) as seen, api(seen.url) as client:
        await client.status(JOB)
        await client.status(JOB)
    assert "Cookie" not in seen.requests[1].headers


async def test_connections_are_used_again() -> None:
    async with served(gives({"status": "PENDING"})) as seen, api(seen.url) as client:
        for _ in range(3):
            await client.status(JOB)
    assert len({request.transport and id(request.transport) for request in seen.requests}) == 1


async def test_nothing_is_repeated_after_a_refusal() -> None:
    async with served(gives({}, status=503, Retry_After="0")) as seen:
        assert isinstance(await submit_error(seen.url), TryLater)
        assert isinstance(await status_error(seen.url), TryLater)
    assert [request.method for request in seen.requests] == ["POST", "GET"]


# --- What comes back (the rules themselves are in test_http_answers.py)


async def test_a_job_is_followed_from_submission_to_its_picture() -> None:
    async with served(gives(PNG)) as images, served(gives({"id": 7, "status": "PENDING"}, status=202)) as seen:
        done = {"status": "SUCCESS", "download_urls": [[images.url + "/a"]]}
        seen.answers += [gives({"status": "PROCESSING"}), gives(done)]
        async with api(seen.url) as client:
            accepted = await client.submit(a_request())
            assert accepted == Accepted(job_id=JobId("7"))
            assert isinstance(await client.status(JobId("7")), Working)
            completed = await client.status(JobId("7"))
            assert isinstance(completed, Completed)
            async with hosts() as near:
                assert await near.download(completed.urls[0]) == PNG


async def test_a_retry_after_date_is_counted_from_the_clock() -> None:
    date = "Tue, 14 Nov 2023 22:13:50 GMT"
    async with served(gives({}, status=429, Retry_After=date)) as seen:
        error = await submit_error(seen.url, clock=lambda: 1_700_000_000.0)
    assert isinstance(error, TryLater)
    assert (error.retry_after, error.crowded) == (30.0, True)


async def test_a_compressed_answer_is_understood() -> None:
    def compressed() -> web.Response:
        response = web.json_response({"id": "j1", "padding": "x" * 5000})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with served(compressed) as seen, api(seen.url) as client:
        assert await client.submit(a_request()) == Accepted(job_id=JOB)


async def test_an_answer_too_large_to_be_one_is_in_doubt() -> None:
    whole = b'{"id": "j", "status": "PENDING", "note": "' + b"x" * 9_000_000 + b'"}'
    async with served(gives(whole)) as seen:
        assert isinstance(await submit_error(seen.url), AnswerInDoubt)
        assert isinstance(await status_error(seen.url), TryLater)


# --- Surely not accepted


async def assert_unsent(url: str) -> None:
    for error in (await submit_error(url), await status_error(url)):
        assert isinstance(error, TryLater)
        assert (error.code, error.http_status) == ("UNREACHABLE", None)
        assert error.__cause__ is not None


async def test_a_refused_connection_was_surely_not_accepted(closed_port: str) -> None:
    await assert_unsent(closed_port)


async def test_a_connection_that_does_not_come_about_in_time_was_surely_not_accepted(deaf_port: str) -> None:
    await assert_unsent(deaf_port)


async def test_a_failed_tls_handshake_was_surely_not_accepted() -> None:
    async with served(gives({"id": "j1"})) as seen:
        await assert_unsent(seen.url.replace("http:", "https:"))
    assert seen.requests == []


async def test_a_submission_that_got_no_connection_of_a_full_pool_was_surely_not_accepted() -> None:
    arrived: list[bytes] = []
    taken = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        arrived.append(await reader.readuntil(b"\r\n\r\n"))
        taken.set()
        while await reader.read(1000):
            pass

    limits = replace(SHORT, status=30.0)
    async with raw(hang) as url, api(url, timeouts=limits, connections=1) as client:
        holding = asyncio.ensure_future(client.status(JOB))
        await taken.wait()
        with pytest.raises(TryLater):
            await client.submit(a_request())
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
    assert [call.split()[0] for call in arrived] == [b"GET"]


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"400 Bad Request", b"503 Busy\r\nRetry-After: 1"])
async def test_a_refusal_whose_body_breaks_off_is_still_a_refusal(status: bytes) -> None:
    async with says(b"HTTP/1.1 " + status + b"\r\nContent-Length: 500\r\n\r\n{") as url:
        assert isinstance(await submit_error(url), TryLater | RequestRefused)


# --- In doubt


ANSWERS_THAT_BREAK_OFF = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "a short body": b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"id": "j1"}',
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
    "broken compression": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a body of garbage": b"HTTP/1.1 200 OK\r\n\r\n\x00\xff\xfe",
    "a redirect": b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", ANSWERS_THAT_BREAK_OFF)
async def test_an_answer_that_breaks_off_leaves_a_submission_in_doubt(name: str) -> None:
    async with says(ANSWERS_THAT_BREAK_OFF[name]) as url:
        assert isinstance(await submit_error(url), AnswerInDoubt)


async def test_a_job_that_the_pieces_of_an_answer_name_may_be_asked_about() -> None:
    async with says(ANSWERS_THAT_BREAK_OFF["a short body"]) as url:
        error = await submit_error(url)
    assert isinstance(error, AnswerInDoubt)
    assert error.job_id == "j1"


@pytest.mark.parametrize("name", ANSWERS_THAT_BREAK_OFF)
async def test_an_answer_that_breaks_off_says_nothing_about_the_job(name: str) -> None:
    async with says(ANSWERS_THAT_BREAK_OFF[name]) as url:
        assert isinstance(await status_error(url), TryLater)


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"])
async def test_silence_leaves_a_submission_in_doubt_and_a_question_for_later(text: bytes) -> None:
    async with says(text, then_hangs=True) as url:
        assert "no answer came in time" in str(await submit_error(url))
        assert isinstance(await status_error(url), TryLater)


async def test_a_reset_after_the_request_leaves_a_submission_in_doubt() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with raw(reset) as url:
        assert isinstance(await submit_error(url), AnswerInDoubt)
        assert isinstance(await status_error(url), TryLater)


async def test_a_connection_that_dies_while_the_second_request_is_under_way_leaves_it_in_doubt() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))  # type: ignore[index]
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"id": "j1"}')
        await reader.readuntil(b"\r\n\r\n")

    async with raw(once) as url, api(url, timeouts=SHORT) as client:
        assert await client.submit(a_request()) == Accepted(job_id=JOB)
        with pytest.raises(AnswerInDoubt, match="closed without an answer"):
            await client.submit(a_request())


async def test_a_redirected_submission_is_not_followed() -> None:
    async with served(gives({}, status=307, Location="/elsewhere")) as seen:
        assert isinstance(await submit_error(seen.url), AnswerInDoubt)
    assert len(seen.requests) == 1


async def test_a_cancelled_submission_is_cancelled() -> None:
    async with says(b"", then_hangs=True) as url, api(url) as client:
        submitting = asyncio.create_task(client.submit(a_request()))
        await asyncio.sleep(0)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting


# --- Every error of aiohttp


def every(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*map(every, kind.__subclasses__()))


def made(kind: type[Exception]) -> Exception:
    """An error of that kind as aiohttp would make it, as far as its text needs."""
    error = kind.__new__(kind)
    if isinstance(error, aiohttp.ClientResponseError):
        headers = CIMultiDictProxy(CIMultiDict({"API-Key": KEY}))
        info = aiohttp.RequestInfo(URL("https://api.test"), "POST", headers)
        aiohttp.ClientResponseError.__init__(error, info, (), status=400, message=f"bad {KEY}")
    elif isinstance(error, aiohttp.ClientConnectorError):
        key = ConnectionKey("api.test", 443, True, True, None, None, None)
        error._conn_key, error._os_error, error._path = key, OSError(111, "refused"), ""  # type: ignore[attr-defined]
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            error._certificate_error, error._host, error._port = ValueError("x"), "api.test", 443
    elif isinstance(error, aiohttp.ServerFingerprintMismatch):
        aiohttp.ServerFingerprintMismatch.__init__(error, b"", b"", "api.test", 443)
    else:
        kind.__init__(error, "some words")
    return error


ERRORS = sorted(every(aiohttp.ClientError), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_aiohttp_has_a_meaning_of_its_own(kind: type[Exception]) -> None:
    assert kind in MEANINGS, f"aiohttp has a new error: say in MEANINGS what {kind.__name__} says about a call"


@pytest.mark.parametrize("kind", ERRORS)
async def test_every_error_of_aiohttp_is_translated(kind: type[Exception]) -> None:
    # No socket can be made to raise each of them.
    with aioresponses() as fake:
        fake.post("https://api.test/sd3/v1", exception=made(kind))
        fake.get("https://api.test/sd3/v1/status/j1", exception=made(kind))
        fake.get("https://images.test/a", exception=made(kind))
        errors = [await submit_error("https://api.test"), await status_error("https://api.test")]
        errors.append(await download_error("https://images.test/a"))
    expected = TryLater if meaning(made(kind)).unsent else AnswerInDoubt
    assert [type(error) for error in errors] == [expected, TryLater, ResultUnavailable]
    assert all(isinstance(error, APIError) and meaning(made(kind)).words in error.message for error in errors)


@pytest.mark.parametrize("error", [OSError(5, "broken"), TimeoutError(), ConnectionResetError(104, "reset")])
async def test_the_systems_own_errors_are_translated_too(error: Exception) -> None:
    with aioresponses() as fake:
        fake.post("https://api.test/sd3/v1", exception=error)
        assert isinstance(await submit_error("https://api.test"), TryLater | AnswerInDoubt)


# --- The key stays here


def everything_shown(error: BaseException) -> str:
    """The error, and whatever a log or a traceback could show of what led to it."""
    chain, earlier = [error], error.__cause__ or error.__context__
    while earlier is not None:
        chain.append(earlier)
        earlier = earlier.__cause__ or earlier.__context__
    shown = [f"{link!r} {link} {vars(link)}" for link in chain]
    return "".join([*shown, *traceback.format_exception(error)])


@pytest.mark.parametrize(
    "text",
    [
        b"SSH " + KEY.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 " + KEY.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + KEY.encode() + b"\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: 17\r\n\r\n" + KEY.encode(),
        b'HTTP/1.1 500 No\r\n\r\n{"detail": {"headers": "sk-a%2Fsecret%2Bkey%3D1"}}',
    ],
)
async def test_a_server_that_echoes_the_key_does_not_get_it_into_an_error(text: bytes) -> None:
    async with says(text) as url:
        for error in (await submit_error(url), await status_error(url)):
            shown = everything_shown(error)
            assert KEY not in shown
            assert "sk-a%2Fsecret" not in shown


async def test_a_server_that_echoes_another_secret_does_not_get_it_into_an_error_or_an_answer() -> None:
    address = "https://hooks.test/mine/t0p-secret/k"
    refusal = gives({"detail": f"webhook: {address} cannot be called"}, status=422)
    failure = gives({"status": "FAILURE", "error": f"could not call {address}"})
    async with served(refusal, failure) as seen, HTTPImageAPI(a_profile(), key=KEY, base_url=seen.url) as api:
        api.keep_secret("t0p-secret")
        with pytest.raises(RequestRefused) as refused:
            await api.submit(a_request(params={"webhook": address}))
        failed = await api.status(JOB)
    assert json.loads(seen.bodies[0])["webhook"] == address
    assert "t0p-secret" not in everything_shown(refused.value) + repr(failed)
    assert "hooks.test" in everything_shown(refused.value) + repr(failed)


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if issubclass(kind, aiohttp.ClientResponseError)])
async def test_an_error_that_shows_the_requests_headers_is_not_passed_on(kind: type[Exception]) -> None:
    with aioresponses() as fake:
        fake.post("https://api.test/sd3/v1", exception=made(kind))
        assert KEY not in everything_shown(await submit_error("https://api.test"))


async def test_the_key_is_not_in_the_clients_repr() -> None:
    async with api("http://127.0.0.1:9") as client:
        assert KEY not in repr(client)


async def test_a_rejected_key_is_not_shown() -> None:
    async with served(gives({"detail": f"Invalid key {KEY}"}, status=401)) as seen:
        error = await submit_error(seen.url)
    assert isinstance(error, KeyRejected)
    assert KEY not in everything_shown(error)


# --- Downloads


async def test_the_key_is_never_sent_to_an_image_host() -> None:
    async with served(gives(PNG)) as images, hosts() as near:
        assert await near.download(images.url + "/a") == PNG
    assert KEY not in str(images.requests[0].headers)
    assert "API-Key" not in images.requests[0].headers


async def test_a_signed_link_is_asked_for_exactly_as_it_is_spelled() -> None:
    path = "/b2/by%5Fid;x?fileId=4_z%2Fa%2Bb+c&sig=%7e~!'()*%20&empty=&a=1&a=2"
    async with served(gives(PNG)) as images, hosts() as near:
        await near.download(images.url + path)
    assert images.requests[0].raw_path == path


async def test_a_link_with_spaces_or_letters_of_any_script_is_quoted() -> None:
    async with served(gives(PNG)) as images, hosts() as near:
        await near.download(images.url + "/a b/狐.png")
    assert images.requests[0].raw_path == "/a%20b/%E7%8B%90.png"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_relative_or_not(status: int) -> None:
    async with served(gives(PNG)) as other:
        far = gives(status=status, Location=other.url + "/final%2Fa")
        near = gives(status=status, Location="../b?c=%2F")
        async with served(near, far) as images, hosts() as client:
            assert await client.download(images.url + "/x/a") == PNG
    assert [request.raw_path for request in images.requests] == ["/x/a", "/b?c=%2F"]
    assert other.requests[0].raw_path == "/final%2Fa"


async def test_a_link_that_redirects_in_a_circle_is_given_up_after_five_redirects() -> None:
    async with served(gives(status=302, Location="/again")) as images:
        error = await download_error(images.url)
    assert error.permanent
    assert len(images.requests) == 6


@pytest.mark.parametrize("location", ["http://example.test/a", "ftp://x/a", "file:///etc/passwd", "//example.test/a"])
async def test_a_redirect_to_where_no_image_is_fetched_from_is_refused(location: str) -> None:
    async with served(gives(status=302, Location=location)) as images:
        error = await download_error(images.url)
    assert error.permanent
    assert "where no image is fetched from" in error.message


@pytest.mark.parametrize("location", ["http://[", "http://x:99999999/"])
async def test_a_redirect_to_what_is_no_url_is_a_refusal_too(location: str) -> None:
    async with served(gives(status=302, Location=location)) as images:
        assert (await download_error(images.url)).message


@pytest.mark.parametrize(
    "link",
    [
        *("http://images.test/a", "ftp://images.test/a", "file:///etc/passwd", "/a", "", "https://", "javascript:1"),
        *("http://10.0.0.1/a", "http://[::2]/a", "http://127.0.0.1.evil.test/a", "data:image/png,x"),
    ],
)
async def test_only_tls_or_this_machine_is_fetched_from(link: str) -> None:
    assert (await download_error(link)).permanent


@pytest.mark.parametrize("link", ["https://[", "http://127.0.0.1:port/", "https://a:99999999/", "https://\udcff/"])
async def test_what_is_no_url_is_unavailable(link: str) -> None:
    assert isinstance(await download_error(link), ResultUnavailable)


async def test_a_host_name_that_no_resolver_takes_is_unavailable() -> None:
    assert "cannot be had" in (await download_error(f"https://{'a' * 70}.test/x")).message


@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 401, 403, 404, 408, 429, 500, 502, 503])
async def test_a_link_that_gives_no_image_now_may_give_one_later(status: int) -> None:
    async with served(gives(b"" if status in (204, 304) else b"no", status=status)) as images:
        error = await download_error(images.url)
    assert (error.permanent, error.http_status) == (False, status)


async def test_a_link_that_is_gone_is_gone() -> None:
    async with served(gives(status=410)) as images:
        assert (await download_error(images.url)).permanent


async def test_an_empty_body_is_not_yet_an_image() -> None:
    async with served(gives(b"")) as images:
        error = await download_error(images.url)
    assert (error.permanent, "empty body" in error.message) == (False, True)


@pytest.mark.parametrize("head", [b"Content-Length: 2000\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_more_bytes_than_are_taken_are_refused_and_not_read(head: bytes) -> None:
    body = b"3e8\r\n" + b"x" * 1000 + b"\r\n" if b"chunked" in head else b"x"
    async with says(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body, then_hangs=True) as url:
        error = await download_error(url, largest=999)
    assert (error.permanent, "more than 999 bytes" in error.message) == (True, True)


async def test_an_image_of_just_the_largest_size_is_taken() -> None:
    async with served(gives(PNG)) as images, hosts(largest=len(PNG)) as near:
        assert await near.download(images.url) == PNG


@pytest.mark.parametrize("name", sorted(ANSWERS_THAT_BREAK_OFF.keys() - {"a body of garbage", "a redirect"}))
async def test_a_download_that_breaks_off_may_be_tried_again(name: str) -> None:
    async with says(ANSWERS_THAT_BREAK_OFF[name]) as url:
        assert not (await download_error(url)).permanent


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx"])
async def test_a_download_that_falls_silent_may_be_tried_again(text: bytes) -> None:
    async with says(text, then_hangs=True) as url:
        error = await download_error(url)
    assert (error.permanent, "no answer came in time" in error.message) == (False, True)


async def test_a_host_that_cannot_be_reached_may_be_tried_again(closed_port: str, deaf_port: str) -> None:
    for url in (closed_port, deaf_port):
        assert not (await download_error(url)).permanent


async def test_no_message_repeats_the_signature_of_a_link(closed_port: str, deaf_port: str) -> None:
    for url in (closed_port, deaf_port, "http://elsewhere.test"):
        assert "signature" not in (await download_error(url + "/?signature=1")).message
