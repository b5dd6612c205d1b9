"""Which runs end with a report, and what the commands say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import batchgen
from batchgen import index
from batchgen.adapters.profiles import find_profile
from batchgen.cli import cli
from batchgen.lifecycle import Event, Record, State
from batchgen.manifest import read_manifest
from batchgen.model import Request
from batchgen.planning import Plan
from batchgen.review.gallery import manifest_row
from tests.review.sweeps import Wanted, make

MANIFEST = "batch_id: small\nprofile: simulator\nparams: {width: 16, height: 16}\nprompts: [A red fox, A toucan]\n"

ODD = """\
profile: sd3
params: {width: 64, height: 64}
prompts:
  - A {{fox}}|owl
  - "it's 100% — \u2028 ü"
  - {prompt: A yak, labels: {note: "{{x}}"}, params: {negative_prompt: "{{y}}", guidance_scale: 0.1}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(MANIFEST)
    return tmp_path / "small.yaml"


@pytest.fixture
def one_prompt(tmp_path: Path) -> Path:
    (tmp_path / "one.yaml").write_text(MANIFEST.replace(", A toucan", ""))
    return tmp_path / "one.yaml"


def test_a_run_ends_with_a_report_unless_it_is_told_not_to(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert batchgen.run(manifest, out=out, settings=batchgen.Settings(report=False)).report is None
    assert not (out / "report.html").exists()
    assert batchgen.run(manifest, out=out).report == out / "report.html"


def test_rows_copied_from_a_batch_are_the_requests_of_that_batch(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(ODD)
    asked = plan(tmp_path / "odd.yaml")
    out = make(tmp_path / "out", [Wanted(prompt=one.prompt, labels=one.labels, params=one.params) for one in asked])
    copied = [manifest_row(row, ["note"]) for row in index.read(out / "metadata.parquet")]
    (tmp_path / "copied.yaml").write_text("profile: sd3\nprompts:\n" + "".join(f"  {row}\n" for row in copied))
    assert [one.key for one in plan(tmp_path / "copied.yaml")] == [one.key for one in asked]


def test_rows_copied_from_a_batch_with_splits_and_repeats_are_planned_and_say_whose_image_they_ask_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "m.yaml").write_text(f"{MANIFEST}repeat: 2\nsplit: {{train: 0.5, validation: 0.5}}\n")
    page = batchgen.run(tmp_path / "m.yaml", out=tmp_path / "out").report
    assert page is not None
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page.read_text())
    assert found is not None
    rows = [row for part in json.loads(found[1])["parts"] for row in part]
    assert [row["again"] for row in rows] == [False, True] * 2
    copied = "".join(f"  {row['manifest_row']}\n" for row in rows)
    (tmp_path / "copied.yaml").write_text(f"profile: simulator\nprompts:\n{copied}")
    keys = [dict(row["cells"])["request_key"] for row in rows]
    assert [one.key for one in plan(tmp_path / "copied.yaml")] == keys[::2]


def plan(manifest: Path) -> list[Request]:
    return list(Plan(read_manifest(manifest, find_profile=find_profile)))


def test_a_report_that_is_as_new_as_the_index_is_left_alone(manifest: Path, tmp_path: Path) -> None:
    page = batchgen.run(manifest, out=tmp_path / "out").report
    assert page is not None
    page.write_text("mine")
    batchgen.run(manifest, out=tmp_path / "out")
    assert page.read_text() == "mine"
    manifest.write_text(MANIFEST.replace("A toucan", "A toucan, An owl"))
    batchgen.run(manifest, out=tmp_path / "out")
    assert "An owl" in page.read_text()


async def test_who_stops_a_run_does_not_wait_for_a_report(one_prompt: Path, tmp_path: Path) -> None:
    switch = batchgen.StopSwitch()

    class Stopping(batchgen.Observer):
        def changed(self, request: Request, before: Record, event: Event, after: Record) -> None:
            if after.state is State.STORED:  # the last step of all: no connection is cut
                switch.stop("SIGTERM")

    out = tmp_path / "out"
    await batchgen.run_async(one_prompt, out=out, observer=Stopping(), switch=switch)
    assert (out / "metadata.parquet").exists()
    assert not (out / "report.html").exists()


def test_the_command_says_where_the_page_is_and_how_large(tmp_path: Path) -> None:
    out = make(tmp_path / "out", [Wanted(prompt=f"A fox, {n}") for n in range(260)])
    told = json.loads(CliRunner().invoke(cli, ["report", str(out), "--json"]).output)
    page, parts = Path(told["page"]), list((out / ".batchgen/report").iterdir())
    assert (told["page_bytes"], told["parts"]) == (page.stat().st_size, len(parts))
    assert told["parts_bytes"] == sum(part.stat().st_size for part in parts)
    said = CliRunner().invoke(cli, ["report", str(out)]).output
    assert f"{page} written" in said
    assert "6 files in" in said
    assert CliRunner().invoke(cli, ["report", str(out), "-q"]).output == ""
