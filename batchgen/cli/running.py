"""`batchgen run`: signals, the progress view, the summary and the exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from batchgen.app.result import RunResult
from batchgen.app.running import StopSwitch, run_async
from batchgen.app.settings import Settings
from batchgen.cli import words
from batchgen.cli.progress import ProgressView

_SIGNAL_EXITS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def run_to_exit_code(
    manifest: str, *, out: str | None, settings: Settings, as_json: bool, quiet: bool, verbose: int
) -> int:
    """Run the batch, show what happens, and say how it ended.

    Raises:
        BatchgenError: as `app.running.run_async`.
    """
    view = ProgressView(sys.stderr, verbose=verbose > 0, quiet=quiet)
    caught: list[signal.Signals] = []
    try:
        result = asyncio.run(_run(manifest, out, settings, view, caught))
    finally:
        view.close()
    code = _SIGNAL_EXITS[caught[0]] if caught else result.exit_code
    if as_json:
        print(json.dumps(words.result_json(result) | {"exit_code": code}, ensure_ascii=False))
    elif not quiet or code:
        print(words.result_text(result, again=_command_line()), file=sys.stderr if quiet else sys.stdout)
    return code


async def _run(
    manifest: str, out: str | None, settings: Settings, view: ProgressView, caught: list[signal.Signals]
) -> RunResult:
    switch = StopSwitch()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        caught.append(number)
        switch.stop(number.name)

    for number in _SIGNAL_EXITS:
        loop.add_signal_handler(number, stop, number)
    return await run_async(manifest, out=out, settings=settings, observer=view, switch=switch)


def _command_line() -> list[str]:
    """The command as the user typed it, without the choices that were for this time only."""
    program = os.path.basename(sys.argv[0])  # noqa: PTH119
    return [program if program != "__main__.py" else "batchgen", *sys.argv[1:]]
