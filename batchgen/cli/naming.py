"""Names of files in UTF-8: those that are typed, and those that a batch gives."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from batchgen.errors import UsageError


def begin_in_utf8() -> None:
    """Begin the program again, in this process, if Python takes the names of files for anything but UTF-8.

    By itself it does so only where a locale or a setting says so; a batch whose names cannot be written would end in
    the middle, after it was paid for.
    """
    if sys.getfilesystemencoding().lower().replace("-", "") != "utf8" and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def must_be_utf8(typed: Sequence[str]) -> None:
    """Refuse names that no journal can hold.

    Raises:
        UsageError: a typed one is not UTF-8, or that of the current folder.
    """
    for name in (*typed, _here()):
        if not _is_utf8(name):
            raise UsageError(f"The name {name!a} is not UTF-8. Nothing was sent; rename what is called so.")


def _here() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # for its text alone
    except OSError:  # it was removed; whoever needs it says so
        return ""


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
