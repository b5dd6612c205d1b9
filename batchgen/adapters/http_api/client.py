"""The client: one POST a submission, one GET a question, nothing repeated inside, nothing followed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from batchgen.adapters.http_api.answers import Answer, AnswerReader
from batchgen.adapters.http_api.transport import (
    NETWORK_ERRORS,
    USER_AGENT,
    Timeouts,
    TooLarge,
    meaning,
    read_at_most,
    words,
)
from batchgen.adapters.http_api.wording import Wording
from batchgen.errors import AnswerInDoubt, KeyMissing, TryLater, UsageError
from batchgen.hosts import base_url_of, is_this_machine
from batchgen.model import JobId, ParamValue, Request
from batchgen.ports import JobStatus, Submission
from batchgen.profile import Profile, Role

#: Bytes of an answer; more make it unreadable.
_LARGEST_ANSWER = 8 * 1024 * 1024
#: Seconds. Common servers close idle connections after 5: a POST sent down one just then would be in doubt.
_KEEP_ALIVE = 4.0


@dataclass(slots=True)
class _Sending:
    """How far a call got."""

    connected: bool = False


#: The call that the current task makes.
_UNDER_WAY: ContextVar[_Sending] = ContextVar("_UNDER_WAY")


class _Connector(aiohttp.TCPConnector):
    """Notes that a call got a connection: from then on, bytes may have left. aiohttp's tracing would cost far more."""

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        connection = await super().connect(*args, **kwargs)
        _UNDER_WAY.get().connected = True
        return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class _Silence:
    """What there is instead of an answer."""

    message: str
    unsent: bool  #: surely no byte of the request left
    cause: Exception | None  #: None where the foreign error shows the key
    pieces: bytes = b""  #: of an answer that broke off


class HTTPImageAPI:
    """`ports.ImageAPI` over HTTP; an async context manager.

    Args:
        key: sent in the profile's header, to the API's host alone; white space around it is dropped.
        base_url: instead of the profile's.
        connections: open at once.
        clock: seconds since the epoch; for `Retry-After` dates.

    Raises:
        UsageError: no such base URL can be, it would have the key sent in clear, or no header can carry the key.
        KeyMissing: the key is empty.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        key: str,
        base_url: str | None = None,
        connections: int = 100,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._profile = profile
        self._base = _checked_base(base_url or profile.base_url)
        self._host = URL(self._base).host or self._base
        if not profile.simulated:
            _must_not_be_in_clear(self._base, self._host)
        self._key = _checked_key(key, host=self._host, variable=profile.key.variable)
        timeouts = timeouts or Timeouts()
        self._submit_limit = aiohttp.ClientTimeout(total=timeouts.submit, sock_connect=timeouts.connect)
        self._status_limit = aiohttp.ClientTimeout(total=timeouts.status, sock_connect=timeouts.connect)
        self._clock = clock
        self._connections = connections
        self._wording = Wording(self._key)
        self._reader = AnswerReader(profile, host=self._host, wording=self._wording)
        self._tags = frozenset(profile.named(Role.TAG))

    def __repr__(self) -> str:
        return f"HTTPImageAPI({self._profile.name!r}, base_url={self._base!r})"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=self._connections, ttl_dns_cache=300, keepalive_timeout=_KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, self._profile.key.header: self._key},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def keep_secret(self, text: str) -> None:
        """Keep one more text, besides the key, out of messages and kept answers."""
        self._wording.keep(text)

    def without_secrets(self, text: str) -> str:
        """The text with the key, and what else is to be kept secret, replaced."""
        return self._wording.without_secret(text)

    async def submit(self, request: Request) -> Submission:
        """Send the POST once; see `ports.ImageAPI`."""
        url = self._base + self._profile.submit_path
        answer = await self._call("POST", url, self._submit_limit, body=self._body(request))
        if isinstance(answer, Answer):
            early = bool(request.params.get(self._profile.early_urls_parameter or ""))
            return self._reader.submission(answer, early=early)
        if answer.unsent:
            raise TryLater(answer.message, code="UNREACHABLE") from answer.cause
        raise AnswerInDoubt(answer.message, job_id=self._reader.named_in(answer.pieces)) from answer.cause

    async def status(self, job_id: JobId) -> JobStatus:
        """Ask where the job stands, once; see `ports.ImageAPI`."""
        url = self._base + self._profile.status_path.replace("{id}", _as_path_part(job_id))
        answer = await self._call("GET", url, self._status_limit)
        if isinstance(answer, Answer):
            return self._reader.job_status(answer)
        raise TryLater(answer.message, code="UNREACHABLE" if answer.unsent else None) from answer.cause

    def _body(self, request: Request) -> dict[str, ParamValue]:
        tags = {"batch_id": request.batch_id, "file_prefix": request.file_prefix}
        return {
            "prompt": request.prompt,
            **request.params,
            **{name: value for name, value in tags.items() if name in self._tags},
        }

    async def _call(
        self, method: str, url: str, limit: aiohttp.ClientTimeout, *, body: dict[str, ParamValue] | None = None
    ) -> Answer | _Silence:
        sending, pieces = _Sending(), list[bytes]()
        _UNDER_WAY.set(sending)
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                json=body,
                allow_redirects=False,
                timeout=limit,
            ) as response:
                content = await _content(response, pieces)
                return Answer(status=response.status, headers=response.headers, body=content, at=self._clock(), url=url)
        except (*NETWORK_ERRORS, ValueError) as error:  # a ValueError: what HTTP, or aiohttp, will not carry
            return self._silence(error, sending, b"".join(pieces))

    def _silence(self, error: Exception, sending: _Sending, pieces: bytes) -> _Silence:
        # Returned, not raised: what is raised here would carry the foreign error along as its context, and some
        # of aiohttp's show the request's headers, the key among them, or bytes of the answer.
        return _Silence(
            message=self._wording.line(f"{self._host}: {words(error)}"),
            # A bare TimeoutError is the call's own limit, which may pass while it still waits for a connection.
            unsent=(meaning(error).unsent or type(error) is TimeoutError) and not sending.connected,
            cause=None if self._shows_key(error) else error,
            pieces=pieces,
        )

    def _shows_key(self, error: BaseException) -> bool:
        shown = f"{error!r} {error}"
        if self._wording.without_secret(shown) != shown:
            return True
        earlier = error.__cause__ or error.__context__
        return earlier is not None and self._shows_key(earlier)


async def _content(response: aiohttp.ClientResponse, pieces: list[bytes]) -> bytes:
    """The answer's body; nothing where it is too long, or broke off after a status that says enough by itself.

    Args:
        pieces: takes what came of it.
    """
    try:
        return await read_at_most(response, _LARGEST_ANSWER, into=pieces)
    except TooLarge:
        return b""
    except NETWORK_ERRORS:
        if response.status < 400:
            raise
        return b""


def _as_path_part(job_id: JobId) -> str:
    """Percent-encoded; an id of dots alone would otherwise climb in the path."""
    encoded = quote(job_id, safe="")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


def _checked_base(text: str) -> str:
    try:
        return str(base_url_of(text))
    except ValueError as error:
        raise UsageError(f"The base URL {error}") from error


def _must_not_be_in_clear(base_url: str, host: str) -> None:
    if base_url.startswith("http:") and not is_this_machine(host):
        raise UsageError(
            f"{base_url} would have the API key sent in clear, for everybody on the way to read. Nothing was sent; "
            "write https://, or have a proxy on this machine."
        )


def _checked_key(key: str, *, host: str, variable: str) -> str:
    clean = key.strip()
    if not clean:
        raise KeyMissing(host=host, variable=variable)
    if not (clean.isascii() and clean.isprintable()):
        raise UsageError(
            f"The API key in {variable} holds characters that no HTTP header can carry. "
            "Nothing was sent; copy it again, without line breaks."
        )
    return clean
