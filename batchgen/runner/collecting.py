"""Fetches the images of a finished job: download, and have them verified and kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from batchgen.errors import Came, ResultUnavailable
from batchgen.model import Failure, FailureKind, MissingImage, Request, StoredImage
from batchgen.policy import (
    FAILED_LINK_TRIES,
    LINK_SECONDS,
    LINK_TRIES,
    ODD_SIZE_TRIES,
    FetchLimit,
    SecondLooks,
    backoff,
    has_other_size,
    is_placeholder,
)
from batchgen.ports import SampleLink, Wanted
from batchgen.runner.limits import Ports, RunLimits
from batchgen.runner.slots import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A sample whose link gave no usable image."""

    missing: MissingImage
    passing: bool  #: whether the trouble may pass: an outage, a time limit, a link that is not ready or has expired


class Collector:
    """Fetches images, so many at once.

    Args:
        limits: how many large ones are downloaded, verified or written at once.
    """

    def __init__(self, ports: Ports, limits: RunLimits, *, chance: random.Random) -> None:
        self._images, self._clock = ports.images, ports.clock
        self._chance = chance
        self._odd_sizes = SecondLooks(ODD_SIZE_TRIES)
        self._limit = FetchLimit(limits.downloads)
        self._lane = Places(lambda: self._limit.limit)

    @property
    def at_once(self) -> int:
        """Images that are fetched at once now."""
        return self._limit.limit

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
        began = self._clock.monotonic()
        while True:
            wanted = self._wanted(odd, settled=settled, failed=failed)
            try:
                async with self._lane:  # held until it is kept: that is what bounds the memory
                    stored = await self._images.fetch(
                        SampleLink(request=request, sample=sample, url=url, wanted=wanted)
                    )
            except ResultUnavailable as unavailable:
                trouble = unavailable
            else:
                self._limit.fetched(stored.image.bytes)
                whole = not has_other_size(stored.image, request.params)
                odd += not whole and not settled
                self._odd_sizes.believed(odd, whole=whole)
                return stored
            tries += 1
            odd += trouble.came is Came.OTHER
            lasting = trouble.permanent and (settled or failed or trouble.came is not Came.SPOILT)
            slow = self._clock.monotonic() - began >= LINK_SECONDS
            if lasting or slow or tries == (FAILED_LINK_TRIES if failed else LINK_TRIES):
                lasting = lasting or (failed and _knows_of_none(trouble))
                return _lost(sample, url, trouble, passing=not lasting)
            await self._clock.sleep(backoff(tries, draw=self._chance.random(), base=0.5, cap=30.0))

    def _wanted(self, odd: int, *, settled: bool, failed: bool) -> Wanted:
        if failed:
            return Wanted.PROVEN
        return Wanted.OF_SIZE if not settled and self._odd_sizes.worth(odd + 1) else Wanted.ANY

    async def look(self, request: Request, *urls: str) -> list[str | None]:
        """The SHA-256 of what each sample's link gives, if that may be its image. Tried once, and not kept."""
        return [await self._seen(request, url) for url in urls[: request.samples]]

    async def _seen(self, request: Request, url: str) -> str | None:
        try:
            async with self._lane:
                image = await self._images.look(url)
        except ResultUnavailable:
            return None
        return None if is_placeholder(image, request.params) else image.sha256


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


def _knows_of_none(trouble: ResultUnavailable) -> bool:
    """Whether the host itself says that there is no image, and is not only out of order."""
    status = trouble.http_status
    return status is not None and status < 500 and status != 429


def _lost(sample: int, url: str, trouble: ResultUnavailable, *, passing: bool) -> Lost:
    failure = Failure(
        kind=FailureKind.RESULT_LOST, message=trouble.message, http_status=trouble.http_status, code=trouble.code
    )
    missing = MissingImage(sample=sample, failure=failure, source_url=url)
    return Lost(missing=missing, passing=passing)
