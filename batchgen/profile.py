"""An image API as data: its paths, key header, parameters, states and limits. Pure.

The profiles that come with batchgen are files (`adapters/profiles/`); this module says what such a file may
hold, and checks parameter values against it. Facts that no document gives are left open, never invented.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self, assert_never

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from batchgen.hosts import base_url_of
from batchgen.model import ParamValue

_BOOLEANS: Mapping[str, bool] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
#: The largest whole number taken anywhere: what 64 bits hold.
_LARGEST = 2**63 - 1
_WHOLE = re.compile(r"[-+]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOUNS = {
    "text": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "texts": "a list of texts",
    "numbers": "a list of numbers",
}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # what HTTP takes for a header's name
#: Headers by which HTTP itself, or the client, says what is sent; none can carry a key.
_HEADERS_OF_HTTP = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host"}
    | {"keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _matching(pattern: re.Pattern[str], meaning: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {meaning}, not {text!r}.")
        return text

    return check


def _key_header(name: str) -> str:
    if name.lower() in _HEADERS_OF_HTTP:
        raise ValueError(f"must be a header that can carry a key, not {name!r}.")
    return name


def _base_url(text: str) -> str:
    return str(base_url_of(text))


_PATH = _matching(
    re.compile(r'/([!"$-z|~]|\{id\})*'),
    "a path that begins with /, percent-encoded where it is not ASCII, without # and without braces but those of {id}",
)
_HOST = _matching(
    re.compile(r"(\*\.)?\w([\w.-]*\w)?\.?|[0-9a-fA-F:]+"),
    "the name of a host, alone or below *. (no scheme, port or path)",
)
_Path = Annotated[str, AfterValidator(_PATH)]
_HostPattern = Annotated[str, AfterValidator(_HOST)]
_Limit = Annotated[float | None, Field(allow_inf_nan=False)]


class _ProfilePart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(StrEnum):
    """What a parameter is for."""

    IMAGE = "image"  # changes the image, and so the request key
    DELIVERY = "delivery"  # how the result comes; changes no image
    TAG = "tag"  # a name for people; changes no image
    FAN_OUT = "fan_out"  # how many requests a row becomes; never sent


class Parameter(_ProfilePart):
    """One parameter of an endpoint, with the limits its documentation gives."""

    type: Literal["text", "integer", "number", "boolean", "texts", "numbers"]
    role: Role = Role.IMAGE
    required: bool = False  #: the API refuses a request without it
    default: ParamValue | None = None  #: sent when the manifest gives no value; None: not sent
    minimum: _Limit = None
    maximum: _Limit = None
    choices: tuple[str, ...] = ()  #: the only texts that are taken; none: any
    description: str = ""

    @model_validator(mode="after")
    def _default_is_taken(self) -> Self:
        if self.default is not None:
            try:
                self.check(self.default)
            except ValueError as error:
                raise ValueError(f"the default {error}") from error
        return self

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
            case "texts":
                return tuple(map(self._text, _listed(value)))
            case "numbers":
                return tuple(float(self._finite(one, whole=False)) + 0.0 for one in _listed(value))
            case _:
                assert_never(self.type)

    def parse(self, text: str) -> ParamValue:
        """The canonical form of a value written as *text*: a table's cell or a command line's `k=v`.

        A list is written with commas: `a, b`.

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
            case "texts":
                return self.check(_parts(text))
            case "numbers":
                return self.check([_number(part) for part in _parts(text)])
            case _:
                assert_never(self.type)

    @property
    def is_list(self) -> bool:
        """Whether it takes several values at once."""
        return self.type in ("texts", "numbers")

    @property
    def allowed(self) -> str:
        """The values it takes, in words: `a whole number from 1 to 4`."""
        noun = " or ".join(self.choices) or _NOUNS[self.type]
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
        if not isinstance(value, str) or (self.choices and value not in self.choices):
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


def _listed(value: object) -> list[object]:
    """The values of a list; one value alone is a list of one, so that an axis can sweep it."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _number(text: str) -> int | float | str:
    """The number that *text* is, in the plain ways of writing one; else the text."""
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


class Key(_ProfilePart):
    """How the API wants its key."""

    header: Annotated[str, AfterValidator(_matching(_HEADER, "the name of a header")), AfterValidator(_key_header)]
    variable: Annotated[str, AfterValidator(_matching(_VARIABLE, "the name of a variable"))] = "IMAGEPIPELINE_API_KEY"
    #: the environment variable that holds it


class States(_ProfilePart):
    """The API's words for where a job stands; compared without regard to case and to white space around them."""

    model_config = ConfigDict(str_strip_whitespace=True)

    working: tuple[str, ...]
    completed: Annotated[tuple[str, ...], Field(min_length=1)]
    failed: tuple[str, ...]
    cancelled: tuple[str, ...] = ()  #: ended by somebody's wish: failed, and not tried again

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Self:
        seen: set[str] = set()
        for word in (*self.working, *self.completed, *self.failed, *self.cancelled):
            if word.casefold() in seen:
                raise ValueError(f"{word!r} stands for two states.")
            seen.add(word.casefold())
        return self


class Fields(_ProfilePart):
    """Where the API's JSON answers hold what matters; the first name that is there counts."""

    job_id: Annotated[tuple[str, ...], Field(min_length=1)]
    state: Annotated[tuple[str, ...], Field(min_length=1)]
    urls: Annotated[tuple[str, ...], Field(min_length=1)]
    error: tuple[str, ...] = ("error", "detail", "message")


class Profile(_ProfilePart):
    """One endpoint of one API, as batchgen talks to it."""

    name: str
    title: str
    provider: str
    model: str
    base_url: Annotated[str, AfterValidator(_base_url)]  #: its host in ASCII; may be overridden by --base-url
    submit_path: _Path
    status_path: _Path  #: `{id}` stands for the job's id
    key: Key
    parameters: Mapping[str, Parameter]
    states: States
    fields: Fields
    concurrency: Annotated[int, Field(ge=1)] = 16  #: jobs in flight where the manifest does not say
    webhook_parameter: str | None = None  #: holds the URL that is called when a job has ended; None: there is none
    early_urls_parameter: str | None = None  #: true asks for the image links at once; None: there is none
    job_deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] = (
        900  #: seconds until a job without an answer is left for a later run
    )
    image_hosts: tuple[
        Annotated[str, AfterValidator(_HOST)], ...
    ] = ()  #: where images may lie, `*.` for any host below; none: any public host
    #: in the account's currency; None: unknown
    price_per_image: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    simulated: bool = False  #: answered by the built-in simulator; pictures are drawings
    unknown: tuple[str, ...] = ()  #: looked for in the documentation and not found

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if "{id}" not in self.status_path:
            raise ValueError("status_path: must hold {id}, which stands for the job's id.")
        if "prompt" not in self.parameters:
            raise ValueError("parameters: prompt is missing.")
        if len(fans := self.named(Role.FAN_OUT)) > 1:
            raise ValueError(f"parameters: only one may have the role fan_out, not {' and '.join(fans)}.")
        for key in ("webhook_parameter", "early_urls_parameter"):
            name = getattr(self, key)
            if name is not None and name not in self.named(Role.DELIVERY):
                raise ValueError(f"{key}: must be null or a parameter with the role delivery, not {name!r}.")
        return self

    @cached_property
    def endpoint(self) -> str:
        """What a request is addressed to, wherever the host may be: part of every request key."""
        return f"{self.provider}{self.submit_path}"

    @cached_property
    def image_parameters(self) -> tuple[str, ...]:
        """The names of its parameters that change the image, in the profile's order."""
        return self.named(Role.IMAGE)

    @cached_property
    def fans_out(self) -> bool:
        """Whether a job makes one image, so that a row of several samples becomes as many requests."""
        return bool(self.named(Role.FAN_OUT))

    def named(self, role: Role) -> tuple[str, ...]:
        """The names of its parameters of that role, in the profile's order."""
        return tuple(name for name, parameter in self.parameters.items() if parameter.role is role)
