"""`python -m batchgen`, and the command `batchgen`."""

import signal
import sys
from typing import NoReturn

from batchgen.signals import EXIT_CODES, end_in_order


def main() -> NoReturn:
    """The program. How it ends is settled before the rest is loaded, which takes a moment."""
    end_in_order()
    try:
        from batchgen.cli import main as program
    except KeyboardInterrupt:
        sys.exit(EXIT_CODES[signal.SIGINT])
    program()


if __name__ == "__main__":
    main()
