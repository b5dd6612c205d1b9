"""Whether all images of a batch were screened, as an earlier run put down: then there is nothing to look at again."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from batchgen.adapters.file_store import write_atomically
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.scorers import InstalledScorer
from batchgen.app.folder import BatchFolder
from batchgen.checks import Checks


def was_screened(folder: BatchFolder, checks: Checks, scorers: Sequence[InstalledScorer]) -> bool:
    """Whether nothing has changed since all was found as the checks want it: no image, no request, no scorer."""
    with contextlib.suppress(OSError):
        return folder.screened.read_text(encoding="utf-8") == _mark(folder, checks, scorers)
    return False


def put_down(folder: BatchFolder, checks: Checks, scorers: Sequence[InstalledScorer]) -> None:
    """Put down that all there is was screened, and nothing is to be asked for.

    Raises:
        StorageFailed: the disk does not take it.
    """
    write_atomically(folder.screened, _mark(folder, checks, scorers).encode())


def _mark(folder: BatchFolder, checks: Checks, scorers: Sequence[InstalledScorer]) -> str:
    from batchgen.app.indexing import stamp  # brings all that an index is made with

    decides = [asdict(checks), [(one.name, one.version) for one in scorers]]
    by = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    with JournalView(folder.journal) as journal:
        return f"{stamp(PlanFile(folder.plan), journal)}:{by}\n"
