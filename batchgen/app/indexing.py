"""The index and the card of a batch folder, kept to what plan and journal say."""

from __future__ import annotations

import filecmp
import tempfile
from dataclasses import asdict, fields, replace
from pathlib import Path

from batchgen import index
from batchgen.adapters.file_store import write_atomically
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.app import accounting
from batchgen.app.folder import BatchFolder
from batchgen.errors import StorageFailed
from batchgen.model import BatchFacts
from batchgen.review import card


def bring_up_to_date(folder: BatchFolder, plan: PlanFile, facts: BatchFacts) -> None:
    """Write index and card anew, unless they are of this plan and this journal already.

    Raises:
        StorageFailed: the disk does not take them.
    """
    with JournalView(folder.journal) as journal:
        stamp = _stamp(plan, journal)
        if index.is_current(folder.index, stamp) and folder.card.is_file():
            return
        _write(folder.index, plan, facts, journal)
    write_card(folder)


def rebuild(folder: BatchFolder, plan: PlanFile) -> None:
    """Write index and card anew, whatever is there.

    Raises:
        StorageFailed: nothing says whose batch it is, or the disk does not take them.
    """
    facts = facts_of(folder)
    with JournalView(folder.journal) as journal:
        _write(folder.index, plan, facts, journal)
    write_card(folder)


def write_card(folder: BatchFolder) -> None:
    """Write the card anew, from the index."""
    write_atomically(folder.card, card.write(folder.index).encode())


def is_true(folder: BatchFolder, plan: PlanFile) -> bool:
    """Whether the index is, to the byte, what plan and journal amount to."""
    facts = facts_of(folder)
    with JournalView(folder.journal) as journal, tempfile.TemporaryDirectory(prefix="batchgen-") as elsewhere:
        if not index.is_current(folder.index, _stamp(plan, journal)):
            return False
        anew = Path(elsewhere) / folder.index.name
        _write(anew, plan, facts, journal)
        return filecmp.cmp(anew, folder.index, shallow=False)


def facts_of(folder: BatchFolder) -> BatchFacts:
    """Whose batch it is: as the index says, or else the newest run.

    Raises:
        StorageFailed: neither does.
    """
    try:
        return index.read_facts(folder.index)[0]
    except StorageFailed:
        with JournalView(folder.journal) as journal:
            noted = journal.facts()
    names = [field.name for field in fields(BatchFacts)]
    if not all(name in noted for name in names):
        raise StorageFailed(f"Nothing in {folder.state} says whose batch it is. Run the manifest again.")
    return BatchFacts(**{name: noted[name] for name in names})


def _write(path: Path, plan: PlanFile, facts: BatchFacts, journal: JournalView) -> None:
    label_types, stamp = plan.head.label_types, _stamp(plan, journal)
    facts = replace(facts, spending=asdict(accounting.spending(journal.tallies())))
    index.write(path, plan, journal.records, facts=facts, label_types=label_types, stamp=stamp)


def _stamp(plan: PlanFile, journal: JournalView) -> str:
    return f"{plan.head.fingerprint}:{plan.head.keys_sha256}:{journal.last_event()}"
