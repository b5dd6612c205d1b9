"""What a link answers that holds no image: its job has not ended, or made fewer images than were asked for."""

from __future__ import annotations

from typing import assert_never

from aiohttp import web

from batchgen.simulator import wire
from batchgen.simulator.behaviour import Early
from batchgen.simulator.jobs import Job
from batchgen.simulator.pictures import Gallery

_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)


async def not_yet(early: Early, job: Job, sample: int, gallery: Gallery) -> web.Response:
    """The answer of a link to an image that is not there.

    Raises:
        web.HTTPClientError: the answer is one.
    """
    match early:
        case Early.NOT_FOUND:
            raise wire.refusal(web.HTTPNotFound, "There is no image yet.")
        case Early.FORBIDDEN:
            raise wire.refusal(web.HTTPForbidden, "There is no image yet.")
        case Early.EMPTY:
            return web.Response(content_type="image/png")
        case Early.PLACEHOLDER:
            return web.Response(text="Your image is being processed.")
        case Early.PIXEL:
            return web.Response(body=_PIXEL, content_type="image/png")
        case Early.PICTURE:
            return _picture(*gallery.placeholder(job))
        case Early.PREVIOUS:
            return _picture(*await gallery.earlier(job, sample))
        case _:
            assert_never(early)


def _picture(content: bytes, kind: str) -> web.Response:
    return web.Response(body=content, content_type=kind)
