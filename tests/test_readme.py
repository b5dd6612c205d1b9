"""Each command and claim of README.md, exercised."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
import yaml
from PIL import Image

from batchgen.adapters.profiles import find_profile
from batchgen.cli import cli
from batchgen.manifest import json_schema, read_manifest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def after(mark: str) -> str:
    return README.split(f"<!-- {mark} -->")[1]


def command(mark: str) -> str:
    return after(mark).split("```bash\n")[1].split("\n```")[0]


def test_the_command_list_is_that_of_the_program() -> None:
    table = after("commands").split("\n\n")[0]
    listed = re.findall(r"^\| `batchgen ([a-z]+)([][A-Z ]*)` \|", table, flags=re.MULTILINE)
    arguments = {
        name: " ".join(p.make_metavar(click.Context(c)) for p in c.params if isinstance(p, click.Argument))
        for name, c in cli.commands.items()
    }
    assert {name: words.strip() for name, words in listed} == arguments


def test_both_commands_make_their_own_virtual_environment() -> None:
    for mark in ("run", "test"):
        assert command(mark).startswith("python3 -m venv .venv && .venv/bin/pip install -q -e ")


def test_the_first_command_runs_the_quickstart_manifest() -> None:
    assert command("run").endswith(".venv/bin/batchgen run manifests/quickstart.yaml")


def test_continuous_integration_takes_the_test_command_from_here() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert "<!-- test -->" in script
    assert command("test").startswith("python3 ")
    assert "\n" not in command("test")


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.yaml")), ids=lambda path: path.name)
def test_each_example_manifest_is_planned_without_a_warning(path: Path) -> None:
    manifest = read_manifest(path, find_profile=find_profile)
    assert list(manifest.rows())
    assert not manifest.warnings


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.yaml")), ids=lambda path: path.name)
def test_each_example_manifest_names_the_schema_by_a_comment_and_says_what_it_is(path: Path) -> None:
    first, second, *_ = path.read_text().splitlines()
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads((path.parent / named).read_text()) == json_schema()
    assert second.startswith("# ")
    assert len(path.read_text().splitlines()) <= 35


def test_each_manifest_in_the_documents_is_planned(tmp_path: Path) -> None:
    blocks = [
        block
        for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for block in re.findall(r"```yaml\n(.*?)\n```", document.read_text(), flags=re.DOTALL)
        if "prompts" in (yaml.safe_load(block) or {})
    ]
    assert blocks
    for block in blocks:
        (tmp_path / "styles.txt").write_text("oil\nink\n")
        (tmp_path / "prompts.txt").write_text("A cat\n")
        (tmp_path / "dynamic.txt").write_text("A {red|green} dog\n")
        (tmp_path / "more.csv").write_text("prompt,guidance_scale\nA crow,3\n")
        (tmp_path / "rows").mkdir(exist_ok=True)
        (tmp_path / "rows/a.csv").write_text("animal,style,Category,Year,Remark\nfox,oil,wild,1999,none\n")
        path = tmp_path / "block.yaml"
        path.write_text(block)
        assert list(read_manifest(path, find_profile=find_profile).rows())


def test_the_contact_sheet_is_a_picture() -> None:
    with Image.open(ROOT / "docs/quickstart.jpg") as sheet:
        sheet.load()
    assert min(sheet.size) > 500
