"""Plans: keys, names, duplicates, order."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen import planning
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.firsts import Firsts, FirstsInMemory
from batchgen.manifest import Manifest
from batchgen.model import InDoubt, ParamValue, Request, Row
from batchgen.planning import Duplicate, Elsewhere, Plan, image_folder, request_key, split_of
from batchgen.profile import Profile
from tests.factories import a_profile

PARAMS: Mapping[str, ParamValue] = {
    "negative_prompt": "",
    "num_inference_steps": 29,
    "samples": 1,
    "guidance_scale": 7.0,
}
SPLIT_WORDS = ("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation")


def a_manifest(rows: Iterable[Row], *, repeat: int = 1) -> Manifest:
    kept = [replace(row, repeats=range(repeat)) for row in rows]

    def read() -> Iterator[Row]:
        return iter(kept)

    return Manifest(
        source="m.yaml", path=Path("m.yaml"), sha256="0" * 64, batch_id="b", profile=a_profile(), concurrency=1,
        rate=None, in_doubt=InDoubt.HOLD, price_per_image=0.5, read_rows=read,
    )  # fmt: skip


def a_row(index: int, prompt: str, **params: ParamValue) -> Row:
    return Row(index=index, prompt=prompt, params={**PARAMS, **params}, file_prefix="p", labels={})


def rows(prompts: Sequence[str], **params: ParamValue) -> list[Row]:
    return [a_row(index, prompt, **params) for index, prompt in enumerate(prompts)]


def key(prompt: str = "fox", repeat: int = 0, **params: ParamValue) -> str:
    return request_key(a_profile(), prompt, {**PARAMS, **params}, repeat)


def test_a_key_never_changes_between_versions() -> None:
    """These are in people's journals: another key is another payment."""
    assert key() == "lx27fnqny4hhuc8u0g6ypksnmf"
    assert key("Ein Fuchs, “müde” 🦊", guidance_scale=0.1) == "g641pfq47wbc8d1u1wbujj5wdy"


@given(
    st.text(),
    st.dictionaries(
        st.sampled_from(a_profile().image_parameters),
        st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans(),
    ),
    st.integers(0, 99),
)
def test_a_key_is_the_hash_of_canonical_json(prompt: str, params: dict[str, ParamValue], repeat: int) -> None:
    meaning = {"endpoint": a_profile().endpoint, "prompt": prompt, "params": params, "repeat": repeat}
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:17], "big")
    digits = [planning._ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    assert request_key(a_profile(), prompt, params, repeat) == "".join(digits)


def test_a_key_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "from tests.test_planning import key; print(key())"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == key()


def test_each_thing_that_changes_the_image_changes_the_key() -> None:
    other = Profile.model_validate({**a_profile().model_dump(), "submit_path": "/other"})
    keys = {
        key(), key("owl"), key(repeat=1), key(guidance_scale=7.5), key(samples=2), key(negative_prompt="x"),
        key(direct_link=True), request_key(other, "fox", PARAMS, 0),
    }  # fmt: skip
    assert len(keys) == 8


def test_how_the_result_is_delivered_changes_no_key() -> None:
    assert key(webhook="https://a.test", queued_image_urls=True) == key()


@given(st.text(), st.integers(0, 1_000))
def test_no_key_can_spell_a_word_by_which_loaders_guess_splits(prompt: str, repeat: int) -> None:
    found = key(prompt, repeat)
    assert re.fullmatch(r"[0-9a-z]{26}", found)
    assert not any(word in found for word in SPLIT_WORDS)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_reordering_rows_changes_no_key(prompts: list[str], chance: random.Random) -> None:
    shuffled = list(prompts)
    chance.shuffle(shuffled)
    keys = [{request.key for request in Plan(a_manifest(rows(order)))} for order in (prompts, shuffled)]
    assert keys[0] == keys[1]


@given(st.lists(st.sampled_from("abcdef"), max_size=20), st.integers(1, 3))
def test_each_row_and_repeat_is_requested_once_and_what_is_left_out_is_told(prompts: list[str], repeat: int) -> None:
    entries = list(Plan(a_manifest(rows(prompts), repeat=repeat)).entries())
    asked = [entry for entry in entries if isinstance(entry, Request)]
    assert len(entries) == len(prompts) * repeat
    assert len({request.key for request in asked}) == len(asked) == len(set(prompts)) * repeat
    assert {entry.key for entry in entries if isinstance(entry, Duplicate)} <= {request.key for request in asked}


def test_a_plan_is_in_the_order_of_its_rows_and_the_same_each_time() -> None:
    plan = Plan(a_manifest(rows("cab"), repeat=2))
    assert [(request.prompt, request.repeat) for request in plan] == [(p, n) for p in "cab" for n in (0, 1)]
    assert list(plan) == list(plan)


@given(st.lists(st.integers(1, 4), max_size=50))
def test_the_samples_of_a_plan_are_numbered_without_gaps(samples: list[int]) -> None:
    plan = Plan(a_manifest(a_row(n, f"{n}", samples=count) for n, count in enumerate(samples)))
    expected = 0
    for request in plan:
        assert request.first_sample == expected
        expected += request.samples


def test_no_folder_gets_five_thousand_entries_before_two_million_images() -> None:
    folders: dict[str, int] = {}
    for last in range(2, 3 * 700_000, 3):
        folder = image_folder(last)
        folders[folder] = folders.get(folder, 0) + 3
    assert max(folders.values()) + len(folders) < 5_000
    assert list(folders)[:2] == ["images", "images/0001"]


def test_two_keys_that_begin_alike_get_different_file_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "request_key", lambda profile, prompt, *_: "0123456789" + prompt * 16)
    stems = [request.file_stem for request in Plan(a_manifest(rows("abc")))]
    assert stems == ["images/p-0123456789", "images/p-0123456789" + "b" * 16, "images/p-0123456789" + "c" * 16]


@pytest.mark.parametrize("firsts", [FirstsInMemory, SpillingFirsts, partial(SpillingFirsts, 2)])
def test_names_and_duplicates_are_the_same_wherever_the_keys_are_remembered(
    firsts: Callable[[], Firsts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "request_key", lambda profile, prompt, *_: "0123456789" + prompt * 16)
    entries = list(Plan(a_manifest(rows("abcacbd")), firsts=firsts).entries())
    told = [
        (e.row_index, e.first_row) if isinstance(e, Duplicate) else e.file_stem[-16:]
        for e in entries
        if not isinstance(e, Elsewhere)
    ]
    assert told == ["ges/p-0123456789", "b" * 16, "c" * 16, (3, 0), (4, 2), (5, 1), "d" * 16]


def test_a_duplicate_says_which_row_asked_first() -> None:
    entries = Plan(a_manifest(rows("abcab"))).entries()
    assert [(e.row_index, e.first_row) for e in entries if isinstance(e, Duplicate)] == [(3, 0), (4, 1)]


def test_a_row_may_be_asked_for_by_some_of_its_repeats() -> None:
    row = replace(a_row(7, "fox"), repeats=range(2, 4), split="test")
    plan = Plan(replace(a_manifest([]), read_rows=lambda: iter([row])))
    assert [(request.key, request.split) for request in plan] == [(key(repeat=2), "test"), (key(repeat=3), "test")]


def test_what_was_paid_for_is_kept_even_if_a_limit_leaves_it_out() -> None:
    old = list(Plan(a_manifest(rows("abc"))))
    new = list(Plan(a_manifest(rows("abc")), limit=1, kept=lambda: old))
    assert [(request.prompt, request.kept) for request in new] == [("a", False), ("b", True), ("c", True)]


def test_a_limit_cuts_the_plan_but_not_the_reading() -> None:
    read = []

    def reading() -> Iterator[Row]:
        for row in rows("abcd"):
            read.append(row.index)
            yield row

    plan = Plan(replace(a_manifest([]), read_rows=reading), limit=2)
    assert [request.prompt for request in plan] == ["a", "b"]
    assert read == [0, 1, 2, 3]


def test_kept_requests_follow_at_the_end_unless_the_manifest_asks_for_them() -> None:
    old = list(Plan(a_manifest(rows("abc", samples=2))))
    new = list(Plan(a_manifest(rows("cd", samples=2)), kept=lambda: old))
    assert [(request.prompt, request.first_sample) for request in new] == [("c", 0), ("d", 2), ("a", 4), ("b", 6)]
    assert new[2].file_stem == old[0].file_stem


@given(
    st.permutations("abcdef"),
    st.permutations("abcdef"),
    st.integers(0, 6),
    st.integers(0, 6),
    st.sampled_from([1, 2, 30]),
)
def test_no_request_is_given_the_name_of_another_one_whatever_was_paid_for_before(
    before: list[str], now: list[str], asked_before: int, asked_now: int, likeness: int
) -> None:
    def look_alike(_: Profile, prompt: str, *__: object) -> str:
        return "0" * likeness + prompt * 26

    with mock.patch.object(planning, "request_key", look_alike):
        old = list(Plan(a_manifest(rows(before[:asked_before]))))
        new = list(Plan(a_manifest(rows(now[:asked_now])), kept=lambda: old))
    names = {request.prompt: request.file_stem for request in old}
    others = [request.file_stem for request in new if request.prompt not in names]
    assert len(names) == len(old)
    assert not set(others) & set(names.values())
    assert len({request.file_stem for request in new}) == len(new) == len({*before[:asked_before], *now[:asked_now]})


def test_a_row_that_asks_for_what_was_paid_for_before_is_asked_once() -> None:
    old = list(Plan(a_manifest(rows("ab"))))
    entries = list(Plan(a_manifest(rows("bab")), kept=lambda: old).entries())
    assert not any(isinstance(e, Elsewhere) for e in entries)
    told = [(e.row_index, e.first_row) if isinstance(e, Duplicate) else e.prompt for e in entries]  # type: ignore[union-attr]
    assert told == ["b", "a", (2, 0)]


SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@given(st.text(), st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_all_requests_of_a_prompt_are_in_one_part(prompt: str, steps: list[int]) -> None:
    rows = [a_row(n, prompt, num_inference_steps=value) for n, value in enumerate(steps)]
    plan = Plan(replace(a_manifest(rows, repeat=2), split=SHARES))
    assert len({request.split for request in plan}) == 1


def test_parts_have_about_their_shares_and_stay_as_they_are_when_prompts_are_added() -> None:
    prompts = [f"prompt {n}" for n in range(5_000)]
    parts = {prompt: split_of(prompt, SHARES) for prompt in prompts}
    counts = Counter(parts.values())
    assert all(abs(counts[name] / 5_000 - share) < 0.03 for name, share in SHARES.items())
    grown = Plan(replace(a_manifest(rows([*prompts[:50], "new", *prompts[50:100]])), split=SHARES))
    assert {request.prompt: request.split for request in grown if request.prompt != "new"} == {
        prompt: parts[prompt] for prompt in prompts[:100]
    }


def test_a_manifest_without_parts_makes_none() -> None:
    assert [request.split for request in Plan(a_manifest(rows("ab")))] == [None, None]
