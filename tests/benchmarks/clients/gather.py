"""aiohttp with a semaphore and gather, asking every second: what most people write."""

from __future__ import annotations

import asyncio

import aiohttp

from tests.benchmarks.clients.asked import KEY, POLL_EVERY, Asked


async def fetch(asked: Asked, session: aiohttp.ClientSession, slots: asyncio.Semaphore, number: int) -> None:
    """Submit, wait, download."""
    async with slots:
        async with session.post(f"{asked.url}/sd3/v1", json=asked.body(number), headers=KEY) as answer:
            job = await answer.json()
        while True:
            async with session.get(f"{asked.url}/sd3/v1/status/{job['id']}", headers=KEY) as answer:
                told = await answer.json()
            if told["status"] == "SUCCESS":
                break
            await asyncio.sleep(POLL_EVERY)
        for sample, url in enumerate(told["download_urls"]):
            async with session.get(url) as answer:
                asked.path(number, sample).write_bytes(await answer.read())


async def main() -> None:
    """All of it."""
    asked = Asked.read()
    slots = asyncio.Semaphore(asked.concurrency)
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(fetch(asked, session, slots, number) for number in range(asked.jobs)))


if __name__ == "__main__":
    asyncio.run(main())
