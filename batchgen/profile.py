"""An image API as data: its paths, key header, parameters, states and limits. Pure.

The profiles that come with batchgen are files (`adapters/profiles/`); this module says what such a file may
hold, and checks parameter values against it. Facts that no document gives are left open, never invented.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from batchgen.model import ParamValue

_BOOLEANS: Mapping[str, bool] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
#: The largest whole number taken anywhere: what 64 bits hold.
_LARGEST = 2**63 - 1
_WHOLE = re.compile(r"[-+]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOUNS = {"text": "text", "boolean": "true or false", "integer": "a whole number", "number": "a number"}


class _ProfilePart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(StrEnum):
    """What a parameter is for."""

    IMAGE = "image"  # changes the image, and so the request key
    DELIVERY = "delivery"  # how the result comes; changes no image
    TAG = "tag"  # a name for people; changes no image


class Parameter(_ProfilePart):
    """One parameter of an endpoint, with the limits its documentation gives."""

    type: Literal["text", "integer", "number", "boolean"]
    role: Role = Role.IMAGE
    required: bool = False  #: the API refuses a request without it
    default: ParamValue | None = None  #: sent when the manifest gives no value; None: not sent
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""

    def check(self, value: object) -> ParamValue:
        """The canonical form of *value*: equal values come out equal, however they were written.

        Raises:
            ValueError: not of this type or outside its limits; the message says what is allowed.
        """
        match self.type:
            case "text":
                return self._text(value)
            case "boolean":
                return self._boolean(value)
            case "integer":
                return int(self._finite(value, whole=True))
            case "number":
                return float(self._finite(value, whole=False)) + 0.0  # minus zero is zero
            case _:
                assert_never(self.type)

    def parse(self, text: str) -> ParamValue:
        """The canonical form of a value written as *text*: a table's cell or a command line's `k=v`.

        Raises:
            ValueError: as `check`.
        """
        match self.type:
            case "text":
                return self.check(text)
            case "boolean":
                return self.check(_BOOLEANS.get(text.strip().lower(), text))
            case "integer" | "number":
                return self.check(_number(text.strip()))
            case _:
                assert_never(self.type)

    @property
    def allowed(self) -> str:
        """The values it takes, in words: `a whole number from 1 to 4`."""
        noun = _NOUNS[self.type]
        if self.minimum is not None and self.maximum is not None:
            return f"{noun} from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{noun} of at least {self.minimum:g}"
        if self.maximum is not None:
            return f"{noun} of at most {self.maximum:g}"
        return noun

    def _refuse(self, value: object) -> ValueError:
        shown = str(value).lower() if isinstance(value, (bool, int, float)) else repr(value)
        return ValueError(f"must be {self.allowed}, not {shown}.")

    def _text(self, value: object) -> str:
        if not isinstance(value, str):
            raise self._refuse(value)
        return value

    def _boolean(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise self._refuse(value)
        return value

    def _finite(self, value: object, *, whole: bool) -> int | float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._refuse(value)
        # Bounded before it is compared: a whole number of 400 digits has no float to compare with.
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ValueError(f"must be {self.allowed}, not a number that 64 bits do not hold.")
        if not math.isfinite(value) or (whole and abs(value) > _LARGEST):
            raise self._refuse(value)
        if whole and value != int(value):
            raise self._refuse(value)
        if self.minimum is not None and value < self.minimum:
            raise self._refuse(value)
        if self.maximum is not None and value > self.maximum:
            raise self._refuse(value)
        return value


def _number(text: str) -> int | float | str:
    """The number that *text* is, in the plain ways of writing one; else the text."""
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


class Key(_ProfilePart):
    """How the API wants its key."""

    header: str
    variable: str = "IMAGEPIPELINE_API_KEY"  #: the environment variable that holds it


class States(_ProfilePart):
    """The API's words for where a job stands; compared without regard to case."""

    working: tuple[str, ...]
    completed: tuple[str, ...]
    failed: tuple[str, ...]


class Fields(_ProfilePart):
    """Where the API's JSON answers hold what matters; the first name that is there counts."""

    job_id: tuple[str, ...]
    state: tuple[str, ...]
    urls: tuple[str, ...]
    error: tuple[str, ...] = ("error", "detail", "message")


class Profile(_ProfilePart):
    """One endpoint of one API, as batchgen talks to it."""

    name: str
    title: str
    provider: str
    model: str
    base_url: str  #: no slash at the end; may be overridden by --base-url
    submit_path: str
    status_path: str  #: `{id}` stands for the job's id
    key: Key
    parameters: Mapping[str, Parameter]
    states: States
    fields: Fields
    concurrency: Annotated[int, Field(ge=1)] = 16  #: jobs in flight where the manifest does not say
    webhook_parameter: str | None = None  #: holds the URL that is called when a job has ended; None: there is none
    early_urls_parameter: str | None = None  #: true asks for the image links at once; None: there is none
    job_deadline: Annotated[float, Field(gt=0)] = 900  #: seconds until a job without an answer is left for a later run
    price_per_image: float | None = None  #: in the account's currency; None: unknown
    simulated: bool = False  #: answered by the built-in simulator; pictures are drawings
    unknown: tuple[str, ...] = ()  #: looked for in the documentation and not found

    @cached_property
    def endpoint(self) -> str:
        """What a request is addressed to, wherever the host may be: part of every request key."""
        return f"{self.provider}{self.submit_path}"

    @cached_property
    def image_parameters(self) -> tuple[str, ...]:
        """The names of its parameters that change the image, in the profile's order."""
        return self.named(Role.IMAGE)

    def named(self, role: Role) -> tuple[str, ...]:
        """The names of its parameters of that role, in the profile's order."""
        return tuple(name for name, parameter in self.parameters.items() if parameter.role is role)
