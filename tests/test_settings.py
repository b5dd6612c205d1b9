"""What is said over a manifest."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchgen
from batchgen import Settings
from batchgen.adapters.profiles import find_profile
from batchgen.simulator import Simulator, background
from tests.test_cli import MANIFEST

seconds = st.floats(0, 1e6)


@given(began=seconds, most=seconds, passed=seconds)
def test_what_is_left_of_the_time_is_counted_from_the_beginning_and_never_negative(
    began: float, most: float, passed: float
) -> None:
    left = Settings(max_runtime=most, began=began).time_left(began + passed)
    assert left is not None
    assert left == pytest.approx(max(0.0, most - passed), abs=1e-6)
    assert Settings(began=began).time_left(began + passed) is None
    assert Settings(max_runtime=most).time_left(began) == most


def test_a_run_whose_planning_took_all_of_its_time_submits_nothing_and_the_next_goes_on(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(MANIFEST)
    simulator = Simulator(find_profile("simulator"), latency=(0.0, 0.01))
    with background(simulator) as url:
        late = Settings(base_url=url, max_runtime=60.0, began=time.monotonic() - 61.0)
        first = batchgen.run(tmp_path / "small.yaml", out=tmp_path / "out", settings=late)
        assert (first.exit_code, first.stopped, simulator.audit().accepted) == (6, "--max-runtime 60 s is over", 0)
        in_time = Settings(base_url=url, max_runtime=60.0, began=time.monotonic())
        assert batchgen.run(tmp_path / "small.yaml", out=tmp_path / "out", settings=in_time).exit_code == 0


def test_the_program_counts_from_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(MANIFEST)
    code = (
        "import sys, time; from batchgen.cli import main;"
        "sys.argv = ['batchgen', 'run', 'small.yaml', '--max-runtime', '60'];"
        "main(began=time.monotonic() - 61)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "2 pending: --max-runtime 60 s is over" in done.stdout) == (6, True)
