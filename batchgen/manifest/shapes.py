"""What values of a manifest look like to an editor, where the model leaves the checking to others; and words that
exclude each other.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from batchgen.checks import BlankCheck, Decode, DuplicateCheck

_ANY_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}


def one_of(kind: type[StrEnum]) -> WithJsonSchema:
    """One of those words, or null for none of them."""
    return WithJsonSchema({"enum": [*(choice.value for choice in kind), None]})


def decoded_if_looked_at(choice: Decode, beside: ValidationInfo) -> Decode:
    """The choice, unless a check beside it needs the picture that it leaves undecoded."""
    if choice is not Decode.FULL and beside.data.get("blank") is BlankCheck.REJECT:
        raise PydanticCustomError("undecoded", "with {choice} nothing finds blank pictures.", {"choice": choice.value})
    return choice


def looked_at_if_decoded(choice: DuplicateCheck, beside: ValidationInfo) -> DuplicateCheck:
    """The choice, unless it is about pictures that are left undecoded."""
    how = beside.data.get("decode", Decode.FULL)
    if choice is DuplicateCheck.REJECT_NEAR and how is not Decode.FULL:
        raise PydanticCustomError("undecoded", "with {choice} nothing finds look-alikes.", {"choice": how.value})
    return choice


def _mapping_of(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_NUMBER: dict[str, Any] = {"type": "number"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}
_VALUES: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": _ANY_SCALAR, "minItems": 1},
        _mapping_of(**{"from": _NUMBER, "to": _NUMBER, "step": _NUMBER}),
        _mapping_of(**{"from": _NUMBER, "to": _NUMBER, "count": _COUNT}),
        _mapping_of(**{"from": _NUMBER, "count": _COUNT}),
        _mapping_of(file={"type": "string"}),
    ]
}
Scalar = Annotated[Any, WithJsonSchema(_ANY_SCALAR)]
#: A parameter may be a list, too; the profile says which.
Parametric = Annotated[
    Any, WithJsonSchema({"type": [*_ANY_SCALAR["type"], "array"], "items": {"type": ["string", "number"]}})
]
Values = Annotated[Any, WithJsonSchema(_VALUES)]
