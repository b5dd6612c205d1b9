"""What `firsts.Firsts` promises, whether memory holds all of it or a temporary file the most."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.adapters.spilling import SpillingFirsts
from batchgen.firsts import Firsts, FirstsInMemory

#: A further one is added here.
FIRSTS: list[Callable[[], Firsts]] = [FirstsInMemory, SpillingFirsts, *(partial(SpillingFirsts, n) for n in (0, 1, 3))]
STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(["", "a", "b", "A", "ab", "ä", "0123456789"]), st.text()))


@pytest.mark.parametrize("firsts", FIRSTS)
@settings(deadline=None)
@given(steps=STEPS)
def test_whoever_came_first_with_a_name_is_remembered(
    firsts: Callable[[], Firsts], steps: list[tuple[bool, str, str]]
) -> None:
    known: dict[str, str] = {}
    with firsts() as found:
        for meets, name, who in steps:
            assert (found.meet(name, who) if meets else found.find(name)) == known.get(name)
            if meets:
                known.setdefault(name, who)


@pytest.mark.parametrize("firsts", FIRSTS)
def test_each_use_begins_anew(firsts: Callable[[], Firsts]) -> None:
    for _ in range(2):
        with firsts() as found:
            assert [found.meet(name, name) for name in "abcabc"] == [None] * 3 + ["a", "b", "c"]


def test_a_temporary_folder_that_is_full_is_a_sentence() -> None:
    code = """
import resource
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.errors import StorageFailed
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
try:
    with SpillingFirsts(0) as found:
        for n in range(30_000):
            found.meet(str(n), "x" * 2_000)
except StorageFailed as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "SQLITE_TMPDIR" in done.stdout


def test_memory_holds_a_fixed_number_of_names_whatever_comes() -> None:
    with SpillingFirsts(100) as found:
        tracemalloc.start()
        for n in range(20_000):
            assert found.meet(f"name {n}", f"who {n}") is None
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 100_000  # bytes; all of them would be 3 million
        assert [found.find("name 7"), found.find("name 19999"), found.find("name 20000")] == [
            "who 7",
            "who 19999",
            None,
        ]
