"""The profiles that come with batchgen, and what their parameters take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from batchgen.adapters.profiles import find_profile, merge, profile_names, profiles_with
from batchgen.errors import UsageError
from batchgen.profile import Parameter, Profile, Role

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
    words = [word.casefold() for word in (*states.working, *states.completed, *states.failed, *states.cancelled)]
    assert len(set(words)) == len(words)


def test_the_sd3_profile_is_the_documented_endpoint() -> None:
    profile = find_profile("sd3")
    assert (profile.submit_path, profile.key.header) == ("/sd3/v1", "API-Key")
    assert profile.parameters["samples"].maximum == 4
    assert profile.named(Role.TAG) == ("batch_id", "file_prefix")


#: What the providers' documents say of each endpoint: submit path, key header, limits and defaults.
DOCUMENTED: dict[str, tuple[str, str, dict[str, int], dict[str, object]]] = {
    "sd3": ("/sd3/v1", "API-Key", {"samples": 4, "guidance_scale": 20}, {"height": 1024, "width": 1024}),
    "sd3_5": ("/sd3_5/v1", "API-Key", {"samples": 2, "guidance_scale": 20}, {"height": 1024, "width": 1024}),
    "flux": (
        *("/generate/v3", "API-Key", {"samples": 4, "height": 1536, "width": 1536}),
        {"num_inference_steps": 20, "samples": 2, "seed": -1},
    ),
    "sdxl": (
        *("/generate/v2", "API-Key", {"samples": 4, "guidance_scale": 20, "height": 1536, "width": 1536}),
        {"num_inference_steps": 20, "samples": 1, "guidance_scale": 7.5, "height": 1024, "width": 1024, "seed": -1},
    ),
    "sd15": (
        *("/generate/v1", "API-Key", {"samples": 4, "guidance_scale": 20, "clip_skip": 12, "strength": 1}),
        {"num_inference_steps": 20, "samples": 1, "guidance_scale": 7.5, "height": 512, "width": 512, "seed": -1},
    ),
    "image-v1": (
        *("/generate/image/v1", "X-API-Key"),
        {"height": 1024, "width": 1024, "num_inference_steps": 50, "guidance_scale": 20},
        {"height": 1024, "width": 1024, "num_inference_steps": 8, "seed": -1, "output_format": "webp"},
    ),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_profile_says_what_the_documents_say(name: str) -> None:
    path, header, limits, defaults = DOCUMENTED[name]
    profile = find_profile(name)
    assert (profile.submit_path, profile.status_path) == (path, f"{path}/status/{{id}}")
    assert profile.key.header == header
    assert {key: profile.parameters[key].maximum for key in limits} == limits
    assert {key: profile.parameters[key].default for key in defaults} == defaults
    assert not profile.unknown or all(line[0].islower() for line in profile.unknown)


def test_every_real_api_has_things_that_nobody_documents_and_they_are_listed() -> None:
    assert all(find_profile(name).unknown for name in DOCUMENTED)
    assert set(DOCUMENTED) == set(profile_names()) - {"simulator"}


REQUIRED = {
    "sd3": {"prompt", "negative_prompt", "num_inference_steps", "samples", "guidance_scale"},
    "flux": {"prompt"},
    "sdxl": {"prompt", "negative_prompt"},
    "sd15": {"prompt"},
    "image-v1": {"prompt"},
}


@pytest.mark.parametrize("name", REQUIRED)
def test_what_an_endpoint_requires_is_what_its_documents_require(name: str) -> None:
    parameters = find_profile(name).parameters
    assert {key for key, parameter in parameters.items() if parameter.required} == REQUIRED[name]


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("sd3", "seed"),
        ("sd3_5", "seed"),
        ("flux", "guidance_scale"),
        *(("image-v1", tag) for tag in ("batch_id", "file_prefix", "queued_image_urls", "direct_link", "webhook")),
    ],
)
def test_no_profile_has_what_its_api_has_not(name: str, absent: str) -> None:
    assert absent not in find_profile(name).parameters


def test_the_profiles_that_have_a_parameter_are_found() -> None:
    assert profiles_with("seed") == ("flux", "image-v1", "sd15", "sdxl")
    assert profiles_with("lora_models") == ("sd15", "sdxl")
    assert "simulator" not in profiles_with("samples")
    assert profiles_with("colour") == ()


def test_a_guidance_of_nought_is_legal() -> None:
    assert find_profile("sd3_5").parameters["guidance_scale"].check(0) == 0.0


def test_a_seed_of_nought_stays_nought_and_is_not_random() -> None:
    for name in profiles_with("seed"):
        seed = find_profile(name).parameters["seed"]
        assert (seed.check(0), seed.parse("0"), seed.default) == (0, 0, -1)


def test_cancelled_is_an_end() -> None:
    assert find_profile("image-v1").states.cancelled == ("cancelled",)


def test_a_job_of_the_current_api_makes_one_image_so_its_rows_fan_out() -> None:
    assert [name for name in profile_names() if find_profile(name).fans_out] == ["image-v1"]


# --- Lists and choices


TEXTS, NUMBERS = Parameter(type="texts"), Parameter(type="numbers", minimum=0)


@pytest.mark.parametrize("value", [["a", "b"], ("a", "b")])
def test_a_list_becomes_a_tuple_in_its_order(value: object) -> None:
    assert TEXTS.check(value) == ("a", "b")


def test_one_value_alone_is_a_list_of_one() -> None:
    assert (TEXTS.check("a"), NUMBERS.check(1)) == (("a",), (1.0,))


def test_numbers_in_lists_that_are_equal_are_equal_however_they_are_written() -> None:
    assert NUMBERS.check([1, -0.0]) == NUMBERS.check([1.0, 0]) == NUMBERS.parse("1, 0.0")
    assert str(NUMBERS.check([-0.0])) == "(0.0,)"


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (TEXTS, "a, b/c ,d e", ("a", "b/c", "d e")),
        (TEXTS, "a", ("a",)),
        (TEXTS, " ", ()),
        (NUMBERS, "0.5,1", (0.5, 1.0)),
    ],
)
def test_a_cell_writes_a_list_with_commas(parameter: Parameter, text: str, value: object) -> None:
    assert parameter.parse(text) == value


@pytest.mark.parametrize("value", [None, {"a": 1}, [1], [["a"]], [None], 3])
def test_what_is_no_list_of_texts_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a list of texts"):
        TEXTS.check(value)


@pytest.mark.parametrize("value", ["a", ["a"], [True], [float("nan")], [-1], [10**400]])
def test_what_is_no_list_of_numbers_within_the_limits_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a list of numbers of at least 0"):
        NUMBERS.check(value)


@given(st.lists(st.text(alphabet="ab/. 0"), min_size=1).map(lambda parts: [part.strip() for part in parts]))
def test_a_list_that_is_written_in_a_cell_is_read_as_it_was(parts: list[str]) -> None:
    text = ", ".join(parts)
    assert TEXTS.parse(text) == (tuple(parts) if text.strip() else ())


def test_a_parameter_with_choices_takes_no_other() -> None:
    style = find_profile("sd15").parameters["style"]
    assert style.check("fantasy_art") == "fantasy_art"
    with pytest.raises(ValueError, match="realistic_portrait or fantasy_art or cartoon_anime, not 'oil'"):
        style.check("oil")


# --- What no profile may say


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"base_url": "https://api.test/?a=b"}, "https://host"),
        ({"base_url": "ftp://api.test"}, "https://host"),
        ({"submit_path": "sd3/v1"}, "a path that begins with /"),
        ({"status_path": "/status"}, "must hold {id}"),
        ({"key": {"header": "API Key"}}, "the name of a header"),
        ({"key": {"header": "A", "variable": "a=b"}}, "the name of a variable"),
        ({"parameters": {}}, "prompt is missing"),
        ({"states": {"working": ["A"], "completed": ["a"], "failed": []}}, "stands for two states"),
        ({"states": {"working": [], "completed": [], "failed": []}}, "at least 1"),
        ({"price_per_image": -1}, "greater than or equal to 0"),
        ({"parameters": {"prompt": {"type": "integer", "maximum": 4, "default": 5}}}, "the default must be"),
    ],
)
def test_a_profile_that_cannot_work_is_refused(change: dict[str, object], complaint: str) -> None:
    content = find_profile("sd3").model_dump()
    with pytest.raises(ValidationError, match=complaint):
        Profile.model_validate({**content, **change})


# --- Found by name, made by merging


def test_a_profile_that_extends_another_has_all_that_it_does_not_change() -> None:
    base, simulator = find_profile("sd3"), find_profile("simulator")
    assert simulator.parameters == base.parameters
    assert simulator.simulated
    assert simulator.unknown == ()


def test_an_unknown_name_is_answered_with_the_known_ones_and_a_near_match() -> None:
    with pytest.raises(UsageError, match=r"no profile 'simulater'\. Did you mean 'simulator'\?.*sd3"):
        find_profile("simulater")


@pytest.mark.parametrize("name", ["", "..", "../sd3", "__init__", "SD3\0"])
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
