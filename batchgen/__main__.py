"""`python -m batchgen`, and the command `batchgen`."""

import os
import signal
import sys
import time
from typing import NoReturn

from batchgen.signals import EXIT_CODES, end_in_order, hear_no_more


def main() -> NoReturn:
    """The program. How it ends is settled before the rest is loaded, which takes a moment."""
    began = time.monotonic()
    end_in_order()
    _take_standard_handles()
    try:
        from batchgen.cli import main as program
    except KeyboardInterrupt:
        hear_no_more()
        sys.exit(EXIT_CODES[signal.SIGINT])
    program(began=began)


def _take_standard_handles() -> None:
    """Where a caller has closed standard input, output or error, let no other file take its number."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is that one


if __name__ == "__main__":
    main()
