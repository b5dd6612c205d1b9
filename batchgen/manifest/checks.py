"""What a YAML manifest may hold under `checks`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from batchgen.checks import BlankCheck, Checks, Decode, DuplicateCheck, Limit, OnReject, SizeCheck
from batchgen.manifest.parts import WORD, Part, Text
from batchgen.manifest.shapes import decoded_if_looked_at, looked_at_if_decoded, one_of


class LimitEntry(Part):
    """Between which values a score must lie; what lies outside is rejected."""

    allowed = dict.fromkeys(("at_least", "at_most"), "a number")

    at_least: Annotated[float | None, Field(allow_inf_nan=False, examples=[0.5])] = None
    """The lowest that is allowed."""
    at_most: Annotated[float | None, Field(allow_inf_nan=False, examples=[0.2])] = None
    """The highest that is allowed."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            ends = {"low": f"{self.at_least:g}", "high": f"{self.at_most:g}"}
            raise PydanticCustomError("limit", "nothing is at least {low} and at most {high}.", ends)
        return self


class ChecksEntry(Part):
    """What images must stand before they are part of the dataset."""

    allowed = {
        "size": "exact, warn or off",
        "blank": "reject, flag or off",
        "decode": "full, stream or header",
        "duplicates": "reject, reject-near, flag or off",
        "score": "a list of scorers, like [sharpness]",
        "limits": "a mapping of scores to limits, like {sharpness: {at_least: 20}}",
        "on_reject": "keep, exclude or replace",
        "replacements": "a whole number of at least 1",
    }

    size: Annotated[SizeCheck, *WORD, one_of(SizeCheck)] = SizeCheck.WARN
    """An image of another width or height than was asked for: reject it, keep it and say so, or nothing."""
    blank: Annotated[BlankCheck, *WORD, one_of(BlankCheck)] = BlankCheck.FLAG
    """A picture of one colour, or all black: reject it, keep it and say so, or nothing."""
    decode: Annotated[Decode, *WORD, AfterValidator(decoded_if_looked_at), one_of(Decode)] = Decode.FULL
    """How closely: decode all of it, look for truncation and damage, or read its head. The first alone finds blanks."""
    duplicates: Annotated[DuplicateCheck, *WORD, AfterValidator(looked_at_if_decoded), one_of(DuplicateCheck)] = (
        DuplicateCheck.FLAG
    )
    """An image that is, or looks, the same as an earlier one: reject it (`reject`: only the same), say so, or not."""
    score: Annotated[list[Text], Field(examples=[["sharpness"]])] = []
    """Scorers that see each stored image, by the names that installed packages give them."""
    limits: Annotated[dict[str, LimitEntry], Field(examples=[{"sharpness": {"at_least": 20}}])] = {}
    """Scores, without score_, and between which values they must lie. An image without that score stands it."""
    on_reject: Annotated[OnReject, *WORD, one_of(OnReject)] = OnReject.EXCLUDE
    """What becomes of a rejected image: keep it and say so, keep it aside, or also ask for another in its place."""
    replacements: Annotated[int, Field(ge=1)] = 3
    """How many images are asked for at most, one after the other, in place of one that is rejected."""

    @property
    def checks(self) -> Checks:
        """As a value."""
        limits = {name: Limit(at_least=limit.at_least, at_most=limit.at_most) for name, limit in self.limits.items()}
        words = {name: getattr(self, name) for name in self.allowed if name not in ("score", "limits")}
        return Checks(**words, score=tuple(dict.fromkeys(self.score)), limits=limits)
