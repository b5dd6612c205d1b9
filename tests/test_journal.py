"""The SQLite journal: what only a real file can show. The rest is in the contract tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.adapters.journal import JournalView, SQLiteJournal
from batchgen.adapters.journal.database import event_json
from batchgen.errors import StorageFailed, UsageError
from batchgen.lifecycle import TABLE, IllegalStep, JobCompleted, Record, State, SubmitAccepted, SubmitStarted, advance
from batchgen.model import JobId, RequestKey, RunId
from tests.test_lifecycle import EVENTS

RUN = RunId("run-1")
KEY = RequestKey("k")


def opened(path: Path, clock: float = 1_000.0) -> SQLiteJournal:
    return SQLiteJournal.open(path, run_id=RUN, clock=lambda: clock)


async def test_what_was_recorded_is_there_for_the_next_run(tmp_path: Path) -> None:
    async with opened(tmp_path / "j") as journal:
        before = await journal.record(KEY, SubmitStarted())
    async with opened(tmp_path / "j") as journal:
        assert journal.records([KEY]) == {KEY: before}
        after = await journal.record(KEY, SubmitAccepted(job_id=JobId("7")))
    assert (after.state, after.job_id, after.attempts) == (State.SUBMITTED, "7", 1)


@settings(max_examples=25, deadline=None)
@given(choices=st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(EVENTS)), max_size=40))
def test_the_events_on_disk_add_up_to_the_records_on_disk(
    tmp_path_factory: pytest.TempPathFactory, choices: list[tuple[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"

    async def record_all() -> None:
        async with opened(path) as journal:
            states = dict.fromkeys("abc", State.PLANNED)
            for key, event in choices:
                if (states[key], type(event)) in TABLE:
                    states[key] = (await journal.record(RequestKey(key), event)).state  # type: ignore[arg-type]

    asyncio.run(record_all())
    folded: dict[str, Record] = {}
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT request_key, at, run_id, event FROM events ORDER BY seq").fetchall()
    connection.close()
    for key, at, run_id, text in rows:
        event = event_json.validate_json(text)
        folded[key] = advance(folded.get(key, Record()), event, at=at, run_id=run_id)
    with JournalView(path) as view:
        assert view.records([RequestKey(key) for key in "abc"]) == folded


async def test_events_that_arrive_together_share_a_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path / "j") as journal:
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        await journal.record(KEY, SubmitStarted())
        journal.trace(count)
        await asyncio.gather(*(journal.record(RequestKey(str(n)), SubmitStarted()) for n in range(500)))
    assert 1 <= commits <= 50


async def test_an_illegal_step_fails_alone_among_those_written_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "j") as journal:
        await journal.record(KEY, SubmitStarted())
        steps = [(KEY, SubmitStarted()), *((RequestKey(str(n)), SubmitStarted()) for n in range(20))]
        answers = await asyncio.gather(*(journal.record(*step) for step in steps), return_exceptions=True)
    assert [isinstance(answer, Record) for answer in answers] == [False] + [True] * 20
    with JournalView(tmp_path / "j") as view:
        assert view.last_event() == 21


def test_a_kill_loses_no_event_whose_record_was_returned(tmp_path: Path) -> None:
    """A writer is killed with -9 in the middle; every event it had announced is in the file, and the file is whole."""
    program = textwrap.dedent("""
        import asyncio, sys, time
        from pathlib import Path
        from batchgen.adapters.journal import SQLiteJournal
        from batchgen.lifecycle import SubmitStarted

        async def main():
            journal = SQLiteJournal.open(Path(sys.argv[1]), run_id="r", clock=time.time)
            async def one(lane):
                for n in range(10**6):
                    await journal.record(f"{lane}-{n}", SubmitStarted())
                    print(f"{lane}-{n}", flush=True)
            await asyncio.gather(*(one(lane) for lane in range(20)))
        asyncio.run(main())
    """)
    path = tmp_path / "j"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        announced = [RequestKey(writer.stdout.readline().strip()) for _ in range(300)]
        writer.send_signal(signal.SIGKILL)
        announced += [RequestKey(line.strip()) for line in writer.stdout if line.endswith("\n")]
    with JournalView(path) as view:
        assert len(announced) >= 300
        assert set(view.records(announced)) == set(announced)


async def test_a_view_reads_while_a_run_writes(tmp_path: Path) -> None:
    async with opened(tmp_path / "j") as journal:
        journal.begin_run(json.dumps({}))
        await journal.record(KEY, SubmitStarted())
        with JournalView(tmp_path / "j") as view:
            assert view.tallies()[State.SUBMITTING].requests == 1
            assert view.runs() == [(RUN, 1_000.0)]
            await journal.record(KEY, SubmitAccepted(job_id=JobId("7")))
            assert set(view.tallies()) == {State.SUBMITTED}


def test_a_journal_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageFailed, match=r"newer batchgen .* upgrade"):
        opened(path)
    assert path.read_bytes() == before


FIRST_VERSION = """
CREATE TABLE runs (run_id TEXT PRIMARY KEY, started_at REAL NOT NULL, facts TEXT NOT NULL) STRICT;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, request_key TEXT NOT NULL, at REAL NOT NULL, run_id TEXT NOT NULL, event TEXT NOT NULL
) STRICT;
CREATE TABLE records (request_key TEXT PRIMARY KEY, state TEXT NOT NULL, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX records_by_state ON records (state);
INSERT INTO runs VALUES ('run-0', 900.0, '{"price_per_image": 0.5}');
INSERT INTO events VALUES
    (1, 'a', 901.0, 'run-0', '{"kind": "SubmitStarted", "samples": 2}'),
    (2, 'b', 902.0, 'run-0', '{"kind": "SubmitStarted"}'),
    (3, 'a', 903.0, 'run-0', '{"kind": "SubmitAccepted", "job_id": "7"}'),
    (4, 'b', 904.0, 'run-0', '{"kind": "AnswerLost", "failure": {"kind": "answer_lost", "message": "reset"}}');
INSERT INTO records VALUES ('a', 'submitted', '{"state": "submitted"}'), ('b', 'in_doubt', '{"state": "in_doubt"}');
PRAGMA application_id = 1650943342;
PRAGMA user_version = 1;
"""


def of_the_first_version(path: Path, more: str = "") -> Path:
    """A journal as an early version wrote it, with less in its records."""
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_VERSION + more)
    connection.close()
    return path


async def test_a_journal_of_an_older_version_is_brought_up_to_date_from_its_events(tmp_path: Path) -> None:
    path = of_the_first_version(tmp_path / "j")
    with pytest.raises(StorageFailed, match=r"older batchgen .* nothing is lost; a run .* brings it up to date"):
        JournalView(path)
    async with opened(path) as journal:
        records = journal.records([RequestKey("a"), RequestKey("b")])
        after = await journal.record(RequestKey("a"), JobCompleted(urls=("u",)))
    assert after.job_id == "7"
    assert {key: (record.state, record.spent, record.doubted) for key, record in records.items()} == {
        "a": (State.SUBMITTED, 2, 0),
        "b": (State.IN_DOUBT, 1, 1),
    }
    with JournalView(path) as view:
        assert view.runs() == [("run-0", 900.0)]
        assert view.tallies()[State.IN_DOUBT].doubted == 1
        assert [kept for _, kept, recounted in view.recounted() if kept != recounted] == []


@pytest.mark.parametrize(
    "event",
    ['{"kind": "Forgotten"}', '{"kind": "ImagesKept", "images": []}', "no JSON"],
    ids=["unknown", "in the wrong order", "unreadable"],
)
def test_an_older_journal_that_cannot_be_read_whole_is_refused_and_left_as_it_is(tmp_path: Path, event: str) -> None:
    path = of_the_first_version(tmp_path / "j", f"INSERT INTO events VALUES (5, 'b', 905.0, 'run-0', '{event}');")
    with pytest.raises(
        StorageFailed,
        match=r"cannot read all of it: its event 5 makes no sense\. .*go on with the batchgen that wrote it",
    ):
        opened(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT * FROM records WHERE request_key = 'a'").fetchone() is not None
        assert len(connection.execute("PRAGMA table_info(records)").fetchall()) == 3
    connection.close()


@pytest.mark.parametrize("open_it", [opened, JournalView])
def test_a_file_that_is_no_journal_is_refused_with_a_sentence(tmp_path: Path, open_it: object) -> None:
    (tmp_path / "j").write_bytes(b"not a database, surely" * 100)
    with pytest.raises(StorageFailed, match="cannot be used"):
        open_it(tmp_path / "j")  # type: ignore[operator]


def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageFailed, match="not a journal"):
        opened(path)
    assert path.read_bytes() == before


async def test_a_record_that_is_damaged_is_told_and_the_others_are_written(tmp_path: Path) -> None:
    async with opened(tmp_path / "j") as journal:
        await journal.record(KEY, SubmitStarted())
    with sqlite3.connect(tmp_path / "j") as connection:
        connection.execute("UPDATE records SET record = '{bad'")
    connection.close()
    async with opened(tmp_path / "j") as journal:
        with pytest.raises(StorageFailed, match="cannot be used"):
            await journal.record(KEY, SubmitAccepted(job_id=JobId("7")))
        assert (await journal.record(RequestKey("other"), SubmitStarted())).attempts == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_on_a_full_disk_the_answers_to_submissions_still_find_room_and_no_more_are_begun(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no file system can be mounted here")

    async def fill() -> tuple[int, int]:
        begun = accepted = 0
        async with opened(disk / "j") as journal:
            journal.begin_run("{}")
            (disk / "filler").write_bytes(bytes(3_000_000))
            with pytest.raises(StorageFailed, match="is full"):  # noqa: PT012  # which of them fails is open
                for n in range(100_000):
                    await journal.record(RequestKey(f"k{n}"), SubmitStarted())
                    begun += 1
            for n in range(max(0, begun - 64), begun):  # as many as might be on their way
                await journal.record(RequestKey(f"k{n}"), SubmitAccepted(job_id=JobId("j" * 40)))
                accepted += 1
        return begun, accepted

    try:
        begun, accepted = asyncio.run(fill())
        with JournalView(disk / "j") as view:
            assert view.tallies()[State.SUBMITTED].requests == accepted == min(64, begun) > 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_without_room_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "ballast").mkdir()
    journal = opened(tmp_path / "j")
    with pytest.raises(StorageFailed, match="Nothing was sent; make room"):
        journal.begin_run("{}")
    (tmp_path / "ballast").rmdir()
    journal.close()


def test_a_folder_without_a_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no batch"):
        JournalView(tmp_path / ".batchgen" / "journal.sqlite")


async def test_no_step_is_built_on_what_somebody_else_has_changed_meanwhile(tmp_path: Path) -> None:
    async with opened(tmp_path / "j") as journal, opened(tmp_path / "j") as other:
        await journal.record(KEY, SubmitStarted())
        await other.record(KEY, SubmitAccepted(job_id=JobId("7")))
        with pytest.raises(IllegalStep):
            await journal.record(KEY, SubmitAccepted(job_id=JobId("8")))
    with JournalView(tmp_path / "j") as view:
        assert [recounted.job_id for _, _, recounted in view.recounted()] == ["7"]
