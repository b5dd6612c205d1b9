"""The kinds of values that flags take, and the flags that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from batchgen.model import FailureKind

F = TypeVar("F", bound=Callable[..., Any])

_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Duration(click.ParamType[float]):
    """`90`, `90s`, `10m`, `2h`, `1d` -> seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", value.strip())
        if match is None:
            self.fail(f"{value!r} is not a duration; write 90, 90s, 10m, 2h or 1d", param, ctx)
        return float(match[1]) * _UNIT_SECONDS[match[2] or "s"]


class Rate(click.ParamType[float]):
    """`5/s`, `300/min`, `10/h` -> submissions a second."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from batchgen.manifest import parse_rate

        if isinstance(value, float):
            return value
        try:
            return parse_rate(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Assignment(click.ParamType[tuple[str, str]]):
    """`name=value`."""

    name = "k=v"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        return name.strip(), text


class Retry(click.ParamType[frozenset[FailureKind]]):
    """`failed` or `failed:KIND` -> kinds of failure."""

    name = "failed[:kind]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[FailureKind]:
        if isinstance(value, frozenset):
            return value
        what, colon, kind = value.partition(":")
        known = {known.value for known in FailureKind}
        if what != "failed" or (colon and kind not in known):
            self.fail(f"{value!r}: write failed, or failed:KIND with one of {', '.join(sorted(known))}", param, ctx)
        return frozenset({FailureKind(kind)}) if colon else frozenset(FailureKind)


def shared(command: F) -> F:
    """`--json`, `-q` and `-v`, which every command takes."""
    options = (
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong."),
        click.option("-v", "--verbose", count=True, help="Say more; twice for all."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def planning(command: F) -> F:
    """The flags that change what is planned."""
    options = (
        click.option("-o", "--out", envvar="BATCHGEN_OUT", help="The batch folder. [default: outputs/{batch_id}]"),
        click.option("--profile", envvar="BATCHGEN_PROFILE", help="Which API; goes before the manifest's."),
        click.option("--param", "params", type=Assignment(), multiple=True, help="Set a parameter of every request."),
        click.option("--batch-id", envvar="BATCHGEN_BATCH_ID", help="Tag of the batch."),
        click.option("--file-prefix", envvar="BATCHGEN_FILE_PREFIX", help="Start of every file name."),
        click.option(
            "--limit", type=click.IntRange(min=1), envvar="BATCHGEN_LIMIT", help="Only the plan's first requests."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
