"""Downloads from the hosts on which the images lie: strangers, named by the API, to whom no key is ever sent."""

from __future__ import annotations

from typing import Self

import aiohttp
from yarl import URL

from batchgen.adapters.http_api.addresses import AddressRule, Forbidden, GuardedResolver
from batchgen.adapters.http_api.transport import (
    NETWORK_ERRORS,
    USER_AGENT,
    Timeouts,
    TooLarge,
    read_at_most,
    words,
)
from batchgen.errors import ResultUnavailable

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
#: Bytes of an image.
LARGEST = 64 * 1024 * 1024


class ImageHosts:
    """Gets images by their links, over a session of its own; an async context manager, made where a loop runs.

    Args:
        rule: where images may be fetched from.
        connections: open at once, at most.
        largest: bytes of an image; more are not read.
    """

    def __init__(
        self, rule: AddressRule, *, connections: int = 100, timeouts: Timeouts | None = None, largest: int = LARGEST
    ) -> None:
        timeouts = timeouts or Timeouts()
        self._rule, self._largest = rule, largest
        self._resolver = GuardedResolver(rule)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ttl_dns_cache=300, resolver=self._resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(
                total=timeouts.download, sock_connect=timeouts.connect, sock_read=timeouts.silence
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._resolver.close()

    async def download(self, link: str) -> bytes:
        """The bytes behind a link, whole.

        Raises:
            ResultUnavailable: not to be had; says whether trying again makes sense.
        """
        came_from, url = None, _parsed(link)
        for _ in range(_MOST_REDIRECTS + 1):
            self._rule.check(url, came_from=came_from)
            found = await self._get(url)
            if isinstance(found, bytes):
                return found
            came_from, url = url, found
        raise ResultUnavailable(f"The link redirects more than {_MOST_REDIRECTS} times.", permanent=True)

    async def _get(self, url: URL) -> bytes | URL:
        """The image, or where else it is said to be."""
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location:
                    return url.join(_as_given(location))
                if response.status != 200:
                    raise ResultUnavailable(
                        f"{url.host} answered HTTP {response.status} instead of the image.",
                        http_status=response.status,
                        permanent=response.status == 410,
                    )
                content = await read_at_most(response, self._largest)
        except TooLarge as error:
            raise ResultUnavailable(
                f"What {url.host} sent has more than {self._largest} bytes.", http_status=200, permanent=True
            ) from error
        except (*NETWORK_ERRORS, ValueError) as error:
            if isinstance(cause := getattr(error, "os_error", error), Forbidden):
                raise cause.refusal from error
            raise ResultUnavailable(f"The image cannot be had from {url.host}: {words(error)}.") from error
        if not content:
            raise ResultUnavailable(f"{url.host} sent an empty body instead of the image.", http_status=200)
        return content


def _parsed(link: str) -> URL:
    try:
        return _as_given(link)
    except ValueError as error:
        raise ResultUnavailable("The link is not a URL.", permanent=True) from error


def _as_given(text: str) -> URL:
    """The URL without any normalising where that can be: a signature covers it as it is spelled.

    Raises:
        ValueError: it is none.
    """
    url = URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)
    _ = url.port  # host and port are looked at only when they are asked for
    return url
