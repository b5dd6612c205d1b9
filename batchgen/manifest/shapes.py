"""What values of a manifest look like to an editor, where the model leaves the checking to others. JSON Schema."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import WithJsonSchema

_ANY_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}


def one_of(kind: type[StrEnum]) -> WithJsonSchema:
    """One of those words, or null for none of them."""
    return WithJsonSchema({"enum": [*(choice.value for choice in kind), None]})


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
