"""What a YAML manifest may hold: the pydantic model, its JSON Schema, and its complaints in words.

Parameters and labels are checked by `parameters`, which knows the profile and the line of each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from batchgen.manifest.document import Location, Mark
from batchgen.manifest.names import QUOTE, near, shown
from batchgen.model import InDoubt

#: Columns that the index has of its own; no label may be called so, in whatever case.
# fmt: off
RESERVED = frozenset((
    "request_key", "row_index", "sample_index", "batch_id", "file_prefix", "run_id", "manifest_sha256",
    "file_name", "sha256", "bytes", "format", "width", "height", "phash", "image",
    "prompt", "negative_prompt", "provider", "model", "endpoint", "num_inference_steps", "guidance_scale",
    "requested_width", "requested_height", "seed", "params_json",
    "job_id", "source_url", "response_json",
    "status", "error_class", "error_message", "http_status", "attempts",
    "submitted_at", "completed_at", "downloaded_at", "latency_s", "cost", "split",
))
# fmt: on
_RATE = re.compile(r"\s*(\d+|\d*\.\d+)\s*/\s*(s|min|h)\s*", re.ASCII)
_SECONDS: Mapping[str, int] = {"s": 1, "min": 60, "h": 3600}
_IN_DOUBT: dict[str, Any] = {"type": "string", "enum": [choice.value for choice in InDoubt]}
_ANY_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}


def parse_rate(text: str) -> float:
    """`5/s`, `300/min` or `10/h` as requests per second, above 0.

    Raises:
        ValueError: it is none of these; the message says what is allowed.
    """
    match = _RATE.fullmatch(text)
    rate = float(match[1]) / _SECONDS[match[2]] if match else 0.0
    if not 0 < rate < math.inf:
        raise ValueError(f"must be requests per second, minute or hour, like 5/s, 300/min or 10/h, not {shown(text)}.")
    return rate


def _rate(value: object) -> float:
    if not isinstance(value, str):
        raise PydanticCustomError("rate", "not a rate")
    return parse_rate(value)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "blank")
    return text


def _shares(split: dict[str, float]) -> dict[str, float]:
    named = all(re.fullmatch(r"\w+(\.\w+)*", name) for name in split)  # as loaders of datasets want it
    if split and not (named and math.isclose(math.fsum(split.values()), 1.0, abs_tol=1e-9)):
        raise PydanticCustomError("shares", "not shares")
    return split


def _kind(value: object) -> str | None:
    if isinstance(value, PromptEntry | dict):
        return "<mapping>"
    return "<text>" if isinstance(value, str) else None


Text = Annotated[str, AfterValidator(_not_blank), Field(min_length=1)]
Rate = Annotated[
    float,
    PlainValidator(_rate),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(\d+|\d*\.\d+)\s*/\s*(s|min|h)\s*$"}),
]
Scalar = Annotated[Any, WithJsonSchema(_ANY_SCALAR)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    #: what each key takes, in the words of a message: `repeat must be …`
    allowed: ClassVar[Mapping[str, str]]

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {key: given for key, given in value.items() if given is not None or key not in optional}


class PromptEntry(_Part):
    """A prompt with parameters, labels or a tag of its own."""

    allowed = {
        "prompt": "text",
        "params": "a mapping of parameters, like {guidance_scale: 9}",
        "labels": "a mapping of labels, like {class: fox}",
        "file_prefix": "text",
    }

    prompt: Annotated[Text, Field(examples=["A plain fox"])]
    """What the image shows."""
    params: Annotated[dict[str, Scalar], Field(examples=[{"guidance_scale": 9}])] = {}
    """Parameters of the API for this prompt; they win over those of the manifest. null: as if not given."""
    labels: Annotated[dict[str, Scalar], Field(examples=[{"class": "fox"}])] = {}
    """Columns of the index for this prompt; they win over those of the manifest."""
    file_prefix: Annotated[Text | None, Field(examples=["fox"])] = None
    """Tag of the request, and the start of its file names."""


_VALUES: dict[str, Any] = {
    "oneOf": [
        {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1},
        {
            "type": "object",
            "properties": {name: {"type": "number"} for name in ("from", "to", "step", "count")},
            "required": ["from"],
            "additionalProperties": False,
        },
        {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
    ]
}
Values = Annotated[Any, WithJsonSchema(_VALUES)]


class Draw(_Part):
    """A draw without replacement from all combinations."""

    allowed = {"count": "a whole number of at least 1", "seed": "a whole number"}

    count: Annotated[int, Field(ge=1, examples=[500])]
    """How many combinations."""
    seed: Annotated[int, Field(examples=[7])] = 0
    """Another seed, other combinations."""


class Axes(_Part):
    """What is swept: parameters of the API, or names that a text takes in braces."""

    allowed = {
        "grid": "a mapping of axes, like {guidance_scale: [4, 7, 10]}",
        "zip": "a list of groups of paired axes, like [{width: [1024, 768], height: [768, 1024]}]",
        "exclude": "a list of combinations, like [{guidance_scale: 10, animal: fox}]",
        "include": "a list of combinations, like [{guidance_scale: 20}]",
        "sample": "a count and a seed, like {count: 500, seed: 7}",
    }

    grid: Annotated[dict[str, Values], Field(examples=[{"guidance_scale": [4, 7, 10]}])] = {}
    """Each combination of their values."""
    zip: Annotated[list[dict[str, Values]], Field(examples=[[{"width": [1024, 768], "height": [768, 1024]}]])] = []
    """Groups of axes whose first values belong together, and so on."""
    exclude: list[dict[str, Scalar]] = []
    """Combinations to leave out: those that agree with all that one of these names."""
    include: list[dict[str, Scalar]] = []
    """Combinations of axes to add for each prompt."""
    sample: Draw | None = None
    """Draw so many of all combinations, instead of all."""


class ManifestDocument(_Part):
    """A batch of images: prompts, how to make them, and how fast."""

    allowed = {
        "version": "1",
        "batch_id": "text",
        "file_prefix": "text",
        "profile": "the name of a profile, like sd3",
        "params": "a mapping of parameters, like {samples: 2}",
        "prompts": "a list of prompts",
        "variables": "a mapping of names to values, like {animal: [fox, owl]}",
        "axes": "a mapping with grid, zip, exclude, include or sample",
        "labels": "a mapping of labels, like {project: demo}",
        "repeat": "a whole number of at least 1",
        "concurrency": "a whole number of at least 1",
        "rate": "requests per second, minute or hour, like 5/s, 300/min or 10/h",
        "in_doubt": "hold, retry or fail",
        "price_per_image": "a number of at least 0",
        "split": "a mapping of names to shares that add up to 1, like {train: 0.9, validation: 0.1}",
    }

    version: Annotated[int, Field(ge=1, le=1)] = 1
    """Version of the manifest language."""
    batch_id: Annotated[Text | None, Field(examples=["animals"])] = None
    """Tag of the whole batch, and the name of its folder. Default: the name of the manifest file."""
    file_prefix: Annotated[Text | None, Field(examples=["fox"])] = None
    """Tag of each request, and the start of its file names. Default: the batch_id."""
    profile: Annotated[Text, Field(examples=["sd3", "simulator"])] = "sd3"
    """The API to use."""
    params: Annotated[dict[str, Scalar], Field(examples=[{"samples": 2, "guidance_scale": 7}])] = {}
    """Parameters of the API for all prompts; the profile says which there are. null: as if not given."""
    prompts: Annotated[
        list[
            Annotated[
                Annotated[Text, Tag("<text>")] | Annotated[PromptEntry, Tag("<mapping>")],
                Discriminator(_kind),
            ]
        ],
        Field(min_length=1, examples=[["A toucan at dawn", {"prompt": "A plain fox", "labels": {"class": "fox"}}]]),
    ]
    """What to make: texts, or mappings with parameters and labels of their own."""
    variables: Annotated[dict[str, Values], Field(examples=[{"animal": ["fox", "owl"]}])] = {}
    """What texts take in braces: `A {animal}` is made once for each value."""
    axes: Axes | None = None
    """What is swept. Each axis becomes a column `axis_…` of the index."""
    labels: Annotated[dict[str, Scalar], Field(examples=[{"project": "demo"}])] = {}
    """Columns of the index for all prompts."""
    repeat: Annotated[int, Field(ge=1)] = 1
    """How often to submit each prompt."""
    concurrency: Annotated[int | None, Field(ge=1, examples=[16])] = None
    """Jobs in flight at the same time. Default: the profile's."""
    rate: Annotated[Rate | None, Field(examples=["5/s", "300/min"])] = None
    """Most requests submitted per second, minute or hour."""
    in_doubt: Annotated[InDoubt, Field(strict=False), WithJsonSchema(_IN_DOUBT)] = InDoubt.HOLD
    """What to do with a request that may have been paid for although its answer was lost."""
    price_per_image: Annotated[float | None, Field(ge=0, allow_inf_nan=False, examples=[0.008])] = None
    """Price of one image in the account's currency, for estimates. Default: the profile's."""
    split: Annotated[
        dict[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]],
        AfterValidator(_shares),
        Field(examples=[{"train": 0.9, "validation": 0.1}]),
    ] = {}
    """Parts of the dataset and their shares. All images of a prompt are in one, and stay there when others come."""


def json_schema() -> dict[str, object]:
    """JSON Schema (2020-12) of the YAML manifest, for editors."""
    schema = ManifestDocument.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "batchgen manifest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Something that the model does not take."""

    location: Location
    message: str
    hint: str | None = None


def check_document(value: object) -> ManifestDocument | list[Complaint]:
    """The manifest in *value*, or everything that keeps it from being one."""
    try:
        return ManifestDocument.model_validate(value)
    except ValidationError as error:
        return _complaints(error.errors(include_url=False))


def _complaints(errors: list[ErrorDetails]) -> list[Complaint]:
    complaints = []
    misspelt = {  # keys that stand there under a wrong name are not missing as well
        (*error["loc"][:-1], near(str(error["loc"][-1]), _part(error["loc"]).allowed))
        for error in errors
        if error["type"] == "extra_forbidden"
    }
    for error in errors:
        if error["input"] is Mark.UNUSABLE or (error["type"] == "missing" and error["loc"] in misspelt):
            continue
        message, hint = _in_words(error)
        complaints.append(Complaint(location=error["loc"], message=message, hint=hint))
    return complaints


def _part(location: Location) -> type[_Part]:
    if location[:1] == ("axes",) and len(location) > 1:
        return Draw if location[1] == "sample" and len(location) > 2 else Axes
    return PromptEntry if "<mapping>" in location else ManifestDocument


def _in_words(error: ErrorDetails) -> tuple[str, str | None]:
    location, value = error["loc"], error["input"]
    if not location:
        return (f"a manifest is a mapping with the key prompts, not {shown(value)}.", "Begin with prompts: on a line.")
    if error["type"] == "extra_forbidden":
        return _unknown_key(str(location[-1]), _part(location))
    if location[0] == "prompts" and len(location) == 2:
        hint = QUOTE if isinstance(value, int | float) else _EMPTY["prompt"] if value is None else None
        return f"a prompt must be text, or a mapping with the key prompt, not {shown(value)}.", hint
    allowed = _part(location).allowed
    key = str(location[-1]) if error["type"] == "missing" else "prompt"
    if "<text>" not in location:
        key = next((step for step in reversed(location) if isinstance(step, str) and step in allowed), key)
    if error["type"] == "missing":
        return f"{key}: is missing.", _MISSING.get(key)
    if error["type"] in ("blank", "too_short", "string_too_short") or value is None:
        return f"{key}: is empty.", _EMPTY.get(key, f"Give it a value, or remove {key}.")
    return f"{key}: must be {allowed[key]}, not {shown(value)}.", _mend(key, value)


_MISSING = {
    "prompts": "List what to make: prompts: [A toucan at dawn]",
    "prompt": 'Every mapping under prompts needs one. Text with ": " in it goes in quotes.',
}
_EMPTY = {"prompts": "List at least one prompt.", "prompt": "Write what the image shows, or remove the line."}
_TEXTS = ("prompt", "batch_id", "file_prefix", "profile")


def _mend(key: str, value: object) -> str | None:
    if key in _TEXTS and isinstance(value, int | float):
        return QUOTE
    if key == "prompts" and isinstance(value, str):
        return 'Begin the line with "- ".'
    if key == "in_doubt" and isinstance(value, str) and (guess := near(value, InDoubt)):
        return f"Did you mean {guess}?"
    return None


def _unknown_key(key: str, part: type[_Part]) -> tuple[str, str]:
    if guess := near(key, part.allowed):
        return f"{key}: unknown key.", f"Did you mean {guess}?"
    known = f"Known here: {', '.join(part.allowed)}."
    if part is PromptEntry and re.search(r"\s", key.strip()):
        known += ' Text with ": " in it goes in quotes.'
    return f"{key}: unknown key.", known
