"""The profiles that come with batchgen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.adapters.profiles import find_profile, merge, profile_names
from batchgen.errors import UsageError
from batchgen.profile import Role

FLAT = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3)
MAPPINGS = st.dictionaries(
    st.sampled_from("abc"), FLAT | st.dictionaries(st.sampled_from("xy"), FLAT) | st.integers(0, 3)
)


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_valid_and_found_by_its_file_name(name: str) -> None:
    profile = find_profile(name)
    assert profile.name == name
    assert "{id}" in profile.status_path
    assert not profile.base_url.endswith("/")
    assert profile.parameters["prompt"].required


@pytest.mark.parametrize("name", profile_names())
def test_every_default_is_a_value_that_its_parameter_takes(name: str) -> None:
    for parameter in find_profile(name).parameters.values():
        if parameter.default is not None:
            assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize("name", profile_names())
def test_no_word_stands_for_two_states(name: str) -> None:
    states = find_profile(name).states
    words = [word.casefold() for word in (*states.working, *states.completed, *states.failed)]
    assert len(set(words)) == len(words)


def test_the_sd3_profile_is_the_documented_endpoint() -> None:
    profile = find_profile("sd3")
    assert (profile.submit_path, profile.key.header) == ("/sd3/v1", "API-Key")
    assert profile.parameters["samples"].maximum == 4
    assert profile.named(Role.TAG) == ("batch_id", "file_prefix")


def test_a_profile_that_extends_another_has_all_that_it_does_not_change() -> None:
    base, simulator = find_profile("sd3"), find_profile("simulator")
    assert simulator.parameters == base.parameters
    assert simulator.simulated
    assert simulator.unknown == ()


def test_an_unknown_name_is_answered_with_the_known_ones_and_a_near_match() -> None:
    with pytest.raises(UsageError, match=r"no profile 'simulater'\. Did you mean 'simulator'\?.*sd3"):
        find_profile("simulater")


@pytest.mark.parametrize("name", ["", "..", "../sd3", "sd3.yaml", "__init__", "SD3\0"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(UsageError, match="There is no profile"):
        find_profile(name)


def test_the_same_profile_is_read_once() -> None:
    assert find_profile("sd3") is find_profile("sd3")


def test_mappings_are_merged_deeply_lists_replaced_and_null_removes() -> None:
    base = {"a": {"x": 1, "y": 2}, "list": [1, 2], "gone": {"x": 1}}
    assert merge(base, {"a": {"y": 3}, "list": [3], "gone": None}) == {"a": {"x": 1, "y": 3}, "list": [3]}


@given(base=MAPPINGS, over=MAPPINGS)
def test_merging_changes_neither_side_and_twice_is_as_good_as_once(
    base: dict[str, object], over: dict[str, object]
) -> None:
    before = repr((base, over))
    merged = merge(base, over)
    assert repr((base, over)) == before
    assert merge(merged, over) == merged
    assert merge(base, {}) == base
