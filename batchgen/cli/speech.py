"""Saying something on standard output or error, whoever may have stopped listening: it changes no exit code."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO


def complain(text: str) -> None:
    """Print a text on standard error, where somebody may still read it."""
    put(text, sys.stderr)


def tell(as_json: dict[str, Any] | None, text: str, *, quiet: bool) -> None:
    """Say what a command found: the object if there is one, else the text, unless nothing is to be said."""
    if as_json is not None:
        say(as_json)
    elif not quiet:
        say(text)


def say(what: str | dict[str, Any], *, end: str = "\n") -> bool:
    """Print a text, or an object as one line of JSON.

    Returns:
        Whether it could be said.
    """
    return put(what if isinstance(what, str) else json.dumps(what), sys.stdout, end=end)


def put(text: str, stream: TextIO | None, *, end: str = "\n") -> bool:
    """Print a text on a stream; whether that could be."""
    try:
        print(text, end=end, file=stream, flush=True)
    except OSError:
        _give_up(stream)
        return False
    return True


def let_go(stream: TextIO | None) -> None:
    """Write what a stream still holds, if that can be; else the interpreter would end with a code of its own, 120."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        _give_up(stream)


def _give_up(stream: TextIO | None) -> None:
    """Nothing more can be said there (`| head`, a full disk), not even at the interpreter's end."""
    assert stream is not None  # on one that was closed by whoever started the program nothing fails
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
