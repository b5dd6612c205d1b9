"""What a report says of a batch besides what `counting` counts; told row by row, with the facets of each."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batchgen.model import Status
from batchgen.review.facets import in_order

#: Failures of a kind that are shown in full.
_EXAMPLES = 3
#: Different values of a facet that are counted; of more, it is only known that there are more.
_VALUES = 1_000
_NO_PARAMETERS = frozenset({"status", "error_class", "checks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One failure of a kind."""

    prompt: str
    message: str | None
    http_status: int | None


class Survey:
    """Told each row of an index in turn."""

    def __init__(self) -> None:
        self.examples: dict[str, list[Example]] = {}  #: of each kind of failure, the first few
        self.attempts = 0  #: submissions
        self.bytes = 0  #: of all images
        self.ended = array("d")  #: seconds since 1970: when each request's job was seen to have ended
        self.latency = array("d")  #: seconds, of the same requests
        self.stored = array("d")  #: seconds since 1970: when each image was safe on disk
        self._values: dict[str, Counter[str | None]] = {}
        self._capped: set[str] = set()  #: facets with more values than are counted
        self._request: str | None = None

    def add(self, row: Mapping[str, Any], found: Mapping[str, str | None]) -> None:
        """Count a row with its facets; the samples of a request come one after the other."""
        self._add_image(row)
        if row["error_class"] is not None:
            self._add_example(row)
        if row["request_key"] != self._request:
            self._request = row["request_key"]
            self._add_request(row)
        for name, value in found.items():
            counted = self._values.setdefault(name, Counter())
            if value in counted or len(counted) < _VALUES:
                counted[value] += 1
            else:
                self._capped.add(name)

    def parameters(self) -> list[tuple[str, list[tuple[str | None, int]], bool]]:
        """Axes, labels and parameters: each value with how many images have it, and whether there are more values."""
        return [
            (name, [(value, counted[value]) for value in in_order(list(counted))], name in self._capped)
            for name, counted in self._values.items()
            if name not in _NO_PARAMETERS and set(counted) != {None}
        ]

    def _add_image(self, row: Mapping[str, Any]) -> None:
        if row["status"] not in (Status.STORED, Status.REJECTED):
            return
        self.bytes += row["bytes"] or 0
        if row["downloaded_at"] is not None:
            self.stored.append(_seconds(row["downloaded_at"]))

    def _add_example(self, row: Mapping[str, Any]) -> None:
        known = self.examples.setdefault(row["error_class"], [])
        if len(known) < _EXAMPLES:
            example = Example(prompt=row["prompt"], message=row["error_message"], http_status=row["http_status"])
            if example not in known:
                known.append(example)

    def _add_request(self, row: Mapping[str, Any]) -> None:
        self.attempts += row["attempts"] or 0
        if row["completed_at"] is not None and row["latency_s"] is not None:
            self.ended.append(_seconds(row["completed_at"]))
            self.latency.append(row["latency_s"])


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
