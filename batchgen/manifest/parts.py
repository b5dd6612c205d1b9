"""What the parts of a YAML manifest have in common, and the values that several of them hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "blank")
    return text


def _off(value: object) -> object:
    """YAML reads a plain `off` as false."""
    return "off" if value is False else value


Text = Annotated[str, AfterValidator(_not_blank), Field(min_length=1)]
#: What a choice of words takes beside its type.
WORD = (Field(strict=False), BeforeValidator(_off))


class Part(BaseModel):
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
