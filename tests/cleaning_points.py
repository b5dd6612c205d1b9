"""A program that cleans a batch once for each step of its removal, and dies there: `_exit`, as by kill -9.

    python -m tests.cleaning_points BATCH FOLDER [--forget]

Copies the batch into `FOLDER/1/night`, `FOLDER/2/night`, …; the n-th dies before the n-th file is removed or renamed.
"""

from __future__ import annotations

import os
import shutil
import sys
from itertools import count
from pathlib import Path

from batchgen.app.cleaning import clean

#: How a child ends that died where it was told to; one that got past all steps ends with 0.
DIED = 99
_STEPS = {"os.remove", "os.rmdir", "os.rename"}


def die_at(step: int) -> None:
    """Let this process die at that step; 1 is the first."""
    begun = count(1)

    def hook(event: str, _: object) -> None:
        if event in _STEPS and next(begun) == step:
            os._exit(DIED)

    sys.addaudithook(hook)


def main() -> None:
    """Die at every step, each time in a process and with a copy of its own."""
    batch, folder, *flags = sys.argv[1:]
    for step in count(1):
        out = Path(folder) / str(step) / "night"
        shutil.copytree(batch, out)
        child = os.fork()
        if child == 0:
            die_at(step)
            clean(out.parent, older_than=86_400.0, remove=True, forget=bool(flags))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return
        if code != DIED:
            sys.exit(f"{out}: ended with {code}")


if __name__ == "__main__":
    main()
