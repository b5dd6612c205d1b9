"""`batchgen plan`: one of its four answers, and the exit code."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from batchgen.app import preview
from batchgen.app.settings import Settings
from batchgen.cli import words
from batchgen.cli.speech import say

#: One answer, for machines and for people.
_Said = tuple[dict[str, Any], str]


def plan_to_exit_code(
    manifest: str,
    *,
    out: str | None,
    settings: Settings,
    explain: bool,
    frozen: bool,
    show: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Say what was asked; 2 if a manifest has drifted from its frozen plan, else 0.

    Raises:
        BatchgenError: as `app.preview.plan` and `app.comparing`.
    """
    if settings.only_new and not settings.against:
        raise click.UsageError("--only-new leaves out what other batches have; name them with --against OUT.")
    against = None if settings.only_new or not settings.against else settings.against[0]
    if against is not None and len(settings.against) > 1:
        raise click.UsageError("--against compares with one batch; with --only-new it may name several.")
    asked = [flag for flag, given in (("--explain", explain), ("--against", against), ("--frozen", frozen)) if given]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} are different questions; ask one at a time.")
    if against and out is not None and _is_typed("out"):
        raise click.UsageError(f"--against {against} names the batch folder; -o {out} names another. Leave one out.")
    if asked and preview.table_of(out):
        raise click.UsageError(f"-o {out} names a file for all requests; {asked[0]} looks into a batch folder.")
    if not asked:
        found = preview.plan(manifest, out=out, settings=settings)
        told, text = words.preview_json(found), words.preview_text(found)
    elif explain:
        told, text = _explained(manifest, out, settings, show)
    elif against:
        told, text = _compared(manifest, against, settings)
    else:
        told, text = _held(manifest, out, settings)
    if as_json:
        say(told)
    elif not quiet:
        say(text)
    return int(told.get("exit_code", 0))


def _is_typed(name: str) -> bool:
    """Whether a flag stands on the command line, and not just in the environment."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


# What is compared with a batch brings pyarrow, which a plan alone does without.


def _explained(manifest: str, out: str | None, settings: Settings, show: int) -> _Said:
    from batchgen.app.comparing import explain

    found = explain(manifest, out=out, settings=settings, show=show)
    return words.explanation_json(found), words.explanation_text(found)


def _compared(manifest: str, batch: str, settings: Settings) -> _Said:
    from batchgen.app.comparing import against

    found = against(manifest, batch, settings=settings)
    return words.comparison_json(found), words.comparison_text(found)


def _held(manifest: str, out: str | None, settings: Settings) -> _Said:
    from batchgen.app.comparing import drift

    found = drift(manifest, out=out, settings=settings)
    return words.drift_json(found), words.drift_text(found)
