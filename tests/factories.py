"""Valid values for tests, each field open to change."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from batchgen.adapters.profiles import find_profile
from batchgen.model import Request, RequestKey, VerifiedImage
from batchgen.profile import Profile
from batchgen.testing import tiny_png

_REQUEST = Request(
    key=RequestKey("0123456789bcdfgh"),
    manifest_sha256="f" * 64,
    row_index=0,
    repeat=0,
    first_sample=0,
    batch_id="animals",
    file_prefix="fox",
    file_stem="images/fox-0123456789",
    prompt="A red fox",
    params={"negative_prompt": "", "num_inference_steps": 29, "samples": 1, "guidance_scale": 7.0},
    labels={},
)


def a_request(**changes: Any) -> Request:
    """A request of one sample."""
    return replace(_REQUEST, **changes)


def a_profile(**changes: Any) -> Profile:
    """The classic SD3 endpoint."""
    return Profile.model_validate({**find_profile("sd3").model_dump(), **changes})  # a copy would keep what it cached


def an_image(content: bytes | None = None, **changes: Any) -> tuple[VerifiedImage, bytes]:
    """A tiny PNG, and what it was found to be."""
    content = tiny_png() if content is None else content
    digest = sha256(content).hexdigest()
    image = VerifiedImage(format="png", width=8, height=8, sha256=digest, bytes=len(content), phash="0" * 16)
    return replace(image, **changes), content
