"""What goes through the pipes between a run and its image processes: values, each pickled behind its length."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import Any

from batchgen.errors import Came
from batchgen.model import StoredImage, VerifiedImage
from batchgen.ports import SampleLink

_LENGTH = struct.Struct("<I")
#: Instead of an order's number: what a process tells of itself once it has its setup.
UP = -1


@dataclass(frozen=True, slots=True)
class Order:
    """An image to be fetched and kept; behind a bare link, to be looked at."""

    number: int  #: that its outcome is told under
    link: SampleLink | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """What `errors.ResultUnavailable` says."""

    message: str
    http_status: int | None
    permanent: bool
    came: Came | None
    begins: str | None


@dataclass(frozen=True, slots=True)
class NotWritten:
    """The disk did not take it."""

    message: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A bug of ours."""

    trace: str


Outcome = StoredImage | VerifiedImage | Unavailable | NotWritten | Broken


def packed(value: object) -> bytes:
    """As it goes through a pipe."""
    pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(pickled)) + pickled


class Unpacking:
    """Takes values out of bytes that come in pieces."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, piece: bytes) -> list[Any]:
        """The values that are complete now."""
        self._left += piece
        values, start = [], 0
        while len(self._left) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._left, start)
            end = start + _LENGTH.size + length
            if len(self._left) < end:
                break
            values.append(pickle.loads(bytes(self._left[start + _LENGTH.size : end])))
            start = end
        del self._left[:start]
        return values
