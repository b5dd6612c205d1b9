"""The house: what is linted, typed, layered and documented stays so."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import batchgen
from batchgen.lifecycle import ENDED, TABLE, State

ROOT = Path(__file__).parents[1]
#: Longer modules are two modules.
LONGEST = 400


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--no-cache", "--check", "."),
        ("mypy",),
        ("importlinter",),
    ],
    ids=lambda command: " ".join(command),
)
def test_the_code_passes(command: tuple[str, ...]) -> None:
    tool = ("-c", "from importlinter.cli import lint_imports_command as main; main()")
    arguments = tool if command == ("importlinter",) else ("-m", *command)
    done = run(sys.executable, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_two_modules() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "batchgen").rglob("*.py")}
    assert {path: n for path, n in lengths.items() if n > LONGEST} == {}


def test_every_public_name_is_there_and_documented() -> None:
    for name in batchgen.__all__:
        assert getattr(batchgen, name).__doc__, name
    assert list(batchgen.__all__) == sorted(batchgen.__all__)


def test_importing_batchgen_imports_nothing_heavy() -> None:
    heavy = ["PIL", "aiohttp", "pandas", "pyarrow", "pydantic", "tqdm", "yaml"]
    code = f"import sys, batchgen, batchgen.cli; print([m for m in {heavy!r} if m in sys.modules])"
    assert run(sys.executable, "-c", code).stdout.strip() == "[]"


def test_a_run_begins_without_what_only_its_index_and_its_report_need() -> None:
    later = ["PIL", "aiohttp.web", "jinja2", "pandas", "pyarrow"]
    code = f"import sys, batchgen.cli.running; print([m for m in {later!r} if m in sys.modules])"
    assert run(sys.executable, "-c", code).stdout.strip() == "[]"


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> PLANNED"]
    for (state, event), targets in TABLE.items():
        lines += [f"    {state.name} --> {target.name}: {event.__name__}" for target in targets]
    lines += [f"    {state.name} --> [*]" for state in State if state in ENDED]
    return "\n".join(lines)


def test_the_diagram_in_the_documents_is_the_table_in_the_code() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    assert re.findall(r"```mermaid\n(.*?)\n```", text, flags=re.DOTALL) == [diagram()]


def test_the_listing_in_the_documents_is_the_listing_of_the_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    listed = set(re.findall(r"^    (\w+(?:\.py|/)) ", text, flags=re.MULTILINE))
    there = {
        path.name + ("/" if path.is_dir() else "")
        for path in (ROOT / "batchgen").iterdir()
        if not path.name.startswith("__") and path.suffix in ("", ".py")
    }
    assert listed == there


def test_every_local_link_in_the_documents_leads_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_module_says_what_it_is_for() -> None:
    for path in sorted((ROOT / "batchgen").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name != "batchgen.__main__":
            assert importlib.import_module(name).__doc__, name


@pytest.mark.parametrize("command", ["--help", "run --help", "plan manifest.yaml", "schema"])
def test_what_needs_no_network_and_no_tables_starts_without_them(command: str, tmp_path: Path) -> None:
    params = "{negative_prompt: '', num_inference_steps: 29, samples: 1, guidance_scale: 7}"
    (tmp_path / "manifest.yaml").write_text(f"version: 1\nprofile: sd3\nparams: {params}\nprompts: [A fox]\n")
    heavy = ["PIL", "aiohttp", "numpy", "pandas", "pyarrow"]
    code = f"""
import sys
from batchgen.cli import main
sys.argv[1:] = {command.split()!r}
try:
    main()
except SystemExit as done:
    print([m for m in {heavy!r} if m in sys.modules], done.code)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stdout + done.stderr
