"""Scalars of YAML -> plain values. What YAML reads otherwise than it looks (dates, 010, 12:30) is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from yaml import events

from batchgen.manifest.names import QUOTE, sendable, shown
from batchgen.manifest.problems import Refused

TAG = "tag:yaml.org,2002:"
_INT64 = range(-(2**63), 2**63)
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|0b[01][01_]*)")
_POWER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")  # 1e3: a number to all but YAML 1.1
_resolve: Callable[..., Any] = yaml.resolver.Resolver().resolve


def tag_of(event: events.ScalarEvent) -> str:
    """The tag of a scalar, given or resolved from how it is written."""
    if event.tag == "!":
        return f"{TAG}str"
    if event.tag is not None:
        return str(event.tag)
    tag = str(_resolve(yaml.ScalarNode, event.value, event.implicit))
    if tag == f"{TAG}str" and event.implicit[0] and _POWER.fullmatch(event.value):
        return f"{TAG}float"
    return tag


def _text(text: str) -> str:
    if not sendable(text):
        raise Refused(f"{shown(text)} has a NUL character or half of a surrogate pair in it, which no text may.")
    return text


def _whole(text: str) -> int:
    if not any(character.isdigit() for character in text):
        raise Refused(f"{shown(text)} is not a whole number.", QUOTE)
    if not _WHOLE.fullmatch(text):
        raise Refused(f"YAML reads {shown(text)} as octal or as minutes and seconds, which is hardly meant.", QUOTE)
    number = int(text.replace("_", ""), 0) if len(text) < 100 else _INT64.stop
    if number not in _INT64:
        raise Refused(f"{shown(text)} is beyond 2^63, the largest whole number there is room for.", QUOTE)
    return number


def _float(text: str) -> float:
    if ":" in text:
        raise Refused(f"YAML reads {shown(text)} as minutes and seconds, which is hardly meant.", QUOTE)
    try:
        return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError as error:
        raise Refused(f"{shown(text)} is not a number.", QUOTE) from error


def _boolean(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false", "on", "off"):
        raise Refused(f"{shown(text)} is neither true nor false.", QUOTE)
    return text.lower() in ("yes", "true", "on")


def _nothing(text: str) -> None:
    if text.lower() not in ("", "~", "null"):
        raise Refused(f"{shown(text)} is not null.", QUOTE)


def _date(text: str) -> str:
    raise Refused(f"YAML reads {text} as a date, and there is no use for dates here.", QUOTE)


#: tag -> the conversion of its text; Refused says why there is none
SCALARS: Mapping[str, Callable[[str], str | int | float | bool | None]] = {
    f"{TAG}str": _text,
    f"{TAG}value": _text,  # a lone =
    f"{TAG}merge": _text,  # << where it is not a key
    f"{TAG}int": _whole,
    f"{TAG}float": _float,
    f"{TAG}bool": _boolean,
    f"{TAG}null": _nothing,
    f"{TAG}timestamp": _date,
}
