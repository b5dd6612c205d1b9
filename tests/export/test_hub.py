"""Exports to the Hub: a server on this machine stands in for it, and huggingface_hub speaks to it over real sockets."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from batchgen.app.exporting import find_format
from batchgen.app.hub import Hub as HubPlace
from batchgen.app.pushing import push
from batchgen.errors import AccountBlocked, KeyMissing, StorageFailed, UsageError
from batchgen.export import Change
from tests.export.batches import make_batch, odd_batch
from tests.export.exports import exported
from tests.export.hub import ATTRIBUTES, TOKEN, Asked, Hub, pointer, serving
from tests.export.reading import Readers

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
#: Of huggingface_hub itself, which hands httpx a file in a way of old.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
FOLDER = find_format("imagefolder", {})
DEST = "hf://datasets/me/animals"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that is the one that huggingface_hub speaks to, without hf_xet."""
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
        huggingface_hub.close_session()


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """An odd batch, with nothing beside it."""
    return odd_batch(tmp_path / "beside/batch", 60)


def bytes_of(place: Path) -> dict[str, bytes]:
    """What is in every file of a folder."""
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def pushes_left(batch: Path) -> list[str]:
    """What pushes have left beside a batch."""
    return [path.name for path in batch.parent.iterdir() if ".push" in path.name]


@pytest.mark.parametrize(
    ("to", "options"), [("webdataset", {"shard_count": 7}), ("imagefolder", {"class_by": "class"}), ("parquet", {})]
)
def test_the_export_is_one_commit_of_a_dataset_that_nobody_else_sees(
    batch: Path, hub: Hub, tmp_path: Path, to: str, options: dict[str, Any]
) -> None:
    made = push(batch, DEST, find_format(to, options))
    assert (made.place, made.there_already) == (DEST, False)
    repository = hub.repositories["me/animals"]
    assert repository.private
    assert repository.files() == ATTRIBUTES | bytes_of(exported(batch, tmp_path / "here", to, **options))
    assert len(repository.commits) == 2  # the Hub's own, and ours
    assert pushes_left(batch) == []
    assert push(batch, DEST, find_format(to, options)).there_already
    assert len(repository.commits) == 2


def test_what_was_pushed_is_loaded_from_there_by_its_name(batch: Path, hub: Hub, tmp_path: Path) -> None:
    online = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    readers = Readers(tmp_path / "hf", online)
    try:
        for to, image in (("parquet", "image"), ("imagefolder", "image"), ("webdataset", "png")):
            push(batch, f"hf://datasets/me/{to}", find_format(to, {}))
            loaded = readers.read("datasets", f"me/{to}")
            numbers = {split: [row[image]["pixel"][0] for row in rows] for split, rows in loaded.items()}
            assert numbers == {
                "train": [n for n in range(60) if n % 5 and n % 10 != 9],
                "validation": [n for n in range(60) if n % 5 == 0],
            }
    finally:
        readers.close()


def test_a_folder_of_a_branch_and_a_single_file_are_places_too(batch: Path, hub: Hub, tmp_path: Path) -> None:
    repository = hub.made("me/animals", {"mine.txt": b"years of work"})
    repository.branches["next"] = repository.branches["main"]
    push(batch, f"{DEST}@next/in/folders/", FOLDER)
    push(batch, f"{DEST}@next/rows.csv", find_format("csv", {}))
    files = repository.files("next") or {}
    assert {name.split("/")[0] for name in files} == {"mine.txt", "in", "rows.csv", *ATTRIBUTES}
    here = bytes_of(exported(batch, tmp_path / "here", "imagefolder"))
    assert {name: files[f"in/folders/{name}"] for name in here} == here
    assert files["rows.csv"] == exported(batch, tmp_path / "rows.csv", "csv").read_bytes()
    assert push(batch, f"{DEST}@next/in/folders", FOLDER).there_already
    assert push(batch, f"{DEST}@next/rows.csv", find_format("csv", {})).there_already
    assert repository.files("main") == ATTRIBUTES | {"mine.txt": b"years of work"}


def test_large_files_go_through_xet_where_it_is_installed(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hf_xet")
    here = bytes_of(exported(batch, tmp_path / "here", "parquet"))
    with serving(tmp_path / "store") as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        push(batch, DEST, find_format("parquet", {}))
        huggingface_hub.close_session()
    files = hub.repositories["me/animals"].files() or {}
    assert files.keys() == here.keys() | ATTRIBUTES.keys()
    large = {name for name in here if name.endswith(".parquet")}
    assert {name: files[name] for name in large} == {name: pointer(sha256_of(here[name])) for name in large}
    assert hub.sent() == []
    assert sum(path.stat().st_size for path in (tmp_path / "store").rglob("*") if path.is_file()) > 10_000


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_push_that_was_refused_in_its_middle_shows_nothing_and_sends_only_what_is_missing(
    batch: Path, hub: Hub
) -> None:
    def full(asked: Asked) -> tuple[int, str] | None:
        return (400, "no more") if asked.method == "PUT" and len(hub.objects) >= 20 else None

    hub.interfere = full
    with pytest.raises(StorageFailed, match="Nothing of the export is to be seen there yet"):
        push(batch, DEST, FOLDER)
    assert hub.repositories["me/animals"].files() == ATTRIBUTES
    there = set(hub.objects)
    assert len(there) >= 20
    hub.asked.clear()
    hub.interfere = lambda _: None
    push(batch, DEST, FOLDER)
    assert not there & set(hub.sent())
    assert len(hub.repositories["me/animals"].commits) == 2


@pytest.mark.parametrize("xet", [False, True])
def test_a_push_killed_in_its_middle_shows_nothing_and_goes_on(tmp_path: Path, xet: bool) -> None:
    batch = make_batch(tmp_path / "batch", 60)
    command = [sys.executable, "-m", "batchgen", "export", str(batch), DEST, "--to", "imagefolder"]
    halfway, killed = Event(), Event()
    with serving(tmp_path / "store" if xet else None) as server:

        def stuck(asked: Asked) -> tuple[int, str] | None:
            if (asked.method == "PUT" and len(server.objects) >= 30) or "/commit/" in asked.path:
                halfway.set()
                killed.wait()
                return 503, "who asked is dead"
            return None

        environment = os.environ | {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "hf")}
        environment |= {"HF_HUB_DISABLE_XET": str(int(not xet))}
        server.interfere = stuck
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            assert halfway.wait(60)  # else it has ended, and this would wait for good
            process.send_signal(signal.SIGKILL)
        repository = server.repositories["me/animals"]
        assert repository.files() == ATTRIBUTES
        server.interfere = lambda _: None
        killed.set()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{DEST} holds images as imagefolder: 60 train" in done.stdout
    assert done.stderr == ""
    here = bytes_of(exported(batch, tmp_path / "here", "imagefolder"))
    if xet:
        here |= {name: pointer(sha256_of(here[name])) for name in here if name.endswith((".png", ".parquet"))}
    assert repository.files() == ATTRIBUTES | here
    assert len(repository.commits) == 2
    assert pushes_left(batch) == []


def test_a_commit_whose_answer_was_lost_is_found_by_the_next_push(batch: Path, hub: Hub) -> None:
    def lost(asked: Asked) -> tuple[int, str] | None:
        if "/commit/" not in asked.path:
            return None
        hub.interfere = lambda _: None
        hub.answer(asked)
        return 504, "gone"

    hub.interfere = lost
    with pytest.raises(StorageFailed, match="the same command goes on"):
        push(batch, DEST, FOLDER)
    assert push(batch, DEST, FOLDER).there_already
    assert len(hub.repositories["me/animals"].commits) == 2


def test_a_commit_of_somebody_elses_meanwhile_is_not_written_over(batch: Path, hub: Hub) -> None:
    def meanwhile(asked: Asked) -> tuple[int, str] | None:
        if "/commit/" in asked.path:
            hub.repositories["me/animals"].commit("main", ATTRIBUTES | {"thesis.txt": b"years of work"})
        return None

    hub.interfere = meanwhile
    with pytest.raises(StorageFailed, match="A commit has happened since"):
        push(batch, DEST, FOLDER)
    hub.interfere = lambda _: None
    with pytest.raises(UsageError, match="holds something else"):
        push(batch, DEST, FOLDER)
    assert hub.repositories["me/animals"].files() == ATTRIBUTES | {"thesis.txt": b"years of work"}


def test_a_place_that_holds_something_else_is_refused_before_anything_is_made(batch: Path, hub: Hub) -> None:
    repository = hub.made("me/animals", {"thesis/a.txt": b"years of work"})
    for dest, to in ((DEST, "imagefolder"), (f"{DEST}/thesis", "parquet")):
        with pytest.raises(UsageError, match=r"holds something else\. Nothing was changed"):
            push(batch, dest, find_format(to, {}))
        assert pushes_left(batch) == []
    with pytest.raises(UsageError, match="holds something else"):
        push(batch, f"{DEST}/thesis/a.txt", find_format("csv", {}))
    push(batch, f"{DEST}/export", FOLDER)
    with pytest.raises(UsageError, match="holds something else"):
        push(batch, f"{DEST}/export", FOLDER, change=Change(format="webp"))
    assert len(repository.commits) == 2


def test_an_export_to_the_same_place_that_is_no_longer_wanted_is_not_in_the_way(tmp_path: Path, hub: Hub) -> None:
    batch = odd_batch(tmp_path / "b", 5)
    hub.interfere = lambda asked: (400, "no") if asked.method == "PUT" else None
    with pytest.raises(StorageFailed):
        push(batch, DEST, FOLDER)
    assert len(pushes_left(batch)) == 1
    hub.interfere = lambda _: None
    push(batch, DEST, find_format("parquet", {}))
    assert pushes_left(batch) == []


def test_a_file_needs_a_name_in_the_dataset(batch: Path, hub: Hub) -> None:
    with pytest.raises(UsageError, match=r"is a whole dataset\. Name a file in it"):
        push(batch, DEST, find_format("jsonl", {}))
    assert hub.repositories == {}
    assert pushes_left(batch) == []


def test_a_dataset_that_leaves_files_out_of_commits_is_refused(batch: Path, hub: Hub) -> None:
    hub.made("me/animals", {".gitignore": b"*.png"})
    with pytest.raises(UsageError, match=r"has a \.gitignore"):
        push(batch, f"{DEST}/a", FOLDER)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    "made", [[f"{n % 5}/{n}.png" for n in range(25_001)], [f"train/{n}.png" for n in range(10_000)]]
)
def test_an_export_that_the_hub_would_refuse_in_the_end_is_refused_at_once(made: list[str]) -> None:
    with pytest.raises(UsageError, match="Export --to parquet or webdataset, which make few"):
        HubPlace(DEST).put(dict.fromkeys(made, Path("a")), lambda _: lambda _: None)


def test_neither_the_token_nor_a_signed_link_is_shown(
    batch: Path, hub: Hub, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.interfere = lambda asked: (403, f'{{"error": "not with {TOKEN}"}}') if asked.method == "PUT" else None
    with pytest.raises(AccountBlocked, match="does not take the token for this") as refused:
        push(batch, DEST, FOLDER)
    told = f"{refused.value}{caplog.text}{capfd.readouterr()}"
    assert "/store/" in told
    assert TOKEN not in told
    assert "signature=secret" not in told
    written = [path for path in batch.parent.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert written == []


def test_a_token_that_is_missing_or_refused_is_said_so(
    batch: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "another")
    with pytest.raises(AccountBlocked, match="set HF_TOKEN to one that may write"):
        push(batch, DEST, FOLDER)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(KeyMissing, match="needs an API key and HF_TOKEN is not set"):
        push(batch, DEST, FOLDER)
    assert hub.repositories == {}


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    "dest", ["hf://me/animals", "hf://datasets/me", "hf://buckets/me/a", "hf://", "hf://datasets/me/a@/x"]
)
def test_what_is_no_dataset_is_refused(tmp_path: Path, dest: str) -> None:
    with pytest.raises(UsageError, match=r"is no dataset on the Hub\. Name one, such as hf://datasets/me/animals"):
        push(odd_batch(tmp_path / "b", 2), dest, FOLDER)


def test_a_branch_that_is_not_there_is_refused(batch: Path, hub: Hub) -> None:
    hub.made("me/animals")
    with pytest.raises(UsageError, match=r"has no branch nope\. Make it with"):
        push(batch, f"{DEST}@nope", FOLDER)
