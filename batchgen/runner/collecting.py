"""Fetches the images of a finished job: download, verify, keep."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from batchgen.errors import ResultUnavailable
from batchgen.model import REJECTED_FOLDER, Failure, FailureKind, MissingImage, Request, StoredImage
from batchgen.policy import LINK_TRIES, backoff, judge
from batchgen.runner.limits import Ports, RunLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A sample whose link gave no usable image."""

    missing: MissingImage
    passing: bool  #: whether the trouble may pass: an outage, a time limit, a link that is not ready or has expired


class Collector:
    """Fetches images, so many at once.

    Args:
        limits: how many are downloaded and decoded at once, and what they must stand.
    """

    def __init__(self, ports: Ports, limits: RunLimits, *, chance: random.Random) -> None:
        self._api, self._check, self._store, self._clock = ports.api, ports.check, ports.store, ports.clock
        self._checks = limits.checks
        self._chance = chance
        self._lane = asyncio.Semaphore(limits.downloads)
        self._threads = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode")

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(cancel_futures=True)

    async def collect(self, request: Request, urls: Sequence[str]) -> tuple[list[StoredImage], list[Lost]]:
        """Every sample that a link is for, in order: those that are safe on disk, and the others.

        Raises:
            StorageFailed: the disk does not take an image.
        """
        found = await asyncio.gather(*(self._sample(request, n, url) for n, url in enumerate(urls[: request.samples])))
        return [one for one in found if isinstance(one, StoredImage)], [one for one in found if isinstance(one, Lost)]

    async def _sample(self, request: Request, sample: int, url: str) -> StoredImage | Lost:
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            try:
                async with self._lane:  # held while decoding too: that is what bounds the memory
                    content = await self._api.download(url)
                    return await loop.run_in_executor(self._threads, self._keep, request, sample, url, content)
            except ResultUnavailable as unavailable:
                trouble = unavailable
            tries += 1
            if trouble.permanent or tries == LINK_TRIES:
                return _lost(sample, url, trouble)
            await self._clock.sleep(backoff(tries, draw=self._chance.random(), base=0.5, cap=30.0))

    def _keep(self, request: Request, sample: int, url: str, content: bytes) -> StoredImage:
        image = self._check.verify(content)
        verdict = judge(image, request.params, self._checks)
        stem = f"{request.file_stem}-{request.sample + sample}"
        if verdict.rejected is not None:  # paid for, so it is kept, where no reader of the dataset looks
            stem = f"{REJECTED_FOLDER}/{stem.rpartition('/')[2]}"
        name = self._store.keep(stem, image, content)
        return StoredImage(
            sample=sample,
            file_name=name,
            source_url=url,
            image=image,
            findings=verdict.findings,
            rejected=verdict.rejected,
        )


def _lost(sample: int, url: str, trouble: ResultUnavailable) -> Lost:
    failure = Failure(
        kind=FailureKind.RESULT_LOST, message=trouble.message, http_status=trouble.http_status, code=trouble.code
    )
    missing = MissingImage(sample=sample, failure=failure, source_url=url)
    return Lost(missing=missing, passing=not trouble.permanent)
