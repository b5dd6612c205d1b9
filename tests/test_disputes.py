"""What was paid for and not delivered: told from events, and by `status --disputes`."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from io import StringIO
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import batchgen
from batchgen.adapters.profiles import find_profile
from batchgen.disputes import Dispute, disputes
from batchgen.lifecycle import (
    TABLE,
    AnswerLost,
    Event,
    GaveUp,
    ImagesLost,
    ImagesStored,
    JobCompleted,
    JobFailed,
    Record,
    Reopened,
    Resubmitted,
    State,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
    advance,
)
from batchgen.model import Failure, FailureKind, JobId, MissingImage, RunId
from batchgen.simulator import Simulator, background
from tests.test_lifecycle import EVENTS, IMAGE
from tests.test_run import Place

LOST = Failure(kind=FailureKind.ANSWER_LOST, message="reset")
FAILED = Failure(kind=FailureKind.JOB_FAILED, message="MODEL_ERROR")
GONE = Failure(kind=FailureKind.RESULT_LOST, message="410")
ACCEPTED, COMPLETED = SubmitAccepted(job_id=JobId("7")), JobCompleted(urls=("a", "b"))
STORED = ImagesStored(images=(IMAGE,))


def told(*events: Event, running: bool = False) -> list[tuple[float, str | None, str, int]]:
    timed = [(float(at), event) for at, event in enumerate(events)]
    return [
        (one.submitted_at, one.job_id, one.failure.kind.value, one.missing) for one in disputes(timed, running=running)
    ]


def test_a_lost_answer_names_the_job_that_it_named_and_is_forgotten_when_the_job_is_found() -> None:
    lost = AnswerLost(failure=LOST, job_id=JobId("7"))
    assert told(SubmitStarted(), lost) == [(0.0, "7", "answer_lost", 1)]
    assert told(SubmitStarted(), lost, ACCEPTED, COMPLETED, STORED) == []
    assert told(SubmitStarted(), lost, ACCEPTED) == []


def test_what_was_delivered_or_refused_is_no_dispute() -> None:
    assert told(SubmitStarted(), ACCEPTED, COMPLETED, STORED) == []
    assert told(SubmitStarted(), SubmitRefused(failure=FAILED), GaveUp(failure=FAILED)) == []
    assert told(SubmitStarted(), ACCEPTED) == []


def test_each_submission_that_failed_is_a_dispute_of_its_own_even_if_a_later_one_delivered() -> None:
    again = (SubmitStarted(), ACCEPTED, JobFailed(failure=FAILED, again=True))
    assert told(*again, *again, SubmitStarted(), ACCEPTED, COMPLETED, STORED) == [
        (0.0, "7", "job_failed", 1),
        (3.0, "7", "job_failed", 1),
    ]


def test_a_failed_job_is_in_dispute_for_what_its_links_did_not_give() -> None:
    linked = JobFailed(failure=FAILED, again=True, urls=("a",), job_id=JobId("7"))
    missing = MissingImage(sample=1, failure=FAILED)
    assert told(SubmitStarted(samples=2), linked) == []
    assert told(SubmitStarted(samples=2), linked, JobFailed(failure=FAILED, again=True)) == [
        (0.0, "7", "job_failed", 2)
    ]
    partly = ImagesStored(images=(IMAGE,), missing=(missing,))
    assert told(SubmitStarted(samples=2), linked, partly) == [(0.0, "7", "job_failed", 1)]


def test_a_lost_answer_is_a_dispute_whatever_was_done_about_it() -> None:
    lost = (SubmitStarted(), AnswerLost(failure=LOST))
    for later in ((), (GaveUp(failure=LOST),), (Resubmitted(), SubmitStarted(), ACCEPTED, COMPLETED, STORED)):
        assert told(*lost, *later) == [(0.0, None, "answer_lost", 1)]


def test_an_answer_that_a_killed_run_never_heard_is_a_dispute_and_one_on_its_way_is_none() -> None:
    assert told(SubmitStarted(samples=3)) == [(0.0, None, "answer_lost", 3)]
    assert told(SubmitStarted(), running=True) == []


def test_of_a_job_that_made_too_few_images_only_those_are_in_dispute() -> None:
    missing = MissingImage(sample=1, failure=GONE)
    stored = ImagesStored(images=(IMAGE,), missing=(missing,))
    assert told(SubmitStarted(), ACCEPTED, COMPLETED, stored) == [(0.0, "7", "result_lost", 1)]


def test_a_result_that_was_found_again_is_no_dispute() -> None:
    lost = (SubmitStarted(), ACCEPTED, COMPLETED, GaveUp(failure=GONE))
    assert told(*lost) == [(0.0, "7", "result_lost", 1)]
    assert told(*lost, Reopened(ask=True), COMPLETED, STORED) == []
    assert told(SubmitStarted(), ACCEPTED, COMPLETED, STORED, ImagesLost(samples=(0,)), COMPLETED, STORED) == []


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_no_submission_is_told_twice_and_none_that_was_refused(events: list[Event]) -> None:
    record, timed = Record(), []
    for at, event in enumerate(events):
        if (record.state, type(event)) in TABLE:
            record = advance(record, event, at=float(at), run_id=RunId("r"))
            timed.append((float(at), event))
    found: list[Dispute] = list(disputes(timed))
    started = [at for at, event in timed if isinstance(event, SubmitStarted)]
    assert all(a.submitted_at < b.submitted_at for a, b in pairwise(found))
    assert {one.submitted_at for one in found} <= set(started)
    refused = {before for (before, _), (_, event) in pairwise(timed) if isinstance(event, SubmitRefused)}
    assert refused.isdisjoint(one.submitted_at for one in found)
    # Of one that was refused the submission before it may still be in doubt.
    unheard = record.submitted_at if record.state in (State.IN_DOUBT, State.SUBMITTING) else None
    assert unheard is None or unheard in {one.submitted_at for one in found}


def test_the_report_is_a_table_for_the_provider_and_harmless_in_a_spreadsheet(tmp_path: Path) -> None:
    broken = Simulator(find_profile("simulator"), latency=(0, 0.01), failure_rate=1.0)
    with background(broken) as url:
        place = Place(tmp_path, broken, url)
        place.manifest.write_text(
            "profile: simulator\nprice_per_image: 0.5\nparams: {samples: 2, width: 16, height: 16}\n"
            "prompts: ['=cmd|calc', \"fox\\rowl\"]\n"
        )
        place.run()
    command = [sys.executable, "-m", "batchgen", "status", str(place.out), "--disputes"]
    done = subprocess.run(command, capture_output=True, check=True)
    rows = list(csv.DictReader(StringIO(done.stdout.decode(), newline="")))
    assert len(rows) == broken.audit().accepted == 6
    assert {row["prompt"] for row in rows} == {"'=cmd|calc", "fox\rowl"}
    assert {(row["kind"], row["accepted"], row["images"], row["cost"]) for row in rows} == {
        ("job_failed", "yes", "2", "1")
    }
    assert all(row["job_id"] and row["submitted_at"].endswith("+00:00") for row in rows)
    machine = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert [one["job_id"] for one in json.loads(machine.stdout)["disputes"]] == [row["job_id"] for row in rows]


def test_a_batch_without_disputes_gives_an_empty_table(tmp_path: Path) -> None:
    simulator = Simulator(find_profile("simulator"), latency=(0, 0.01))
    with background(simulator) as url:
        place = Place(tmp_path, simulator, url)
        place.run()
    command = [sys.executable, "-m", "batchgen", "status", str(place.out), "--disputes"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("submitted_at,kind,accepted,job_id,")
    assert len(done.stdout.splitlines()) == 1
    assert batchgen.status(place.out).doubts == []
