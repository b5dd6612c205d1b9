"""The report: what its figures add up to, which files it is made of, and what of it is made anew."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen import index
from batchgen.adapters.profiles import find_profile
from batchgen.app.reporting import report
from batchgen.errors import UsageError
from batchgen.manifest import read_manifest
from batchgen.model import PARTS_FOLDER, FailureKind
from batchgen.review import charts, gallery
from batchgen.review import report as pages
from batchgen.review.advice import advice
from batchgen.review.facets import Column, in_order, shown
from batchgen.review.gallery import manifest_row
from batchgen.review.thumbnails import data_uri
from tests.review.sweeps import FACTS, Wanted, failed, make, sweep

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


def rows_of(page: Path) -> dict[str, Any]:
    """What the page gives its script."""
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page.read_text())
    assert found is not None
    rows: dict[str, Any] = json.loads(found[1])
    return rows


def many(folder: Path, count: int) -> Path:
    return make(folder, [Wanted(prompt=f"A fox, number {n}", params={"seed": n}) for n in range(count)])


def parts(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / PARTS_FOLDER).iterdir())}


def test_the_figures_of_the_page_are_those_of_the_index(tmp_path: Path) -> None:
    rows = [*sweep(), Wanted(prompt="A sin", failure=failed(message="no <b>sin</b>"))]
    text = report(make(tmp_path / "out", rows)).page.read_text()
    tiles = dict(re.findall(r"<div><dt>(.*?)</dt>\s*<dd[^>]*>(.*?)</dd></div>", text))
    assert tiles["images asked for"] == "61"
    assert (tiles["stored"], tiles["failed"], tiles["prompts"]) == ("60", "1", "4")
    assert (tiles["submissions"], tiles["spend"]) == ("62", "15.00")
    assert "no &lt;b&gt;sin&lt;/b&gt;</bdi> (HTTP 400)" in text
    assert advice("content_policy") in text
    assert "<b>sin" not in text


def test_what_failures_may_have_cost_is_in_the_spend(tmp_path: Path) -> None:
    facts = replace(FACTS, spending={"made": 1, "wasted": 40, "in_doubt": 2})
    text = report(make(tmp_path / "out", [Wanted()], facts=facts)).page.read_text()
    assert re.search(r"<dt>spend, at most</dt>\s*<dd>10.75</dd>", text)
    assert "Spent: at most 43 images (10.75): 1 made, 40 wasted on failures, 2 in doubt." in text


def test_a_price_that_nobody_knows_is_said_to_be_unknown(tmp_path: Path) -> None:
    facts = replace(FACTS, price_per_image=None)
    text = report(make(tmp_path / "out", [Wanted()], facts=facts)).page.read_text()
    assert re.search(r"<dt>spend</dt>\s*<dd>unknown</dd>", text)
    assert "set price_per_image" in text


def test_a_small_batch_is_one_file(tmp_path: Path) -> None:
    made = report(make(tmp_path / "out", sweep()))
    assert (made.parts, (tmp_path / "out" / PARTS_FOLDER).exists()) == (0, False)
    found = rows_of(made.page)
    thumbnails = [row["thumbnail"] for part in found["parts"] for row in part]
    assert len(thumbnails) == found["count"] == 60
    assert all(one.startswith("data:image/webp;base64,") for one in thumbnails)


def test_a_batch_without_an_image_has_a_page_too(tmp_path: Path) -> None:
    text = report(make(tmp_path / "out", [Wanted(failure=failed())])).page.read_text()
    assert "<svg" not in text
    assert "<dt>stored</dt>" not in text


def test_the_parts_of_a_large_batch_hold_every_row_once(tmp_path: Path) -> None:
    made = report(many(tmp_path / "out", 260))
    assert made.parts == len(parts(tmp_path / "out")) == 6
    prompts: list[str] = []
    assert rows_of(made.page)["beside"] == list(parts(tmp_path / "out"))
    for name, part in parts(tmp_path / "out").items():
        start = f'batchgenPart("{name}",'
        rows = json.loads(part.decode().splitlines()[1].removeprefix(start).removesuffix(")"))
        prompts += [dict(row["cells"])["prompt"] for row in rows]
    assert prompts == [f"A fox, number {n}" for n in range(260)]
    assert rows_of(made.page)["parts"] is None


def test_only_parts_that_have_changed_are_made_anew_and_old_ones_are_removed(tmp_path: Path) -> None:
    out = many(tmp_path / "out", 260)
    report(out)
    before = parts(out)
    (out / PARTS_FOLDER / "00009.js").write_text("of an earlier, longer batch")
    for image in (out / "images").iterdir():
        image.unlink()  # a thumbnail that were made anew would be missing
    report(out)
    assert parts(out) == before


def test_parts_of_other_rows_have_other_names_and_the_old_ones_go_once_the_page_is_there(tmp_path: Path) -> None:
    out = many(tmp_path / "out", 260)
    page = report(out).page
    before, old_page = set(parts(out)), page.read_bytes()
    shutil.rmtree(out / "images")
    (out / "metadata.parquet").unlink()
    make(out, [Wanted(prompt=f"An owl, number {n}", params={"seed": n}) for n in range(260)])
    for file in pages.make(out):
        if file.content is not None and file.name != page.name:
            (out / file.name).write_bytes(file.content)
    assert page.read_bytes() == old_page
    assert before < set(parts(out))
    assert set(rows_of(report(out).page)["beside"]) == set(parts(out)) == set(parts(out)) - before


def test_a_report_that_is_given_up_leaves_the_page_as_it_was_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    out = many(tmp_path / "out", 260)
    page = report(out).page
    before, old_parts = page.read_bytes(), set(parts(out))
    shutil.rmtree(out / "images")
    (out / "metadata.parquet").unlink()
    make(out, [Wanted(prompt=f"An owl, number {n}", params={"seed": n}) for n in range(260)])
    done = iter(range(3))

    def tick(rows: int) -> None:
        if next(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report(out, begun=lambda _: tick)
    assert page.read_bytes() == before
    assert old_parts < set(parts(out))
    report(out)
    assert set(rows_of(page)["beside"]) == set(parts(out))


def test_thumbnails_that_could_not_be_made_are_tried_again(tmp_path: Path) -> None:
    out = many(tmp_path / "out", 260)
    report(out, thumbnails=100)
    assert [b'"thumbnail":null' in part for part in parts(out).values()] == [False] * 2 + [True] * 4
    report(out)
    assert not any(b'"thumbnail":null' in part for part in parts(out).values())


def test_the_page_of_a_batch_of_any_length_shows_its_first_rows_and_counts_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.review.report.MOST_ROWS", 50)
    made = report(make(tmp_path / "out", sweep()))
    assert rows_of(made.page)["count"] == 50
    assert "The first 50 of 60 rows" in made.page.read_text()
    assert "<dt>images asked for</dt><dd>60</dd>" in made.page.read_text()


def test_the_policy_of_a_page_forbids_every_request_to_elsewhere(tmp_path: Path) -> None:
    text = report(make(tmp_path / "out", sweep())).page.read_text()
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    policy = found[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert re.search(r"script-src 'sha256-[^']+'$", policy)


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no index yet"):
        report(tmp_path)


def test_no_image_outside_of_the_batch_folder_is_read(tmp_path: Path) -> None:
    out = make(tmp_path / "out", [Wanted()])
    stray = next((out / "images").iterdir()).rename(tmp_path / "stray.png")
    assert data_uri(out, "../stray.png") is None
    assert data_uri(out, str(stray)) is None
    assert data_uri(out, "images/gone.png") is None


def test_there_is_advice_for_every_kind_of_failure() -> None:
    assert all(advice(kind) for kind in FailureKind)
    assert advice("of a later version") == ""


@given(
    prompt=TEXT,
    negative=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    label=TEXT,
    guidance=st.floats(0.1, 20),
)
def test_a_copied_row_asks_for_the_very_same(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, negative: str, label: str, guidance: float
) -> None:
    params = {"guidance_scale": guidance, "negative_prompt": negative, "width": 64, "height": 64, "samples": 2}
    row = {"prompt": prompt, "params_json": json.dumps(params), "file_prefix": "fox", "split": "train", "class": label}
    path = tmp_path_factory.mktemp("copied") / "m.yaml"
    path.write_text(f"profile: sd3\nprompts:\n  {manifest_row(row, ['class', 'axis_animal'])}\n", encoding="utf-8")
    [copied] = read_manifest(path, find_profile=find_profile).rows()
    assert copied.prompt == prompt
    assert dict(copied.labels) == {"class": label}
    assert {name: copied.params[name] for name in params} == params


@given(st.lists(st.floats(1e9, 2e9), min_size=1, max_size=200))
def test_every_stored_image_is_in_one_bar_inside_the_chart(moments: list[float]) -> None:
    chart = charts.throughput(moments)
    assert chart is not None
    assert sum(int(row[1].replace(",", "")) for row in chart.rows) == len(moments)
    assert len(chart.bars) <= 50
    for bar in chart.bars:
        assert charts.LEFT <= bar.x <= bar.x + bar.width <= charts.WIDTH
        assert charts.TOP - 0.1 <= bar.y <= bar.y + bar.height <= charts.HEIGHT


@example([(1e9, 5e-324)])
@given(st.lists(st.tuples(st.floats(1e9, 1.0001e9), st.floats(0, 1e4)), min_size=1, max_size=100))
def test_latencies_stay_inside_the_chart(jobs: list[tuple[float, float]]) -> None:
    chart = charts.latency([ended for ended, _ in jobs], [taken for _, taken in jobs])
    assert chart is not None
    assert sum(int(row[1].replace(",", "")) for row in chart.rows) == len(jobs)
    for line in chart.lines:
        for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", line.path):
            assert charts.LEFT <= float(x) <= charts.WIDTH
            assert charts.TOP - 0.1 <= float(y) <= charts.HEIGHT


@given(st.lists(st.none() | st.sampled_from(["fox", "owl", "10", "9"])))
def test_a_column_gives_every_row_its_value_back(values: list[str | None]) -> None:
    column = Column()
    for number, value in enumerate(values):
        if value is not None:
            column.put(number, value)
    held, codes = column.coded(len(values))
    assert [held[code] for code in codes] == values
    assert Counter(held) == Counter(set(values))


def test_numbers_are_in_order_of_size_and_words_as_they_came() -> None:
    assert in_order(["10", "9.5", None, "-1"]) == ["-1", "9.5", "10", None]
    assert in_order(["small", "large", "10"]) == ["small", "large", "10"]
    assert in_order(["2", "nan", "1"]) == ["2", "nan", "1"]


@given(st.lists(st.floats(allow_nan=False) | st.floats(7.123456789, 7.12345678900001), unique=True, max_size=8))
def test_numbers_that_differ_are_shown_otherwise(values: list[float]) -> None:
    texts = [shown(value) for value in values]
    assert [float(str(text)) for text in texts] == values


def test_numbers_are_shown_as_short_as_they_can_be() -> None:
    given = [7.0, 0.1, 7.123456789012, 1e22, 1 / 3]
    assert [shown(value) for value in given] == ["7", "0.1", "7.123456789012", "1e+22", "0.3333333333333333"]


def test_of_more_values_than_are_counted_it_is_said_that_there_are_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.review.survey._VALUES", 50)
    text = report(many(tmp_path / "out", 60)).page.read_text()
    assert "… and at least 38 more" in text
    monkeypatch.setattr("batchgen.review.survey._VALUES", 60)
    assert "… and 48 more" in report(tmp_path / "out").page.read_text()


def test_the_rows_of_a_part_are_those_of_the_index(tmp_path: Path) -> None:
    out = many(tmp_path / "out", 120)
    lengths = [len(part) for part in gallery.in_parts(index.read(out / "metadata.parquet"))]
    assert lengths == [50, 50, 20]
