"""The receiver of webhooks: `ports.Notices` over HTTP. A call says that a request's job may have ended, and no more.

Whoever calls is a stranger: calls are not signed, and what is in them is not documented. So the address says all: a
path that nobody can guess, new for every run, and the key of the request. What is sent there is never read.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
from collections.abc import Mapping
from operator import attrgetter
from typing import Self, cast

from aiohttp import web
from aiolimiter import AsyncLimiter
from yarl import URL

from batchgen.errors import UsageError
from batchgen.model import ParamValue, Request, RequestKey

#: Connections open at once; of more, the oldest is cut, for a call takes no time and whoever lingers is no API.
_MOST_CONNECTIONS = 128
#: Seconds from a connection to its end, whatever the other side does.
_LONGEST = 10.0
#: Calls that are listened to, in so many seconds.
_CALLS, _PERIOD = 1_000, 5.0
#: Words not yet heard that are kept; those beyond are lost, and their jobs asked about later.
_MOST_WAITING = 10_000
_KEY = re.compile(r"[0-9A-Za-z_-]{1,100}", re.ASCII)


def _silent() -> logging.Logger:
    """A log that nobody sees: a scanner's garbage is no news, and paths are secret."""
    logger = logging.Logger("batchgen.webhook")
    logger.disabled = True
    return logger


class WebhookReceiver:
    """Listens for webhooks while the context lasts.

    Args:
        listen: host and port; port 0 takes any free one.
        public_url: where the API reaches it; None: at the address listened on.
        parameter: the API's parameter that holds the address.
    """

    def __init__(self, *, listen: tuple[str, int], public_url: str | None = None, parameter: str) -> None:
        self._host, self._port = listen
        self._public_url = public_url
        self._parameter = parameter
        self._limiter = AsyncLimiter(_CALLS, _PERIOD)
        self._waiting: dict[RequestKey, None] = {}
        self._told = asyncio.Event()
        #: the part of its addresses that nobody may know; never logged or written down
        self.secret = secrets.token_urlsafe(24)

    def __repr__(self) -> str:
        return f"WebhookReceiver(listen={(self._host, self._port)!r})"

    async def __aenter__(self) -> Self:
        """
        Raises:
            UsageError: nothing can listen there.
        """
        self._server = web.Server(self._called)
        try:
            self._socket = await asyncio.get_running_loop().create_server(self._connection, self._host, self._port)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"Nothing can listen for webhooks on {self._host}:{self._port}: {error}. "
                "Nothing was sent; choose another address with --webhook-listen."
            ) from error
        if self._public_url is None:
            port = self._socket.sockets[0].getsockname()[1]
            self._public_url = str(URL.build(scheme="http", host=self._host, port=port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()  # who has not been heard by now has nothing to say
        await self._server.shutdown(0)

    def address(self, key: RequestKey) -> str:
        """The URL that tells of the job of that request. A secret."""
        assert self._public_url is not None
        return f"{self._public_url.rstrip('/')}/{self.secret}/{key}"

    def addressed(self, request: Request) -> Mapping[str, ParamValue]:
        """The parameter that makes the API call; none, if the user has the API call somebody else."""
        return {self._parameter: self.address(request.key)} if self.expected(request) else {}

    def expected(self, request: Request) -> bool:
        """See `ports.Notices`."""
        return self._parameter not in request.params

    async def next(self) -> RequestKey:
        """See `ports.Notices`."""
        while not self._waiting:
            self._told.clear()
            await self._told.wait()
        return self._waiting.popitem()[0]

    def _connection(self) -> asyncio.Protocol:
        return _Connection(
            self._server,
            loop=asyncio.get_running_loop(),
            logger=_silent(),
            access_log=_silent(),
            lingering_time=_LONGEST,
            auto_decompress=False,
        )

    async def _called(self, request: web.BaseRequest) -> web.Response:
        answer = web.Response(status=await self._status(request.path))
        answer.force_close()
        return answer

    async def _status(self, path: str) -> int:
        """The status to answer with; whatever proxies put before the last two parts of the path is theirs."""
        secret, _, key = path.rpartition("/")
        secret = secret.rpartition("/")[2]
        if not hmac.compare_digest(secret.encode("utf-8", "replace"), self.secret.encode()) or not _KEY.fullmatch(key):
            return 404
        if not self._limiter.has_capacity():
            return 429
        await self._limiter.acquire()
        if len(self._waiting) < _MOST_WAITING:
            self._waiting[RequestKey(key)] = None
            self._told.set()
        return 204


class _Connection(web.RequestHandler):
    """One connection, which ends soon."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        assert self._manager is not None
        self._end = asyncio.get_running_loop().call_later(_LONGEST, transport.abort)
        # One that was cut a moment ago is still among them.
        open_now = [one for one in map(attrgetter("transport"), self._manager.connections) if not _is_closing(one)]
        if len(open_now) > _MOST_CONNECTIONS:
            open_now[0].abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end.cancel()
        super().connection_lost(exc)


def _is_closing(transport: asyncio.Transport | None) -> bool:
    return transport is None or transport.is_closing()
