"""A batch folder for one run alone: taken at once, or waited for."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from batchgen.adapters.folder_lock import FolderLock
from batchgen.app.earlier import is_planning
from batchgen.app.folder import BatchFolder
from batchgen.app.switch import StopSwitch
from batchgen.errors import FolderBusy, KeyMissing, StillPlanning, UsageError
from batchgen.ports import Observer

_TAKEN = "another run, which has taken the folder"
#: Seconds between two looks whether another run has ended.
_LOOK_AGAIN = 0.5


class Patience:
    """How long a run waits for others, in all.

    Args:
        seconds: so long, from now.
    """

    def __init__(self, seconds: float, observer: Observer, switch: StopSwitch) -> None:
        self._deadline = time.monotonic() + seconds
        self._observer = observer
        self._switch = switch
        self._told = ""

    async def wait(self, busy: FolderBusy, what: str) -> None:
        """Wait a little, of a length that differs from run to run, and say once what for.

        Raises:
            FolderBusy: the one given, once there is no patience left.
            Stopped: the run was told to stop meanwhile.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise busy
        if what != self._told:
            self._observer.paused(left, what)
        self._told = what
        await asyncio.sleep(min(_LOOK_AGAIN * random.uniform(0.5, 1.0), left))
        self._switch.go_on()

    async def planned(self, busy: StillPlanning) -> None:
        """Wait until the other run has its plan, or is gone; then try again. Raises as `wait`."""
        other = BatchFolder(Path(str(busy.folder)))
        what = f"another run is planning in {other.root}"
        await self.wait(busy, what)
        while await asyncio.to_thread(is_planning, other):
            await self.wait(busy, what)


@contextlib.asynccontextmanager
async def held(folder: BatchFolder, patience: Patience, switch: StopSwitch) -> AsyncIterator[bool]:
    """The folder, for this run alone, and whether another had to be waited for.

    One that was made for nothing is taken away again.

    Raises:
        FolderBusy: another run holds it, and has not ended while there was patience.
    """
    there = next(path for path in (folder.root, *folder.root.absolute().parents) if path.exists())
    taken = partial(asyncio.get_running_loop().call_soon_threadsafe, switch.stop, _TAKEN)
    lock = FolderLock(folder.root, lost=taken)
    waited = await _entered(lock, folder, patience)
    begun = folder.journal.exists()  # another run may have begun it while this one waited
    try:
        with contextlib.ExitStack() as stack:
            stack.push(lock)
            yield waited
    except (UsageError, KeyMissing):
        if there != folder.root and not begun and not folder.index.exists() and not (folder.root / "images").exists():
            shutil.rmtree(folder.root, ignore_errors=True)
            with contextlib.suppress(OSError):
                for made in folder.root.absolute().parents:
                    if made == there:
                        break
                    made.rmdir()
        raise


async def _entered(lock: FolderLock, folder: BatchFolder, patience: Patience) -> bool:
    """Take the lock, at once or as long as there is patience; whether it had to be waited for."""
    waited = False
    while True:
        try:
            lock.__enter__()
        except FolderBusy as busy:
            await patience.wait(busy, f"another run is working in {folder.root}")
            waited = True
        else:
            return waited
