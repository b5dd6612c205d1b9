"""`batchgen profiles`: what people and scripts are told of each API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from batchgen.adapters.profiles import find_profile, profile_names
from batchgen.cli import cli
from batchgen.profile import Profile


def profiles(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["profiles", *arguments])


def test_all_profiles_are_listed_with_everything_that_is_known_and_unknown_of_them() -> None:
    told = profiles().stdout
    for profile in map(find_profile, profile_names()):
        assert f"{profile.name}: {profile.title}" in told
        assert all(name in told for name in profile.parameters)
        assert all(line in told for line in profile.unknown)


@pytest.mark.parametrize(
    "line",
    [
        "samples a whole number from 1 to 4 default 1 Images per request.",
        "guidance_scale a number from 0 to 20 default 7 How closely the image follows the prompt.",
        "prompt text required What the image shows.",
        "direct_link true or false not sent Gives the friendly URL and PNG.",
        "batch_id text not sent Tag of the whole batch. (tag: given outside params)",
        "- how long links stay valid",
        "POST https://api.imagepipeline.io/sd3/v1, key from IMAGEPIPELINE_API_KEY as API-Key",
    ],
)
def test_one_profile_is_shown_with_limits_defaults_and_what_is_unknown(line: str) -> None:
    told = [" ".join(found.split()) for found in profiles("sd3").stdout.splitlines()]
    assert line in told


def test_as_json_a_profile_can_be_read_back() -> None:
    (told,) = json.loads(profiles("image-v1", "--json").stdout)["profiles"]
    assert Profile.model_validate(told) == find_profile("image-v1")
    assert len(json.loads(profiles("--json").stdout)["profiles"]) == len(profile_names())


def test_a_file_of_ones_own_is_shown_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: flux\ntitle: My own\n")
    assert "mine: My own" in profiles(str(path)).stdout
