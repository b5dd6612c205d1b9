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
    from batchgen.app import BatchStatus, Preview, RunResult, Settings, StopSwitch, plan, run, run_async, status
    from batchgen.errors import (
        AccountBlocked,
        BatchgenError,
        FolderBusy,
        ManifestError,
        Problem,
        StorageFailed,
        UsageError,
    )
    from batchgen.model import FailureKind, InDoubt, Request
    from batchgen.ports import Observer

_HOMES = ("batchgen.errors", "batchgen.model", "batchgen.ports", "batchgen.app")

__all__ = [
    "AccountBlocked",
    "BatchStatus",
    "BatchgenError",
    "FailureKind",
    "FolderBusy",
    "InDoubt",
    "ManifestError",
    "Observer",
    "Preview",
    "Problem",
    "Request",
    "RunResult",
    "Settings",
    "StopSwitch",
    "StorageFailed",
    "UsageError",
    "plan",
    "run",
    "run_async",
    "status",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in map(import_module, _HOMES):
            if hasattr(home, name):
                return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
