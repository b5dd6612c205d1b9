"""The journal in SQLite: written by a run, looked at by anybody. Only this package knows SQL."""

from batchgen.adapters.journal.view import JournalView, Tally
from batchgen.adapters.journal.writing import SQLiteJournal

__all__ = ["JournalView", "SQLiteJournal", "Tally"]
