"""Answers that go wrong on their way: refused, broken off, late, half, or something else altogether."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import struct
from collections.abc import Mapping
from email.utils import formatdate

from aiohttp import web

from batchgen.simulator.behaviour import Behaviour, RetryAfter
from batchgen.simulator.faults import Fault

#: Set when the server stops, so that nobody hangs on.
CLOSING: web.AppKey[asyncio.Event] = web.AppKey("closing", asyncio.Event)
_HOP = "hop"  # the part of a link's query that tells a redirect from a first call
_DRIPS = 16  # pieces in which a dripping answer comes
_CHUNK = bytes(65_536)
_NOWHERE = "http://10.255.255.1/image.png"
_PNG = b"\x89PNG\r\n\x1a\n"
_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>"
#: Refusals in JSON: status, code, and what they say.
_REFUSALS: Mapping[Fault, tuple[int, str, str]] = {
    Fault.RATE_LIMITED: (429, "RATE_LIMIT_EXCEEDED", "Too many requests."),
    Fault.TOO_MANY_JOBS: (429, "CONCURRENT_JOBS_EXCEEDED", "Too many jobs are in flight."),
    Fault.SERVER_ERROR: (500, "INTERNAL_ERROR", "Something went wrong."),
    Fault.BUSY: (503, "MODEL_UNAVAILABLE", "The model is being loaded."),
    Fault.REFUSED: (422, "INPUT_INVALID", "The input cannot be used."),
    Fault.CONTENT_POLICY: (422, "INPUT_INVALID", "The prompt violates the content policy."),
}
#: Those that say when to come back.
_PASSING = frozenset({Fault.RATE_LIMITED, Fault.TOO_MANY_JOBS, Fault.BUSY})


class Spoiler:
    """Gives answers as the faults have them."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._faults = behaviour.faults
        self._limits = behaviour.limits

    async def answer(
        self, request: web.Request, fault: Fault | None, whole: web.Response, *, at: float
    ) -> web.StreamResponse:
        """What comes of the whole answer.

        Args:
            at: now, in seconds since the epoch.
        """
        match fault:
            case Fault.RESET | Fault.RESET_BEFORE | Fault.RESET_AFTER:
                return reset(request)
            case Fault.HANG:
                return await self._hang(request)
            case Fault.DRIP:
                return await self._drip(request, whole)
            case Fault.CUT_OFF:
                return await _cut_off(request, whole)
            case Fault.OVERSIZED:
                return await _oversized(request, self._faults.oversized)
            case Fault.MALFORMED | Fault.TRUNCATED:
                return _with_body(whole, _content(whole)[: len(_content(whole)) // 2])
            case Fault.BAD_GATEWAY:
                return web.Response(status=502, text=_PAGE.format("502 Bad Gateway"), content_type="text/html")
            case Fault.UNAVAILABLE:
                return web.Response(status=503, text="Service Unavailable")
            case Fault.SERVER_ERROR:
                return await _debug_page(request, self.refusal(fault, at=at))
            case None:
                return whole
        return self.refusal(fault, at=at) if fault in _REFUSALS else _of_image(request, fault, whole)

    def refusal(self, fault: Fault, *, at: float) -> web.Response:
        """The fault as a refusal in JSON that, where it passes, says when to come back."""
        status, code, detail = _REFUSALS[fault]
        body: dict[str, object] = {"detail": detail, "code": code}
        headers = {}
        how, wait = self._limits.retry_after, self._limits.wait
        if fault is Fault.BUSY and how is RetryAfter.NONE:
            how = RetryAfter.SECONDS  # without, it would be `unavailable`
        if fault in _PASSING:
            match how:
                case RetryAfter.SECONDS:
                    headers["Retry-After"] = f"{wait:.12g}"
                case RetryAfter.DATE:
                    headers["Retry-After"] = formatdate(math.ceil(at + wait), usegmt=True)
                case RetryAfter.BODY:
                    body["retry_after"] = wait
        return web.json_response(body, status=status, headers=headers)

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(request.app[CLOSING].wait(), self._faults.hang)
        return reset(request)

    async def _drip(self, request: web.Request, whole: web.Response) -> web.StreamResponse:
        content = _content(whole)
        piece = max(math.ceil(len(content) / _DRIPS), 1)
        with contextlib.suppress(ConnectionError):
            response = await _begun(request, whole, len(content))
            for start in range(0, len(content), piece):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(request.app[CLOSING].wait(), self._faults.drip / _DRIPS)
                await response.write(content[start : start + piece])
            return response
        return reset(request)


async def _debug_page(request: web.Request, error: web.Response) -> web.Response:
    """The error with all of the request, the key among it, as frameworks in debug mode show it."""
    sent = {"headers": dict(request.headers), "body": (await request.read()).decode("utf-8", "replace")}
    return web.json_response(json.loads(_content(error)) | {"request": sent}, status=error.status)


def reset(request: web.Request) -> web.Response:
    """End the connection without a word; the other side sees it reset."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()  # goes nowhere


async def _cut_off(request: web.Request, whole: web.Response) -> web.StreamResponse:
    content = _content(whole)
    with contextlib.suppress(ConnectionError):
        response = await _begun(request, whole, len(content))
        await response.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _oversized(request: web.Request, size: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    with contextlib.suppress(ConnectionError):  # whoever has had enough hangs up
        await response.prepare(request)
        await response.write(_PNG)
        for sent in range(0, size, len(_CHUNK)):
            await response.write(_CHUNK[: size - sent])
        return response
    return reset(request)


async def _begun(request: web.Request, whole: web.Response, length: int) -> web.StreamResponse:
    headers = {"Content-Type": whole.headers["Content-Type"], "Content-Length": str(length)}
    response = web.StreamResponse(status=whole.status, headers=headers)
    await response.prepare(request)
    return response


def _of_image(request: web.Request, fault: Fault, whole: web.Response) -> web.Response:
    match fault:
        case Fault.HTML:
            return web.Response(text=_PAGE.format("Sign in"), content_type="text/html")
        case Fault.TEXT:
            return web.Response(body=b"This is not the image.", content_type="image/png")
        case Fault.EMPTY:
            return _with_body(whole, b"")
        case Fault.WRONG_TYPE:
            return web.Response(body=_content(whole), content_type="text/plain")
        case Fault.LATE:
            return web.Response(status=404, text="Not Found")
        case Fault.GONE:
            return web.Response(status=410, text="Gone")
        case Fault.REDIRECT | Fault.REDIRECT_LOOP:
            return web.Response(status=302, headers={"Location": _hop(request, fault)})
        case Fault.REDIRECT_PRIVATE:
            return web.Response(status=302, headers={"Location": _NOWHERE})
    return whole


def hop_of(request: web.Request) -> str | None:
    """The redirect that led here: `redirect` or `redirect_loop`, if any."""
    return request.query.get(_HOP)


def _hop(request: web.Request, fault: Fault) -> str:
    return request.raw_path + ("&" if request.query_string else "?") + f"{_HOP}={fault}"


def _content(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b""


def _with_body(response: web.Response, body: bytes) -> web.Response:
    return web.Response(status=response.status, body=body, headers={"Content-Type": response.headers["Content-Type"]})
