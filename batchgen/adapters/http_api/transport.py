"""What the client and the downloads share: time limits, reading with a limit, and what aiohttp's errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import NamedTuple

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError

USER_AGENT = f"batchgen/{version('batchgen')}"
#: What a call over the network may raise. Time limits and resets are OSErrors too.
NETWORK_ERRORS = (aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long is waited, in seconds."""

    connect: float = 10.0  #: for a connection, TLS included
    submit: float = 120.0  #: for the whole of a submission
    status: float = 30.0  #: for the whole of a status call
    silence: float = 60.0  #: for the next bytes of a download
    download: float = 600.0  #: for the whole of a download


class Meaning(NamedTuple):
    """What one of aiohttp's errors says about a call."""

    words: str
    unsent: bool = False  #: surely before any byte of the request left


#: Each error of aiohttp, by its own class; a test sees to it that none is missing.
MEANINGS: Mapping[type[Exception], Meaning] = {
    aiohttp.ClientConnectorDNSError: Meaning("its name cannot be resolved", unsent=True),
    aiohttp.ClientConnectorCertificateError: Meaning("its TLS certificate is not valid", unsent=True),
    aiohttp.ClientConnectorSSLError: Meaning("no TLS connection could be made", unsent=True),
    aiohttp.ClientSSLError: Meaning("no TLS connection could be made", unsent=True),
    aiohttp.ServerFingerprintMismatch: Meaning("its TLS certificate is not the expected one", unsent=True),
    UnixClientConnectorError: Meaning("no connection could be made", unsent=True),
    aiohttp.ClientProxyConnectionError: Meaning("the proxy cannot be reached", unsent=True),
    aiohttp.ClientHttpProxyError: Meaning("the proxy refused the connection", unsent=True),
    aiohttp.ClientConnectorError: Meaning("no connection could be made", unsent=True),
    aiohttp.ConnectionTimeoutError: Meaning("no connection came about in time", unsent=True),
    aiohttp.InvalidUrlRedirectClientError: Meaning("it redirects to what is no URL"),
    aiohttp.NonHttpUrlRedirectClientError: Meaning("it redirects to what is no web address"),
    aiohttp.RedirectClientError: Meaning("it redirects to where it cannot be followed"),
    aiohttp.InvalidUrlClientError: Meaning("the URL is not valid", unsent=True),
    aiohttp.InvalidURL: Meaning("the URL is not valid", unsent=True),
    aiohttp.NonHttpUrlClientError: Meaning("the URL is no web address", unsent=True),
    aiohttp.TooManyRedirects: Meaning("it redirects too often"),
    aiohttp.ContentTypeError: Meaning("the answer is not of the expected type"),
    aiohttp.WSServerHandshakeError: Meaning("the answer is not HTTP as it should be"),
    aiohttp.ClientResponseError: Meaning("the answer is not HTTP as it should be"),
    aiohttp.ClientPayloadError: Meaning("the answer broke off"),
    aiohttp.UploadAbortedError: Meaning("the connection was closed while sending"),
    aiohttp.SocketTimeoutError: Meaning("no answer came in time"),
    aiohttp.ServerTimeoutError: Meaning("no answer came in time"),
    aiohttp.ServerDisconnectedError: Meaning("the connection was closed without an answer"),
    aiohttp.ServerConnectionError: Meaning("the connection was lost"),
    aiohttp.ClientConnectionResetError: Meaning("the connection was reset"),
    aiohttp.ClientOSError: Meaning("the connection was lost"),
    aiohttp.ClientConnectionError: Meaning("the connection was lost"),
    aiohttp.ClientError: Meaning("the call failed"),
    TimeoutError: Meaning("no answer came in time"),
    OSError: Meaning("the connection was lost"),
    ValueError: Meaning("the address is not valid", unsent=True),
}


def meaning(error: Exception) -> Meaning:
    """What the error says: its own entry, or that of its nearest ancestor with one."""
    return next((MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS), Meaning("the call failed"))


def words(error: Exception) -> str:
    """The error in a few words, with the system's reason where there is one; names no URL, for links hold secrets."""
    reason = error.strerror if isinstance(error, OSError) and error.errno else None
    return meaning(error).words + (f" ({reason})" if reason else "")


class TooLarge(Exception):
    """A body of more bytes than are taken."""


async def read_at_most(response: aiohttp.ClientResponse, limit: int, *, into: list[bytes] | None = None) -> bytes:
    """The whole body.

    Args:
        into: takes its parts as they come, which is all that there is of a body that breaks off.

    Raises:
        TooLarge: it has more than *limit* bytes; the rest was not read.
    """
    if (response.content_length or 0) > limit:
        raise TooLarge
    parts, length = [] if into is None else into, 0
    while part := await response.content.readany():
        parts.append(part)
        length += len(part)
        if length > limit:
            raise TooLarge
    return b"".join(parts)
