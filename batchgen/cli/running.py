"""`batchgen run`: signals, the progress view, the summary and the exit code."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from batchgen.app.event_loop import run_in_loop
from batchgen.app.running import run_async
from batchgen.app.settings import Settings
from batchgen.app.switch import Stopped, StopSwitch
from batchgen.cli import words
from batchgen.cli.progress import ProgressView
from batchgen.cli.speech import complain, say
from batchgen.signals import EXIT_CODES, heard_by

if TYPE_CHECKING:
    from batchgen.app.result import RunResult

#: What glibc's allocator is told, by the numbers of malloc.h.
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
#: Flags that were meant for one time, or may hold a secret, and how many words follow them.
_ONCE = {
    "--notify": 1,
    "--healthcheck": 1,
    "--max-images": 1,
    "--max-runtime": 1,
    "--retry": 1,
    "--in-doubt": 1,
    "--json": 0,
    "-q": 0,
    "--quiet": 0,
}


def run_to_exit_code(
    manifest: str, *, out: str | None, settings: Settings, as_json: bool, quiet: bool, verbose: int
) -> int:
    """Run the batch, show what happens, and say how it ended.

    Raises:
        BatchgenError: as `app.running.run_async`.
    """
    _be_thrifty()
    view = ProgressView(sys.stderr, verbose=verbose > 0, quiet=quiet)
    switch = StopSwitch()
    try:
        result = run_in_loop(_run(manifest, out, settings, view, switch))
    except Stopped as stopped:
        code = switch.exit_code or stopped.exit_code
        if as_json:
            say({"error": str(stopped), "exit_code": code})
        complain(str(stopped))
        return code
    finally:
        with contextlib.suppress(OSError):
            view.close()
    code = result.exit_code if switch.exit_code is None else switch.exit_code
    if as_json:
        say(words.result_json(result) | {"exit_code": code})
        return code
    text = words.result_text(result, again=command_line(sys.argv, out=result.out if result.dated else None))
    if not quiet:
        say(text)
    elif code or result.lacks:
        complain(text)
    return code


class _NoPandas(MetaPathFinder):
    """Finds no pandas."""

    @classmethod
    def find_spec(cls, name: str, *_: object) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name == "pandas":
            raise ImportError(name)

    @classmethod
    def invalidate_caches(cls) -> None:
        """It has none."""


class _ThriftyArrow(MetaPathFinder):
    """Once Arrow is loaded, which a run does only when it needs it, keeps it from loading pandas.

    With the first list that it is given Arrow loads it to know its types: 45 MB and 0.3 s. It asks once; who needs
    pandas later has it all the same.
    """

    @classmethod
    def find_spec(cls, name: str, *_: object) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name != "pyarrow":
            return None
        sys.meta_path.remove(cls)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_ask(arrow: ModuleType) -> None:
                load(arrow)
                sys.meta_path.insert(0, _NoPandas)
                arrow.array([])
                sys.meta_path.remove(_NoPandas)

            spec.loader.exec_module = load_and_ask  # type: ignore[assignment, method-assign]
        return spec

    @classmethod
    def invalidate_caches(cls) -> None:
        """It has none."""


def _be_thrifty() -> None:
    """Spare memory and time in a process that does nothing but run a batch."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow's own keeps 30 MB that it once had
    sys.meta_path.insert(0, _ThriftyArrow)
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 2)  # else each thread that decodes keeps memory of its own
        libc.mallopt(_M_MMAP_THRESHOLD, 2**20)  # else it grows with each picture, and none is ever given back
    gc.freeze()  # what was imported stays; no collection looks at it again
    gc.set_threshold(10_000, 20, 50)


async def _run(manifest: str, out: str | None, settings: Settings, view: ProgressView, switch: StopSwitch) -> RunResult:
    with heard_by(lambda number: switch.stop(number.name, exit_code=EXIT_CODES[number])):
        alone = replace(settings, own_process=True)
        return await run_async(manifest, out=out, settings=alone, observer=view, switch=switch)


def command_line(typed: Sequence[str], *, out: Path | None = None) -> list[str]:
    """The command to go on with: as the user typed it, without the flags that were meant for one time.

    Args:
        out: the batch folder, where the words that were typed may name another one another day; else None.
    """
    left_out = _ONCE if out is None else _ONCE | {"-o": 1, "--out": 1}
    program = Path(typed[0]).name
    words_kept = [program if program != "__main__.py" else "batchgen"]
    skip = 0
    for word in typed[1:]:
        flag, equals, _ = word.partition("=")
        if skip:
            skip -= 1
        elif words_kept[-1:] == ["--completion"] and word == "detach":
            words_kept.pop()  # who goes on wants the images
        elif word == "--completion=detach":
            pass
        elif flag in left_out:
            skip = 0 if equals else left_out[flag]
        else:
            words_kept.append(re.sub(r"//[^/@]*@", "//", word))  # a password is not for the screen
    if out is not None:
        end = words_kept.index("--") if "--" in words_kept else len(words_kept)
        words_kept[end:end] = ["-o", str(out)]
    return words_kept
