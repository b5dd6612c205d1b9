"""The command line: what people and scripts see."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

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
        ".batchgen", "README.md", "images", "metadata.parquet",
    ]  # fmt: skip


def test_results_go_to_standard_output_and_progress_to_standard_error(folder: Path) -> None:
    done = batchgen("run", "small.yaml", "--json", folder=folder)
    told = json.loads(done.stdout)
    assert told["images"] == {"stored": 2, "failed": 0, "in_doubt": 0, "pending": 0}
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


def test_a_folder_without_a_batch_ends_with_5(folder: Path) -> None:
    done = batchgen("status", "small", folder=folder)
    assert done.returncode == 5
    assert "holds no batch" in done.stderr


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
    command = [sys.executable, "-m", "batchgen", "simulate", "--json", "--latency", "0", "0"]
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
