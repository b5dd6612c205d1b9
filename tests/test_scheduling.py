"""docs/scheduling.md, exercised: the crontab as cron runs it, units as systemd reads them, commands of the workflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    (place / "foxes.service").write_text(block("service"))  # with a program that is not there: it does look
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert "is not executable" in done.stderr
    when = next(line for line in block("timer").splitlines() if line.startswith("OnCalendar="))
    subprocess.run(["systemd-analyze", "calendar", when.partition("=")[2]], capture_output=True, check=True)


def test_the_service_starts_what_a_shell_can_start_too(place: Path) -> None:
    (start,) = re.findall(r"^ExecStart=(.*)$", block("service").replace("/srv/foxes", str(place)), flags=re.MULTILINE)
    done = as_cron(start, place)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_commands_of_the_workflow_run(place: Path) -> None:
    (job,) = yaml.safe_load(block("workflow"))["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [command.split()[0] for command in commands] == ["pip", "batchgen", "batchgen", "batchgen"]
    (place / "canary.yaml").write_text("batch_id: canary\nprofile: simulator\nprompts: [A fox]\n")
    environment = os.environ | {"PATH": f"{place}/.venv/bin:{os.environ['PATH']}", "CI": "true"}
    for command in commands[1:]:
        subprocess.run(["bash", "-e", "-c", command], cwd=place, env=environment, capture_output=True, check=True)
    kept = {step["with"]["path"] for step in job["steps"] if "cache" in step.get("uses", "")}
    assert kept == {"outputs"}
    assert (place / "outputs/canary/report.html").is_file()
