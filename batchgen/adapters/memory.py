"""Memory that the process had and no longer needs."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Give the system back what was freed, as far as the C library can.

    Of itself, glibc gives back what lies at the end of an arena alone: what planning a million rows had needed for a
    while would count as the run's own for as long as it goes on.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
