"""Saying something on standard output, whoever may have stopped listening."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any


def complain(text: str) -> None:
    """Print a text on standard error, where somebody may still read it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def tell(as_json: dict[str, Any] | None, text: str, *, quiet: bool) -> None:
    """Say what a command found: the object if there is one, else the text, unless nothing is to be said."""
    if as_json is not None:
        say(as_json)
    elif not quiet:
        say(text)


def say(what: str | dict[str, Any], *, end: str = "\n") -> bool:
    """Print a text, or an object as one line of JSON. A reader that is gone changes no exit code.

    Returns:
        Whether it could be said.
    """
    try:
        print(what if isinstance(what, str) else json.dumps(what), end=end, flush=True)
    except OSError:  # `| head`, a full disk: nothing more can be said there, not even at the interpreter's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
