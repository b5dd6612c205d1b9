"""The index while a run goes on, and what lies beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

import batchgen
from batchgen.app import indexing
from batchgen.app.folder import BatchFolder
from batchgen.app.repeating import kept_up_to_date
from batchgen.errors import StorageFailed

MANIFEST = """
profile: simulator
batch_id: zoo
params: {width: 24, height: 16, samples: 1}
variables: {n: {from: 1, count: 6}}
prompts: ["A fox, number {n}"]
split: {train: 0.5, test: 0.5}
card: {license: cc0-1.0}
"""


async def test_the_index_is_brought_up_to_date_again_and_again_until_the_run_ends() -> None:
    calls, enough = 0, asyncio.Event()
    loop = asyncio.get_running_loop()

    def bring() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            loop.call_soon_threadsafe(enough.set)

    async with kept_up_to_date(bring, every=0.001):
        await enough.wait()
    ended_with = calls
    await asyncio.sleep(0)
    assert calls == ended_with >= 3


async def test_a_disk_that_takes_no_index_for_a_while_ends_no_run() -> None:
    calls, enough = 0, asyncio.Event()
    loop = asyncio.get_running_loop()

    def bring() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            loop.call_soon_threadsafe(enough.set)
        raise StorageFailed("full")

    async with kept_up_to_date(bring, every=0.001):
        await enough.wait()


async def test_a_bug_in_it_is_not_hidden() -> None:
    called = asyncio.Event()
    loop = asyncio.get_running_loop()

    def bring() -> None:
        loop.call_soon_threadsafe(called.set)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await _waited_for(called, bring)


async def _waited_for(event: asyncio.Event, bring: Callable[[], None]) -> None:
    async with kept_up_to_date(bring, every=0.001):
        await event.wait()


async def test_it_is_left_alone_where_nobody_wants_it_while_the_run_goes_on() -> None:
    def bring() -> None:
        raise AssertionError("nobody asked")

    async with kept_up_to_date(bring, every=0):
        await asyncio.sleep(0)


def test_a_run_leaves_index_tables_card_and_croissant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("zoo.yaml").write_text(MANIFEST)
    batchgen.run("zoo.yaml", settings=batchgen.Settings(index_every=0.01))
    folder = BatchFolder(tmp_path / "outputs/zoo")
    assert indexing.lacking(folder) == []
    names = {path.name for path in folder.root.iterdir()}
    assert {"README.md", "croissant.json", "metadata.parquet"} < names
    assert "license: cc0-1.0" in folder.card.read_text()
    before = {path.name: path.read_bytes() for path in folder.root.iterdir() if path.is_file()}
    folder.card.unlink()
    batchgen.run("zoo.yaml")
    assert {path.name: path.read_bytes() for path in folder.root.iterdir() if path.is_file()} == before
