"""What `history` and `status --watch` print."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from batchgen.cli.words.batch import status_json, status_text
from batchgen.cli.words.phrases import WIDTH, cut, plural, printable

if TYPE_CHECKING:
    from batchgen.app.history import PastRun
    from batchgen.app.watching import Glance

_COLUMNS = "{:<19}  {:>8}  {:>8}  {:>6}  {:>6}  {:>6}  {}"


def history_text(out: str, runs: Sequence[PastRun], *, cleaned: bool) -> str:
    """What `history` says: a line a run, oldest first."""
    gone = "; cleaned away, and with it who was cut off" if cleaned else ""
    lines = [f"{out}: {plural(len(runs), 'run')}; times in UTC{gone}"]
    if runs:
        lines.append(_COLUMNS.format("started", "took", "exit", "posts", "stored", "failed", "why"))
    return "\n".join([*lines, *map(_line, runs)])


def _line(run: PastRun) -> str:
    ending = "running" if run.running else "cut off" if run.exit_code is None else str(run.exit_code)
    counts = (run.submissions, run.images_stored, run.requests_failed)
    line = _COLUMNS.format(
        f"{run.started_at:%Y-%m-%d %H:%M:%S}",
        "-" if run.ended_at is None else took(run.ended_at - run.started_at),
        ending,
        *("-" if count is None else f"{count}" for count in counts),
        printable(run.reason or ""),
    ).rstrip()
    return cut(line, WIDTH)


def took(time: timedelta) -> str:
    """`9s`, `12m 04s`, `3h 05m`: eight columns at most, up to a thousand hours."""
    seconds = round(time.total_seconds())
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3_600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3_600}h {seconds % 3_600 // 60:02d}m"


def history_json(out: str, runs: Sequence[PastRun], *, cleaned: bool) -> dict[str, Any]:
    """What `history --json` says."""
    return {"out": out, "cleaned": cleaned, "runs": list(map(_run_json, runs))}


def _run_json(run: PastRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "started_at": run.started_at.isoformat(),
        "ended_at": None if run.ended_at is None else run.ended_at.isoformat(),
        "running": run.running,
        "exit_code": run.exit_code,
        "reason": run.reason,
        "submissions": run.submissions,
        "images_stored": run.images_stored,
        "requests_failed": run.requests_failed,
    }


def glance_text(seen: Glance) -> str:
    """What `status --watch` shows at one moment."""
    found = seen.status
    doing = "a run is working on it" if found.running else "no run is working on it"
    _, *facts = status_text(found).splitlines()
    lines = [
        f"{found.stored:,} of {plural(found.wanted, 'image')} stored; {doing}",
        f"  batch        {found.out}",
        *facts,
    ]
    if seen.rate is not None:
        left = "" if seen.seconds_left is None else f"; about {took(timedelta(seconds=seen.seconds_left))} to go"
        lines.append(f"  rate         {seen.rate:.3g} images a second{left}")
    if seen.slowest:
        lines.append("Longest under way:")
        lines += [
            f"  {took(timedelta(seconds=job.seconds)):>8}  {job.key[:10]}  {job.state:<10}  {job.job_id or ''}"
            for job in seen.slowest
        ]
    if seen.failures:
        lines.append("Failed requests:")
        lines += [f"  {number:>8,}  {kind}" for kind, number in seen.failures.items()]
    return "\n".join(lines)


def planning_text(out: str) -> str:
    """What `status --watch` shows before there is a plan."""
    return f"A run is still planning\n  batch        {out}\n  sent         nothing yet"


def planning_json(out: str) -> dict[str, Any]:
    """The same for `status --watch --json`."""
    return {"out": out, "running": True, "planning": True}


def glance_json(seen: Glance) -> dict[str, Any]:
    """What `status --watch --json` says at one moment."""
    return {
        **status_json(seen.status),
        "planning": False,
        "images_per_second": seen.rate,
        "seconds_left": seen.seconds_left,
        "slowest": [
            {"request_key": job.key, "job_id": job.job_id, "state": job.state.value, "seconds": round(job.seconds, 1)}
            for job in seen.slowest
        ],
        "failures": {kind.value: number for kind, number in seen.failures.items()},
    }
