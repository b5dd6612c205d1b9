"""Sweeps, from a manifest to its rows."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.adapters.profiles import find_profile, profiles_with
from batchgen.errors import ManifestError
from batchgen.manifest import read_manifest
from batchgen.model import Row

CALM = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.lists(st.sampled_from(["fox", "owl", "cat", "dog", "emu"]), min_size=1, max_size=4, unique=True)
SCALES = st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True)


def rows(folder: Path, **document: object) -> list[Row]:
    path = folder / "m.yaml"
    path.write_text(json.dumps(document))  # JSON is YAML
    return list(read_manifest(path, find_profile=find_profile).rows())


@CALM
@given(animals=WORDS, scales=SCALES, steps=SCALES.map(lambda ns: [n + 1 for n in ns]))
def test_a_sweep_is_the_product_of_its_parts_in_their_order(
    tmp_path: Path, animals: list[str], scales: list[int], steps: list[int]
) -> None:
    made = rows(
        tmp_path,
        variables={"animal": animals},
        axes={"grid": {"guidance_scale": scales, "num_inference_steps": steps}},
        prompts=["A {animal} {at dawn|at night}"],
    )
    expected = itertools.product(animals, ("at dawn", "at night"), map(float, scales), steps)
    assert [(row.prompt, row.params["guidance_scale"], row.params["num_inference_steps"]) for row in made] == [
        (f"A {animal} {time}", scale, step) for animal, time, scale, step in expected
    ]


@CALM
@given(animals=WORDS, count=st.integers(1, 60), seed=st.integers(0, 99))
def test_a_sample_is_drawn_without_replacement_and_keeps_the_order(
    tmp_path: Path, animals: list[str], count: int, seed: int
) -> None:
    document = {"variables": {"animal": animals}, "prompts": ["A {animal}", "An old {3::animal|{animal}}"]}
    grid = {"grid": {"guidance_scale": {"from": 1, "to": 5, "step": 1}}}
    everything = [(row.prompt, row.params["guidance_scale"]) for row in rows(tmp_path, **document, axes=grid)]
    axes = grid | {"sample": {"count": count, "seed": seed}}
    drawn = [(row.prompt, row.params["guidance_scale"]) for row in rows(tmp_path, **document, axes=axes)]
    assert len(drawn) == min(count, len(everything))
    left = iter(everything)
    assert all(one in left for one in drawn)  # in the same order, each at most as often as it is there


def test_heavier_alternatives_are_drawn_more_often(tmp_path: Path) -> None:
    made = rows(
        tmp_path,
        axes={"grid": {"num_inference_steps": {"from": 1, "count": 100_000}}, "sample": {"count": 1_000}},
        prompts=["A {9::red|blue} fox"],
    )
    red = sum(row.prompt == "A red fox" for row in made)
    assert 850 < red < 950


def test_a_huge_grid_is_drawn_from_without_being_listed(tmp_path: Path) -> None:
    made = rows(
        tmp_path,
        variables={"a": [str(n) for n in range(1_000)], "b": [str(n) for n in range(1_000)]},
        axes={"grid": {"num_inference_steps": {"from": 1, "count": 1_000}}, "sample": {"count": 100}},
        prompts=["{a} {b}"],
    )
    assert len({(row.prompt, row.params["num_inference_steps"]) for row in made}) == 100


def test_braces_in_the_values_of_variables_mean_nothing(tmp_path: Path) -> None:
    made = rows(tmp_path, variables={"a": ["{b|c}", "{{x}}"]}, prompts=["An {a}"])
    assert [row.prompt for row in made] == ["An {b|c}", "An {{x}}"]


def test_a_change_of_a_file_of_values_changes_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("variables: {a: {file: a.txt}}\nprompts: ['{a}']")
    found = []
    for content in ("fox", "owl"):
        (tmp_path / "a.txt").write_text(content)
        found.append(read_manifest(tmp_path / "m.yaml", find_profile=find_profile))
    assert found[0].includes != found[1].includes
    assert found[0].sha256 == found[1].sha256


def test_a_variable_that_no_text_uses_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("variables: {a: [x], b: [y]}\nprompts: ['{a}']")
    assert read_manifest(tmp_path / "m.yaml", find_profile=find_profile).warnings == (
        f"{tmp_path}/m.yaml:1: the variable b is not used in any text.",
    )


def test_an_empty_list_is_none_and_asks_for_nothing_else(tmp_path: Path) -> None:
    prompts = ["A fox", {"prompt": "A fox", "params": {"lora_models": []}}]
    first, second = rows(tmp_path, profile="sdxl", prompts=prompts)
    assert first.params == second.params


def test_braces_in_a_list_of_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="lora_models: braces stand in one text, not in a list"):
        rows(tmp_path, profile="sdxl", variables={"a": ["x"]}, params={"lora_models": ["{a}"]}, prompts=["{a}"])


def test_a_list_on_an_axis_can_be_excluded_as_it_is_written(tmp_path: Path) -> None:
    axes = {"grid": {"lora_models": ["a", "b,c"]}, "exclude": [{"lora_models": "b,c"}]}
    assert [row.params["lora_models"] for row in rows(tmp_path, profile="sdxl", axes=axes, prompts=["A fox"])] == [
        ("a",)
    ]


def test_a_label_called_like_another_apis_parameter_is_warned_of_unless_a_text_takes_it(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt,scheduler,style\nA fox,euler,oil\n")
    (tmp_path / "m.yaml").write_text("prompts: [{file: rows.csv}, {file: rows.csv, prompt: 'A {style} {scheduler}'}]")
    warned = read_manifest(tmp_path / "m.yaml", find_profile=find_profile, profiles_with=profiles_with).warnings
    assert warned == (
        f"{tmp_path}/rows.csv: scheduler becomes a label; sd3 has no such parameter.",
        f"{tmp_path}/rows.csv: style becomes a label; sd3 has no such parameter.",
    )
