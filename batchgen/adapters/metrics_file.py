"""The figures of a run in Prometheus' text format, for node_exporter's textfile collector or whatever reads it."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from batchgen.errors import StorageFailed
from batchgen.lifecycle import Event, JobCompleted, Record, State, SubmitRefused
from batchgen.model import Request, cost_of
from batchgen.named_files import place_of
from batchgen.ports import Observer, Progress

#: Upper ends, in seconds, of the histogram of how long jobs take.
_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_IN_FLIGHT = (State.SUBMITTING, State.SUBMITTED)


class MetricsFile(Observer):
    """Counts what a run tells it; `write` puts it into the file.

    Args:
        path: the file; takes the place of one that is there, or that a link there leads to.
        batch_id: the label of every metric.
        price_per_image: in the account's currency; None: unknown.
        started_at: seconds since the epoch.
    """

    def __init__(self, path: Path, *, batch_id: str, price_per_image: float | None, started_at: float) -> None:
        self._path = path
        self._batch_id = batch_id
        self._price = price_per_image
        self._started_at = started_at
        self._ended: tuple[float, int] | None = None
        self._wanted = 0
        self._steps: Counter[str] = Counter({state.value: 0 for state in State})
        self._failures: Counter[str] = Counter()
        self._in_flight: set[str] = set()
        self._durations: Counter[float] = Counter()  #: by the upper end of their bucket
        self._duration_s = 0.0  #: sum
        self._stored = self._spent = 0

    def begun(self, progress: Progress) -> None:
        """Note how much there is to do."""
        self._wanted = progress.wanted

    def changed(self, request: Request, before: Record, event: Event, after: Record) -> None:
        """Count a step."""
        self._steps[after.state.value] += 1
        (self._in_flight.add if after.state in _IN_FLIGHT else self._in_flight.discard)(request.key)
        failure = getattr(event, "failure", None)
        if failure is not None:
            self._failures[failure.kind.value] += 1
        if before.state is State.SUBMITTING and not isinstance(event, SubmitRefused):
            self._spent += before.samples
        self._stored += max(0, after.stored - before.stored)
        if isinstance(event, JobCompleted) and before.completed_at is None:
            self._took((after.completed_at or 0.0) - (after.submitted_at or 0.0))

    def overdue(self, request: Request, record: Record) -> None:
        """Forget a job that is not waited for."""
        self._in_flight.discard(request.key)

    def left_for_later(self, request: Request, record: Record) -> None:
        """Forget a job that is not waited for."""
        self._in_flight.discard(request.key)

    def ended(self, at: float, exit_code: int) -> None:
        """Note how the run has ended, and when: seconds since the epoch."""
        self._ended = at, exit_code
        self._in_flight.clear()

    def write(self) -> None:
        """Replace the file, whole or not at all. Called in any thread.

        Raises:
            UsageError: something is there that is no file.
            StorageFailed: the disk does not take it.
        """
        place = place_of(self._path, by="--metrics-file")
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        try:
            part.write_text(self.text(), encoding="utf-8")
            part.replace(place)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise StorageFailed(
                f"The metrics file {self._path} cannot be written: {error.strerror or error}. "
                "Make its folder writable, or name another --metrics-file."
            ) from error

    def text(self) -> str:
        """All metrics, in the text format."""
        return "".join(f"{line}\n" for line in self._lines())

    def _took(self, seconds: float) -> None:
        self._duration_s += max(0.0, seconds)
        self._durations[next((end for end in _BUCKETS if seconds <= end), float("inf"))] += 1

    def _lines(self) -> Iterator[str]:
        steps, failures = dict(self._steps), dict(self._failures)
        yield from self._metric("steps_total", "counter", "Requests that came to a state in this run.", steps, "state")
        yield from self._metric(
            "failures_total", "counter", "What went wrong in this run, tried again or not.", failures, "kind"
        )
        yield from self._one("images_stored_total", "counter", "Images stored by this run.", self._stored)
        yield from self._one(
            "images_spent_total",
            "counter",
            "Images that may have been paid for in this run.",
            self._spent,
        )
        cost = cost_of(self._spent, self._price)
        if cost is not None:
            yield from self._one("cost_total", "counter", "What those may have cost, in the account's currency.", cost)
        yield from self._one("jobs_in_flight", "gauge", "Jobs between submission and end.", len(self._in_flight))
        yield from self._one("images_wanted", "gauge", "Images that the batch asks for.", self._wanted)
        yield from self._histogram()
        yield from self._one("run_start_timestamp_seconds", "gauge", "When the run began.", self._started_at)
        if self._ended is not None:
            at, exit_code = self._ended
            yield from self._one("run_end_timestamp_seconds", "gauge", "When the run ended.", at)
            yield from self._one("run_exit_code", "gauge", "What the run ended with; 0 if all is stored.", exit_code)

    def _one(self, name: str, kind: str, help_text: str, value: float) -> Iterator[str]:
        return self._metric(name, kind, help_text, {"": value}, "")

    def _metric(self, name: str, kind: str, help_text: str, values: Mapping[str, float], label: str) -> Iterator[str]:
        yield from _head(name, kind, help_text)
        for word, value in values.items():
            yield f"batchgen_{name}{self._labels(label, word)} {value!r}"

    def _histogram(self) -> Iterator[str]:
        name, durations = "job_duration_seconds", dict(self._durations)
        yield from _head(name, "histogram", "Seconds from the submission of a job to its end.")
        reached = 0
        for end in (*_BUCKETS, float("inf")):
            reached += durations.get(end, 0)
            yield f"batchgen_{name}_bucket{self._labels('le', '+Inf' if end == float('inf') else f'{end:g}')} {reached}"
        yield f"batchgen_{name}_sum{self._labels('', '')} {self._duration_s!r}"
        yield f"batchgen_{name}_count{self._labels('', '')} {reached}"

    def _labels(self, label: str, word: str) -> str:
        more = f',{label}="{_escaped(word)}"' if label else ""
        return f'{{batch_id="{_escaped(self._batch_id)}"{more}}}'


def _head(name: str, kind: str, help_text: str) -> tuple[str, str]:
    return f"# HELP batchgen_{name} {help_text}", f"# TYPE batchgen_{name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
