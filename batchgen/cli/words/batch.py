"""What `init`, `run` and `status` print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchgen.app.as_json import account_json, doubt_json
from batchgen.cli.words.account import account_facts
from batchgen.cli.words.phrases import hanging, money, plural
from batchgen.lifecycle import State
from batchgen.model import REJECTED_FOLDER, Status

if TYPE_CHECKING:
    from batchgen.app.result import RunResult
    from batchgen.app.standing import BatchStatus, Doubt
    from batchgen.app.starting import Start


def examples_text(examples: Mapping[str, str]) -> str:
    """What `init --list` says."""
    width = max(map(len, examples))
    return "\n".join(f"{name:<{width}}  {sentence}" for name, sentence in examples.items())


def start_text(start: Start) -> str:
    """What `init` says."""
    return "\n".join(
        [
            f"{start.manifest} laid down, with {plural(len(start.files) - 1, 'file')} beside it",
            f"Next: look with `batchgen plan {shlex.quote(str(start.manifest))}`, "
            f"make it with `batchgen run {shlex.quote(str(start.manifest))}`",
        ]
    )


def start_json(start: Start) -> dict[str, Any]:
    """What `init --json` says."""
    return {"manifest": str(start.manifest), "files": [str(path) for path in start.files]}


def result_text(result: RunResult, *, again: list[str]) -> str:
    """The summary at the end of `run`.

    Args:
        again: the command line, for what to do next.
    """
    counts = result.samples
    lines = [f"{counts[Status.STORED]:,} of {plural(result.wanted, 'image')} stored in {result.out}"]
    if result.elsewhere:
        lines.append(
            f"  {plural(result.elsewhere, 'request')} left out: other batches have them"
            + (f", and {len(result.unfinished):,} of those not finished" if result.unfinished else "")
        )
    if counts[Status.REJECTED]:
        lines.append(
            f"  {counts[Status.REJECTED]:,} rejected by a check: kept in {result.out}/{REJECTED_FOLDER}"
            + (f"; {result.replaced:,} replaced, {result.unreplaced:,} given up" if result.replaced else "")
        )
    lines += [
        f"  {plural(number, 'image')} stored with the finding {finding!r}: see the column checks"
        for finding, number in result.findings.items()
    ]
    if counts[Status.FAILED]:
        lines.append(f"  {counts[Status.FAILED]:,} failed: see error_message in {result.out}/metadata.parquet")
    if counts[Status.IN_DOUBT]:
        lines.append(
            f"  {counts[Status.IN_DOUBT]:,} in doubt: submitted, and the answer lost; they may have been paid for"
        )
        lines += [f"  {_doubt_line(doubt)}" for doubt in result.doubts]
    if counts[Status.PENDING]:
        lines.append(f"  {counts[Status.PENDING]:,} pending" + (f": {result.stopped}" if result.stopped else ""))
    elif result.stopped:
        lines.append(f"  stopped: {result.stopped}")
    if result.under_way:
        jobs = plural(result.under_way, "submitted job")
        lines.append(f"  {jobs} left at the API; the next run collects the images, at no further cost")
    lines += [f"  {name}: {fact}" for name, fact in account_facts(result.account)]
    lines += [
        f"  not finished: `batchgen run {shlex.quote(f'{other}/.batchgen/plan.parquet')} -o {shlex.quote(str(other))}`"
        for other in result.unfinished
    ]
    lines.append(_next_step(result, shlex.join(again)))
    return "\n".join(lines)


def _next_step(result: RunResult, again: str) -> str:
    counts, raise_it = result.samples, _unless_it_is_paid_for(result)
    if raise_it:  # what was typed would stop at once again
        again = re.sub(r"--budget[ =]\S+=\S+", "--budget …", again)
    if counts[Status.PENDING]:
        return f"Next: {raise_it}go on with `{again}`"
    if counts[Status.IN_DOUBT]:
        return f"Next: `{again} --in-doubt retry` submits them again, `--in-doubt fail` gives them up"
    if result.failed_requests:
        failed = plural(result.failed_requests, "failed request")
        return f"Next: {raise_it}`{again} --retry failed` tries {failed} again"
    if not sum(counts.values()):
        return "Nothing was to be made"
    seen = result.report or result.out / "images"
    return f"Next: look at {seen}, or load it with pandas.read_parquet('{result.out}/metadata.parquet')"


def _unless_it_is_paid_for(result: RunResult) -> str:
    """What comes first where the budget does not cover what is still to make."""
    to_make, left = result.samples[Status.PENDING] - result.account.spending.under_way, result.account.left
    if result.cut_short and not result.samples[Status.PENDING]:  # it was to try again what has failed
        to_make += result.samples[Status.FAILED]
    if left is None or left >= to_make:
        return ""
    return f"raise the budget, which covers {left:,} of the {plural(to_make, 'image')} still to make, and "


def status_text(found: BatchStatus) -> str:
    """What `status` says."""
    doing = "a run is working on it now" if found.running else "no run is working on it"
    lines = [
        f"{found.out}: {found.stored:,} of {plural(found.wanted, 'image')} stored; {doing}",
        f"  runs         {found.runs:,}",
        f"  submissions  {found.attempts:,} reached the API, or may have",
    ]
    lines += [f"  {state.replace('_', ' '):<11}  {plural(n, 'request')}" for state, n in found.requests.items() if n]
    lines += [hanging(name, fact, indent=15) for name, fact in account_facts(found.account)]
    if found.doubts:
        lines.append("In doubt (submitted, and the answer lost; may have been paid for):")
        lines += [_doubt_line(doubt) for doubt in found.doubts]
        if (more := found.requests[State.IN_DOUBT] - len(found.doubts)) > 0:
            lines.append(f"  … and {more:,} more")
        lines.append(f"  all that may be worth a word with the provider: `batchgen status {found.out} --disputes`")
    return "\n".join(lines)


def _doubt_line(doubt: Doubt) -> str:
    since = "" if doubt.since is None else f"{doubt.since:%Y-%m-%d %H:%M:%S} UTC  "
    cost = "" if doubt.cost is None else f"up to {money(doubt.cost)}  "
    return f"  {doubt.request.key[:10]}  {since}{cost}{doubt.request.prompt!r}  {doubt.reason}"


def status_json(found: BatchStatus) -> dict[str, Any]:
    """What `status --json` says."""
    return {
        "out": str(found.out),
        "running": found.running,
        "runs": found.runs,
        "requests": {State(state).value: number for state, number in found.requests.items()},
        "images": {"wanted": found.wanted, "stored": found.stored},
        "attempts": found.attempts,
        **account_json(found.account),
        "in_doubt": [doubt_json(doubt) for doubt in found.doubts],
    }
