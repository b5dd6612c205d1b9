"""The list of what readers demand, in the documents, names the tests there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAPS = "tests/export/test_traps.py"
_NAMED = re.compile(r"`(test_\w+)`")


def rows() -> list[list[str]]:
    """Rule, traps and tests of each line of the list."""
    text = (ROOT / "docs/dataset.md").read_text(encoding="utf-8")
    list_of_rules = text.partition("## The rules of readers")[2].partition("\n## ")[0]
    return [line.strip("|").split("|") for line in list_of_rules.splitlines() if line.startswith("| ")][1:]


def names_of_tests(*files: Path) -> set[str]:
    """Names of the tests in files."""
    return {name for file in files for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)}


def test_every_rule_names_a_test_that_is_there() -> None:
    there = names_of_tests(*(ROOT / "tests").glob("test_*.py"), *(ROOT / "tests/export").glob("test_*.py"))
    for rule, _, avoided in rows():
        assert set(_NAMED.findall(avoided)), rule
        assert set(_NAMED.findall(avoided)) <= there, rule


def test_every_trap_is_in_the_list_and_every_one_there_is_sprung() -> None:
    named = [name for _, sprung, _ in rows() for name in _NAMED.findall(sprung)]
    assert sorted(named) == sorted(names_of_tests(ROOT / TRAPS))
