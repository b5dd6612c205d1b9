"""How the simulator is told to behave: frozen values, in code or from a file. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Setting(BaseModel):
    """A part of the behaviour; what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Early(StrEnum):
    """What a link answers whose job has not ended yet; what the real one does is not documented."""

    NOT_FOUND = "not_found"  # 404
    FORBIDDEN = "forbidden"  # 403
    EMPTY = "empty"  # 200 without a body
    PLACEHOLDER = "placeholder"  # 200 with a text in place of the image
    PIXEL = "pixel"  # 200 with a whole PNG of one pixel


class Links(Setting):
    """How long the links to images hold, and what those say that do not hold yet."""

    early: Early = Early.NOT_FOUND
    expire_after: Positive | None = None  #: seconds since it was given or, if that is later, since the job's end
    downloads: Count | None = None  #: times that a link gives its image
    expired: Literal[403, 410] = 403  #: what a link answers from then on


class Behaviour(Setting):
    """All that a simulator does otherwise than the plainest of APIs would."""

    links: Links = Links()
