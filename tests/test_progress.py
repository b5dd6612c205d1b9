"""What a person sees while a run goes on."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from batchgen.cli.progress import ProgressView
from batchgen.lifecycle import Event, ImagesStored, JobCompleted, Record, Reopened, State, SubmitStarted, advance
from batchgen.model import RunId
from batchgen.ports import Progress
from tests.factories import a_request
from tests.test_lifecycle import IMAGE

SISTER = replace(IMAGE, sample=1)


def seen(record: Record, *events: Event, progress: Progress) -> ProgressView:
    """The view after these steps of one request."""
    view = ProgressView(StringIO())
    view.begun(progress)
    for event in events:
        after = advance(record, event, at=0.0, run_id=RunId("run"))
        view.changed(a_request(params={"samples": 2}), record, event, after)
        record = after
    return view


def test_images_that_were_there_are_not_counted_twice_when_their_request_is_opened_again() -> None:
    stored = Record(state=State.STORED, images=(IMAGE,), samples=2, spent=2)
    begun = Progress(wanted=2, stored=1, concurrency=1, simulated=False)
    both = (Reopened(), JobCompleted(urls=("a", "b")), ImagesStored(images=(SISTER,)))
    assert seen(stored, *both, progress=begun)._done == 2
    assert seen(stored, *both[:1], progress=begun)._done == 0


def test_images_of_a_request_that_ends_are_counted() -> None:
    begun = Progress(wanted=2, stored=0, concurrency=1, simulated=False)
    done = (SubmitStarted(samples=2), JobCompleted(urls=("a", "b")), ImagesStored(images=(IMAGE, SISTER)))
    assert seen(Record(), *done, progress=begun)._done == 2
