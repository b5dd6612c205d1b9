"""What `history` prints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from batchgen.cli.words.phrases import WIDTH, plural, printable

if TYPE_CHECKING:
    from batchgen.app.history import PastRun

_COLUMNS = "{:<19}  {:>8}  {:>8}  {:>6}  {:>6}  {:>6}  {}"


def history_text(out: str, runs: Sequence[PastRun]) -> str:
    """What `history` says: a line a run, oldest first."""
    lines = [f"{out}: {plural(len(runs), 'run')}; times in UTC"]
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
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def took(time: timedelta) -> str:
    """`9s`, `12m 04s`, `3h 05m`: eight columns at most, up to a thousand hours."""
    seconds = round(time.total_seconds())
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3_600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3_600}h {seconds % 3_600 // 60:02d}m"


def history_json(out: str, runs: Sequence[PastRun]) -> dict[str, Any]:
    """What `history --json` says."""
    return {"out": out, "runs": list(map(_run_json, runs))}


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
