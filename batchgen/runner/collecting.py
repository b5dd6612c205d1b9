"""Fetches the images of a finished job: download, verify, keep."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from batchgen.errors import ResultUnavailable
from batchgen.model import REJECTED_FOLDER, Failure, FailureKind, MissingImage, Request, StoredImage, VerifiedImage
from batchgen.policy import (
    FAILED_LINK_TRIES,
    LINK_TRIES,
    ODD_SIZE_TRIES,
    SecondLooks,
    backoff,
    has_other_size,
    judge,
)
from batchgen.runner.limits import Ports, RunLimits

#: Pixels; a smaller picture behind an early link is none that anybody asked for.
_SMALLEST = 8

Used = TypeVar("Used")


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
        self._ports = ports
        self._chance = chance
        self._odd_sizes = SecondLooks(ODD_SIZE_TRIES)
        self._lane = asyncio.Semaphore(limits.downloads)
        # A thread waits for the disk most of the time: there is one for each download, and few decode at once.
        self._threads = ThreadPoolExecutor(limits.downloads, thread_name_prefix="image")
        self._decoding = threading.Semaphore(limits.decoders)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(cancel_futures=True)

    async def collect(
        self,
        request: Request,
        urls: Sequence[str],
        have: Sequence[StoredImage] = (),
        *,
        settled: bool = True,
        failed: bool = False,
    ) -> tuple[list[StoredImage], list[Lost]]:
        """Every sample that a link is for, in order: those that are safe on disk, and the others.

        Args:
            have: those that are safe already.
            settled: whether what is no image of the size asked for now will be none later; a host may be a little
                behind the API.
            failed: whether the job says that it failed: an image counts only if it is of the size asked for and shows
                something, and a host that knows of none is believed.

        Raises:
            StorageFailed: the disk does not take an image.
        """
        safe = {image.sample: image for image in have}
        left = [sample for sample in range(min(len(urls), request.samples)) if sample not in safe]
        fetched = [self._sample(request, sample, urls[sample], settled=settled, failed=failed) for sample in left]
        # A single one needs no task of its own.
        found = [await fetched[0]] if len(fetched) == 1 else await asyncio.gather(*fetched)
        safe.update({one.sample: one for one in found if isinstance(one, StoredImage)})
        return [safe[sample] for sample in sorted(safe)], [one for one in found if isinstance(one, Lost)]

    async def _sample(
        self, request: Request, sample: int, url: str, *, settled: bool, failed: bool
    ) -> StoredImage | Lost:
        tries = odd = 0  #: of those tries, how many gave a picture of another size

        def keep(content: bytes) -> StoredImage:
            nonlocal odd
            try:
                image = self._verify(content)
            except ResultUnavailable as unusable:
                unusable.permanent &= settled or failed
                raise
            if failed and (image.blank or _is_placeholder(image, request)):
                raise ResultUnavailable("What came is no picture of the size that was asked for.", permanent=True)
            if not settled and has_other_size(image, request.params):
                odd += 1
                if self._odd_sizes.worth(odd):
                    raise ResultUnavailable(f"What came has {image.width} × {image.height} pixels.")
            return self._keep(request, sample, url, content, image)

        while True:
            try:
                stored = await self._fetch(url, keep)
            except ResultUnavailable as unavailable:
                trouble = unavailable
            else:
                if odd:
                    self._odd_sizes.believed(odd, whole=not has_other_size(stored.image, request.params))
                return stored
            tries += 1
            if trouble.permanent or tries == (FAILED_LINK_TRIES if failed else LINK_TRIES):
                trouble.permanent |= failed and _knows_of_none(trouble)
                return _lost(sample, url, trouble)
            await self._clock.sleep(backoff(tries, draw=self._chance.random(), base=0.5, cap=30.0))

    async def look(self, request: Request, *urls: str) -> list[str | None]:
        """The SHA-256 of what each sample's link gives, if that may be its image. Tried once, and not kept."""
        return [await self._seen(request, url) for url in urls[: request.samples]]

    async def _seen(self, request: Request, url: str) -> str | None:

        def see(content: bytes) -> str | None:
            image = self._verify(content)
            return None if _is_placeholder(image, request) else image.sha256

        try:
            return await self._fetch(url, see)
        except ResultUnavailable:
            return None

    async def _fetch(self, url: str, use: Callable[[bytes], Used]) -> Used:
        """What a thread makes of the bytes behind the link."""
        async with self._lane:  # held while decoding too: that is what bounds the memory
            content = await self._api.download(url)
            return await asyncio.get_running_loop().run_in_executor(self._threads, use, content)

    def _verify(self, content: bytes) -> VerifiedImage:
        with self._decoding:
            return self._check.verify(content)

    def _keep(self, request: Request, sample: int, url: str, content: bytes, image: VerifiedImage) -> StoredImage:
        verdict = judge(image, request.params, self._checks)
        stem = f"{request.file_stem}-{request.sample + sample}"
        if verdict.rejected is not None:  # paid for, so it is kept, where no reader of the dataset looks
            stem = f"{REJECTED_FOLDER}/{stem.rpartition('/')[2]}"
        image, content = self._as_kept(request, sample, image, content)
        name = self._store.keep(stem, image, content)
        return StoredImage(
            sample=sample,
            file_name=name,
            source_url=url,
            image=image,
            findings=verdict.findings,
            rejected=verdict.rejected,
        )

    def _as_kept(
        self, request: Request, sample: int, image: VerifiedImage, content: bytes
    ) -> tuple[VerifiedImage, bytes]:
        """What is written, and what it was found to be: what was delivered, unless another file shows the same."""
        kept = self._ports.as_kept(request, sample, image.format, content)
        if kept == content:
            return image, content
        try:
            found = self._verify(kept)
        except ResultUnavailable:
            return image, content
        seen = replace(found, sha256=image.sha256, bytes=image.bytes)
        return (replace(found, delivered_sha256=image.sha256), kept) if seen == image else (image, content)


class EarlyLinks:
    """Links that came with the acceptance of a job, and hold its images once it has ended.

    What they answer until then is not documented: whatever is no image that passes the check means 'not yet'; and what
    passes is a sign of the end, and no more. Nothing is kept of it.

    Args:
        urls: one for each sample.
    """

    def __init__(self, collector: Collector, request: Request, urls: Sequence[str]) -> None:
        self._collector = collector
        self._request = request
        self._left = list(urls[: request.samples])  # that have shown nothing yet

    async def shown(self) -> bool:
        """Whether each of them has given what may be its image by now; asked in order, as far as they do."""
        while self._left:
            if await self._collector.look(self._request, self._left[0]) == [None]:
                return False
            del self._left[0]
        return True


def _is_placeholder(image: VerifiedImage, request: Request) -> bool:
    """Whether an early link gave a picture that is not the one asked for: 'not yet', until the API says otherwise."""
    wanted = request.params.get("width", image.width), request.params.get("height", image.height)
    return (image.width, image.height) != wanted or min(image.width, image.height) < _SMALLEST


def _knows_of_none(trouble: ResultUnavailable) -> bool:
    """Whether the host itself says that there is no image, and is not only out of order."""
    status = trouble.http_status
    return status is not None and status < 500 and status != 429


def _lost(sample: int, url: str, trouble: ResultUnavailable) -> Lost:
    failure = Failure(
        kind=FailureKind.RESULT_LOST, message=trouble.message, http_status=trouble.http_status, code=trouble.code
    )
    missing = MissingImage(sample=sample, failure=failure, source_url=url)
    return Lost(missing=missing, passing=not trouble.permanent)
