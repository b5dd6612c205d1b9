"""Calls to URLs of the user's own: tried a few times, for a limited time, and never a reason to fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp
from yarl import URL

#: Seconds between two tries.
_WAITS = (1.0, 3.0)
#: Seconds that one try may take.
_PATIENCE = 5.0
#: Answers after which it may be taken later.
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class _Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered {status}")
        self.passing = status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


async def announce(
    url: URL,
    content: bytes,
    headers: Mapping[str, str],
    *,
    hurry: asyncio.Event,
    waits: tuple[float, ...] = _WAITS,
    patience: float = _PATIENCE,
) -> str | None:
    """Send a POST until it is taken, and follow no redirect.

    Args:
        hurry: set: what is refused is not tried again.
        waits: seconds between two tries; one less than there are.
        patience: seconds that one try may take.

    Returns:
        Why it was not taken, without the URL, which may hold a secret; None if it was.
    """
    trouble = None
    for wait in (*waits, None):
        try:
            await _post(url, content, headers, patience)
        except _Refused as refused:
            trouble = str(refused)
            if not refused.passing:
                return trouble
        except TimeoutError:
            trouble = f"did not answer within {patience:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:  # their texts hold the URL
            trouble = f"cannot be reached ({type(error).__name__})"
        else:
            return None
        if wait is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), wait)
                return trouble
    return trouble


async def _post(url: URL, content: bytes, headers: Mapping[str, str], patience: float) -> None:
    limit = aiohttp.ClientTimeout(total=patience)
    async with (
        aiohttp.ClientSession(timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.post(url, data=content, headers=dict(headers), allow_redirects=False) as answer,
    ):
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise _Refused(answer.status)
