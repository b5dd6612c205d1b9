"""Wiring and use cases: what the command line and the library call."""

from batchgen.app.preview import Preview, plan
from batchgen.app.result import RunResult
from batchgen.app.running import StopSwitch, run, run_async
from batchgen.app.settings import Settings
from batchgen.app.showing import draw_grid, simulate
from batchgen.app.standing import BatchStatus, status

__all__ = [
    "BatchStatus",
    "Preview",
    "RunResult",
    "Settings",
    "StopSwitch",
    "draw_grid",
    "plan",
    "run",
    "run_async",
    "simulate",
    "status",
]
