"""The index of a batch folder and what is made from it for readers, kept to what plan and journal say."""

from __future__ import annotations

import contextlib
import filecmp
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from batchgen import index
from batchgen.adapters.file_store import write_atomically
from batchgen.adapters.journal import JournalView
from batchgen.adapters.plan_file import PlanFile
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app import accounting
from batchgen.app.folder import BatchFolder
from batchgen.errors import StorageFailed
from batchgen.model import BatchFacts
from batchgen.review import card, counting, croissant


def bring_up_to_date(folder: BatchFolder, plan: PlanFile, facts: BatchFacts) -> None:
    """Write the index, and what readers have beside it, anew, unless it is of this plan and this journal already.

    Raises:
        StorageFailed: the disk does not take it.
    """
    with JournalView(folder.journal) as journal:
        now = stamp(plan, journal)
        if index.is_current(folder.index, now) and not lacking(folder):
            return
        _write(folder.index, plan, facts, journal)
    _describe(folder)


def rebuild(folder: BatchFolder, plan: PlanFile) -> None:
    """Write the index, and what readers have beside it, anew, whatever is there.

    Raises:
        StorageFailed: nothing says whose batch it is, or the disk does not take it.
    """
    facts = facts_of(folder)
    with JournalView(folder.journal) as journal:
        _write(folder.index, plan, facts, journal)
    _describe(folder)


def lacking(folder: BatchFolder) -> list[str]:
    """Names of files that readers need beside the index, as far as it can be read, and that are not there."""
    needed = [folder.card]
    with contextlib.suppress(StorageFailed):
        needed += [folder.root / index.split_table(split) for split in index.splits(folder.index)]
    return [path.name for path in needed if not path.is_file()]


def _describe(folder: BatchFolder) -> None:
    """Write what is made from the index: tables of splits, then the card that names them."""
    index.write_splits(folder.index)
    found = counting.count(folder.index)
    write_atomically(folder.card, card.text_of(found).encode())
    if found.images:
        write_atomically(folder.croissant, croissant.text_of(folder.index, found).encode())
    else:
        folder.croissant.unlink(missing_ok=True)


def is_true(folder: BatchFolder, plan: PlanFile) -> bool:
    """Whether the index is, to the byte, what plan and journal amount to."""
    facts = facts_of(folder)
    with JournalView(folder.journal) as journal, tempfile.TemporaryDirectory(prefix="batchgen-") as elsewhere:
        if not index.is_current(folder.index, stamp(plan, journal)):
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
    try:
        return BatchFacts.of(noted)
    except (TypeError, ValueError) as error:
        raise StorageFailed(f"Nothing in {folder.state} says whose batch it is. Run the manifest again.") from error


def _write(path: Path, plan: PlanFile, facts: BatchFacts, journal: JournalView) -> None:
    index.write(
        path,
        plan,
        journal.records,
        facts=replace(facts, spending=asdict(accounting.spending(journal.tallies()))),
        label_types=plan.head.label_types,
        stamp=stamp(plan, journal),
        firsts=SpillingFirsts,
    )


def stamp(plan: PlanFile, journal: JournalView) -> str:
    """What changes whenever anything does that a batch asks for or has."""
    return f"{plan.head.fingerprint}:{plan.head.keys_sha256}:{journal.last_event()}"
