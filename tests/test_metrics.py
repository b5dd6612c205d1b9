"""The figures of a run, as Prometheus reads them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import batchgen
from batchgen.adapters.metrics_file import MetricsFile
from batchgen.adapters.profiles import find_profile
from batchgen.app.history import history
from batchgen.lifecycle import JobCompleted, Record, State
from batchgen.simulator import Behaviour, Faults, Fixed, Simulator, background
from tests.factories import a_request
from tests.test_interruptions import started
from tests.test_run import Place


def values(text: str) -> dict[str, float]:
    """Each sample, without the label of the batch."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    named = (re.fullmatch(r'batchgen_(\w+)\{batch_id="[^"]*",?(.*)\} (\S+)', line) for line in lines)
    return {f"{m[1]}{{{m[2]}}}" if m[2] else m[1]: float(m[3]) for m in named if m is not None}


def must_be_clean(text: str) -> None:
    """By the word of Prometheus itself, where it is installed."""
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool to check them (Debian: apt-get install prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_run_with_failures_is_counted_and_promtool_is_content(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("simulator"), latency=(0.0, 0.05), failure_rate=0.4, seed=3)
    file = tmp_path / "metrics.prom"
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        place.many(40, samples=2)
        text = place.manifest.read_text()
        place.manifest.write_text(f"price_per_image: 0.5\n{text}")
        result = place.run(metrics_file=file)
    found = values(file.read_text())
    audit = simulator.audit()
    assert found['steps_total{state="submitted"}'] == audit.accepted
    assert (
        found['steps_total{state="stored"}'] * 2
        == found["images_stored_total"]
        == result.samples[batchgen.Status.STORED]
    )
    assert found['failures_total{kind="job_failed"}'] == audit.accepted - found['steps_total{state="stored"}']
    assert found["images_spent_total"] == 2 * audit.accepted == result.account.spending.total
    assert found["cost_total"] == audit.accepted
    assert found["job_duration_seconds_count"] == found['job_duration_seconds_bucket{le="+Inf"}']
    assert (found["jobs_in_flight"], found["images_wanted"]) == (0, 80)
    assert found["run_exit_code"] == result.exit_code
    assert found["run_start_timestamp_seconds"] < found["run_end_timestamp_seconds"]
    must_be_clean(file.read_text())


def test_while_a_run_goes_on_its_file_is_there_whole_and_has_no_end(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("simulator"), latency=(0.1, 0.2))
    file = tmp_path / "metrics.prom"
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        place.many(200)
        with started(place, "--metrics-file", str(file), "--concurrency", "2", "--grace", "1s", accepted=2) as run:
            going_on = file.read_text()
            run.send_signal(signal.SIGTERM)
            run.communicate()
    assert "run_exit_code" not in values(going_on)
    assert values(file.read_text())["run_exit_code"] == 143
    assert [path.name for path in tmp_path.glob("*prom*")] == ["metrics.prom"]
    must_be_clean(going_on)


def test_a_file_that_cannot_be_written_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("simulator"))
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        with pytest.raises(batchgen.StorageFailed, match="--metrics-file"):
            place.run(metrics_file=tmp_path / "nowhere/metrics.prom")
    assert simulator.audit().accepted == 0


def test_names_with_quotes_and_lines_break_no_line(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "m", batch_id='a"b\\c\nd', price_per_image=None, started_at=0.0)
    assert 'batch_id="a\\"b\\\\c\\nd"' in metrics.text()
    assert "cost_total" not in metrics.text()
    must_be_clean(metrics.text())


@pytest.mark.parametrize(("seconds", "buckets"), [(0.5, 12), (0.6, 11), (600.0, 2), (601.0, 1)])
def test_a_duration_is_in_each_bucket_that_reaches_so_far(tmp_path: Path, seconds: float, buckets: int) -> None:
    metrics = MetricsFile(tmp_path / "m", batch_id="b", price_per_image=None, started_at=0.0)
    before = Record(state=State.SUBMITTED, submitted_at=100.0)
    after = Record(state=State.READY, submitted_at=100.0, completed_at=100.0 + seconds)
    metrics.changed(a_request(), before, JobCompleted(urls=("https://h/a",)), after)
    found = values(metrics.text())
    assert sum(value for name, value in found.items() if "bucket" in name) == buckets
    assert found["job_duration_seconds_sum"] == pytest.approx(seconds)


def test_images_of_requests_that_failed_in_part_are_counted_by_whoever_counts(tmp_path: Path) -> None:
    faults = Faults.model_validate({"image": {"gone": 0.3}})
    simulator = Simulator(
        find_profile("simulator"), behaviour=Behaviour(latency=Fixed(0), pictures="tiny", faults=faults), seed=5
    )
    file = tmp_path / "metrics.prom"
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        place.many(12, samples=2)
        stored = place.run(metrics_file=file).samples[batchgen.Status.STORED]
    assert 12 < stored < 24  # some requests have one of their two
    assert values(file.read_text())["images_stored_total"] == stored
    (run,) = history(place.out)
    assert run.images_stored == stored
