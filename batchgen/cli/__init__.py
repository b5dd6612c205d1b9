"""Flags in, exit code out: the one place that prints.

Each command's own imports come with the command, so that `batchgen --help` stays quick.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NoReturn

import click

from batchgen.cli.exporting import FORMATS, choosing, formatting
from batchgen.cli.flags import completing, doubting, duration, planning, rate, retry, shared, telling
from batchgen.cli.naming import begin_in_utf8, must_be_utf8
from batchgen.cli.reviewing import diff, grid, report
from batchgen.cli.speech import complain, let_go, say, tell
from batchgen.cli.standing import clean, history, status
from batchgen.errors import BatchgenError, ManifestError
from batchgen.signals import EXIT_CODES, end_in_order, exit_code_heard, hear_no_more

if TYPE_CHECKING:
    from batchgen.app.settings import Settings

_EXIT_CODES = """\b
Exit codes:
  0    all stored
  2    usage or manifest
  3    finished, some requests failed or images were rejected
  4    blocked: key or credit
  5    disk or journal
  6    stopped early or in doubt; run again to go on
  7    another run holds the folder
  130  SIGINT (Ctrl-C)   143  SIGTERM
  1    a bug in batchgen"""


class _Commands(click.Group):
    """All commands. Click ends a program quietly if a pipe breaks, which is right for its own output alone."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if _was_printing_help(error):
                raise
            raise RuntimeError("A pipe was closed that is not the output") from error


@click.group(
    cls=_Commands,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="batchgen")
def cli() -> None:
    """Turn a manifest of prompts into an image dataset made by a hosted text-to-image API."""


@cli.command()
@click.argument("folder", metavar="DIR", default=".")
@click.option("--example", default="quickstart", show_default=True, help="Which one; --list names them all.")
@click.option("--list", "listing", is_flag=True, help="Say which examples there are.")
@shared
def init(folder: str, example: str, listing: bool, as_json: bool, quiet: bool, verbose: int) -> None:
    """Lay an example manifest down in DIR (default: here), to start from. Writes over nothing."""
    from batchgen.app import starting
    from batchgen.cli import words

    if listing:
        examples = starting.examples()
        tell(dict(examples) if as_json else None, words.examples_text(examples), quiet=quiet)
        return
    start = starting.init(folder, example=example)
    tell(words.start_json(start) if as_json else None, words.start_text(start), quiet=quiet)


@cli.command()
@click.argument("manifest")
@planning
@click.option("--explain", is_flag=True, help="Say of each request whether it is new or done, and why.")
@click.option("--frozen", is_flag=True, help="Exit with 2 if the manifest has drifted from the frozen plan.")
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Requests of each kind that --explain lists.",
)
@doubting
@shared
def plan(manifest: str, out: str | None, as_json: bool, quiet: bool, verbose: int, **planned: Any) -> None:
    """Say what MANIFEST would ask for: counts, cost, first requests. Sends nothing.

    With -o FILE.csv or -o FILE.parquet all requests are written there, and a .parquet can be run. Nothing else is
    written.
    """
    from batchgen.cli.planning import plan_to_exit_code

    asked = {name: planned.pop(name) for name in ("explain", "frozen", "show")}
    sys.exit(plan_to_exit_code(manifest, out=out, settings=_settings(planned), as_json=as_json, quiet=quiet, **asked))


@cli.command()
@click.argument("manifest")
@planning
@click.option("--base-url", envvar="BATCHGEN_BASE_URL", help="Where the API is, for proxies and simulators.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), envvar="BATCHGEN_CONCURRENCY", help="Jobs in flight at most."
)
@click.option("--rate", type=rate, metavar="RATE", envvar="BATCHGEN_RATE", help="Submissions: 5/s, 300/min.")
@completing
@doubting
@click.option("--retry", type=retry, metavar="failed[:KIND]", help="Try failed requests again.")
@click.option(
    "--wait-lock",
    type=duration,
    metavar="DURATION",
    default="0",
    envvar="BATCHGEN_WAIT_LOCK",
    help="Wait that long for another run to end in the folder, or to plan beside it.  [default: do not]",
)
@click.option(
    "--max-runtime",
    type=duration,
    metavar="DURATION",
    envvar="BATCHGEN_MAX_RUNTIME",
    help="Stop submitting that long after the program began.",
)
@click.option(
    "--index-every",
    type=duration,
    metavar="DURATION",
    envvar="BATCHGEN_INDEX_EVERY",
    default="10m",
    show_default=True,
    help="How often to write the index while the run goes on; 0: only at its end.",
)
@click.option(
    "--max-images", type=click.IntRange(min=0), envvar="BATCHGEN_MAX_IMAGES", help="Request no more in this run."
)
@click.option(
    "--max-wait",
    type=duration,
    metavar="DURATION",
    default="15m",
    show_default=True,
    envvar="BATCHGEN_MAX_WAIT",
    help="Stop when the API has refused everything for that long.",
)
@click.option(
    "--grace",
    type=duration,
    metavar="DURATION",
    default="30s",
    show_default=True,
    envvar="BATCHGEN_GRACE",
    help="How long a stopping run waits for jobs in flight; for the answers to submissions at least 10 s.",
)
@click.option(
    "--allow-private-hosts",
    is_flag=True,
    envvar="BATCHGEN_ALLOW_PRIVATE_HOSTS",
    help="Fetch images from private networks too.",
)
@telling
@click.option(
    "--report/--no-report", default=True, envvar="BATCHGEN_REPORT", help="Whether to end with OUT/report.html."
)
@shared
def run(manifest: str, out: str | None, as_json: bool, quiet: bool, verbose: int, **wanted: Any) -> None:
    """Make the dataset of MANIFEST, or go on with it: the same command again costs nothing for what is done."""
    settings = _settings(wanted | {"began": click.get_current_context().obj})
    if settings.only_new != bool(settings.against):
        raise click.UsageError("--only-new and --against OUT go together: what is new is so against those batches.")
    from batchgen.cli.running import run_to_exit_code

    sys.exit(run_to_exit_code(manifest, out=out, settings=settings, as_json=as_json, quiet=quiet, verbose=verbose))


@cli.command()
@click.argument("out", metavar="OUT")
@click.option("--repair", is_flag=True, help="Mend what can be mended without paying.")
@click.option("--readers", is_flag=True, help="Instead, load it and exports of it in every reader that is installed.")
@shared
def check(out: str, repair: bool, readers: bool, as_json: bool, quiet: bool, verbose: int) -> None:
    """Hold journal, plan, index and files of the batch in OUT against each other, to the last byte of each image.

    Ends with 0 if all agree, 3 if something is wrong or a reader does not take it, 5 if the journal cannot be
    read, 6 if a repair has left images for the next run to download, 7 if a run is working in the folder.
    """
    from batchgen.app import checking, proving
    from batchgen.cli import words
    from batchgen.cli.progress import counter

    if readers:
        if repair:
            raise click.UsageError("--readers mends nothing; leave out --repair.")
        verdicts = proving.prove(out)
        tell(words.readers_json(verdicts) if as_json else None, words.readers_text(verdicts), quiet=quiet)
        sys.exit(3 if any(verdict.complaint for verdict in verdicts) else 0)
    with counter("check", shown=not quiet) as progress:
        report = checking.check(out, repair=repair, progress=progress)
    tell(words.check_json(report) if as_json else None, words.check_text(report), quiet=quiet)
    sys.exit(report.exit_code)


@cli.command()
@click.argument("out", metavar="OUT")
@click.argument("dest", type=click.Path())
@click.option("--to", required=True, type=click.Choice(FORMATS), help="The format.")
@choosing
@formatting
@shared
def export(out: str, dest: str, to: str, as_json: bool, quiet: bool, verbose: int, **flags: Any) -> None:
    """Make DEST of the batch in OUT, in a format that others read. The same command again goes on."""
    from batchgen.cli import exporting

    exported = exporting.export_to(out, dest, to, flags=flags, quiet=quiet)
    rows = dict(exported.rows)
    tell(
        {"dest": dest, "format": to, "rows": rows, "there_already": exported.there_already} if as_json else None,
        exporting.text(exported, to),
        quiet=quiet,
    )


@cli.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="0 for any free one.  [default: 0]")
@click.option("--profile", "profiles", multiple=True, help="Whose endpoint to stand in for.  [default: all]")
@click.option(
    "--latency",
    metavar="KIND:…",
    help="Seconds a job takes: fixed:2, uniform:0.3:1.5, lognormal:P50:P99, bimodal:2:30:0.1.",
)
@click.option("--capacity", type=click.IntRange(min=1), help="Jobs that run at one time; others wait their turn.")
@click.option("--pictures", metavar="KIND", help="drawn, tiny, noise, or of a size: 200KB.")
@click.option("--faults", type=click.Path(dir_okay=False), help="YAML or JSON: what goes wrong, and how often.")
@click.option("--behaviour", type=click.Path(dir_okay=False), help="YAML or JSON: all of this, links and limits too.")
@click.option("--seed", type=int, default=0, help="Another seed, other pictures, latencies and faults.")
@shared
def simulate(
    as_json: bool,
    quiet: bool,
    verbose: int,
    port: int,
    profiles: tuple[str, ...],
    behaviour: str | None,
    seed: int,
    **changes: Any,
) -> None:
    """Stand in for the APIs on this machine, until interrupted. Pictures are drawings; nothing is paid."""
    from batchgen.app import simulating

    def started(url: str) -> None:
        note = (
            f"Simulated API on {url} (audit: {url}/_audit). Pictures are drawings, nothing is paid.\n"
            f"Use it with: batchgen run MANIFEST --profile simulator --base-url {url}\n"
            "Ctrl-C ends it."
        )
        tell({"url": url} if as_json else None, note, quiet=quiet)

    told = simulating.behaviour(file=behaviour, **changes)
    with contextlib.suppress(KeyboardInterrupt):
        simulating.simulate(started, told, profiles=profiles, port=port, seed=seed)


@cli.command()
@click.argument("name", required=False)
@shared
def profiles(name: str | None, as_json: bool, quiet: bool, verbose: int) -> None:
    """List the APIs: parameters, limits, defaults, and what nobody knows; or only that of NAME, which may be a file."""
    from batchgen.adapters.profiles import find_profile, profile_names
    from batchgen.cli import words

    found = [find_profile(one) for one in ([name] if name else profile_names())]
    tell(
        {"profiles": list(map(words.profile_json, found))} if as_json else None, words.profiles_text(found), quiet=quiet
    )


@cli.command()
@shared
def schema(as_json: bool, quiet: bool, verbose: int) -> None:
    """Print the JSON Schema of manifests, for editors that complete and check."""
    from batchgen.manifest import json_schema

    say(json.dumps(json_schema(), indent=2))


def main(*, began: float | None = None) -> NoReturn:
    """The program: every way out has its exit code, and a user never sees a traceback of ours.

    Args:
        began: when it was started, in seconds of the monotonic clock; None: now.
    """
    end_in_order()
    begin_in_utf8()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a prompt may hold what the terminal's encoding does not
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(began)
    except KeyboardInterrupt:  # while an error was said
        code = EXIT_CODES[signal.SIGINT]
    finally:
        hear_no_more()
        for stream in (sys.stdout, sys.stderr):
            let_go(stream)
    sys.exit(code)


def _exit_code(began: float | None) -> int:
    stdout = sys.stdout
    try:
        must_be_utf8(sys.argv)
        cli.main(standalone_mode=False, obj=began)
    except click.exceptions.Exit as done:
        return done.exit_code
    except SystemExit:
        if sys.stdout is not stdout:  # click has put another there, for nobody reads its help
            return 0
        raise
    except click.ClickException as error:
        if "--json" in sys.argv:
            say({"error": error.format_message(), "exit_code": 2})
        with contextlib.suppress(OSError):
            error.show()
        return 2
    except BatchgenError as error:
        _say_error(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_CODES[signal.SIGINT]
    except Exception as bug:  # noqa: BLE001  # the last resort: a bug is reported, not thrown at the user
        if (code := exit_code_heard()) is not None:
            return code
        if isinstance(bug, OSError) and _was_printing_help(bug):
            return 0
        _report(bug)
        return 1
    return 0


def _was_printing_help(error: OSError) -> bool:
    """Whether it comes of what click itself prints: help, and the version. All else is said by `speech`."""
    from traceback import walk_tb

    *_, (last, _) = walk_tb(error.__traceback__)
    return last.f_globals.get("__name__") == "click.utils"


def _say_error(error: BatchgenError) -> None:
    if "--json" in sys.argv:
        problems = {"problems": error.found} if isinstance(error, ManifestError) else {}
        say({"error": str(error), **problems, "exit_code": error.exit_code})
    text = str(error)
    complain(text if "\n" in text or isinstance(error, ManifestError) else f"batchgen: {text}")


def _report(bug: Exception) -> None:
    import tempfile
    import traceback

    from batchgen.app.settings import without_keys

    with tempfile.NamedTemporaryFile("w", prefix="batchgen-bug-", suffix=".txt", delete=False) as file:
        file.write(without_keys("".join(traceback.format_exception(bug))))
    complain(
        f"batchgen: a bug in batchgen: {type(bug).__name__}: {without_keys(str(bug))}. Nothing paid for is lost. "
        f"Please report it with {file.name}, then run the same command again."
    )


def _settings(wanted: dict[str, Any]) -> Settings:
    from batchgen.app.settings import Settings
    from batchgen.model import Budget, Completion, InDoubt

    wanted["params"] = dict(wanted["params"])
    wanted["budget"] = Budget(**dict(wanted["budget"]))
    wanted["retry"] = wanted.get("retry") or frozenset()
    if wanted.get("in_doubt") is not None:
        wanted["in_doubt"] = InDoubt(wanted["in_doubt"])
    if wanted.get("completion") is not None:
        wanted["completion"] = Completion(wanted["completion"])
    return Settings(**wanted)


for _command in (status, history, clean, grid, report, diff):
    cli.add_command(_command)

__all__ = ["cli", "main"]
