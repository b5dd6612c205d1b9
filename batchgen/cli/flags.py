"""The kinds of values that flags take, and the flags that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from batchgen.model import FailureKind

F = TypeVar("F", bound=Callable[..., Any])

_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def duration(text: str | float) -> float:
    """`90`, `90s`, `10m`, `2h`, `1d` -> seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(text).strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a duration; write 90, 90s, 10m, 2h or 1d")
    return float(match[1]) * _UNIT_SECONDS[match[2] or "s"]


def rate(text: str) -> float:
    """`5/s`, `300/min`, `10/h` -> submissions a second."""
    from batchgen.manifest import parse_rate

    try:
        return parse_rate(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def assignment(text: str) -> tuple[str, str]:
    """`name=value` -> both."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.BadParameter(f"{text!r} is not of the form name=value")
    return name.strip(), value


def budget(text: str) -> tuple[str, int | float]:
    """`images=5000`, `cost=40` -> both sides."""
    name, value = assignment(text)
    if name in ("images", "cost") and re.fullmatch(r"\d+" if name == "images" else r"\d+(\.\d+)?", value):
        return name, int(value) if name == "images" else float(value)
    raise click.BadParameter(f"{text!r} is no budget; write images=5000 or cost=40")


def retry(text: str) -> frozenset[FailureKind]:
    """`failed` or `failed:KIND` -> kinds of failure."""
    what, colon, kind = text.partition(":")
    known = {known.value for known in FailureKind}
    if what != "failed" or (colon and kind not in known):
        raise click.BadParameter(f"{text!r}: write failed, or failed:KIND with one of {', '.join(sorted(known))}")
    return frozenset({FailureKind(kind)}) if colon else frozenset(FailureKind)


def address(text: str | tuple[str, int]) -> tuple[str, int]:
    """`127.0.0.1:8080`, `[::1]:0`, `localhost:8080` -> host and port."""
    if isinstance(text, tuple):
        return text
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]/]+)):(\d{1,5})", text.strip())
    if match is None or int(match[3]) > 65_535:
        raise click.BadParameter(f"{text!r} is not an address; write HOST:PORT, like 127.0.0.1:8080")
    return match[1] or match[2], int(match[3])


def completing(command: F) -> F:
    """The flags that say how the end of a job is learned of."""
    options = (
        click.option(
            "--completion",
            type=click.Choice(["poll", "webhook", "early-urls", "detach"]),
            envvar="BATCHGEN_COMPLETION",
            help="How to learn that a job has ended: ask, be called, try its links, or leave it to a later run.",
        ),
        click.option(
            "--webhook-listen",
            type=address,
            metavar="HOST:PORT",
            default="127.0.0.1:0",
            show_default=True,
            envvar="BATCHGEN_WEBHOOK_LISTEN",
            help="Where to listen for webhooks; port 0 takes any free one.",
        ),
        click.option(
            "--webhook-url",
            metavar="URL",
            envvar="BATCHGEN_WEBHOOK_URL",
            help="Where the API reaches that, through a tunnel or a proxy.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def telling(command: F) -> F:
    """The flags that say who is told of a run."""
    options = (
        click.option(
            "--notify",
            metavar="URL",
            envvar="BATCHGEN_NOTIFY",
            help="Send the summary there as JSON, signed with BATCHGEN_NOTIFY_KEY.",
        ),
        click.option(
            "--healthcheck",
            metavar="URL",
            envvar="BATCHGEN_HEALTHCHECK",
            help="Ping URL/start, and at the end URL, or URL/fail.",
        ),
        click.option(
            "--metrics-file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            envvar="BATCHGEN_METRICS_FILE",
            help="Keep figures of the run there, in Prometheus' text format.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


#: `--in-doubt`, for commands that submit or say what would be submitted.
doubting = click.option(
    "--in-doubt",
    type=click.Choice(["hold", "retry", "fail"]),
    envvar="BATCHGEN_IN_DOUBT",
    help="What to do when the answer to a submission was lost: leave it, pay again, or give it up.",
)


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
        click.option(
            "--param",
            "params",
            type=assignment,
            metavar="NAME=VALUE",
            multiple=True,
            help="Set a parameter of every request.",
        ),
        click.option(
            "--budget",
            type=budget,
            metavar="NAME=VALUE",
            multiple=True,
            envvar="BATCHGEN_BUDGET",
            help="What all runs of the batch may ask for: images=5000, cost=40.",
        ),
        click.option("--batch-id", envvar="BATCHGEN_BATCH_ID", help="Tag of the batch."),
        click.option("--file-prefix", envvar="BATCHGEN_FILE_PREFIX", help="Start of every file name."),
        click.option(
            "--files-from",
            type=click.Path(file_okay=False, path_type=Path),
            multiple=True,
            metavar="DIR",
            help="Let the manifest read files from there, too.",
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), envvar="BATCHGEN_LIMIT", help="Only the plan's first requests."
        ),
        click.option(
            "--only-new",
            is_flag=True,
            envvar="BATCHGEN_ONLY_NEW",
            help="Leave out what the batches of --against have.",
        ),
        click.option(
            "--against",
            type=click.Path(),  # in the environment, several are separated as in PATH
            metavar="OUT",
            multiple=True,
            envvar="BATCHGEN_AGAINST",
            help="A batch folder, or a quoted pattern of such: 'outputs/night-*'. Alone, for plan: say what running "
            "into that batch would cost.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
