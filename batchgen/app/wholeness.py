"""Whether a batch's journal is all there: its log and its index tell what it must know.

SQLite keeps the newest events in a file beside the journal until it is closed, `journal.sqlite-wal`, which a copy of
the one file lacks; and a journal from a backup lacks what came after. Both can be read, and would pay again for what
they have forgotten.
"""

from __future__ import annotations

from batchgen.adapters import run_log
from batchgen.adapters.journal import JournalView
from batchgen.app.folder import BatchFolder
from batchgen.errors import StorageFailed


def forgotten(folder: BatchFolder, journal: JournalView) -> str | None:
    """What the folder tells of that the journal does not know; None if it knows all of it."""
    indexed = _indexed(folder)  # before the journal, to which a run may be adding
    if (logged := run_log.newest(folder.log)) is not None:
        if not journal.has_run(logged.run_id):
            return f"the run {logged.run_id}, of which {folder.log.name} tells"
        key, fact = logged.request_key, logged.fact
        if key is not None and fact is not None and not journal.has_event(key, fact, run_id=logged.run_id):
            return f"the last step in {folder.log.name}: {fact} of {key}"
    if journal.last_event() < indexed:
        return f"the newest events from which {folder.index.name} was made"
    return None


def must_have_forgotten_nothing(folder: BatchFolder, journal: JournalView) -> None:
    """A journal that lacks its newest events would have them paid for again.

    Raises:
        StorageFailed: it does.
    """
    if (what := forgotten(folder, journal)) is not None:
        raise StorageFailed(
            f"The journal {folder.journal} does not know {what}: it is an older one, or was copied without the file "
            f"{folder.journal.name}-wal beside it, and what it has forgotten would be paid for again. Nothing was "
            f"sent; put the journal back whole, or name another --out. If it is truly all there is, take {folder.log} "
            f"and {folder.index} away first."
        )


def _indexed(folder: BatchFolder) -> int:
    """The number of the newest event that the index was made from; 0 if it does not say."""
    if not folder.index.is_file():
        return 0
    from batchgen import index  # brings Arrow

    _, _, number = (index.stamp_of(folder.index) or "").rpartition(":")
    return int(number) if number.isdecimal() else 0
