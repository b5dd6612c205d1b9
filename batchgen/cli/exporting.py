"""`batchgen export`: its flags, the progress bar and what it says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchgen.cli.speech import complain

if TYPE_CHECKING:
    from batchgen.export import Change, Choice, Exported
    from batchgen.export.source import Tick

F = TypeVar("F", bound=Callable[..., Any])

#: What `--to` takes; a test compares it with the formats there are.
FORMATS = ("imagefolder", "webdataset", "parquet", "lora", "jsonl", "csv", "preference")
_UNIT = {"jsonl": "rows", "csv": "rows", "preference": "pairs"}
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def size(text: str) -> tuple[int, int | None]:
    """`512` or `512x768` -> pixels."""
    match = re.fullmatch(r"([1-9]\d{0,4})(?:[x×]([1-9]\d{0,4}))?", text.strip().lower(), re.ASCII)
    if match is None:
        raise click.BadParameter(f"{text!r} is no size; write 512 for the longer side, or 512x768")
    return int(match[1]), None if match[2] is None else int(match[2])


def byte_size(text: str) -> int:
    """`500MB`, `1GB`, `1000000` -> bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]b|)", text.strip().lower(), re.ASCII)
    if match is None or (found := int(float(match[1]) * _UNITS[match[2]])) < 1:
        raise click.BadParameter(f"{text!r} is no size; write 500MB or 1GB")
    return found


def choosing(command: F) -> F:
    """The flags that say which rows are exported, and what is done to their pictures."""
    options = (
        click.option("--where", metavar="SQL", help='Only rows for which it holds: "guidance_scale > 4".'),
        click.option("--split", metavar="NAME", help="Only that part of the dataset."),
        click.option("--shuffle", is_flag=True, help="In another order than the plan's."),
        click.option("--seed", type=int, help="Another seed, another order.  [default: 0]"),
        click.option("--limit", type=click.IntRange(min=1), help="No more than so many."),
        click.option("--convert", type=click.Choice(["png", "jpeg", "webp"]), help="Make all images of that format."),
        click.option("--quality", type=click.IntRange(1, 100), help="Of jpeg and webp.  [default: 90]"),
        click.option("--resize", type=size, metavar="SIZE", help="Longer side at most 512; or 512x768, cut to fit."),
    )
    return _with(options, command)


def formatting(command: F) -> F:
    """The flags that are options of a format."""
    options = (
        click.option("--caption", metavar="TEMPLATE", help='What is said of an image: "{prompt}, {style}".'),
        click.option("--class-by", metavar="COLUMN", help="imagefolder, lora: a folder for each value."),
        click.option(
            "--link",
            type=click.Choice(["copy", "hard", "reference"]),
            help="imagefolder: how files get there; a reference is a symbolic link.  [default: copy]",
        ),
        click.option("--metadata", type=click.Choice(["parquet", "jsonl"]), help="imagefolder.  [default: parquet]"),
        click.option("--shard-size", type=byte_size, metavar="SIZE", help="webdataset: 1GB; parquet: 500MB."),
        click.option("--shard-count", type=click.IntRange(min=1), help="webdataset: samples of a shard, 10000."),
        click.option("--layout", type=click.Choice(["kohya", "diffusers"]), help="lora.  [default: kohya]"),
        click.option("--repeats", type=click.IntRange(min=1), help="lora, kohya: of each image in an epoch, 10."),
        click.option("--concept", metavar="NAME", help="lora, kohya: name of the folder; else the batch_id."),
        click.option("--chosen-by", metavar="COLUMN", help="preference: what says which image is preferred."),
        click.option("--group-by", metavar="COLUMN", multiple=True, help="preference: what is compared, prompt."),
    )
    return _with(options, command)


def export_to(out: str, dest: str, to: str, *, flags: dict[str, Any], quiet: bool) -> Exported:
    """Export, with a bar on a terminal.

    Raises:
        BatchgenError: as `app.exporting.export`.
    """
    from batchgen.app import exporting, pushing

    write = exporting.export if pushing.scheme_of(dest) is None else pushing.push
    choice, change = _choice(flags), _change(flags)
    form = exporting.find_format(to, flags | {"group_by": flags["group_by"] or None})
    with ExitStack() as bars:
        try:
            return write(out, dest, form, choice=choice, change=change, begun=counting(bars, quiet=quiet))
        except KeyboardInterrupt:
            complain("interrupted; the same command goes on")
            raise


def counting(bars: ExitStack, *, quiet: bool) -> Callable[[int], Tick] | None:
    """What shows, on a terminal alone, how far a count of images has come."""
    return None if quiet or not sys.stderr.isatty() else lambda total: _bar(total, bars)


def text(exported: Exported, to: str) -> str:
    """What it says in the end."""
    counts = ", ".join(f"{count:,} {split}" for split, count in exported.rows.items())
    place = exported.place or exported.path
    if exported.there_already:
        return f"{place} holds this very export already ({counts}); nothing was left to do"
    return f"{place} holds {_UNIT.get(to, 'images')} as {to}: {counts}"


def _with(options: tuple[Callable[[F], F], ...], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def _choice(flags: dict[str, Any]) -> Choice:
    from batchgen.export import Choice

    shuffle, seed = flags.pop("shuffle"), flags.pop("seed")
    if seed is not None and not shuffle:
        raise click.UsageError("--seed says nothing without --shuffle")
    where, split, limit = flags.pop("where"), flags.pop("split"), flags.pop("limit")
    return Choice(where=where, split=split, limit=limit, seed=(seed or 0) if shuffle else None)


def _change(flags: dict[str, Any]) -> Change:
    from batchgen.export import Change
    from batchgen.export.pictures import QUALITY, Size

    convert, quality, resize = flags.pop("convert"), flags.pop("quality"), flags.pop("resize")
    if quality is not None and (convert == "png" or not (convert or resize)):
        raise click.UsageError("--quality says nothing without --convert jpeg, --convert webp or --resize")
    return Change(
        format="jpg" if convert == "jpeg" else convert,
        quality=QUALITY if quality is None else quality,
        size=None if resize is None else Size(width=resize[0], height=resize[1]),
    )


def _bar(total: int, bars: ExitStack) -> Tick:
    from batchgen.cli.progress import bar_on

    bar = bars.enter_context(bar_on(sys.stderr, total=total))

    def tick(steps: int) -> None:
        bar.update(steps)

    return tick
