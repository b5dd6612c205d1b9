"""`batchgen status`, `history` and `clean`: where a batch stands, how it came there, and its end."""

from __future__ import annotations

import time

import click

from batchgen.cli.flags import duration, shared
from batchgen.cli.speech import say, tell


@click.command()
@click.argument("out", metavar="OUT")
@click.option("--disputes", is_flag=True, help="List what was paid for and not delivered, as CSV for the provider.")
@click.option("--watch", is_flag=True, help="Go on saying it until no run works on the batch.")
@click.option(
    "--every", type=duration, metavar="DURATION", default="2s", show_default=True, help="How often --watch looks."
)
@shared
def status(out: str, disputes: bool, watch: bool, every: float, as_json: bool, quiet: bool, verbose: int) -> None:
    """Say where the batch in the folder OUT stands, even while a run works on it.

    With --watch also how fast it goes, what is slow and what has failed; with --json as well, an object a line.
    """
    from batchgen.app import disputing, standing
    from batchgen.cli import words

    if disputes and watch:
        raise click.UsageError("--disputes is a table for the provider; leave out --watch.")
    if disputes:
        listed = disputing.listed(out)
        tell(words.disputes_json(listed) if as_json else None, words.disputes_csv(listed), quiet=quiet)
        return
    if watch:
        _watch(out, every=every, as_json=as_json, quiet=quiet)
        return
    found = standing.status(out)
    tell(words.status_json(found) if as_json else None, words.status_text(found), quiet=quiet)


def _watch(out: str, *, every: float, as_json: bool, quiet: bool) -> None:
    from batchgen.app.watching import glance
    from batchgen.cli import words
    from batchgen.cli.screen import Screen
    from batchgen.errors import StillPlanning

    with Screen() as screen:
        while True:
            try:
                seen = glance(out)
            except StillPlanning:
                seen = None
            heard = True
            if as_json:
                heard = say(words.planning_json(out) if seen is None else words.glance_json(seen))
            elif not quiet:
                heard = screen.show(words.planning_text(out) if seen is None else words.glance_text(seen))
            if not heard or (seen is not None and not seen.status.running):
                return
            time.sleep(max(0.1, every))


@click.command()
@click.argument("out", metavar="OUT")
@shared
def history(out: str, as_json: bool, quiet: bool, verbose: int) -> None:
    """List the runs of the batch in OUT: when, how long, what they did, and how they ended."""
    from batchgen.app.history import history as runs_of
    from batchgen.app.history import is_cleaned
    from batchgen.cli import words

    runs, cleaned = runs_of(out), is_cleaned(out)
    text = words.history_text(out, runs, cleaned=cleaned)
    tell(words.history_json(out, runs, cleaned=cleaned) if as_json else None, text, quiet=quiet)


@click.command()
@click.argument("folder", metavar="FOLDER", default="outputs")
@click.option("--older-than", type=duration, metavar="DURATION", help="What is old: untouched for that long, like 30d.")
@click.option("--yes", is_flag=True, help="Remove what is old and done, but for its frozen plan.")
@click.option("--forget", is_flag=True, help="Remove the plan, too: --only-new will pay for its requests again.")
@shared
def clean(
    folder: str, older_than: float | None, yes: bool, forget: bool, as_json: bool, quiet: bool, verbose: int
) -> None:
    """List the batches in FOLDER (default: outputs), and with --yes remove those that are old and done.

    Never removed is what is not finished, in doubt, without an index, or worked on.
    """
    from batchgen.app.cleaning import clean as clean_up
    from batchgen.cli import words

    if yes and older_than is None:
        raise click.UsageError("--yes removes what is old; say with --older-than 30d what that is.")
    found = clean_up(folder, older_than=older_than, remove=yes, forget=forget)
    text = words.clean_text(folder, found, removing=yes, forget=forget)
    tell(words.clean_json(folder, found) if as_json else None, text, quiet=quiet)
