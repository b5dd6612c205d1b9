"""A server that does next to nothing: every job has ended, every image is the same. For works too quick to simulate."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from PIL import Image


def picture(side: int, size: int) -> bytes:
    """A PNG of about so many bytes: grey, as much of it noise as that takes."""
    pixels = np.full((side, side, 3), 128, dtype=np.uint8)
    noisy = min(size // (3 * side), side)
    pixels[:noisy] = np.random.default_rng(0).integers(0, 256, (noisy, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return file.getvalue()


def photograph(side: int, grain: float) -> bytes:
    """A PNG as a photograph is one: colours that change slowly, and a grain that hardly compresses."""
    waves = np.linspace(0, 6, side)
    smooth = 128 + 100 * np.sin(waves)[:, None, None] * np.cos(waves)[None, :, None]
    noise = np.random.default_rng(0).normal(0, grain, (side, side, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(file, format="png")
    return file.getvalue()


@dataclass(slots=True)
class Counts:
    """What was asked."""

    submissions: int = 0
    questions: int = 0
    downloads: int = 0


@dataclass(slots=True, eq=False)
class _Connection(asyncio.Protocol):
    image: bytes
    samples: int
    origin: str
    counts: Counts
    numbers: itertools.count[int]
    _buffer: bytes = b""
    _transport: asyncio.Transport = field(init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head.split(b" ", 2)[1])

    def _answer(self, path: bytes) -> None:
        if path.startswith(b"/image"):
            self.counts.downloads += 1
            self._send(b"200 OK", b"image/png", self.image)
        elif b"/status/" in path:
            self.counts.questions += 1
            urls = [f"{self.origin}/image/{path.rsplit(b'/', 1)[1].decode()}/{n}.png" for n in range(self.samples)]
            told = {"status": "SUCCESS", "download_urls": urls}
            self._send(b"200 OK", b"application/json", json.dumps(told).encode())
        else:
            self.counts.submissions += 1
            told = {"id": f"job-{next(self.numbers)}", "status": "PENDING"}
            self._send(b"202 Accepted", b"application/json", json.dumps(told).encode())

    def _send(self, status: bytes, kind: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
        self._transport.write(head + body)


async def serve_bare(port: int, *, image: bytes, samples: int, until: asyncio.Event) -> Counts:
    """Answer on that port until told to stop; gives what was asked."""
    counts, numbers = Counts(), itertools.count()
    origin = f"http://127.0.0.1:{port}"
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(image, samples, origin, counts, numbers), "127.0.0.1", port, backlog=512
    )
    async with server:
        await until.wait()
    return counts
