"""Who came first, for plans of any length: the first names in memory, the others in a temporary database.

The database is SQLite's own temporary one: a file without a name in the system's folder for temporary files
(`SQLITE_TMPDIR`, `TMPDIR`), which goes away with the process, however it ends.
"""

from __future__ import annotations

import sqlite3
from typing import Self

from batchgen.errors import StorageFailed

#: Names that are held in memory: some 6 MB.
IN_MEMORY = 20_000
#: KiB of the database that are held in memory.
_CACHE = 8_000
#: Nothing in it outlives the process, so nothing is made durable.
_PRAGMAS = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", f"cache_size = -{_CACHE}")


class SpillingFirsts:
    """`firsts.Firsts` of which memory holds a fixed part.

    Args:
        in_memory: names that are held in memory.

    Raises:
        StorageFailed: from any method; the folder for temporary files takes no more.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._known: dict[str, str] = {}
        self._spilled: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._known.clear()
        if self._spilled is not None:
            self._spilled.close()
            self._spilled = None

    def meet(self, name: str, who: str) -> str | None:
        """See `firsts.Firsts`."""
        earlier = self._known.get(name)
        if earlier is not None:
            return earlier
        if len(self._known) < self._in_memory:
            self._known[name] = who
            return None
        return self._meet_spilled(name, who)

    def find(self, name: str) -> str | None:
        """See `firsts.Firsts`."""
        earlier = self._known.get(name)
        return earlier if earlier is not None or self._spilled is None else self._find_spilled(self._spilled, name)

    def _meet_spilled(self, name: str, who: str) -> str | None:
        try:
            if self._spilled is None:
                self._spilled = _opened()
            added = self._spilled.execute("INSERT OR IGNORE INTO firsts VALUES (?, ?)", (name, who)).rowcount
        except sqlite3.Error as error:
            raise _no_room(error) from error
        return None if added else self._find_spilled(self._spilled, name)

    def _find_spilled(self, spilled: sqlite3.Connection, name: str) -> str | None:
        try:
            row = spilled.execute("SELECT who FROM firsts WHERE name = ?", (name,)).fetchone()
        except sqlite3.Error as error:
            raise _no_room(error) from error
        return None if row is None else str(row[0])


def _opened() -> sqlite3.Connection:
    # An empty name: private, on disk, and gone when closed.
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE firsts (name TEXT PRIMARY KEY, who TEXT NOT NULL) STRICT, WITHOUT ROWID")
    connection.execute("BEGIN")  # one transaction for all: none would be quicker, and no other is needed
    return connection


def _no_room(error: sqlite3.Error) -> StorageFailed:
    return StorageFailed(
        f"So many names do not fit into the folder for temporary files: {error}. Nothing that was paid for is lost; "
        "make room there, or name another folder in SQLITE_TMPDIR, then run the same command again."
    )
