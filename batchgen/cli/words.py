"""What the commands print: for people, and as one JSON object for machines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchgen.lifecycle import State
from batchgen.model import Request, Status

if TYPE_CHECKING:
    from batchgen.app.preview import Preview
    from batchgen.app.result import RunResult
    from batchgen.app.standing import BatchStatus
    from batchgen.app.starting import Start


def _money(amount: float | None) -> str:
    return "unknown (set price_per_image to estimate it)" if amount is None else f"{amount:,.2f}"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def examples_text(examples: Mapping[str, str]) -> str:
    """What `init --list` says."""
    width = max(map(len, examples))
    return "\n".join(f"{name:<{width}}  {sentence}" for name, sentence in examples.items())


def start_text(start: Start) -> str:
    """What `init` says."""
    return "\n".join(
        [
            f"{start.manifest} laid down, with {_plural(len(start.files) - 1, 'file')} beside it",
            f"Next: look with `batchgen plan {shlex.quote(str(start.manifest))}`, "
            f"make it with `batchgen run {shlex.quote(str(start.manifest))}`",
        ]
    )


def start_json(start: Start) -> dict[str, Any]:
    """What `init --json` says."""
    return {"manifest": str(start.manifest), "files": [str(path) for path in start.files]}


def preview_text(preview: Preview) -> str:
    """What `plan` says."""
    manifest, summary = preview.manifest, preview.summary
    lines = [
        f"{manifest.source}: {_plural(summary.requests, 'request')} for {_plural(summary.samples, 'image')}"
        f" of {_plural(summary.prompts, 'prompt')}",
        f"  profile     {manifest.profile.name}: {manifest.profile.title}",
        f"  batch       {manifest.batch_id}, into {preview.out}",
        f"  cost        {_money(summary.cost)}",
        f"  at once     {_plural(manifest.concurrency, 'job')}",
    ]
    lines += [f"  warning     {warning}" for warning in manifest.warnings]
    if summary.duplicates:
        lines.append(f"  duplicates  {_plural(summary.duplicates, 'row')} ask for what another asks for; left out")
    lines.append("First requests, as they will be sent:" if summary.first else "Nothing to send.")
    lines += [_request_line(request) for request in summary.first]
    return "\n".join(lines)


def _request_line(request: Request) -> str:
    params = ", ".join(f"{name}={value!r}" for name, value in request.params.items())
    return f"  {request.key[:10]}  {request.prompt!r}  {params}"


def preview_json(preview: Preview) -> dict[str, Any]:
    """What `plan --json` says."""
    manifest, summary = preview.manifest, preview.summary
    return {
        "manifest": manifest.source,
        "batch_id": manifest.batch_id,
        "profile": manifest.profile.name,
        "out": str(preview.out),
        "requests": summary.requests,
        "images": summary.samples,
        "prompts": summary.prompts,
        "duplicates": summary.duplicates,
        "warnings": list(manifest.warnings),
        "cost": summary.cost,
        "first": [_request_json(request) for request in summary.first],
    }


def _request_json(request: Request) -> dict[str, Any]:
    return {
        "request_key": request.key,
        "row_index": request.row_index,
        "prompt": request.prompt,
        "params": dict(request.params),
        "file_prefix": request.file_prefix,
        "labels": dict(request.labels),
    }


def result_text(result: RunResult, *, again: list[str]) -> str:
    """The summary at the end of `run`.

    Args:
        again: the command line, for what to do next.
    """
    counts = result.samples
    wanted = sum(counts.values())
    lines = [f"{counts[Status.STORED]:,} of {_plural(wanted, 'image')} stored in {result.out}"]
    if counts[Status.FAILED]:
        lines.append(f"  {counts[Status.FAILED]:,} failed: see error_message in {result.out}/metadata.parquet")
    if counts[Status.IN_DOUBT]:
        lines.append(
            f"  {counts[Status.IN_DOUBT]:,} in doubt: submitted, and the answer lost; they may have been paid for"
        )
    if counts[Status.PENDING]:
        lines.append(f"  {counts[Status.PENDING]:,} pending" + (f": {result.stopped}" if result.stopped else ""))
    lines.append(_next_step(result, shlex.join(again)))
    return "\n".join(lines)


def _next_step(result: RunResult, again: str) -> str:
    counts = result.samples
    if counts[Status.PENDING]:
        return f"Next: go on with `{again}`"
    if counts[Status.IN_DOUBT]:
        return f"Next: `{again} --in-doubt retry` submits them again, `--in-doubt fail` gives them up"
    if result.failed_requests:
        return f"Next: `{again} --retry failed` tries {_plural(result.failed_requests, 'failed request')} again"
    return f"Next: look at {result.out}/images, or load it with pandas.read_parquet('{result.out}/metadata.parquet')"


def result_json(result: RunResult) -> dict[str, Any]:
    """What `run --json` says."""
    return {
        "out": str(result.out),
        "batch_id": result.batch_id,
        "run_id": result.run_id,
        "images": {status.value: number for status, number in result.samples.items()},
        "stopped": result.stopped,
        "exit_code": result.exit_code,
    }


def status_text(found: BatchStatus) -> str:
    """What `status` says."""
    doing = "a run is working on it now" if found.running else "no run is working on it"
    lines = [
        f"{found.out}: {found.stored:,} of {_plural(found.wanted, 'image')} stored; {doing}",
        f"  runs         {found.runs:,}",
        f"  submissions  {found.attempts:,} reached the API, or may have",
    ]
    lines += [f"  {state.replace('_', ' '):<11}  {_plural(n, 'request')}" for state, n in found.requests.items() if n]
    if found.doubts:
        lines.append("In doubt (submitted, and the answer lost; may have been paid for):")
        lines += [
            f"  {doubt.request.key[:10]}  {doubt.since:%Y-%m-%d %H:%M:%S} UTC  {doubt.request.prompt!r}  {doubt.reason}"
            for doubt in found.doubts
        ]
    return "\n".join(lines)


def status_json(found: BatchStatus) -> dict[str, Any]:
    """What `status --json` says."""
    return {
        "out": str(found.out),
        "running": found.running,
        "runs": found.runs,
        "requests": {State(state).value: number for state, number in found.requests.items()},
        "images": {"wanted": found.wanted, "stored": found.stored},
        "attempts": found.attempts,
        "in_doubt": [
            {
                **_request_json(doubt.request),
                "since": doubt.since.isoformat() if doubt.since else None,
                "reason": doubt.reason,
            }
            for doubt in found.doubts
        ],
    }
