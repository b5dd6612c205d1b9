"""Captions: a template such as `{prompt}, {style}` over the columns of a row."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime
from typing import Any

from batchgen.errors import UsageError
from batchgen.manifest.problems import Refused
from batchgen.manifest.template import Template, parse


class Caption:
    """What is said of each image.

    Args:
        text: with columns of the index in braces.
        columns: those there are.

    Raises:
        UsageError: it is no template, names a column that is not there, or leaves a choice open.
    """

    def __init__(self, text: str, columns: Collection[str]) -> None:
        self._template = self._parsed(text)
        unknown = [name for name in self._template.names if name not in columns]
        if unknown:
            raise UsageError(
                f"--caption {text!r}: the index has no column {', '.join(unknown)}; it has: {', '.join(columns)}."
            )
        if self._template.size > 1:
            raise UsageError(f"--caption {text!r}: a caption has no alternatives; double braces that are to be shown.")

    def of(self, row: dict[str, Any]) -> str:
        """The caption of a row; a null is no text."""
        return self._template.render({name: written(row[name]) for name in self._template.names})

    def line(self, row: dict[str, Any]) -> str:
        """The caption as one line, for trainers that read the first line only."""
        return " ".join(self.of(row).split())

    @staticmethod
    def _parsed(text: str) -> Template:
        try:
            return parse(text)
        except Refused as refusal:
            raise UsageError(f"--caption {text!r}: {refusal.message} {refusal.hint or ''}".strip()) from refusal


def written(value: object) -> str:
    """A value of the index as text: nothing for null and NaN, whole numbers without a point, times in ISO 8601."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return "" if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
        case datetime():
            return value.isoformat()
        case _:
            return str(value)
