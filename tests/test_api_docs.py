"""`docs/api.md`: every line names the test that shows it, and nothing that a profile has is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from batchgen.adapters.profiles import find_profile, profile_names
from batchgen.profile import Profile

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


def test_the_example_of_a_profile_of_ones_own_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs/manifest.md").read_text()
    (block,) = [one for one in re.findall(r"```yaml\n(.*?)\n```", text, flags=re.DOTALL) if "extends:" in one]
    (tmp_path / "mine.yaml").write_text(block)
    profile = find_profile("mine.yaml", folders=(tmp_path,), trusted=False)
    assert profile.key.variable == "BATCHGEN_KEY_IMAGES_EXAMPLE_ORG"
    assert set(yaml.safe_load(block)) <= {*Profile.model_fields, "extends"}
