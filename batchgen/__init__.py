"""batchgen turns a manifest of prompts into an image dataset made by a hosted text-to-image API.

    import batchgen

    preview = batchgen.plan("manifests/quickstart.yaml")     # counts and cost; sends and writes nothing
    result = batchgen.run("manifests/quickstart.yaml")       # submits, polls, downloads, verifies, indexes
    result.frame()                                           # the index as a pandas DataFrame
    for path in result.images(): ...                         # the image files

Running again costs nothing for what is done, whatever interrupted the run before. Names are loaded when they
are first used, so that importing batchgen costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchgen.app.checking import CheckReport, check
    from batchgen.app.preview import Preview, plan
    from batchgen.app.result import RunResult
    from batchgen.app.running import run, run_async
    from batchgen.app.settings import Settings
    from batchgen.app.standing import BatchStatus, status
    from batchgen.app.switch import StopSwitch
    from batchgen.budget import Account
    from batchgen.checks import Checks
    from batchgen.errors import (
        AccountBlocked,
        BatchgenError,
        FolderBusy,
        ManifestError,
        Problem,
        StorageFailed,
        UsageError,
    )
    from batchgen.model import Budget, Completion, FailureKind, InDoubt, Request, Status
    from batchgen.ports import Observer
    from batchgen.scoring import Picture, Scorer

_HOMES = {
    "Account": "budget",
    "AccountBlocked": "errors",
    "BatchStatus": "app.standing",
    "BatchgenError": "errors",
    "Budget": "model",
    "CheckReport": "app.checking",
    "Checks": "checks",
    "Completion": "model",
    "FailureKind": "model",
    "FolderBusy": "errors",
    "InDoubt": "model",
    "ManifestError": "errors",
    "Observer": "ports",
    "Picture": "scoring",
    "Preview": "app.preview",
    "Problem": "errors",
    "Request": "model",
    "RunResult": "app.result",
    "Scorer": "scoring",
    "Settings": "app.settings",
    "Status": "model",
    "StopSwitch": "app.switch",
    "StorageFailed": "errors",
    "UsageError": "errors",
    "check": "app.checking",
    "plan": "app.preview",
    "run": "app.running",
    "run_async": "app.running",
    "status": "app.standing",
}

__all__ = [
    "Account",
    "AccountBlocked",
    "BatchStatus",
    "BatchgenError",
    "Budget",
    "CheckReport",
    "Checks",
    "Completion",
    "FailureKind",
    "FolderBusy",
    "InDoubt",
    "ManifestError",
    "Observer",
    "Picture",
    "Preview",
    "Problem",
    "Request",
    "RunResult",
    "Scorer",
    "Settings",
    "Status",
    "StopSwitch",
    "StorageFailed",
    "UsageError",
    "check",
    "plan",
    "run",
    "run_async",
    "status",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"batchgen.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
