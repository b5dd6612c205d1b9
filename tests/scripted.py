"""An image API over real sockets that answers as a test says, and whole runs against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from PIL import Image, ImageDraw

import batchgen
from batchgen import Settings, index
from batchgen.adapters.profiles import find_profile
from batchgen.model import INDEX_NAME
from batchgen.profile import Profile

KEY = "sk-live/secret+key=1"
#: In an answer, stands for where the images lie: `IMAGES/0`.
IMAGES = "http://images"

Answering = Callable[[web.BaseRequest], web.StreamResponse]
Reply = Answering | Mapping[str, Any]


def reply(status: int = 200, body: object = b"", **headers: str) -> Answering:
    """An answer: JSON, or bytes as they are; header names with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def make(request: web.BaseRequest) -> web.StreamResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).replace(IMAGES, _origin(request)).encode()
        return web.Response(status=status, body=raw, headers=named)

    return make


def broken(request: web.BaseRequest) -> web.StreamResponse:
    """No answer: the connection is cut."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def cut_short(request: web.BaseRequest) -> web.StreamResponse:
    """An answer of fewer bytes than its head says."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
    request.transport.close()
    return web.Response()


def picture(width: int = 16, height: int = 16, *, kind: str = "PNG", colour: str = "red", mark: str = "white") -> bytes:
    """An image file with something to be seen in it, unless the mark has its colour."""
    image, buffer = Image.new("RGB", (width, height), colour), BytesIO()
    ImageDraw.Draw(image).rectangle((2, 2, width // 2, height // 2), fill=mark)
    image.save(buffer, kind)
    return buffer.getvalue()


def _origin(request: web.BaseRequest) -> str:
    return f"http://{request.host}/images"


class Scripted(AbstractAsyncContextManager["Scripted"]):
    """An API whose POSTs, status calls and links are answered from lists; the last answer of a list goes on for ever.

    Args:
        profile: whose paths, header and words.
        posts: by default a job is accepted.
        polls: by default a job has made as many images as it was asked for.
        images: by default a picture as large as was asked for.
    """

    def __init__(
        self,
        profile: str = "sd3",
        *,
        posts: Iterable[Reply] = (),
        polls: Iterable[Reply] = (),
        images: Iterable[Reply] = (),
    ) -> None:
        self.profile: Profile = find_profile(profile)
        self._lists = {"POST": list(posts), "GET": list(polls), "image": list(images)}
        self.seen: list[web.BaseRequest] = []  #: everything that was asked
        self.bodies: list[dict[str, Any]] = []  #: of the POSTs
        self.url = ""

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def posts(self) -> int:
        """POSTs that came."""
        return len(self.bodies)

    def paths(self, method: str = "GET") -> list[str]:
        """What was asked for by that method, images aside."""
        return [one.path for one in self.seen if one.method == method and not one.path.startswith("/images/")]

    def to_images(self) -> list[web.BaseRequest]:
        """What the image host was asked."""
        return [one for one in self.seen if one.path.startswith("/images/")]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        kind = "image" if request.path.startswith("/images/") else request.method
        if kind == "POST":
            self.bodies.append(await request.json())
        answers = self._lists[kind]
        given = (answers.pop(0) if len(answers) > 1 else answers[0]) if answers else self._usual(kind)
        return reply(200, given)(request) if isinstance(given, Mapping) else given(request)

    @property
    def _asked(self) -> dict[str, Any]:
        return self.bodies[-1] if self.bodies else {}

    def _usual(self, kind: str) -> Reply:
        fields, states = self.profile.fields, self.profile.states
        match kind:
            case "POST":
                return reply(202, {fields.job_id[0]: f"job-{self.posts}", fields.state[0]: states.working[0]})
            case "GET":
                samples = self._asked.get("samples", 1)
                return {fields.state[0]: states.completed[0], fields.urls[0]: [f"{IMAGES}/{n}" for n in range(samples)]}
            case _:
                return reply(200, picture(*(self._asked.get(side, 16) for side in ("width", "height"))))


def done(samples: int = 1, **more: Any) -> dict[str, Any]:
    """The classic API's answer about a job that has made its images."""
    return {"id": "j", "status": "SUCCESS", "download_urls": [f"{IMAGES}/{n}" for n in range(samples)], **more}


async def ran(
    api: Scripted,
    folder: Path,
    *,
    params: str = "width: 16, height: 16",
    prompts: Sequence[str] = ("A red fox",),
    profile: str | None = None,
    **settings: Any,
) -> batchgen.RunResult:
    """One run of a manifest with those prompts against the API, into the folder `out`.

    Args:
        params: of all prompts, in YAML, without braces.
        profile: instead of the API's.
    """
    manifest = folder / "m.yaml"
    lines = "".join(f"  - {json.dumps(prompt)}\n" for prompt in prompts)
    named = profile or api.profile.name
    manifest.write_text(f"batch_id: tag\nfile_prefix: fox\nprofile: {named}\nparams: {{{params}}}\nprompts:\n{lines}")
    return await batchgen.run_async(manifest, out=folder / "out", settings=Settings(base_url=api.url, **settings))


async def row_of(api: Scripted, folder: Path, **how: Any) -> dict[str, Any]:
    """The first row of the index that a run leaves."""
    return rows_of(await ran(api, folder, **how))[0]


def rows_of(result: batchgen.RunResult) -> list[dict[str, Any]]:
    """The rows of the index that a run left."""
    return list(index.read(result.out / INDEX_NAME))
