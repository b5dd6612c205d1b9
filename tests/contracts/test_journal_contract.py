"""What `ports.Journal` promises. What only a real file can show is in `test_journal.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.adapters.journal import SQLiteJournal
from batchgen.lifecycle import (
    OPEN,
    Event,
    IllegalStep,
    JobCompleted,
    Record,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
    advance,
)
from batchgen.model import Failure, FailureKind, JobId, RequestKey, RunId
from batchgen.testing import MemoryJournal
from tests.test_lifecycle import EVENTS

RUN = RunId("run-1")
KEY, OTHER = RequestKey("a"), RequestKey("b")
ACCEPTED = SubmitAccepted(job_id=JobId("j"), early_urls=("https://host/1",))

AnyJournal = SQLiteJournal | MemoryJournal


def _sqlite(folder: Path, clock: Callable[[], float]) -> AnyJournal:
    return SQLiteJournal.open(folder / "journal.sqlite", run_id=RUN, clock=clock)


def _memory(_: Path, clock: Callable[[], float]) -> AnyJournal:
    return MemoryJournal(run_id=RUN, clock=clock)


#: A further journal is added here.
JOURNALS: list[Callable[[Path, Callable[[], float]], AnyJournal]] = [_sqlite, _memory]


class Clock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=JOURNALS, ids=lambda opened: opened.__name__.strip("_"))
async def journal(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[AnyJournal]:
    opened: AnyJournal = request.param(tmp_path, clock)
    async with opened:
        yield opened


async def test_a_new_journal_knows_nothing(journal: AnyJournal) -> None:
    assert journal.records([KEY]) == {}
    assert list(journal.unfinished()) == []


async def test_recording_gives_the_record_that_the_events_add_up_to(journal: AnyJournal, clock: Clock) -> None:
    await journal.record(KEY, SubmitStarted())
    clock.time = 1_002.0
    record = await journal.record(KEY, ACCEPTED)
    expected = advance(Record(), SubmitStarted(), at=1_000.0, run_id=RUN)
    assert record == advance(expected, ACCEPTED, at=1_002.0, run_id=RUN)
    assert journal.records([KEY]) == {KEY: record}


async def test_records_gives_only_the_keys_that_are_asked_for_and_have_events(journal: AnyJournal) -> None:
    await journal.record(KEY, SubmitStarted())
    await journal.record(OTHER, SubmitStarted())
    assert set(journal.records([OTHER, RequestKey("never")])) == {OTHER}
    assert journal.records([]) == {}


async def test_an_event_that_cannot_happen_is_refused_and_changes_nothing(journal: AnyJournal) -> None:
    before = await journal.record(KEY, SubmitStarted())
    with pytest.raises(IllegalStep):
        await journal.record(KEY, SubmitStarted())
    with pytest.raises(IllegalStep):
        await journal.record(OTHER, ACCEPTED)
    assert journal.records([KEY, OTHER]) == {KEY: before}


async def test_an_illegal_event_beside_others_harms_none_of_them(journal: AnyJournal) -> None:
    keys = [RequestKey(f"k{n}") for n in range(20)]
    steps = [journal.record(key, ACCEPTED if n % 5 == 0 else SubmitStarted()) for n, key in enumerate(keys)]
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    refused = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, IllegalStep)]
    assert refused == [0, 5, 10, 15]
    assert len(journal.records(keys)) == 16


async def test_unfinished_names_what_the_api_may_hold_something_paid_for(journal: AnyJournal) -> None:
    refused = SubmitRefused(failure=Failure(kind=FailureKind.BUSY, message="busy"))
    await journal.record(KEY, SubmitStarted())
    await journal.record(OTHER, SubmitStarted())
    assert set(journal.unfinished()) == {KEY, OTHER}
    await journal.record(OTHER, refused)
    assert set(journal.unfinished()) == {KEY}


async def test_text_of_any_script_comes_back_as_it_was(journal: AnyJournal) -> None:
    event = JobCompleted(
        urls=("https://host/狐?a=%2F&b=\u2028",), job_id=JobId("лиса'\"\\"), response='{"a": "\u00e9"}'
    )
    await journal.record(KEY, SubmitStarted())
    record = await journal.record(KEY, event)
    assert journal.records([KEY]) == {KEY: record}
    assert (record.urls, record.job_id, record.response) == (event.urls, event.job_id, event.response)


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from([KEY, OTHER]), st.sampled_from(EVENTS)), max_size=25))
@pytest.mark.parametrize("opened", JOURNALS, ids=lambda opened: opened.__name__.strip("_"))
def test_a_journal_holds_what_the_table_makes_of_any_events(
    opened: Callable[[Path, Callable[[], float]], AnyJournal],
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[RequestKey, Event]],
) -> None:
    asyncio.run(_same_as_the_table(opened(tmp_path_factory.mktemp("journal"), lambda: 5.0), steps))


async def _same_as_the_table(opened: AnyJournal, steps: list[tuple[RequestKey, Event]]) -> None:
    expected: dict[RequestKey, Record] = {}
    async with opened as journal:
        for key, event in steps:
            try:
                record = advance(expected.get(key, Record()), event, at=5.0, run_id=RUN)
            except IllegalStep:
                with pytest.raises(IllegalStep):
                    await journal.record(key, event)
            else:
                expected[key] = await journal.record(key, event)
                assert expected[key] == record
        assert journal.records([KEY, OTHER]) == expected
        assert set(journal.unfinished()) == {key for key, record in expected.items() if record.state in OPEN}


async def test_states_are_those_of_the_records(journal: AnyJournal) -> None:
    await journal.record(KEY, SubmitStarted())
    await journal.record(OTHER, SubmitStarted())
    await journal.record(OTHER, ACCEPTED)
    keys = [KEY, OTHER, *(RequestKey(f"none-{n}") for n in range(2_000))]
    assert journal.states(keys) == {key: record.state for key, record in journal.records(keys).items()}
    assert len(journal.states(keys)) == 2
