"""What holds for all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# No test is red because the machine was busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each core: many tests wait, for a process to start or a job to end."""
    return 2 * (os.cpu_count() or 1)
