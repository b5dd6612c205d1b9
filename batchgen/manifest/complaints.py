"""What the manifest's model does not take, in words: where, what is allowed, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchgen.checks import BlankCheck, Decode, DuplicateCheck, OnReject, SizeCheck
from batchgen.manifest.checks import ChecksEntry, LimitEntry
from batchgen.manifest.document import Location, Mark
from batchgen.manifest.names import QUOTE, near, shown
from batchgen.manifest.parts import Part
from batchgen.manifest.schema import (
    Axes,
    BudgetEntry,
    CardEntry,
    Column,
    Draw,
    FileEntry,
    ManifestDocument,
    PromptEntry,
)
from batchgen.model import Completion, InDoubt


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


_PARTS: Mapping[Location, type[Part]] = {
    ("budget",): BudgetEntry,
    ("card",): CardEntry,
    ("checks",): ChecksEntry,
}


def _part(location: Location) -> type[Part]:
    if location[:1] == ("axes",) and len(location) > 1:
        return Draw if location[1] == "sample" and len(location) > 2 else Axes
    if location[:2] == ("checks", "limits") and len(location) > 3:
        return LimitEntry
    if location[:1] in _PARTS and len(location) > 1:
        return _PARTS[location[:1]]
    if "<column>" in location:
        return Column
    if "<file>" in location:
        return FileEntry
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
    if error["type"] == "undecoded":
        return f"decode: {error['msg']}", "Write decode: full, or let that check only flag."
    if error["type"] == "limit":
        return f"limits: {error['msg']}", "at_least is the lower end."
    if error["type"] == "shares":
        return f"split: {error['msg']}", "Write it like {train: 0.9, validation: 0.1}."
    return f"{key}: must be {allowed[key]}, not {shown(value)}.", _mend(key, value)


_MISSING = {
    "prompts": "List what to make: prompts: [A toucan at dawn]",
    "prompt": 'Every mapping under prompts needs one. Text with ": " in it goes in quotes.',
}
_EMPTY = {"prompts": "List at least one prompt.", "prompt": "Write what the image shows, or remove the line."}
_CHOICES: Mapping[str, type[StrEnum]] = {
    "in_doubt": InDoubt,
    "completion": Completion,
    "size": SizeCheck,
    "blank": BlankCheck,
    "decode": Decode,
    "duplicates": DuplicateCheck,
    "on_reject": OnReject,
}
_TEXTS = ("prompt", "batch_id", "file_prefix", "profile")


def _mend(key: str, value: object) -> str | None:
    if key in _TEXTS and isinstance(value, int | float):
        return QUOTE
    if key == "prompts" and isinstance(value, str):
        return 'Begin the line with "- ".'
    choices = _CHOICES.get(key, ())
    if isinstance(value, str) and (guess := near(value, choices)):
        return f"Did you mean {guess}?"
    return None


def _unknown_key(key: str, part: type[Part]) -> tuple[str, str]:
    if guess := near(key, part.allowed):
        return f"{key}: unknown key.", f"Did you mean {guess}?"
    known = f"Known here: {', '.join(part.allowed)}."
    if part is PromptEntry and re.search(r"\s", key.strip()):
        known += ' Text with ": " in it goes in quotes.'
    return f"{key}: unknown key.", known
