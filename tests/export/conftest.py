"""What the tests of exports share: one odd batch, and the readers in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.export.batches import odd_batch
from tests.export.reading import Readers


@pytest.fixture(scope="session")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The odd batch, 60 rows; only to be read."""
    return odd_batch(tmp_path_factory.mktemp("odd") / "batch", 60)


@pytest.fixture(scope="session")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readers]:
    """Every reader, offline."""
    readers = Readers(home=tmp_path_factory.mktemp("hf"))
    yield readers
    readers.close()
