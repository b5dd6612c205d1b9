"""The command line: what people and scripts see."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from batchgen.cli import _Commands
from batchgen.cli.running import command_line

MANIFEST = """\
batch_id: small
profile: simulator
params: {width: 16, height: 16}
prompts: [A red fox, A toucan]
"""


def batchgen(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "batchgen", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(MANIFEST)
    return tmp_path


def test_run_says_where_things_are_and_what_to_do_next(folder: Path) -> None:
    done = batchgen("run", "small.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 images stored in outputs/small" in done.stdout
    assert "metadata.parquet" in done.stdout
    assert "simulated" in done.stderr
    assert sorted(path.name for path in (folder / "outputs/small").iterdir()) == [
        ".batchgen", "README.md", "croissant.json", "images", "metadata.parquet", "report.html",
    ]  # fmt: skip


def test_results_go_to_standard_output_and_progress_to_standard_error(folder: Path) -> None:
    done = batchgen("run", "small.yaml", "--json", folder=folder)
    told = json.loads(done.stdout)
    assert told["images"] == {"stored": 2, "rejected": 0, "failed": 0, "in_doubt": 0, "pending": 0}
    assert (told["batch_id"], told["exit_code"]) == ("small", 0)
    assert "2 images to go" in done.stderr


def test_quiet_says_nothing_when_all_is_well(folder: Path) -> None:
    done = batchgen("run", "small.yaml", "-q", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_on_a_terminal_a_bar_shows_the_progress(folder: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "batchgen", "run", "small.yaml"], cwd=folder, stderr=theirs) as run:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:  # how Linux says that the other end of a terminal is closed
            pass
    os.close(ours)
    assert run.returncode == 0
    assert b"2/2 [" in seen
    assert b"in flight" in seen


def test_plan_sends_and_writes_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    done = batchgen("plan", "small.yaml", "--param", "samples=3", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "2 requests for 6 images of 2 prompts" in done.stdout
    assert "'A red fox'" in done.stdout
    assert sorted(folder.rglob("*")) == before


def test_plan_counts_duplicates_and_the_cost(folder: Path) -> None:
    (folder / "rows.csv").write_text("prompt,class\nfox,a\nowl,b\nfox,c\n")
    done = batchgen("plan", "rows.csv", "--profile", "simulator", "--json", folder=folder)
    told = json.loads(done.stdout)
    assert (told["requests"], told["duplicates"], told["cost"]) == (2, 1, 0.0)
    assert told["first"][0]["labels"] == {"class": "a"}


def test_a_bad_manifest_ends_with_2_and_every_problem_on_its_own_line(folder: Path) -> None:
    (folder / "bad.yaml").write_text("batchid: x\nparams: {samples: 5, guidance_scale: 25}\nprompts: [fox, '']\n")
    done = batchgen("run", "bad.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("bad.yaml:") for line in lines)
    assert "Did you mean batch_id?" in lines[0]
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "nowhere.yaml"), "nowhere.yaml"),
        (("run", "."), "folder"),
        (("run", "small.yaml", "--profile", "sd33"), "sd3"),
        (("run", "small.yaml", "--param", "smaples=2"), "samples"),
        (("run", "small.yaml", "--param", "samples"), "name=value"),
        (("run", "small.yaml", "--rate", "fast"), "5/s"),
        (("run", "small.yaml", "--max-runtime", "long"), "10m"),
        (("run", "small.yaml", "--retry", "all"), "failed"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_a_wrong_command_ends_with_2_and_a_sentence(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = batchgen(*arguments, folder=folder)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_a_batch_ends_with_2_and_a_sentence(folder: Path) -> None:
    status = batchgen("status", "small", folder=folder)
    grid = batchgen("grid", "small", "sheet.png", folder=folder)
    assert (status.returncode, grid.returncode) == (2, 2)
    assert "There is no folder small." in status.stderr
    assert "holds no index" in grid.stderr


def test_a_reader_that_has_gone_changes_no_exit_code(folder: Path) -> None:
    command = f"{sys.executable} -m batchgen run small.yaml"
    done = subprocess.run(["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"], cwd=folder, check=False)
    full = subprocess.run(["bash", "-c", f"{command} > /dev/full"], cwd=folder, capture_output=True, check=False)
    assert (done.returncode, full.returncode, full.stderr) == (0, 0, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("full", ["2>/dev/full", ">/dev/full 2>/dev/full"])
def test_a_good_run_ends_with_0_though_nothing_of_it_can_be_said(folder: Path, full: str, unbuffered: str) -> None:
    command = f"{sys.executable} -m batchgen run small.yaml -o out {full}"
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert ("2 of 2 images stored" in done.stdout) is (not full.startswith(">"))


@pytest.mark.parametrize(("asked", "code"), [("run --help", 0), ("--version", 0), ("", 2)])
def test_help_that_cannot_be_shown_is_no_bug(folder: Path, asked: str, code: int) -> None:
    nowhere = (">/dev/full", "2>/dev/full >&2", "| true; exit ${PIPESTATUS[0]}")
    for place, unbuffered in ((nowhere[0], "1"), *((place, "") for place in nowhere)):
        command = f"{sys.executable} -m batchgen {asked} {place}"
        environment = os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, b"a bug in batchgen:" in done.stderr) == (code, False), (place, unbuffered)
    assert not list(folder.glob("batchgen-bug-*"))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_caller_that_has_closed_the_standard_handles_changes_nothing(folder: Path, closed: str) -> None:
    command = f"{sys.executable} -m batchgen run small.yaml -o out {closed}"
    assert subprocess.run(["bash", "-c", command], cwd=folder, check=False).returncode == 0
    assert batchgen("check", "out", folder=folder).returncode == 0


def test_a_terminal_that_cannot_show_a_prompt_is_shown_what_it_can(folder: Path) -> None:
    (folder / "small.yaml").write_text("prompts: [A 🦊 in 漢字]\n", encoding="utf-8")
    done = batchgen("plan", "small.yaml", folder=folder, PYTHONIOENCODING="latin-1")
    assert (done.returncode, "1 request" in done.stdout) == (0, True)


def test_an_error_is_an_object_for_machines_too(folder: Path) -> None:
    done = batchgen("run", "nowhere.yaml", "--json", folder=folder)
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"]) == (2, 2)
    assert "nowhere.yaml" in told["error"]


def test_a_command_that_cannot_be_is_an_object_for_machines_too(folder: Path) -> None:
    done = batchgen("plan", "small.yaml", "--explain", "--frozen", "--json", folder=folder)
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"]) == (2, 2)
    assert "ask one at a time" in told["error"]


def test_problems_are_counted_for_machines_too(folder: Path) -> None:
    (folder / "rows.csv").write_text("prompt,samples\n" + "A fox,9\n" * 1_200)
    told = json.loads(batchgen("plan", "rows.csv", "--json", folder=folder).stdout)
    assert told["problems"] == 1_200


def test_the_command_to_go_on_with_leaves_out_what_was_meant_for_one_time() -> None:
    typed = "batchgen run m.yaml --max-images 2 -q --retry=failed --in-doubt retry --base-url http://u:pw@host/ -o x"
    assert command_line(typed.split()) == ["batchgen", "run", "m.yaml", "--base-url", "http://host/", "-o", "x"]


def test_what_was_refused_leaves_no_folder_behind(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    (folder / "rows.csv").write_text("prompt,samples\nfox,9\n")
    for arguments in (
        ("run", "rows.csv"),
        ("run", "small.yaml", "--base-url", "ftp://x"),
        ("run", "small.yaml", "--profile", "sd3"),
    ):
        assert batchgen("run", *arguments, folder=folder, IMAGEPIPELINE_API_KEY="").returncode in (2, 4)
    (folder / "rows.csv").unlink()
    assert sorted(folder.rglob("*")) == before


def test_the_copy_of_the_manifest_in_the_batch_folder_runs(folder: Path) -> None:
    batchgen("run", "small.yaml", folder=folder)
    out = "outputs/small"
    again = batchgen("run", f"{out}/.batchgen/manifest.yaml", "-o", out, "--limit", "1", folder=folder)
    assert again.returncode == 0, again.stderr


def test_a_run_is_stopped_while_it_still_plans(folder: Path) -> None:
    (folder / "rows.csv").write_text("prompt\n" + "\n".join(f"fox {n}" for n in range(300_000)))
    command = [sys.executable, "-m", "batchgen", "run", "rows.csv", "--profile", "simulator"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        while not list(folder.glob("outputs/rows/.batchgen/*.part")):
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        _, said = run.communicate()
    assert run.returncode == 130
    assert "before anything was sent" in said


def test_a_flag_goes_before_the_environment_and_the_environment_before_the_manifest(folder: Path) -> None:
    by_environment = batchgen("plan", "small.yaml", "--json", folder=folder, BATCHGEN_BATCH_ID="from-environment")
    by_flag = batchgen(
        "plan", "small.yaml", "--json", "--batch-id", "from-flag", folder=folder, BATCHGEN_BATCH_ID="from-environment"
    )
    assert [json.loads(done.stdout)["batch_id"] for done in (by_environment, by_flag)] == [
        "from-environment",
        "from-flag",
    ]


def test_a_key_is_read_from_a_file_that_only_its_owner_may_read(folder: Path) -> None:
    key = folder / "key"
    key.write_text("secret\n")
    key.chmod(0o644)
    environment = {"IMAGEPIPELINE_API_KEY": "", "IMAGEPIPELINE_API_KEY_FILE": str(key)}
    arguments = ("run", "small.yaml", "--profile", "sd3", "--base-url", "http://127.0.0.1:1", "--max-wait", "0")
    refused = batchgen(*arguments, folder=folder, **environment)
    assert (refused.returncode, "chmod 600" in refused.stderr) == (2, True)
    key.chmod(0o600)
    taken = batchgen(*arguments, folder=folder, **environment)
    assert taken.returncode == 6
    assert "secret" not in taken.stderr + taken.stdout


def test_status_is_told_to_people_and_to_machines(folder: Path) -> None:
    batchgen("run", "small.yaml", folder=folder)
    for_people = batchgen("status", "outputs/small", folder=folder)
    for_machines = json.loads(batchgen("status", "outputs/small", "--json", folder=folder).stdout)
    assert "2 of 2 images stored; no run is working on it" in for_people.stdout
    assert for_machines["images"] == {"wanted": 2, "stored": 2}
    assert for_machines["requests"]["stored"] == 2


def test_grid_draws_the_batch(folder: Path) -> None:
    batchgen("run", "small.yaml", folder=folder)
    assert batchgen("grid", "outputs/small", "sheet.png", folder=folder).returncode == 0
    assert (folder / "sheet.png").read_bytes().startswith(b"\x89PNG")
    refused = batchgen("grid", "outputs/small", "sheet.xyz", folder=folder)
    assert (refused.returncode, ".png" in refused.stderr) == (2, True)


def test_schema_prints_a_json_schema_that_knows_the_manifest(folder: Path) -> None:
    schema = json.loads(batchgen("schema", folder=folder).stdout)
    assert {"batch_id", "prompts", "params", "concurrency"} <= set(schema["properties"])


def test_the_simulator_serves_until_it_is_interrupted(folder: Path) -> None:
    command = [sys.executable, "-m", "batchgen", "simulate", "--json", "--latency", "fixed:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as simulator:
        assert simulator.stdout is not None
        url = json.loads(simulator.stdout.readline())["url"]
        done = batchgen("run", "small.yaml", "--base-url", url, folder=folder)
        simulator.send_signal(2)
    assert done.returncode == 0, done.stderr
    assert simulator.returncode == 0


def test_help_names_every_exit_code(folder: Path) -> None:
    text = batchgen("--help", folder=folder).stdout
    for code in ("0", "2", "3", "4", "5", "6", "7", "130", "143", "1"):
        assert f"  {code}  " in text or f" {code} " in text


def test_a_log_that_cannot_be_written_ends_no_run(folder: Path) -> None:
    state = folder / "outputs/small/.batchgen"
    state.mkdir(parents=True)
    (state / "run.jsonl").symlink_to("/dev/full")
    done = batchgen("run", "small.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "outputs/small/metadata.parquet").is_file()


def test_a_terminal_that_is_gone_changes_no_exit_code(folder: Path) -> None:
    for arguments, code in ((("run", "nowhere.yaml"), 2), (("run", "small.yaml", "--limit", "0"), 2)):
        command = [sys.executable, "-m", "batchgen", *arguments]
        with open("/dev/full", "w") as full:  # noqa: PTH123
            assert subprocess.run(command, cwd=folder, stderr=full, check=False).returncode == code


def test_names_need_no_locale_and_those_that_are_not_utf_8_are_refused_in_words(folder: Path) -> None:
    (folder / "small.yaml").rename(folder / "fähre.yaml")
    arguments = ("run", "fähre.yaml", "-o", "out/ü", "-q")
    for mode in ("", "0"):
        done = batchgen(*arguments, folder=folder, LC_ALL="C", PYTHONUTF8=mode, PYTHONCOERCECLOCALE="0")
        assert (done.returncode, done.stderr, (folder / "out/ü/metadata.parquet").is_file()) == (0, "", True)
    odd = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"batchgen", b"plan", b"f\xe4hre.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (odd.returncode, "is not UTF-8" in odd.stderr) == (2, True)


def test_a_signal_that_was_to_be_ignored_is_ignored(folder: Path) -> None:
    (folder / "many.yaml").write_text(MANIFEST.replace("[A red fox, A toucan]", str([f"fox {n}" for n in range(60)])))
    command = f"trap '' HUP; exec {sys.executable} -m batchgen run many.yaml -q"
    with subprocess.Popen(["bash", "-c", command], cwd=folder) as run:
        while not (folder / "outputs/small/.batchgen/simulator.jsonl").exists():
            assert run.poll() is None
        run.send_signal(signal.SIGHUP)
    assert run.returncode == 0


def test_status_of_a_folder_whose_plan_is_gone_says_what_the_journal_knows(folder: Path) -> None:
    batchgen("run", "small.yaml", folder=folder)
    (folder / "outputs/small/.batchgen/plan.parquet").unlink()
    done = batchgen("status", "outputs/small", folder=folder)
    assert (done.returncode, "plan.parquet is missing" in done.stderr) == (5, True)


def test_a_run_imports_no_pandas_which_arrow_would_and_leaves_it_to_whoever_asks(folder: Path) -> None:
    code = (
        "import sys; from batchgen.app.settings import Settings; from batchgen.cli.running import run_to_exit_code;"
        "run_to_exit_code('small.yaml', out=None, settings=Settings(), as_json=False, quiet=True, verbose=0);"
        "print('pandas' in sys.modules);"
        "import pyarrow.parquet as pq; print(len(pq.read_table('outputs/small/metadata.parquet').to_pandas()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "2"], done.stderr


def test_the_folder_to_go_on_with_is_named_before_what_ends_the_flags() -> None:
    typed = ["batchgen", "run", "--", "nightly.yaml"]
    assert command_line(typed, out=Path("outputs/n")) == ["batchgen", "run", "-o", "outputs/n", "--", "nightly.yaml"]


def test_a_picture_that_can_only_be_read_is_no_format_to_write(folder: Path) -> None:
    done = batchgen("grid", "small", "sheet.psd", folder=folder)
    assert done.returncode == 2
    assert "no ending of a known picture format" in done.stderr


def test_a_pipe_that_breaks_within_a_command_is_no_quiet_end() -> None:
    @click.command("break")
    def breaks() -> None:
        raise BrokenPipeError(errno.EPIPE, "broken")

    with pytest.raises(RuntimeError, match="not the output"):
        _Commands("batchgen", commands=[breaks]).main(["break"], standalone_mode=False)


def test_caches_of_imports_may_be_invalidated_before_arrow_is_loaded_and_after() -> None:
    program = (
        "import importlib; from batchgen.cli.running import _be_thrifty; _be_thrifty();"
        "importlib.invalidate_caches(); import pyarrow; importlib.invalidate_caches()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
