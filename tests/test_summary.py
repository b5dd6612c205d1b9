"""What a plan amounts to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import batchgen
from batchgen.planning import Plan
from batchgen.summary import summarise
from tests.test_planning import a_manifest, a_row, rows


@given(st.lists(st.sampled_from("abcdefgh"), max_size=20))
def test_a_summary_counts_what_is_there(prompts: list[str]) -> None:
    summary = summarise(Plan(a_manifest(rows(prompts, samples=3))).entries(), price=0.5)
    different = len(set(prompts))
    assert (summary.requests, summary.samples, summary.prompts) == (different, 3 * different, different)
    assert summary.duplicates == len(prompts) - different
    assert len(summary.repeated) == min(3, summary.duplicates)  # their rows are different
    assert summary.cost == 1.5 * different
    assert len(summary.first) == min(3, different)
    assert len(summary.drawn) == min(3, max(0, different - 3))
    assert not {request.key for request in summary.first} & {request.key for request in summary.drawn}


def test_the_prompts_of_a_sweep_are_counted_once_wherever_they_stand() -> None:
    steps = [a_row(n, prompt, num_inference_steps=n + 1) for n, prompt in enumerate("aabbab")]
    summary = summarise(Plan(a_manifest(steps)).entries(), price=None)
    assert (summary.requests, summary.prompts, summary.cost) == (6, 2, None)


def test_a_prompt_whose_images_fall_in_several_parts_is_told(tmp_path: Path) -> None:
    parts = [("owl", "train"), ("fox", "test"), ("fox", "test"), ("owl", "test")]
    asked = [replace(a_row(n, prompt, num_inference_steps=n + 1), split=part) for n, (prompt, part) in enumerate(parts)]
    assert summarise(Plan(a_manifest(asked)).entries(), price=None).parted == "owl"
    assert summarise(Plan(a_manifest(asked[:3])).entries(), price=None).parted is None
    (tmp_path / "m.csv").write_text("prompt,split,guidance_scale\nowl,train,7\nowl,test,8\n")
    told = "images of one prompt fall in several parts of the dataset, as those of 'owl'."
    assert batchgen.plan(tmp_path / "m.csv").warnings == (told,)


def test_the_draw_is_fair_and_the_same_for_equal_plans() -> None:
    plans = [Plan(a_manifest(rows([f"{batch} {n}" for n in range(103)]))) for batch in range(200)]
    draws = [[request.row_index for request in summarise(plan.entries(), price=None).drawn] for plan in plans]
    assert all(draw == sorted(set(draw)) and draw[0] >= 3 for draw in draws)
    drawn = [position for draw in draws for position in draw]
    assert 48 < sum(drawn) / len(drawn) < 58  # of 3 to 102
    assert [request.row_index for request in summarise(plans[0].entries(), price=None).drawn] == draws[0]


def test_parts_and_labels_are_told() -> None:
    labelled = [replace(a_row(n, f"{n}"), labels={"a": n} | ({"b": None} if n > 5 else {})) for n in range(50)]
    plan = Plan(replace(a_manifest(labelled), split={"train": 0.8, "test": 0.2}))
    summary = summarise(plan.entries(), price=None)
    assert summary.labels == ("a", "b")
    assert sum(summary.splits.values()) == 50
    assert set(summary.splits) == {"train", "test"}
