"""What Ctrl-C, SIGTERM and the end of the terminal (SIGHUP) do to the program. It ends with a code of its own, always.

Before a run listens for them, and in other commands, they end what goes on as an error would: nothing half-written is
left. A run that goes on is told, and decides. Once it has ended its exit code stands, and they change nothing.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

#: What the program ends with, by signal. Windows has no SIGHUP.
EXIT_CODES = {
    getattr(signal, name): code
    for name, code in (("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143))
    if hasattr(signal, name)
}


#: Those that should have ended the program by now: Python's compiler loses what a handler raises while it compiles, and
#: others wrap it in errors of their own.
_heard: list[int] = []


def end_in_order() -> None:
    """From now on a signal ends the program as an error does; one that is ignored, as by `nohup`, still is."""
    for number in EXIT_CODES:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end)


def exit_code_heard() -> int | None:
    """What the program ends with because of a signal that should have ended it already; None if none came."""
    return EXIT_CODES[signal.Signals(_heard[0])] if _heard else None


def hear_no_more() -> None:
    """Let no signal change the exit code any more, to the last moment of the interpreter.

    For a program that starts no others from here on: they would ignore signals, too.
    """
    # Where a KeyboardInterrupt has gone through code made of text, as by dataclasses, Python ends by the signal itself,
    # unless other such code has run since.
    exec("")
    for number in EXIT_CODES:
        if signal.getsignal(number) in (_end, _let_it_stand):
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def heard_by(stop: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Within, *stop* is called by the running event loop for each signal, unless whoever started us has it ignored.

    Afterwards signals do what they did before; in a program that was to end in order they then do nothing, for what it
    ends with is known. At no moment, not while the loop is closed, is the system's own way with them back.
    """
    from asyncio import get_running_loop  # takes longer to load than all that comes before `end_in_order`

    loop = get_running_loop()

    def hear(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop, signal.Signals(number))

    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, hear)
    with contextlib.suppress(NotImplementedError, AttributeError):  # Windows
        # Has the loop wake up for any signal, even one that comes just before it goes to sleep. asyncio's own handlers
        # would leave the system's behind them when the loop is closed.
        loop.add_signal_handler(signal.SIGWINCH, lambda: None)
    for number in _heard:
        stop(signal.Signals(number))
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, _let_it_stand if before[number] is _end else before[number])


def _end(number: int, _: FrameType | None) -> None:
    _heard.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(EXIT_CODES[signal.Signals(number)])


def _let_it_stand(number: int, _: FrameType | None) -> None:
    """Do nothing. Unlike SIG_IGN, no child inherits that."""
