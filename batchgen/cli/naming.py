"""Names in UTF-8: those that are typed, and those that a batch gives to its files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from batchgen.errors import UsageError


def must_be_utf8(typed: Sequence[str]) -> None:
    """Refuse what would end in the middle: a file whose name cannot be written, or a name that no journal can hold.

    Python takes file names for UTF-8 wherever there is no locale, so this is about one that somebody has set.

    Raises:
        UsageError: names are not taken for UTF-8 here, or a typed one or that of the current folder is not.
    """
    taken_for = sys.getfilesystemencoding()
    if taken_for.lower().replace("-", "") != "utf8":
        raise UsageError(
            f"Python takes the names of files for {taken_for} here, and batches have names in UTF-8. Nothing was sent; "
            "set PYTHONUTF8=1, or LC_ALL=C.UTF-8, and run the same command again."
        )
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
