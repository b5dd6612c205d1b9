"""The image files that are handed out: drawn after the prompt, or made once and told apart by a few bytes."""

from __future__ import annotations

import asyncio
import io
import os
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache

import numpy as np
from PIL import Image

from batchgen.model import JobId, ParamValue, number_of
from batchgen.simulator.faults import Fault
from batchgen.simulator.jobs import Job, JobBook
from batchgen.simulator.links import image_format
from batchgen.simulator.painting import paint

#: Faults that a file itself has.
OF_FILES = frozenset({Fault.BLANK, Fault.WRONG_SIZE, Fault.THUMBNAIL, Fault.DAMAGED})
_PICTURES_KEPT = 32
_SOFTWARE = 0x0131  # the EXIF tag that names the maker
_MAKER = "batchgen simulator: drawn, not generated"
_HEAD = 33  # bytes of a PNG's signature and its first chunk
_CHANNELS = 3
_EARLIER = 1_000  # samples; far from any that a job makes
_SHORT = {"drawn": None, "tiny": 0, "noise": 10**9}
_UNITS = {"KB": 1_000, "MB": 1_000_000}
_SAVING: Mapping[str, Mapping[str, int]] = {
    "png": {"compress_level": 1},
    "webp": {"quality": 88, "method": 0},
    "jpeg": {"quality": 88},
}


class Gallery:
    """The image of each sample.

    Args:
        pictures: as `Behaviour.pictures`.
        book: where their jobs are.
    """

    def __init__(self, pictures: str, book: JobBook) -> None:
        self._bytes = size_of(pictures)
        self._book = book
        self._drawn = lru_cache(maxsize=_PICTURES_KEPT)(self._draw)
        self._pool: ThreadPoolExecutor | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Have painters, while the context lasts."""
        with ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="painter") as self._pool:
            yield

    async def picture(self, job: Job, sample: int, fault: Fault | None = None) -> tuple[bytes, str]:
        """The file of that sample, with what is wrong with it; and its content type."""
        if self._bytes is not None and fault is None:
            return _told_apart(_stored(*_sides(job.body), self._bytes), f"{job.id}/{sample}"), "image/png"
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._faulty if fault else self._drawn, job.id, sample, fault)

    def placeholder(self, job: Job) -> tuple[bytes, str]:
        """A picture of the size asked for that stands for images that are not there yet; and its content type."""
        return _told_apart(_stored(*_sides(job.body), 0), "placeholder"), "image/png"

    async def earlier(self, job: Job, sample: int) -> tuple[bytes, str]:
        """What an earlier job of the same prompt might have left in the place of that image; and its content type."""
        if self._bytes is not None:
            return _told_apart(_stored(*_sides(job.body), self._bytes), f"before {job.id}/{sample}"), "image/png"
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._drawn, job.id, sample - _EARLIER)

    def _faulty(self, job_id: JobId, sample: int, fault: Fault | None) -> tuple[bytes, str]:
        """A picture that is not as it should be; always a PNG, in which damage shows."""
        job = self._job(job_id)
        width, height = _sides(job.body)
        if fault is Fault.BLANK:
            return encode(Image.new("RGB", (width, height)), "png"), "image/png"
        if fault is Fault.WRONG_SIZE:
            width, height = max(width // 2, 1), height // 2 + 1
        if fault is Fault.THUMBNAIL:
            width, height = max(width // 4, 1), max(height // 4, 1)
        picture = encode(paint(str(job.body["prompt"]), {"width": width, "height": height}, draw=job.draw), "png")
        return (_damaged(picture) if fault is Fault.DAMAGED else picture), "image/png"

    def _draw(self, job_id: JobId, sample: int, _: None = None) -> tuple[bytes, str]:
        job = self._job(job_id)
        asked = int(number_of(job.body, "seed", -1))
        picture = paint(str(job.body["prompt"]), job.body, draw=(job.draw if asked < 0 else asked) + sample)
        kind = image_format(job)
        return encode(picture, kind), f"image/{kind}"

    def _job(self, job_id: JobId) -> Job:
        job = self._book.get(job_id)
        if job is None:
            raise KeyError(job_id)
        return job


def size_of(pictures: str) -> int | None:
    """About how many bytes each picture has; None: they are drawn."""
    if pictures in _SHORT:
        return _SHORT[pictures]
    return round(float(pictures[:-2]) * _UNITS[pictures[-2:]])


def encode(picture: Image.Image, image_format: str) -> bytes:
    """The picture's file, quickly made; its metadata name the simulator as the maker."""
    maker = Image.Exif()
    maker[_SOFTWARE] = _MAKER
    file = io.BytesIO()
    picture.save(file, format=image_format, exif=maker, **_SAVING[image_format])
    return file.getvalue()


def _sides(body: Mapping[str, ParamValue]) -> tuple[int, int]:
    return int(number_of(body, "width", 1024)), int(number_of(body, "height", 1024))


@lru_cache(maxsize=16)
def _stored(width: int, height: int, size: int) -> bytes:
    """A PNG of about that many bytes: a chequered picture, as much of it noise as it takes."""
    rows, columns = np.indices((height, width))
    chequers = (rows * 8 // height + columns * 8 // width) % 2
    pixels = np.repeat((chequers * 160 + 40).astype(np.uint8)[:, :, None], _CHANNELS, axis=2)
    noisy = min(size // (width * _CHANNELS), height)
    pixels[:noisy] = np.random.default_rng(0).integers(0, 256, (noisy, width, _CHANNELS), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png", compress_level=6)
    return file.getvalue()


def _told_apart(picture: bytes, name: str) -> bytes:
    """The PNG with a text in it that no other picture has."""
    text = b"tEXt" + f"Software\0{_MAKER}; {name}".encode()
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    return picture[:_HEAD] + chunk + picture[_HEAD:]


def _damaged(picture: bytes) -> bytes:
    middle = len(picture) // 2
    return picture[:middle] + bytes(byte ^ 0xFF for byte in picture[middle : middle + 64]) + picture[middle + 64 :]
