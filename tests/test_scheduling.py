"""docs/scheduling.md, exercised: the crontab as cron runs it, units as systemd reads them, commands of the workflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchgen.adapters.profiles import find_profile
from batchgen.simulator import Simulator, background

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs/scheduling.md").read_text()
#: What Debian's cron gives to what it starts, and no more.
OF_CRON = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "foxes"}
LOCALES = [{}, {"LC_ALL": "C"}, {"LANG": "POSIX"}]
#: Python can be told to know ASCII alone; names on the command line are lost then, and nothing else may be.
ASCII_ALONE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def block(mark: str) -> str:
    return DOCUMENT.split(f"<!-- {mark} -->")[1].split("```")[1].split("\n", 1)[1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder as /srv/foxes may be, with batchgen where a virtual environment has it."""
    program = tmp_path / ".venv/bin/batchgen"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m batchgen "$@"\n')
    program.chmod(0o755)
    manifest = next(text for text in re.findall(r"```yaml\n(.*?)```", DOCUMENT, flags=re.DOTALL) if "more.csv" in text)
    (tmp_path / "nightly.yaml").write_text(manifest.replace("512", "16"))
    (tmp_path / "more.csv").write_text("prompt\nein Füchslein im Schnee ❄\n雪の中の狐\n", encoding="utf-8")
    return tmp_path


def crontab(place: Path) -> tuple[dict[str, str], list[str]]:
    """What the crontab sets, and the commands that it starts."""
    lines = [line for line in block("crontab").replace("/srv/foxes", str(place)).splitlines() if line[:1] != "#"]
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    return settings, [line.split(None, 5)[5] for line in lines if re.match(r"[\d*]", line)]


def as_cron(command: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    assert not re.search(r"(?<!\\)%", command)  # cron would cut it there
    told = OF_CRON | {"HOME": str(home)} | environment
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=home,
        env=told,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def index(out: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(out / "metadata.parquet").to_pylist()
    return rows


def test_the_crontab_runs_in_the_environment_of_cron_and_mails_nothing(place: Path, tmp_path: Path) -> None:
    settings, (nightly, late) = crontab(place)
    home = tmp_path / "home"
    home.mkdir()
    assert settings["SHELL"] == "/bin/sh"
    for command in (nightly, late, nightly):
        done = as_cron(command, home, **settings)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (out,) = (place / "outputs").iterdir()
    assert re.fullmatch(r"night-\d{4}-\d\d-\d\d", out.name)
    assert [row["prompt"] for row in index(out)] == ["ein Füchslein im Schnee ❄", "雪の中の狐"]
    assert json.loads((out / ".batchgen/last-run.json").read_text())["exit_code"] == 0
    assert list(home.iterdir()) == []


def test_the_late_line_finishes_what_a_night_has_left(place: Path) -> None:
    settings, (nightly, late) = crontab(place)
    early = as_cron(f"{nightly} --max-images 1", place, **settings)
    assert (early.returncode, early.stdout) == (6, "")
    assert "1 pending" in early.stderr
    assert as_cron(late, place, **settings).returncode == 0
    (out,) = (place / "outputs").iterdir()
    assert [row["status"] for row in index(out)] == ["stored"] * 2


@pytest.mark.parametrize(
    "locale", LOCALES, ids=lambda told: " ".join(f"{name}={told[name]}" for name in told) or "unset"
)
def test_no_locale_spoils_what_is_not_ascii(place: Path, locale: dict[str, str]) -> None:
    (place / "nightly.yaml").rename(place / "nächtlich.yaml")
    command = ".venv/bin/batchgen run n*chtlich.yaml -o outputs/füchse --file-prefix 'Füchse'"
    done = as_cron(command, place, **locale)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    rows = index(place / "outputs/füchse")
    assert [row["prompt"] for row in rows] == ["ein Füchslein im Schnee ❄", "雪の中の狐"]
    assert all((place / "outputs/füchse" / row["file_name"]).is_file() for row in rows)
    kept = json.loads((place / "outputs/füchse/.batchgen/last-run.json").read_text(encoding="utf-8"))
    assert kept["out"] == "outputs/füchse"


def test_what_is_in_files_is_utf_8_even_where_all_else_is_ascii(place: Path) -> None:
    done = as_cron(".venv/bin/batchgen run nightly.yaml -o out", place, **ASCII_ALONE)
    assert done.returncode == 0, done.stderr
    assert [row["prompt"] for row in index(place / "out")] == ["ein Füchslein im Schnee ❄", "雪の中の狐"]


def test_trouble_is_mailed_in_words(place: Path) -> None:
    _, (nightly, _) = crontab(place)
    done = as_cron(nightly.replace("nightly.yaml", "nightly.yaml --profile sd3 --param negative_prompt=x"), place)
    assert (done.returncode, done.stdout) == (4, "")
    assert "IMAGEPIPELINE_API_KEY" in done.stderr


def test_systemd_takes_the_units(place: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze to read them (Debian: apt-get install systemd)")
    for kind in ("service", "timer"):
        (place / f"foxes.{kind}").write_text(block(kind).replace("/srv/foxes", str(place)))
    units = [str(place / "foxes.service"), str(place / "foxes.timer")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    unit = block("service").replace("ExecStart=-/bin/sh", "ExecStart=/bin/none")  # which is not there: it does look
    (place / "foxes.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert "is not executable" in done.stderr
    when = next(line for line in block("timer").splitlines() if line.startswith("OnCalendar="))
    subprocess.run(["systemd-analyze", "calendar", when.partition("=")[2]], capture_output=True, check=True)


def starts(place: Path) -> list[str]:
    """What the service starts, one after the other, as a shell would be told to."""
    lines = re.findall(r"^ExecStart=-?(.*)$", block("service").replace("/srv/foxes", str(place)), flags=re.MULTILINE)
    return [line.replace("$$", "$") for line in lines]


def named_by_the_environment(place: Path) -> None:
    """Let the environment say which night it is."""
    manifest = place / "nightly.yaml"
    manifest.write_text(manifest.read_text().replace("{date}", "{env.NIGHT}"))


def test_the_service_starts_what_a_shell_can_start_too(place: Path) -> None:
    for start in starts(place):
        done = as_cron(start, place)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_finishes_a_night_that_was_stopped_before_it_asks_for_new_rows(place: Path) -> None:
    named_by_the_environment(place)
    rest, new = starts(place)
    assert as_cron(f"{new} --max-images 1", place, NIGHT="1").returncode == 6
    with (place / "more.csv").open("a") as table:
        table.write("a fox of the second night\n")
    for start in (rest, new):
        done = as_cron(start, place, NIGHT="2")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [row["status"] for row in index(place / "outputs/night-1")] == ["stored"] * 2
    assert [row["prompt"] for row in index(place / "outputs/night-2")] == ["a fox of the second night"]


def test_a_night_says_quietly_or_not_that_rows_are_left_out_because_another_night_is_not_finished(place: Path) -> None:
    named_by_the_environment(place)
    _, new = starts(place)
    as_cron(f"{new} --max-images 1", place, NIGHT="1")
    done = as_cron(new, place, NIGHT="2")
    finish = "batchgen run outputs/night-1/.batchgen/plan.parquet -o outputs/night-1"
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 requests left out: other batches have them, and 1 of those not finished" in done.stderr
    assert f"  not finished: `{finish}`" in done.stderr
    assert as_cron(f".venv/bin/{finish} -q", place).stderr == ""
    assert as_cron(new, place, NIGHT="2").stderr == ""


def test_a_service_that_is_stopped_while_it_finishes_a_night_drains_it(place: Path) -> None:
    """As systemd stops it: all its processes are told at once, once, and it is waited for."""
    named_by_the_environment(place)
    (place / "more.csv").write_text("prompt\n" + "".join(f"fox {n}\n" for n in range(40)))
    rest, new = starts(place)
    simulator = Simulator(find_profile("simulator"), latency=(0.5, 1.0))
    with background(simulator) as url:
        told = OF_CRON | {"HOME": str(place), "BATCHGEN_BASE_URL": url, "BATCHGEN_CONCURRENCY": "8", "NIGHT": "1"}
        as_cron(f"{new} --max-images 2", place, **told)
        with subprocess.Popen(
            ["/bin/sh", "-c", f"exec {rest}"], cwd=place, env=told, start_new_session=True
        ) as service:
            while simulator.audit().accepted < 8:
                assert service.poll() is None
                time.sleep(0.005)
            os.killpg(service.pid, signal.SIGTERM)
        assert service.returncode == 143
        out = place / "outputs/night-1"
        assert {row["status"] for row in index(out)} == {"stored", "pending"}
        assert as_cron(rest, place, **told).stderr == ""
    assert {row["status"] for row in index(out)} == {"stored"}
    assert simulator.audit().accepted == 40


def test_the_command_to_go_on_with_names_the_folder_where_another_day_would_name_another(place: Path) -> None:
    named_by_the_environment(place)
    _, new = starts(place)
    stopped = as_cron(f"{new} --max-images 1 -o 'outputs/{{batch_id}}'", place, NIGHT="1")
    (go_on,) = re.findall(r"^Next: go on with `batchgen (.*)`$", stopped.stderr, flags=re.MULTILINE)
    done = as_cron(f".venv/bin/batchgen {go_on}", place, NIGHT="2")
    assert (done.returncode, go_on.count(" -o ")) == (0, 1), done.stderr
    assert [out.name for out in (place / "outputs").iterdir()] == ["night-1"]
    assert [row["status"] for row in index(place / "outputs/night-1")] == ["stored"] * 2


def test_the_commands_of_the_workflow_run_and_tell_what_became_different(place: Path) -> None:
    (job,) = yaml.safe_load(block("workflow"))["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [command.split()[0] for command in commands] == ["pip", "for", "batchgen", "batchgen", "batchgen", "ls"]
    (place / "canary.yaml").write_text(
        "batch_id: canary-{env.CANARY}\nprofile: simulator\nparams: {width: 16, height: 16}\nprompts: [A fox]\n"
    )
    for run_id in ("1001", "1002", "1002"):  # the third is a further attempt
        environment = os.environ | {"PATH": f"{place}/.venv/bin:{os.environ['PATH']}", "CI": "true", "CANARY": run_id}
        for command in commands[1:]:
            subprocess.run(["bash", "-e", "-c", command], cwd=place, env=environment, capture_output=True, check=True)
        assert (place / "outputs/diff.html").is_file() is (run_id != "1001")
    assert (place / "outputs/canary-1001/report.html").is_file()
    assert [row["status"] for row in index(place / "outputs/canary-1002")] == ["stored"]


def test_the_workflow_keeps_what_each_attempt_has_paid_for() -> None:
    (job,) = yaml.safe_load(block("workflow"))["jobs"].values()
    assert "github.run_id" in job["env"]["CANARY"]
    caches = [step for step in job["steps"] if "cache" in step.get("uses", "")]
    assert {step["with"]["path"] for step in caches} == {"outputs"}
    assert all(
        {"github.run_id", "github.run_attempt"} <= set(re.findall(r"[\w.]+", step["with"]["key"])) for step in caches
    )
    (artifact,) = (step["with"] for step in job["steps"] if "artifact" in step.get("uses", ""))
    assert artifact["include-hidden-files"] is True  # .batchgen is where the journal is
