"""The leanest of aiohttp on uvloop: a worker for each slot, orjson, nothing else; the practical limit of Python."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import orjson
import uvloop

from tests.benchmarks.clients.asked import KEY, POLL_EVERY, Asked

_HEADERS = KEY | {"Content-Type": "application/json"}


async def work(asked: Asked, session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
    """One job after the other, as long as there are any."""
    for number in numbers:
        data = orjson.dumps(asked.body(number))
        async with session.post(f"{asked.url}/sd3/v1", data=data, headers=_HEADERS) as answer:
            job = orjson.loads(await answer.read())
        status = f"{asked.url}/sd3/v1/status/{job['id']}"
        while True:
            async with session.get(status, headers=KEY) as answer:
                told = orjson.loads(await answer.read())
            if told["status"] == "SUCCESS":
                break
            await asyncio.sleep(POLL_EVERY)
        for sample, url in enumerate(told["download_urls"]):
            async with session.get(url) as answer:
                content = await answer.read()
            with asked.path(number, sample).open("wb", buffering=0) as file:
                file.write(content)


async def main() -> None:
    """All of it."""
    asked = Asked.read()
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
    numbers = iter(range(asked.jobs))
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await asyncio.gather(*(work(asked, session, numbers) for _ in range(asked.concurrency)))


if __name__ == "__main__":
    uvloop.run(main())
