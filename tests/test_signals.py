"""A signal at any moment of the program's life: the exit code is a documented one, and the right one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.adapters.profiles import find_profile
from batchgen.simulator import Simulator, background
from tests.test_run import Place

#: The program, with something that sends it a signal at one moment.
PROGRAM = """
import asyncio, atexit, os, sys
moment, number, loop = sys.argv.pop(1), int(sys.argv.pop(1)), sys.argv.pop(1)
if loop == "asyncio":
    sys.modules["uvloop"] = None

def send():
    os.kill(os.getpid(), number)

class Finder:
    def find_spec(self, name, *_):
        if name == moment:
            send()
        if moment in ("swallowed", "wrapped") and name == "aiohttp.client":
            try:
                send()
            except BaseException as ended:
                if moment == "wrapped":  # as pydantic does, where Python's compiler says nothing
                    raise ValueError("no schema") from ended

class Printing:
    def __init__(self, stream):
        self._stream = stream
    def write(self, text):
        send()
        return self._stream.write(text)
    def __getattr__(self, name):
        return getattr(self._stream, name)

class Left:
    def __del__(self, kill=os.kill, whom=os.getpid(), number=number):
        kill(whom, number)

from batchgen.__main__ import main
sys.meta_path.insert(0, Finder())
match moment:
    case "printing":
        sys.stdout = Printing(sys.stdout)
    case "complaining":
        sys.stderr = Printing(sys.stderr)
    case "loop closing":
        exit = asyncio.Runner.__exit__
        asyncio.Runner.__exit__ = lambda *raised: (exit(*raised), send())[0]
    case "writing":
        sync = os.fsync
        os.fsync = lambda file: (send(), sync(file))
    case "leaving":
        atexit.register(send)
    case "torn down":
        sys.left = Left()
main()
"""
GO_ON = "Run the same command again to go on."
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    simulator = Simulator(find_profile("simulator"), latency=(0.0, 0.0))
    with background(simulator) as url:
        yield Place(tmp_path, simulator, url)


def signalled(place: Place, moment: str, number: signal.Signals, loop: str) -> subprocess.CompletedProcess[str]:
    return program(moment, int(number), loop, *place.command("--json")[3:])


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@SIGNALS
@pytest.mark.parametrize("moment", ["click", "batchgen.cli.running", "pyarrow.parquet", "aiohttp.client", "yaml"])
def test_a_signal_while_a_run_is_still_loaded_ends_it_with_its_code_and_nothing_is_paid(
    place: Place, moment: str, number: signal.Signals
) -> None:
    done = signalled(place, moment, number, "asyncio")
    assert done.returncode == (130 if number == signal.SIGINT else 143), done.stderr
    # Arrow is loaded in a thread, while the plan is made: the run may hear of the signal when it is about to submit.
    heard = (
        f"Stopped by {number.name} before anything was sent. {GO_ON}",
        f"stopping: {number.name}; waiting for 0 jobs",
    )
    assert not done.stderr.strip() or done.stderr.startswith(heard), done.stderr
    assert "Traceback" not in done.stderr
    assert place.simulator.audit().accepted == 0
    assert not list(place.folder.rglob("*.part"))
    assert place.run().exit_code == 0


@SIGNALS
@pytest.mark.parametrize("moment", ["swallowed", "wrapped"])
def test_a_signal_of_which_others_make_something_else_ends_the_run_before_anything_is_paid(
    place: Place, moment: str, number: signal.Signals
) -> None:
    done = signalled(place, moment, number, "asyncio")
    assert done.returncode == (130 if number == signal.SIGINT else 143), done.stderr
    assert "a bug" not in done.stderr
    assert place.simulator.audit().accepted == 0
    assert place.run().exit_code == 0


@pytest.mark.parametrize("moment", ["click", "batchgen.app.running"])
def test_ctrl_c_amid_code_that_is_made_of_text_has_its_exit_code_too(tmp_path: Path, moment: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {moment!r}:
            exec("os.kill(os.getpid(), 2)", globals())  # as dataclasses make their methods
sys.meta_path.insert(0, Finder())
""")
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[1])))
    command = [sys.executable, "-m", "batchgen", "run", "nowhere.yaml"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "")


@SIGNALS
@pytest.mark.parametrize(
    ("moment", "loop"),
    [
        ("loop closing", "asyncio"),
        ("loop closing", "uvloop"),
        ("printing", "asyncio"),
        ("leaving", "asyncio"),
        ("torn down", "asyncio"),
    ],
)
def test_once_a_run_has_ended_no_signal_changes_its_exit_code(
    place: Place, moment: str, number: signal.Signals, loop: str
) -> None:
    done = signalled(place, moment, number, loop)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"]["stored"] == 6


def test_a_plan_that_is_ended_while_it_writes_leaves_nothing_half_written(place: Place) -> None:
    done = program("writing", int(signal.SIGTERM), "asyncio", "plan", place.manifest, "-o", place.folder / "all.csv")
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")
    assert [path.name for path in place.folder.iterdir()] == [place.manifest.name]


@SIGNALS
def test_a_signal_while_an_error_is_said_ends_the_program_with_its_code_and_no_traceback(
    place: Place, number: signal.Signals
) -> None:
    done = program("complaining", int(number), "asyncio", "plan", place.folder / "nowhere.yaml")
    assert (done.returncode, "Traceback" in done.stderr) == (130 if number == signal.SIGINT else 143, False)


def test_a_signal_that_was_to_be_ignored_is_ignored_before_and_after_a_run_too(place: Place) -> None:
    for moment in ("pyarrow.parquet", "printing"):
        arguments = [PROGRAM, moment, str(int(signal.SIGHUP)), "asyncio", *place.command("-q")[3:]]
        command = ["nohup", sys.executable, "-c", *arguments]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
