"""What images must stand before they are part of the dataset, in the user's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self


class SizeCheck(StrEnum):
    """What to do with an image of another width or height than was asked for."""

    EXACT = "exact"  # reject it
    WARN = "warn"  # keep it, and say so
    OFF = "off"


class BlankCheck(StrEnum):
    """What to do with a picture of one colour, or all black: most often what a safety filter leaves."""

    REJECT = "reject"  # keep it out of the dataset
    FLAG = "flag"  # keep it, and say so
    OFF = "off"


class DuplicateCheck(StrEnum):
    """What to do with an image that is, or looks, like an earlier one of its batch."""

    REJECT = "reject"  # one of the same bytes; what only looks the same is kept, and said so
    REJECT_NEAR = "reject-near"  # one that looks the same, too
    FLAG = "flag"  # keep it, and say so
    OFF = "off"  # do not look


class OnReject(StrEnum):
    """What becomes of an image that does not stand a check which rejects."""

    KEEP = "keep"  # it stays in the dataset, with the finding
    EXCLUDE = "exclude"  # it is kept aside, and its row says so
    REPLACE = "replace"  # as exclude, and another is asked for in its place


class Decode(StrEnum):
    """How closely an image is looked at before it counts."""

    FULL = "full"  # every pixel is decoded
    STREAM = "stream"  # what truncation and damage on the way do is looked for; nothing is decoded
    HEADER = "header"  # its type and size are read


class Finding(StrEnum):
    """What a check found. Written to the index as `checks`."""

    SIZE = "size"
    BLANK = "blank"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    SCORE = "score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Between which values a score must lie, both included; None: no end on that side."""

    at_least: float | None = None
    at_most: float | None = None

    def allows(self, score: float) -> bool:
        """Whether a score lies in it."""
        low = self.at_least is None or score >= self.at_least
        return low and (self.at_most is None or score <= self.at_most)

    def __str__(self) -> str:
        ends = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{words} {end:g}" for words, end in ends.items() if end is not None)


#: Checks that one word says all about.
_WORDS: Mapping[str, type[StrEnum]] = MappingProxyType(
    {
        "size": SizeCheck,
        "blank": BlankCheck,
        "decode": Decode,
        "duplicates": DuplicateCheck,
        "on_reject": OnReject,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What images must stand before they are part of the dataset."""

    size: SizeCheck = SizeCheck.WARN
    blank: BlankCheck = BlankCheck.FLAG
    decode: Decode = Decode.FULL
    duplicates: DuplicateCheck = DuplicateCheck.FLAG
    score: tuple[str, ...] = ()  #: names of the scorers that see each image
    limits: Mapping[str, Limit] = field(default_factory=dict)  #: column without `score_` -> what is not rejected
    on_reject: OnReject = OnReject.EXCLUDE
    replacements: int = 3  #: images asked for at most, one after the other, in place of one that is rejected

    def __post_init__(self) -> None:
        needy = {"blank": self.blank is BlankCheck.REJECT, "duplicates": self.duplicates is DuplicateCheck.REJECT_NEAR}
        for name, needs_pictures in needy.items():
            if needs_pictures and self.decode is not Decode.FULL:
                word, how = getattr(self, name).value, self.decode.value
                raise ValueError(f"{name}: {word} needs decode: full; with {how} no picture is looked at.")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From words, as a manifest gives them: `{size: exact, blank: reject}`.

        Raises:
            ValueError: an unknown check or word; says which are known.
        """
        read: dict[str, Any] = {}
        for name, value in given.items():
            if name == "score":
                read[name] = tuple(value)
            elif name == "replacements":
                read[name] = int(value)
            elif name == "limits":
                read[name] = {column: Limit(**ends) for column, ends in value.items()}
            elif name not in _WORDS:
                raise ValueError(
                    f"{name}: is no check; there are {', '.join((*_WORDS, 'score', 'limits', 'replacements'))}."
                )
            else:
                known = {choice.value: choice for choice in _WORDS[name]}
                if not isinstance(value, str) or value not in known:
                    raise ValueError(f"{name}: must be {' or '.join(known)}, not {value!r}.")
                read[name] = known[value]
        return cls(**read)

    @property
    def of_the_batch(self) -> bool:
        """Whether anything is to be found out that a single image does not tell while it is downloaded."""
        return bool(self.score) or self.rejects_duplicates or self.on_reject is OnReject.REPLACE

    @property
    def rejects_duplicates(self) -> bool:
        """Whether an image is rejected that is the same as an earlier one."""
        return self.duplicates in (DuplicateCheck.REJECT, DuplicateCheck.REJECT_NEAR)
