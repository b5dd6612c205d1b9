"""`batchgen status` and `history`: where a batch stands, and how it came there."""

from __future__ import annotations

import click

from batchgen.cli.flags import shared
from batchgen.cli.speech import tell


@click.command()
@click.argument("out", metavar="OUT")
@click.option("--disputes", is_flag=True, help="List what was paid for and not delivered, as CSV for the provider.")
@shared
def status(out: str, disputes: bool, as_json: bool, quiet: bool, verbose: int) -> None:
    """Say where the batch in the folder OUT stands, even while a run works on it."""
    from batchgen.app import disputing, standing
    from batchgen.cli import words

    if disputes:
        listed = disputing.disputed(out)
        tell(words.disputes_json(listed) if as_json else None, words.disputes_csv(listed), quiet=quiet)
        return
    found = standing.status(out)
    tell(words.status_json(found) if as_json else None, words.status_text(found), quiet=quiet)


@click.command()
@click.argument("out", metavar="OUT")
@shared
def history(out: str, as_json: bool, quiet: bool, verbose: int) -> None:
    """List the runs of the batch in OUT: when, how long, what they did, and how they ended."""
    from batchgen.app.history import history as runs_of
    from batchgen.cli import words

    runs = runs_of(out)
    tell(words.history_json(out, runs) if as_json else None, words.history_text(out, runs), quiet=quiet)
