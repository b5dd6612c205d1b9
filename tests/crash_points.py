"""A program that runs a batch once for each write of its journal, and dies there: `_exit`, as by kill -9.

    python -m tests.crash_points MANIFEST FOLDER URL

Prints the batch folders that it leaves, one a line: `before-1` died before the first transaction was made durable,
`after-1` right after that and before anybody was told.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import batchgen
import batchgen.app.running  # what every child needs is loaded once
from batchgen.adapters.journal import SQLiteJournal

#: How a child ends that died where it was told to; one that got past all writes ends with 0.
DIED = 99


def die_at(transaction: int, *, committed: bool) -> None:
    """Let this process die at that transaction of its journal's writer; 1 is the first."""
    write: Callable[..., object] = SQLiteJournal._try_to_write
    begun = count(1)

    def write_or_die(journal: SQLiteJournal, *arguments: object) -> object:
        last = next(begun) == transaction
        if last and not committed:
            journal.trace(lambda statement: os._exit(DIED) if statement == "COMMIT" else None)
        answers = write(journal, *arguments)
        if last:
            os._exit(DIED)
        return answers

    SQLiteJournal._try_to_write = write_or_die  # type: ignore[assignment]


def main() -> None:
    """Die at every write, each time in a process and a folder of its own."""
    manifest, folder, url = sys.argv[1:]
    for committed in (False, True):
        for transaction in count(1):
            out = Path(folder) / f"{'after' if committed else 'before'}-{transaction}"
            child = os.fork()
            if child == 0:
                die_at(transaction, committed=committed)
                # Tagged by its own name, so that the simulator can say what was accepted for it.
                batchgen.run(manifest, out=out, settings=batchgen.Settings(base_url=url, batch_id=out.name))
                os._exit(0)
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            if code == 0:
                break
            if code != DIED:
                sys.exit(f"{out}: ended with {code}")
            sys.stdout.write(f"{out}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
