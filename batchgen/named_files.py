"""Files that the user names to be written: one rule for all of them.

Such a file is written beside its place and then takes it, so what is there is replaced. That must be a file: put in the
place of a device, a FIFO or a socket, a file would take it away from everybody who uses it. A link was put there by the
user, so what it leads to is replaced; in a batch folder, whose files nobody names, a link may be a stranger's, and is
replaced itself.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from batchgen.errors import UsageError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}
_STANDARD_HANDLES = range(3)


def place_of(named: Path | str, *, by: str) -> Path:
    """Where a file that the user named is to be put: there, or, of a symbolic link, at what it leads to.

    What the disk says otherwise, such as of a folder that is missing, is told by whoever writes.

    Args:
        by: the flag or argument that names it, for the message.

    Raises:
        UsageError: something is there that is no regular file, or is where this program prints.
    """
    if not str(named):
        raise UsageError(f"{by} names no file. Name one, or leave it out.")
    try:
        found = os.stat(named)  # noqa: PTH116  # may be text
    except FileNotFoundError:
        return Path(os.path.realpath(named))
    except OSError as error:
        if os.path.islink(named):  # noqa: PTH114  # pathlib raises it again
            raise _refused(named, by, f"a link that leads nowhere ({error.strerror})") from error
        return Path(named)
    if not stat.S_ISREG(found.st_mode):
        raise _refused(named, by, _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file"))
    if any(_is_open_at(handle, found) for handle in _STANDARD_HANDLES):
        raise _refused(named, by, "what this program prints to or reads from")
    return Path(os.path.realpath(named))


def _refused(named: Path | str, by: str, what: str) -> UsageError:
    return UsageError(
        f"{by} {named}: that is {what}, and a file would take its place. It was left as it is; "
        "name a file, or one that is not there yet."
    )


def _is_open_at(handle: int, found: os.stat_result) -> bool:
    with contextlib.suppress(OSError):  # closed
        return os.path.samestat(os.fstat(handle), found)
    return False
