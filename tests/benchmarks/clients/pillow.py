"""Pillow alone: as many images decoded from memory, in a process for each core. No network, no disk, no hash."""

from __future__ import annotations

import io
import os
from multiprocessing import get_context

from PIL import Image

from tests.benchmarks.bare import photograph
from tests.benchmarks.clients.asked import Asked


def decode(content: bytes, times: int) -> None:
    """So many times."""
    for _ in range(times):
        with Image.open(io.BytesIO(content)) as image:
            image.load()


def main() -> None:
    """All of it."""
    asked = Asked.read()
    content, cores = photograph(asked.side, asked.grain), os.cpu_count() or 1
    with get_context("fork").Pool(cores) as pool:
        share = asked.jobs * asked.samples // cores
        pool.starmap(decode, [(content, share)] * cores)
        pool.close()
        pool.join()


if __name__ == "__main__":
    main()
