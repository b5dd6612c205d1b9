"""What a YAML manifest may hold: the pydantic model, and its JSON Schema.

Parameters and labels are checked by `parameters`, which knows the profile and the line of each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from batchgen.manifest.checks import ChecksEntry
from batchgen.manifest.names import is_split, shown
from batchgen.manifest.parts import Part, Text
from batchgen.manifest.shapes import Parametric, Scalar, Values, one_of
from batchgen.model import CardFacts, Completion, InDoubt

_RATE = re.compile(r"\s*(\d+|\d*\.\d+)\s*/\s*(s|min|h)\s*", re.ASCII)
_SECONDS: Mapping[str, int] = {"s": 1, "min": 60, "h": 3600}
#: What a label's column may be declared to hold.
LabelType = Literal["text", "integer", "number", "boolean"]


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


def _shares(split: dict[str, float]) -> dict[str, float]:
    for name in split:
        if not is_split(name):
            raise PydanticCustomError(
                "shares", "{name} is no name of a part; letters, digits, _ and . are, but for all.", {"name": name}
            )
    total = math.fsum(split.values())
    if split and not math.isclose(total, 1.0, abs_tol=1e-9):
        raise PydanticCustomError("shares", "the shares add up to {total}, not to 1.", {"total": f"{total:.6g}"})
    return split


def _as_list(value: object) -> object:
    """One file may stand alone under prompts."""
    return [value] if isinstance(value, dict) and "file" in value else value


def _kind(value: object) -> str | None:
    if isinstance(value, FileEntry) or (isinstance(value, dict) and "file" in value):
        return "<file>"
    if isinstance(value, PromptEntry | dict):
        return "<mapping>"
    return "<text>" if isinstance(value, str) else None


def _target_kind(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return "<text>"
    return "<column>" if isinstance(value, Column | dict) else None


Rate = Annotated[
    float,
    PlainValidator(_rate),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(\d+|\d*\.\d+)\s*/\s*(s|min|h)\s*$"}),
]


class PromptEntry(Part):
    """A prompt with parameters, labels or a tag of its own."""

    allowed = {
        "prompt": "text",
        "params": "a mapping of parameters, like {guidance_scale: 9}",
        "labels": "a mapping of labels, like {class: fox}",
        "file_prefix": "text",
        "repeat": "a whole number of at least 1",
    }

    prompt: Annotated[Text, Field(examples=["A plain fox"])]
    """What the image shows."""
    params: Annotated[dict[str, Parametric], Field(examples=[{"guidance_scale": 9}])] = {}
    """Parameters of the API for this prompt; they win over those of the manifest. null: as if not given."""
    labels: Annotated[dict[str, Scalar], Field(examples=[{"class": "fox"}])] = {}
    """Columns of the index for this prompt; they win over those of the manifest."""
    file_prefix: Annotated[Text | None, Field(examples=["fox"])] = None
    """Tag of the request, and the start of its file names."""
    repeat: Annotated[int | None, Field(ge=1)] = None
    """How often to submit it. Default: the manifest's."""


class Column(Part):
    """What a column of a table is, where more than its name is to be said."""

    allowed = {"label": "the name of a label", "type": "text, integer, number or boolean"}

    label: Annotated[Text, Field(examples=["year"])]
    """The label's name: a column of the index."""
    type: Annotated[LabelType, Field(examples=["integer"])] = "text"
    """What its cells hold; in a CSV file everything is text."""


Target = Annotated[
    Annotated[Text | None, Tag("<text>")] | Annotated[Column, Tag("<column>")],
    Discriminator(_target_kind),
]
Targets = dict[str, Target]


class FileEntry(Part):
    """Rows from a file: a table, or a text file with a prompt a line."""

    allowed = {
        "file": "the name of a .csv, .tsv, .jsonl, .txt or .parquet file, or a pattern like prompts/*.csv",
        "prompt": "text",
        "params": "a mapping of parameters, like {guidance_scale: 9}",
        "labels": "a mapping of labels, like {class: fox}",
        "file_prefix": "text",
        "columns": "a mapping of columns to what they are, like {Prompt: prompt, Kind: label.kind}",
        "delimiter": "one character",
        "encoding": "the name of an encoding, like utf-8, utf-16 or cp1252",
        "templates": "true or false",
        "repeat": "a whole number of at least 1",
    }

    file: Annotated[Text, Field(examples=["animals.csv", "prompts/*.txt"])]
    """A file beside the manifest, or a pattern for several; sorted by name."""
    prompt: Annotated[Text | None, Field(examples=["A {animal} in {style} style"])] = None
    """What the images show; takes the file's columns in braces. Default: the column prompt, as it stands there."""
    params: Annotated[dict[str, Parametric], Field(examples=[{"guidance_scale": 9}])] = {}
    """Parameters for all rows of the file; a row's own win over them. null: as if not given."""
    labels: Annotated[dict[str, Scalar], Field(examples=[{"source": "{animal}.csv"}])] = {}
    """Columns of the index for all rows of the file."""
    file_prefix: Annotated[Text | None, Field(examples=["{animal}"])] = None
    """Tag of each request, and the start of its file names, where a row gives none."""
    columns: Annotated[
        Targets, Field(examples=[{"Prompt": "prompt", "Year": {"label": "year", "type": "integer"}}])
    ] = {}
    """What the file's columns are; they win over those of the manifest."""
    delimiter: Annotated[str | None, Field(min_length=1, max_length=1, examples=["|"])] = None
    """What separates the cells. Default: found out."""
    encoding: Annotated[str | None, Field(examples=["cp1252"])] = None
    """How the file is encoded. Default: UTF-8, or what its byte order mark says."""
    templates: bool = False
    """Whether braces in the file's prompts mean what they mean here."""
    repeat: Annotated[int | None, Field(ge=1)] = None
    """How often to submit each row. Default: the manifest's."""


class Draw(Part):
    """A draw without replacement from all combinations."""

    allowed = {"count": "a whole number of at least 1", "seed": "a whole number"}

    count: Annotated[int, Field(ge=1, examples=[500])]
    """How many combinations."""
    seed: Annotated[int, Field(examples=[7])] = 0
    """Another seed, other combinations."""


class Axes(Part):
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


class CardEntry(Part):
    """What the dataset card says besides what batchgen knows."""

    allowed = dict.fromkeys(("title", "description", "license", "intended_use", "creator", "url"), "text")

    title: Annotated[Text | None, Field(examples=["Animals at dawn"])] = None
    """Heading of the card. Default: the batch_id."""
    description: Text | None = None
    """What the dataset is."""
    license: Annotated[Text | None, Field(examples=["cc-by-4.0", "https://example.org/terms"])] = None
    """Under what terms the dataset may be used: an identifier, or where the terms are."""
    intended_use: Text | None = None
    """What the dataset is for, and what it is not for."""
    creator: Annotated[Text | None, Field(examples=["Example Lab"])] = None
    """Who made it."""
    url: Annotated[Text | None, Field(examples=["https://example.org/animals"])] = None
    """Where it is, or will be, to be found."""

    @property
    def facts(self) -> CardFacts:
        """As a value."""
        return CardFacts(**{name: getattr(self, name) for name in self.allowed})


class BudgetEntry(Part):
    """What the batch may cost over all its runs; a run stops before it would be more."""

    allowed = {"images": "a whole number of at least 0", "cost": "a number of at least 0"}

    images: Annotated[int | None, Field(ge=0, examples=[5000])] = None
    """Images asked for, repeated submissions included."""
    cost: Annotated[float | None, Field(ge=0, allow_inf_nan=False, examples=[40.0])] = None
    """In the account's currency, at price_per_image."""


class ManifestDocument(Part):
    """A batch of images: prompts, how to make them, and how fast."""

    allowed = {
        "version": "1",
        "batch_id": "text",
        "file_prefix": "text",
        "profile": "the name of a profile, like sd3",
        "params": "a mapping of parameters, like {samples: 2}",
        "prompts": "a list of prompts",
        "columns": "a mapping of columns to what they are, like {Prompt: prompt, Kind: label.kind}",
        "variables": "a mapping of names to values, like {animal: [fox, owl]}",
        "axes": "a mapping with grid, zip, exclude, include or sample",
        "labels": "a mapping of labels, like {project: demo}",
        "repeat": "a whole number of at least 1",
        "concurrency": "a whole number of at least 1",
        "rate": "requests per second, minute or hour, like 5/s, 300/min or 10/h",
        "completion": "poll, webhook, early-urls or detach",
        "in_doubt": "hold, retry or fail",
        "budget": "a mapping with images, cost or both, like {images: 5000, cost: 40.0}",
        "price_per_image": "a number of at least 0",
        "provenance": "true or false",
        "checks": "a mapping of checks, like {size: exact, blank: reject}",
        "card": "a mapping, like {license: cc-by-4.0, description: Animals at dawn}",
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
    params: Annotated[dict[str, Parametric], Field(examples=[{"samples": 2, "guidance_scale": 7}])] = {}
    """Parameters of the API for all prompts; the profile says which there are. null: as if not given."""
    prompts: Annotated[
        list[
            Annotated[
                Annotated[Text, Tag("<text>")]
                | Annotated[PromptEntry, Tag("<mapping>")]
                | Annotated[FileEntry, Tag("<file>")],
                Discriminator(_kind),
            ]
        ],
        BeforeValidator(_as_list),
        Field(min_length=1, examples=[["A toucan at dawn", {"prompt": "A plain fox", "labels": {"class": "fox"}}]]),
    ]
    """What to make: texts, mappings with parameters and labels of their own, or files of rows."""
    columns: Annotated[Targets, Field(examples=[{"Prompt": "prompt", "Category": "label.category"}])] = {}
    """What the columns of all files are, where their names do not say so."""
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
    completion: Annotated[Completion, Field(strict=False), one_of(Completion)] = Completion.POLL
    """How to learn that a job has ended: ask, be told, try the image's link, or leave it to a later run."""
    in_doubt: Annotated[InDoubt, Field(strict=False), one_of(InDoubt)] = InDoubt.HOLD
    """What to do with a request that may have been paid for although its answer was lost."""
    budget: Annotated[BudgetEntry, Field(examples=[{"images": 5000, "cost": 40.0}])] = BudgetEntry()
    """What the batch may cost over all its runs. What may have been paid for counts, failed jobs and doubts too."""
    price_per_image: Annotated[float | None, Field(ge=0, allow_inf_nan=False, examples=[0.008])] = None
    """Price of one image in the account's currency, for estimates and the budget. Default: the profile's."""
    checks: Annotated[ChecksEntry, Field(examples=[{"size": "exact", "blank": "reject"}])] = ChecksEntry()
    """Whether images are of the size asked for, and whether there is anything in them; what fails may be kept out."""
    provenance: bool = False
    """Whether image files say of what prompt and parameters a model made them; their pictures stay as delivered."""
    card: Annotated[CardEntry, Field(examples=[{"license": "cc-by-4.0", "creator": "Example Lab"}])] = CardEntry()
    """Title, licence, intended use and the like, for the dataset card."""
    split: Annotated[
        dict[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]],
        AfterValidator(_shares),
        Field(examples=[{"train": 0.9, "validation": 0.1}]),
    ] = {}
    """Parts of the dataset and their shares. All images of a prompt are in one, and stay there when others come."""


def _let_optional_be_null(part: dict[str, Any]) -> None:
    """As `_null_is_not_given` does."""
    required = part.get("required", ())
    for name, described in part.get("properties", {}).items():
        if name not in required and isinstance(described.get("type"), str):
            described["type"] = [described["type"], "null"]
        elif name not in required and "$ref" in described:
            described["anyOf"] = [{"$ref": described.pop("$ref")}, {"type": "null"}]


def json_schema() -> dict[str, object]:
    """JSON Schema (2020-12) of the YAML manifest, for editors."""
    schema = ManifestDocument.model_json_schema()
    prompts = schema["properties"]["prompts"]
    several = {key: prompts.pop(key) for key in ("type", "items", "minItems")}
    prompts["anyOf"] = [several, {"$ref": "#/$defs/FileEntry"}]
    for part in (schema, *schema["$defs"].values()):
        _let_optional_be_null(part)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "batchgen manifest"}
