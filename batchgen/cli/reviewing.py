"""`batchgen grid`, `report` and `diff`: what people look at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import click

from batchgen.cli.flags import assignment, shared
from batchgen.cli.speech import complain, tell


@click.command()
@click.argument("out", metavar="OUT")
@click.argument("picture", type=click.Path(dir_okay=False))
@click.option("--x", metavar="NAME", help="A column for each value of this axis, label or parameter.")
@click.option("--y", metavar="NAME", help="A row for each value of this one.")
@click.option(
    "--select",
    type=assignment,
    multiple=True,
    metavar="NAME=VALUE",
    help="With --x or --y, only the images that have it.",
)
@click.option("--columns", type=click.IntRange(1, 50), help="Without them, pictures side by side.  [default: 4]")
@click.option("--count", type=click.IntRange(1, 2_000), help="Without them, pictures at most.  [default: 24]")
@click.option("--cell", type=click.IntRange(32, 1_024), default=256, show_default=True, help="Pixels of each.")
@shared
def grid(
    out: str,
    picture: str,
    x: str | None,
    y: str | None,
    select: tuple[tuple[str, str], ...],
    columns: int | None,
    count: int | None,
    cell: int,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Draw the images of the batch in OUT as one PICTURE.

    With --x or --y: a labelled grid of the sweep. Without them: the first images, with their prompts.
    """
    from batchgen.app import reporting
    from batchgen.cli import words

    if x is None and y is None:
        if select:
            raise click.UsageError("--select says which images a grid of --x or --y shows; name one of them, too.")
        sheet = reporting.draw_contact_sheet(out, picture, columns=columns or 4, at_most=count or 24, cell=cell)
        tell(words.sheet_json(picture, sheet) if as_json else None, f"{picture} drawn from {out}", quiet=quiet)
        _warn(words.sheet_warnings(out, sheet))
        return
    if columns is not None or count is not None:
        raise click.UsageError("--columns and --count say nothing to a grid of --x or --y; leave them out.")
    cells, sheet = reporting.draw_labelled_grid(out, picture, x=x, y=y, select=dict(select), cell=cell)
    tell(
        words.grid_json(picture, cells, sheet) if as_json else None, words.grid_text(picture, cells, sheet), quiet=quiet
    )
    _warn(words.sheet_warnings(out, sheet))


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        complain(f"warning: {warning}")


@click.command()
@click.argument("out", metavar="OUT")
@shared
def report(out: str, as_json: bool, quiet: bool, verbose: int) -> None:
    """Write OUT/report.html: figures, charts, failures, and all images to filter and to lay out as a grid.

    Opens from disk, without a network. Only what has changed since the last report is made anew.
    """
    from batchgen.app import reporting
    from batchgen.cli import words
    from batchgen.cli.exporting import counting

    with ExitStack() as bars:
        made = reporting.report(out, begun=counting(bars, quiet=quiet))
    tell(words.report_json(made) if as_json else None, words.report_text(made), quiet=quiet)


@click.command()
@click.argument("before", metavar="OUT")
@click.argument("after", metavar="OTHER")
@click.option("--html", "page", type=click.Path(dir_okay=False), help="Write it as a page, with thumbnails.")
@shared
def diff(before: str, after: str, page: str | None, as_json: bool, quiet: bool, verbose: int) -> None:
    """Say how the batch in OTHER differs from that in OUT: what became of the images of each request."""
    from batchgen.app import reporting
    from batchgen.cli import words

    found = reporting.diff(before, after, page=page)
    tell(
        words.difference_json(before, after, found) if as_json else None,
        words.difference_text(before, after, found, page=page),
        quiet=quiet,
    )
