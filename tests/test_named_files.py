"""What a user names to be written: a file takes the place of a file, and of nothing else."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import batchgen
from batchgen import Settings
from batchgen.adapters.profiles import find_profile
from batchgen.named_files import place_of
from batchgen.simulator import Simulator, background
from tests.test_cli import MANIFEST
from tests.test_cli import batchgen as command

posix = pytest.mark.skipif(os.name != "posix", reason="FIFOs and such are POSIX's")


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


@posix
@pytest.mark.parametrize("put", [a_fifo, a_folder, a_link_to_a_fifo, a_link_to_itself])
def test_what_is_no_file_is_refused_by_its_name_and_what_it_is(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "named")
    with pytest.raises(batchgen.UsageError, match=r"--html .*/named: that is a .*; name a file"):
        place_of(tmp_path / "named", by="--html")


@posix
def test_a_socket_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # their names are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("named")
        with pytest.raises(batchgen.UsageError, match="--html named: that is a socket"):
            place_of("named", by="--html")


def test_a_link_leads_to_where_the_file_is_put_whether_one_is_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/file")
    for there in (False, True):
        if there:
            (tmp_path / "real/file").touch()
        assert place_of(tmp_path / "link", by="--html") == (tmp_path / "real/file").resolve()


@pytest.mark.parametrize("name", ["file", "nowhere/file", "x" * 300])
def test_what_is_not_there_yet_is_left_to_whoever_writes(tmp_path: Path, name: str) -> None:
    assert place_of(tmp_path / name, by="--html").name == Path(name).name


@posix
def test_the_file_that_the_program_prints_to_is_refused(tmp_path: Path) -> None:
    check = "import sys; from batchgen.named_files import place_of; place_of(sys.argv[1], by='--html')"
    with (tmp_path / "printed").open("w") as printed:
        program = [sys.executable, "-c", check, str(tmp_path / "printed")]
        done = subprocess.run(program, stdout=printed, stderr=subprocess.PIPE, text=True, check=False)
    assert "that is what this program prints to" in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a batch in it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "small.yaml").write_text(MANIFEST)
    batchgen.run(folder / "small.yaml", out=folder / "out")
    return folder


OTHERS = {
    "plan": ("plan", "small.yaml", "-o", "{}.csv"),
    "plan to be run": ("plan", "small.yaml", "-o", "{}.parquet"),
    "contact sheet": ("grid", "out", "{}.png"),
    "difference": ("diff", "out", "out", "--html", "{}.html"),
    "export": ("export", "out", "{}.jsonl", "--to", "jsonl"),
}


@posix
@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_no_command_puts_a_file_in_the_place_of_a_fifo(made: Path, words: tuple[str, ...]) -> None:
    words = tuple(word.format("fifo") for word in words)
    fifo = next(made / word for word in words if word.startswith("fifo"))
    os.mkfifo(fifo)
    done = command(*words, folder=made)
    assert (done.returncode, "that is a FIFO" in done.stderr, fifo.name in done.stderr) == (2, True, True)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("words", [OTHERS[name] for name in ("plan", "contact sheet", "difference")])
def test_every_command_writes_through_a_link_to_a_file(made: Path, words: tuple[str, ...]) -> None:
    words = tuple(word.format("link") for word in words)
    link = next(made / word for word in words if word.startswith("link"))
    target = made / f"target{link.suffix}"
    link.symlink_to(target.name)
    for _ in range(2):  # made, and replaced
        assert command(*words, folder=made).returncode == 0
        assert target.stat().st_size > 0
    assert link.is_symlink()


@posix
def test_a_metrics_file_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(MANIFEST)
    os.mkfifo(tmp_path / "fifo")
    simulator = Simulator(find_profile("simulator"))
    with background(simulator) as url:
        words = ("run", "small.yaml", "--base-url", url, "--metrics-file", "fifo")
        done = command(*words, folder=tmp_path)
    assert (done.returncode, "--metrics-file fifo: that is a FIFO" in done.stderr) == (2, True)
    assert simulator.audit().accepted == 0
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "small.yaml"]


def test_a_metrics_file_behind_a_link_is_written_where_the_link_leads(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(MANIFEST)
    (tmp_path / "real.prom").write_text("old")
    (tmp_path / "link.prom").symlink_to("real.prom")
    batchgen.run(tmp_path / "small.yaml", out=tmp_path / "out", settings=Settings(metrics_file=tmp_path / "link.prom"))
    assert "batchgen_run_exit_code" in (tmp_path / "real.prom").read_text()
    assert (tmp_path / "link.prom").is_symlink()
