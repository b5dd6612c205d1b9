"""Rows of several samples where a job makes one image, and parameters that are lists: from manifest to index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen import index
from batchgen.adapters.plan_file import PlanFile, freeze
from batchgen.adapters.profiles import find_profile
from batchgen.errors import ManifestError
from batchgen.lifecycle import Record
from batchgen.manifest import Overrides, read_manifest
from batchgen.model import BatchFacts, PlanHead, Request, Row, number_of
from batchgen.planning import Plan, fan_out, request_key

CURRENT, SDXL = find_profile("image-v1"), find_profile("sdxl")


def planned(folder: Path, prompts: str, *, profile: str = "image-v1", **keys: Any) -> list[Request]:
    """The requests of a manifest with those prompts, written in YAML."""
    extra = "".join(f"{key}: {value}\n" for key, value in keys.items())
    path = folder / "m.yaml"
    path.write_text(f"batch_id: b\nprofile: {profile}\n{extra}prompts:\n{prompts}\n")
    return list(Plan(read_manifest(path, find_profile=find_profile)))


def fox(samples: int, **params: object) -> str:
    written = ", ".join(f"{name}: {value}" for name, value in {"samples": samples, **params}.items())
    return f"  - {{prompt: A fox, params: {{{written}}}}}"


def test_a_row_of_several_samples_becomes_as_many_requests_of_one_image(tmp_path: Path) -> None:
    requests = planned(tmp_path, fox(3))
    assert [(request.samples, request.sample, request.first_sample) for request in requests] == [
        (1, 0, 0), (1, 1, 1), (1, 2, 2),
    ]  # fmt: skip
    assert all("samples" not in request.params for request in requests)
    assert len({request.key for request in requests}) == 3


def test_one_sample_more_is_one_request_more_and_the_others_keep_their_keys(tmp_path: Path) -> None:
    two, three = planned(tmp_path, fox(2)), planned(tmp_path, fox(3))
    assert [request.key for request in three[:2]] == [request.key for request in two]


def test_each_sample_has_a_seed_of_its_own_for_equal_seeds_would_be_equal_images(tmp_path: Path) -> None:
    assert [request.params["seed"] for request in planned(tmp_path, fox(3, seed=0))] == [0, 1352319738, 537121816]
    assert [request.params["seed"] for request in planned(tmp_path, fox(2, seed=2**63 - 1))] == [2**63 - 1, 547728791]
    assert {request.params["seed"] for request in planned(tmp_path, fox(3, seed=-1))} == {-1}


def test_an_axis_over_seeds_loses_no_sample(tmp_path: Path) -> None:
    requests = planned(tmp_path, fox(4), axes="{grid: {seed: {from: 1, count: 50}}}")
    assert len(requests) == len({request.params["seed"] for request in requests}) == 200


def test_a_seed_stays_within_what_the_profile_allows() -> None:
    seed = CURRENT.parameters["seed"].model_copy(update={"maximum": 9.0})
    profile = CURRENT.model_copy(update={"parameters": {**CURRENT.parameters, "seed": seed}})
    rows = fan_out(profile, [Row(index=0, prompt="fox", params={"samples": 40, "seed": 3}, file_prefix="p")])
    assert all(0 <= number_of(row.params, "seed", -1) <= 9 for row in rows)


def test_two_rows_that_ask_for_the_same_seed_are_paid_for_once(tmp_path: Path) -> None:
    requests = planned(tmp_path, f"{fox(3, seed=5)}\n{fox(1, seed=7)}\n{fox(2, seed=7)}")
    assert [(request.row_index, request.sample) for request in requests] == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 1)]


def test_repeats_are_other_requests_than_samples(tmp_path: Path) -> None:
    requests = planned(tmp_path, fox(2), repeat=2)
    assert sorted((request.sample, request.repeat) for request in requests) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({request.key for request in requests}) == 4


def test_the_keys_of_the_current_api_never_change_between_versions() -> None:
    """These are in people's journals: another key is another payment."""
    assert request_key(CURRENT, "A fox", {"width": 512}, 0) == "m0xq7xlds3y7d73l6n9uyy78wb"
    assert request_key(CURRENT, "A fox", {"width": 512}, 0, 1) == "u7r8ctcndnu6c26zxzd6sqrupn"
    assert request_key(CURRENT, "A fox", {"seed": 5}, 1, 1) == request_key(CURRENT, "A fox", {"seed": 5}, 1)
    assert (
        request_key(SDXL, "A fox", {"lora_models": ("a", "b"), "lora_weights": (0.5, 1.0)}, 0)
        == "24r4yc0ynh3ybkyb3v7fy4ng98"
    )


@pytest.mark.parametrize("profile", ["sd3", "sd3_5", "flux", "sdxl", "sd15", "simulator"])
def test_a_row_of_a_classic_api_is_one_request_whatever_its_samples(profile: str, tmp_path: Path) -> None:
    (request,) = planned(tmp_path, fox(2), profile=profile)
    assert (request.samples, request.sample, request.params["samples"]) == (2, 0, 2)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(-1, 3)), max_size=6))
def test_a_fan_out_keeps_the_order_and_numbers_the_samples_of_each_row(asked: list[tuple[int, int]]) -> None:
    def rows() -> Iterator[Row]:
        for number, (samples, seed) in enumerate(asked):
            yield Row(index=number, prompt="fox", params={"samples": samples, "seed": seed}, file_prefix="p")

    made = [(row.index, row.sample) for row in fan_out(CURRENT, rows())]
    assert made == [(number, sample) for number, (samples, _) in enumerate(asked) for sample in range(samples)]
    assert list(fan_out(SDXL, rows())) == list(rows())


@pytest.mark.parametrize(
    ("profile", "params"),
    [
        ("image-v1", {}),
        ("image-v1", {"seed": 0}),
        ("sdxl", {"lora_models": "[a, b]", "lora_weights": "[1, 0.5]"}),
    ],
)
def test_a_frozen_plan_asks_for_the_same_again(tmp_path: Path, profile: str, params: dict[str, object]) -> None:
    requests = planned(tmp_path, f"{fox(3, **params)}\n  - An owl", profile=profile, repeat=2)
    endpoint = find_profile(profile).endpoint
    freeze(requests, tmp_path / "p.parquet", PlanHead(fingerprint="f", endpoint=endpoint, profile=profile))
    again = list(Plan(read_manifest(tmp_path / "p.parquet", find_profile=find_profile)))
    assert [(one.key, one.sample, one.params) for one in again] == [
        (one.key, one.sample, one.params) for one in requests
    ]


FACTS = BatchFacts(batch_id="b", profile="p", provider="p", model="m", endpoint="e", price_per_image=None)


def indexed(folder: Path, requests: list[Request]) -> list[dict[str, Any]]:
    """What the index says of the requests, by way of the frozen plan."""
    head = freeze(requests, folder / "plan.parquet", PlanHead(fingerprint="f", endpoint="e"))
    plan, path = PlanFile(folder / "plan.parquet"), folder / "metadata.parquet"
    assert list(plan) == requests
    none: dict[Any, Record] = {}
    index.write(path, plan, lambda _: none, facts=FACTS, label_types=head.label_types, stamp="s")
    return list(index.read(path))


def test_the_index_numbers_the_samples_of_a_row_and_claims_no_seed_that_the_api_drew(tmp_path: Path) -> None:
    rows = indexed(tmp_path, planned(tmp_path, f"{fox(2, seed=0)}\n{fox(2, width=64)}"))
    assert [(row["row_index"], row["sample_index"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [row["seed"] for row in rows] == [0, 1352319738, None, None]
    assert [row["requested_width"] for row in rows] == [1024, 1024, 64, 64]


# --- Lists


def test_lists_of_a_manifest_reach_the_request_and_the_frozen_plan(tmp_path: Path) -> None:
    requests = planned(
        tmp_path, "  - {prompt: A fox, params: {lora_models: [a, b], lora_weights: [1, 0.5]}}", profile="sdxl"
    )
    assert requests[0].params["lora_models"] == ("a", "b")
    assert requests[0].params["lora_weights"] == (1.0, 0.5)
    (row,) = indexed(tmp_path, requests)
    assert '"lora_models": ["a", "b"], "lora_weights": [1.0, 0.5]' in row["params_json"]


def test_a_list_in_a_tables_cell_is_the_same_request(tmp_path: Path) -> None:
    (document,) = planned(
        tmp_path, "  - {prompt: fox, params: {lora_models: [a, b], lora_weights: [1, 0]}}", profile="sdxl"
    )
    table = tmp_path / "m.csv"
    table.write_text('prompt,lora_models,lora_weights\nfox,"a, b","1.0, -0"\n')
    (request,) = Plan(read_manifest(table, find_profile=find_profile, overrides=Overrides(profile="sdxl")))
    assert request.key == document.key


def test_an_axis_may_sweep_a_list_one_value_at_a_time(tmp_path: Path) -> None:
    requests = planned(tmp_path, "  - A fox", profile="sdxl", axes="{grid: {lora_models: [a, b]}}")
    assert [request.params["lora_models"] for request in requests] == [("a",), ("b",)]
    assert [request.labels["axis_lora_models"] for request in requests] == ["a", "b"]


def test_a_file_of_an_axis_writes_a_list_a_line(tmp_path: Path) -> None:
    (tmp_path / "loras.txt").write_text("a, b\nc\n")
    requests = planned(tmp_path, "  - A fox", profile="sdxl", axes="{grid: {lora_models: {file: loras.txt}}}")
    assert [request.params["lora_models"] for request in requests] == [("a", "b"), ("c",)]
    assert [request.labels["axis_lora_models"] for request in requests] == ["a, b", "c"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("lora_models: [1]", "lora_models: must be a list of texts, not 1"),
        ("lora_weights: [a]", "lora_weights: must be a list of numbers, not 'a'"),
        ("embeddings: {a: 1}", "embeddings: must be a list of texts"),
        ('embeddings: ["\\0"]', "NUL"),
    ],
)
def test_a_list_that_is_none_is_refused_with_its_line(tmp_path: Path, params: str, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        planned(tmp_path, f"  - {{prompt: A fox, params: {{{params}}}}}", profile="sdxl")
    assert words in str(caught.value)
