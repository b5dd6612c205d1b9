"""`diff`: what became of each request from one batch to another."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from batchgen.app.reporting import diff
from batchgen.cli import cli
from batchgen.model import FailureKind
from batchgen.review import difference
from batchgen.review.difference import Change, Difference, Pair, Side
from tests.review.browsing import a_browser, opened
from tests.review.sweeps import FACTS, Wanted, failed, make, sweep


def compared(folder: Path, before: list[Wanted], after: list[Wanted], **flags: Any) -> Difference:
    return diff(make(folder / "a", before), make(folder / "b", after), **flags)


def test_a_batch_does_not_differ_from_itself(tmp_path: Path) -> None:
    found = compared(tmp_path, sweep(), sweep())
    assert (len(found.same), found.identical, found.typical) == (60, 60, 0)
    assert (found.changed, found.lost, found.new) == ([], [], [])


def test_the_same_request_stands_beside_itself_with_the_distance_of_its_images(tmp_path: Path) -> None:
    before = [Wanted(prompt=f"A fox, {n}") for n in range(3)]
    after = [replace(row, colour=(n, n, n), phash=f"{(1 << n) - 1:016x}") for n, row in enumerate(before)]
    found = compared(tmp_path, before, after)
    assert [pair.distance for pair in found.same] == [0, 1, 2]
    assert (found.identical, found.typical, found.distances) == (0, 1, [0, 1, 2])
    assert [pair.distance for pair in found.furthest()] == [2, 1, 0]


def test_an_image_that_came_on_one_side_only_comes_first(tmp_path: Path) -> None:
    before = [Wanted(prompt="A fox"), Wanted(prompt="A sin")]
    after = [replace(before[0], phash="f" * 16), replace(before[1], failure=failed())]
    found = compared(tmp_path, before, after)
    assert [pair.distance for pair in found.furthest()] == [None, 64]
    assert found.furthest()[0].after.error == "content_policy: not this"


def test_what_is_asked_otherwise_is_paired_by_its_prompt_with_what_has_changed(tmp_path: Path) -> None:
    after = [
        replace(row, params={**row.params, "num_inference_steps": 32})
        if row.params["num_inference_steps"] == 30
        else row
        for row in sweep()
    ]
    found = compared(tmp_path, sweep(), after)
    assert (len(found.same), len(found.changed), found.lost, found.new) == (48, 12, [], [])
    for pair in found.changed:
        assert Change(name="guidance_scale", before="4", after="7") not in pair.changes
        assert [change.name for change in pair.changes] == ["num_inference_steps"] or not pair.changes


def test_another_model_is_a_change(tmp_path: Path) -> None:
    make(tmp_path / "a", [Wanted(repeat=0)])
    make(tmp_path / "b", [Wanted(repeat=1)], facts=replace(FACTS, model="sd3_5"))
    [pair] = diff(tmp_path / "a", tmp_path / "b").changed
    assert pair.changes == [Change(name="model", before="sd3", after="sd3_5")]


def test_rows_without_a_counterpart_are_lost_or_new(tmp_path: Path) -> None:
    found = compared(tmp_path, [Wanted(prompt="A fox")], [Wanted(prompt="An owl")])
    assert [side.prompt for side in found.lost] == ["A fox"]
    assert [side.prompt for side in found.new] == ["An owl"]


rows = st.lists(
    st.tuples(st.sampled_from(["A fox", "An owl"]), st.integers(0, 3), st.integers(0, 2)), unique=True, max_size=8
)


@given(before=rows, after=rows)
def test_every_row_of_both_batches_is_told_of_once(before: list[Any], after: list[Any]) -> None:
    old, new = ([_side(*row) for row in some] for some in (before, after))
    known = {(side.request_key, side.sample): side for side in old}
    same = [side for side in new if known.pop((side.request_key, side.sample), None)]
    changed, unmatched = difference._by_prompt(known, [side for side in new if side not in same])
    told = [pair.after for pair in changed] + unmatched + same
    assert sorted(side.request_key for side in told) == sorted(side.request_key for side in new)
    assert all(pair.before.prompt == pair.after.prompt for pair in changed)
    left = {side.prompt for side in known.values()}
    assert not left & {side.prompt for side in unmatched}


def _side(prompt: str, seed: int, repeat: int) -> Side:
    return Side(
        request_key=f"{prompt}/{seed}/{repeat}",
        sample=0,
        prompt=prompt,
        status="stored",
        file=None,
        sha256=None,
        phash=None,
        error=None,
        facets={"seed": str(seed)},
    )


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_distance_is_the_number_of_bits_that_differ(one: int, other: int) -> None:
    sides = [replace(_side("A fox", 0, 0), phash=f"{bits:016x}") for bits in (one, other)]
    pair = Pair(before=sides[0], after=sides[1], changes=[])
    assert pair.distance == sum((one >> bit & 1) != (other >> bit & 1) for bit in range(64))


def test_what_a_prompt_holds_does_not_command_the_terminal(tmp_path: Path) -> None:
    make(tmp_path / "a", [Wanted(prompt="\x1b[31mred \u202eturned")])
    make(tmp_path / "b", [Wanted(prompt="\x1b[31mred \u202eturned", colour=(1, 2, 3), phash="f" * 16)])
    text = CliRunner().invoke(cli, ["diff", str(tmp_path / "a"), str(tmp_path / "b")]).output
    assert "\\x1b[31mred \\u202eturned" in text


def test_people_and_machines_are_told_the_same(tmp_path: Path) -> None:
    make(tmp_path / "a", sweep()[:5])
    make(tmp_path / "b", [replace(sweep()[0], phash="f" * 16, colour=(1, 2, 3)), *sweep()[1:4], Wanted(prompt="New")])
    arguments = ["diff", str(tmp_path / "a"), str(tmp_path / "b")]
    text = CliRunner().invoke(cli, arguments).output
    assert "4 images of the same request" in text
    assert "at most 64 of 64 bits" in text
    assert "1 only in " in text
    told = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).output)
    assert (told["same_images"], told["same_files"], len(told["lost"]), len(told["new"])) == (4, 3, 1, 1)
    assert told["distance"] == {"median": 0, "most": 64}


def test_the_page_opens_without_a_request_and_runs_nothing_of_what_it_shows(tmp_path: Path) -> None:
    attack = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    before = [Wanted(prompt=attack, labels={"note": attack}), Wanted(prompt="A sin"), Wanted(prompt="Old")]
    after = [
        replace(before[0], labels={"note": f"{attack}!"}, phash="f" * 16, colour=(1, 1, 1)),
        replace(before[1], failure=failed(FailureKind.JOB_FAILED, attack)),
        Wanted(prompt="New", labels={"note": "plain"}),
    ]
    page = tmp_path / "new folder" / "diff.html"
    compared(tmp_path, before, after, page=page)
    assert re.search(r"default-src &#39;none&#39;;(?!.*script-src)", page.read_text().split("<style>")[0])
    with a_browser() as browser, opened(browser, page) as seen:
        pairs = seen.page.locator("#pairs ~ div tbody tr")
        assert pairs.count() == 2
        assert pairs.nth(0).inner_text().count(attack) == 1
        assert f"note: {attack} → {attack}!" in pairs.nth(1).inner_text()
        assert seen.page.locator("img").evaluate_all("all => all.map((one) => one.alt)").count(attack) == 2
        assert seen.complaints == []
        assert seen.asked == [page.resolve().as_uri()]
