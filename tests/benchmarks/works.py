"""The works that are measured, and who does them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Jobs to be done at a server."""

    title: str
    jobs: int
    concurrency: int
    samples: int
    image_bytes: int  #: of each image, about
    side: int  #: pixels
    clients: tuple[str, ...]  #: who does it
    few: Mapping[str, int]  #: how many jobs are enough of those that are slow
    latency: str = "fixed:0"  #: as a simulator is told
    capacity: int | None = None  #: jobs that the server runs at one time
    bare: bool = False  #: whether the server is the bare one instead of the simulator
    grain: float = 0.0  #: steps of 255; above 0 the bare server's image is a photograph of that grain

    @property
    def pictures(self) -> str:
        """As a simulator is told."""
        return f"{self.image_bytes / 1000:g}KB"


ALL = ("batchgen", "lean", "gather", "threads", "sequential")
#: Clients that are told the links of all images, and submit nothing; and the one that only decodes.
DOWNLOADING, DECODING = ("curl", "img2dataset"), ("pillow",)
WAITING = "p50 2 s, p99 8 s, 2 x 200 KB, capacity 64"


def _waiting(title: str, *clients: str, concurrency: int = 64) -> Work:
    return Work(
        title=f"1,000 jobs, {WAITING}, {title}",
        jobs=1_000,
        concurrency=concurrency,
        samples=2,
        image_bytes=200_000,
        side=512,
        clients=clients,
        few={"sequential": 20},
        latency="lognormal:2:8",
        capacity=64,
    )


WORKS: Mapping[str, Work] = {
    "quick": Work(
        title="5,000 jobs, latency 0, 4 KB, concurrency 64",
        jobs=5_000,
        concurrency=64,
        samples=1,
        image_bytes=4_000,
        side=64,
        clients=("batchgen --no-report", *ALL, *DOWNLOADING),
        few={"sequential": 500, "threads": 2_000},
        bare=True,
    ),
    "large": Work(
        title="1,000 jobs, latency 0, 4 PNGs of 1.7 MB, concurrency 64",
        jobs=1_000,
        concurrency=64,
        samples=4,
        image_bytes=1_690_000,
        side=1024,
        clients=(
            *(f"batchgen --no-report decode={word}" for word in ("full", "stream", "header")),
            *DECODING,
            *DOWNLOADING,
        ),
        few={},
        bare=True,
        grain=3.2,
    ),
    "waiting": _waiting("concurrency 64", *ALL),
    "queued": _waiting("concurrency 80", "batchgen", "lean", concurrency=80),
    "webhook": _waiting("webhooks", "batchgen --completion webhook"),
    "simulated": Work(
        title="2,000 jobs, latency 0, 4 KB, concurrency 64, at the simulator",
        jobs=2_000,
        concurrency=64,
        samples=1,
        image_bytes=4_000,
        side=64,
        clients=("batchgen", "lean"),
        few={},
    ),
}
