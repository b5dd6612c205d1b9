"""`batchgen export`: what people and scripts see."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from batchgen.cli import cli
from batchgen.cli.exporting import FORMATS as NAMED
from batchgen.export import FORMATS
from tests.export.batches import make_batch

#: Flags that every format takes, or that are about rows and pictures.
COMMON = {"out", "dest", "to", "where", "split", "shuffle", "seed", "limit", "convert", "quality", "resize"}
COMMON |= {"as_json", "quiet", "verbose"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "batchgen", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_takes_every_format_and_every_option_there_is() -> None:
    assert tuple(FORMATS) == NAMED
    options = {field.name for kind in FORMATS.values() for field in fields(kind)}  # type: ignore[arg-type]
    assert {str(parameter.name) for parameter in cli.commands["export"].params} == options | COMMON


def test_an_export_says_what_it_made_and_the_next_that_it_is_there(batch: Path, tmp_path: Path) -> None:
    arguments = (batch, tmp_path / "out", "--to", "imagefolder", "--where", "class = 'fox'", "--limit", 7)
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'out'} holds images as imagefolder: 5 train, 2 validation\n"
    assert "holds this very export already" in run(*arguments).stdout
    told = json.loads(run(*arguments, "--json").stdout)
    assert told["rows"] == {"train": 5, "validation": 2}
    assert told["there_already"] is True


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--to", "webdataset", "--class-by", "class"), "--class-by says nothing to webdataset; it is for imagefolder"),
        (("--to", "csv", "--convert", "jpeg"), "csv holds no images"),
        (("--to", "imagefolder", "--seed", "1"), "--seed says nothing without --shuffle"),
        (("--to", "imagefolder", "--quality", "80"), "--quality says nothing"),
        (("--to", "imagefolder", "--resize", "0"), "is no size"),
        (("--to", "webdataset", "--shard-size", "huge"), "is no size"),
        (("--to", "imagefolder", "--link", "hard", "--resize", "8"), "leave out --convert and --resize"),
        (("--to", "preference"), "needs --chosen-by COLUMN"),
        (("--to", "preference", "--chosen-by", "nope"), "no such column"),
        (("--to", "preference", "--chosen-by", "submitted_at"), "says nothing about what is preferred"),
        (("--to", "lora", "--class-by", "nope"), "no such column"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_sentence_and_leaves_nothing(
    batch: Path, tmp_path: Path, flags: tuple[str, ...], complaint: str
) -> None:
    done = run(batch, tmp_path / "out", *flags)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_an_index_is_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "out", "--to", "csv")
    assert (done.returncode, "holds no index yet" in done.stderr) == (2, True)


def test_on_a_terminal_a_bar_shows_the_progress(batch: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "batchgen", "export", str(batch), str(tmp_path / "out"), "--to", "webdataset"]
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL) as export:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end of a terminal is closed
            while chunk := os.read(ours, 4096):
                seen += chunk
    os.close(ours)
    assert export.returncode == 0
    assert b"54/54 [" in seen


def test_an_interrupted_export_says_how_to_go_on(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "batch", 200)
    command = [sys.executable, "-m", "batchgen", "export", str(batch), str(tmp_path / "out"), "--to", "imagefolder"]
    with subprocess.Popen([*command, "--resize", "300x300"], stderr=subprocess.PIPE, text=True) as export:
        while not (tmp_path / ".out.part/train").exists():
            assert export.poll() is None
        export.send_signal(signal.SIGINT)
        _, said = export.communicate()
    assert (export.returncode, said.strip()) == (130, "interrupted; the same command goes on")
    assert not (tmp_path / "out").exists()
