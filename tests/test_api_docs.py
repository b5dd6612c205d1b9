"""`docs/api.md`: every line names the test that shows it, and nothing that a profile has is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from batchgen import Completion
from batchgen.adapters.profiles import find_profile, profile_names
from batchgen.profile import Profile
from batchgen.simulator.faults import PLACES
from tests.test_each_fault import FATES, PAID_AGAIN

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/api.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("|") and not re.match(r"\|-|.*\| shown[^|]*\|$", line)]
TESTS = {name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}


def test_every_line_names_tests_that_there_are() -> None:
    assert len(ROWS) > 50
    for row in ROWS:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= TESTS, row


@pytest.mark.parametrize("name", profile_names())
def test_every_parameter_and_every_state_of_a_profile_is_on_the_page(name: str) -> None:
    profile = find_profile(name)
    states = profile.states
    words = {*profile.parameters, *states.working, *states.completed, *states.failed, *states.cancelled}
    assert {word for word in words if f"`{word}`" not in PAGE} == set()


def rows_under(heading: str) -> list[list[str]]:
    """The cells of the rows of the tables of one part of the page."""
    part = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (text,) = [one for one in part if one.startswith(heading)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line in ROWS]


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_the_parameters_of_the_page_are_those_of_the_profiles() -> None:
    listed = {name for row in rows_under("Parameters") for name in quoted(row[0])}
    known = {name for profile in profile_names() for name in find_profile(profile).parameters}
    assert listed == known


def test_the_ways_of_the_page_are_those_that_there_are() -> None:
    ways = {name for row in rows_under("Ways to completion") for name in quoted(row[0])}
    assert ways - {"webhook"} == {way.value for way in Completion} - {"webhook"}
    assert "webhook" in ways


def test_the_faults_of_the_page_are_those_of_the_simulator_at_every_place_and_what_becomes_of_them_is_so() -> None:
    rows = rows_under("The simulator's faults")
    listed = [(place, fault) for place, faults, *_ in rows for fault in quoted(faults)]
    assert len(listed) == len(set(listed))
    assert set(listed) == {(place, fault.value) for place, faults in PLACES.items() for fault in faults}
    for place, faults, told, _ in rows:
        for fault in quoted(faults):
            fate = set(FATES.get(f"{place}.{fault}", ["stored"]))
            words = {"in_doubt": "in doubt"}
            assert all(words.get(word, word) in told for word in fate), (place, fault)
            assert ("submitted again" in told) == (f"{place}.{fault}" in PAID_AGAIN), (place, fault)


def test_the_example_of_a_profile_of_ones_own_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs/manifest.md").read_text()
    (block,) = [one for one in re.findall(r"```yaml\n(.*?)\n```", text, flags=re.DOTALL) if "extends:" in one]
    (tmp_path / "mine.yaml").write_text(block)
    profile = find_profile("mine.yaml", folders=(tmp_path,), trusted=False)
    assert profile.key.variable == "BATCHGEN_KEY_IMAGES_EXAMPLE_ORG"
    assert set(yaml.safe_load(block)) <= {*Profile.model_fields, "extends"}
