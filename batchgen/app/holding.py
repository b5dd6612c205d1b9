"""A batch folder for one run alone: taken at once, or waited for."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from functools import partial

from batchgen.adapters.folder_lock import FolderLock
from batchgen.app.folder import BatchFolder
from batchgen.app.settings import Settings
from batchgen.app.switch import StopSwitch
from batchgen.errors import FolderBusy, KeyMissing, UsageError
from batchgen.ports import Observer

_TAKEN = "another run, which has taken the folder"
#: Seconds between two looks whether another run has ended.
_LOOK_AGAIN = 0.5


@contextlib.asynccontextmanager
async def held(folder: BatchFolder, settings: Settings, observer: Observer, switch: StopSwitch) -> AsyncIterator[bool]:
    """The folder, for this run alone, and whether another had to be waited for.

    One that was made for nothing is taken away again.

    Raises:
        FolderBusy: another run holds it, and has not ended within `wait_lock`.
    """
    there = next(path for path in (folder.root, *folder.root.absolute().parents) if path.exists())
    taken = partial(asyncio.get_running_loop().call_soon_threadsafe, switch.stop, _TAKEN)
    lock = FolderLock(folder.root, lost=taken)
    waited = await _entered(lock, folder, settings.wait_lock, observer, switch)
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


async def _entered(
    lock: FolderLock, folder: BatchFolder, patience: float, observer: Observer, switch: StopSwitch
) -> bool:
    """Take the lock, at once or within *patience* seconds; whether it had to be waited for."""
    deadline = time.monotonic() + patience
    waited = False
    while True:
        try:
            lock.__enter__()
        except FolderBusy:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
        else:
            return waited
        if not waited:
            observer.paused(patience, f"another run is working in {folder.root}")
        waited = True
        await asyncio.sleep(min(_LOOK_AGAIN, left))
        switch.go_on()
