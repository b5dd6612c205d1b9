"""The built-in simulator of a run: started with it, on any free port, and gone with it, as the real API never is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.app.folder import BatchFolder
from batchgen.app.settings import SIMULATOR_KEY
from batchgen.errors import ResultUnavailable
from batchgen.model import StoredImage, VerifiedImage
from batchgen.ports import ImageFetcher, SampleLink
from batchgen.profile import Profile

if TYPE_CHECKING:
    from batchgen.simulator import Simulator


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where the API of a run is."""

    base_url: str | None  #: None: where its profile says
    simulator: Simulator | None = None  #: that was started for it

    def fetching(self, images: ImageFetcher) -> ImageFetcher:
        """What fetches the images of that API, by links that earlier runs were given, too."""
        if self.simulator is None or self.base_url is None:
            return images
        return _Returned(images, self.simulator, self.base_url)


@contextlib.contextmanager
def hosted(profile: Profile, *, base_url: str | None, folder: BatchFolder) -> Iterator[Host]:
    """The API's host; for the simulator's profile, unless another is named, one that is started for this run."""
    if not profile.simulated or base_url is not None:
        yield Host(base_url=base_url)
        return
    from batchgen.simulator import Simulator, background

    simulator = Simulator(profile, key=SIMULATOR_KEY, record=folder.simulator)
    with background(simulator) as url:
        yield Host(base_url=url, simulator=simulator)


class _Returned:
    """`ports.ImageFetcher` for a simulator that died with an earlier run and listens elsewhere now."""

    def __init__(self, images: ImageFetcher, simulator: Simulator, base_url: str) -> None:
        self._images, self._simulator, self._base_url = images, simulator, base_url

    async def look(self, url: str) -> VerifiedImage:
        """See `ports.ImageFetcher`."""
        return await self._images.look(self._simulator.link_at(self._base_url, url) or url)

    async def fetch(self, link: SampleLink) -> StoredImage:
        """See `ports.ImageFetcher`."""
        here = self._simulator.link_at(self._base_url, link.url)
        try:
            return await self._images.fetch(link if here is None else replace(link, url=here))
        except ResultUnavailable as unavailable:
            if here is not None or unavailable.http_status is not None or unavailable.permanent:
                raise
            raise ResultUnavailable(
                "Nobody answers at the link, and this run's simulator does not know its job: .batchgen/simulator.jsonl "
                "was lost, or the job was another simulator's (--base-url).",
                permanent=True,
            ) from unavailable
