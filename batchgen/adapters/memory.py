"""Memory that the process had and no longer needs."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Give the system back what was freed, as far as the C library can.

    Of itself, glibc gives back what lies at the end of an arena alone. It takes the longer, the more was freed, and
    stops all threads that want memory meanwhile.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
