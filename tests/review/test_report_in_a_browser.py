"""The report as a person has it: opened from disk in a browser, by mouse and by keyboard."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from batchgen.app.reporting import report
from batchgen.model import PARTS_FOLDER
from batchgen.review import report as pages
from tests.review.browsing import Opened, a_browser, opened
from tests.review.sweeps import Wanted, failed, make, sweep

THUMBNAIL = re.compile("^data:image/webp;base64,")
ATTACKS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %}",
    "' onmouseover='alert(4)",
    "javascript:alert(5)",
    "<svg onload=alert(6)>\u2028\u2029",
    "<link rel=stylesheet href=https://example.com/a.css>",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as found:
        yield found


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a sweep of 60 images."""
    return report(make(tmp_path_factory.mktemp("sweep") / "out", sweep())).page


@pytest.fixture
def page(browser: Browser, swept: Path) -> Iterator[Opened]:
    """That report, opened; in the end it must have said nothing, and asked for nothing elsewhere."""
    with opened(browser, swept) as seen:
        yield seen
        assert seen.complaints == []
        assert seen.asked_elsewhere == []


def shown(seen: Opened) -> str:
    return seen.page.locator("#pager [role=status]").inner_text()


def test_a_sweep_opens_from_disk_in_one_file_with_the_prompts_as_alternative_texts(page: Opened) -> None:
    assert shown(page) == "60 rows, page 1 of 1"
    images = page.page.locator("#tiles img")
    images.first.scroll_into_view_if_needed()
    expect(images.first).to_have_attribute("src", THUMBNAIL)
    assert images.count() == 60
    assert images.first.get_attribute("alt") == "A fox"
    assert len(page.asked) == 1


def test_a_sweep_is_laid_out_along_its_axes_and_the_rest_is_chosen(page: Opened) -> None:
    head = page.page.locator("#grid thead th")
    assert head.all_inner_texts() == ["guidance_scale ↓ animal →", "fox", "owl", "toucan"]
    assert page.page.locator("#grid tbody th").all_inner_texts() == ["4", "7", "10", "13"]
    assert page.page.locator("#grid td img").count() == 12
    page.page.get_by_label("columns", exact=True).select_option(label="num_inference_steps")
    assert head.all_inner_texts()[1:] == ["10", "15", "20", "25", "30"]
    page.page.locator("#grid-controls").get_by_label("animal", exact=True).select_option(label="owl")
    assert set(page.page.locator("#grid td img").evaluate_all("all => all.map((one) => one.alt)")) == {"A owl"}


def test_images_are_filtered_by_columns_and_by_words(page: Opened) -> None:
    filters = page.page.locator("#filters")
    filters.get_by_label("animal", exact=True).select_option(label="owl")
    filters.get_by_label("guidance_scale", exact=True).select_option(label="7")
    assert shown(page) == "5 of 60 rows, page 1 of 1"
    filters.get_by_role("button", name="Clear").click()
    page.page.get_by_label("full text").fill("TOUCAN 13")
    expect(page.page.locator("#pager [role=status]")).to_have_text("5 of 60 rows, page 1 of 1")


def test_the_lightbox_goes_by_keyboard_and_shows_all_metadata(page: Opened) -> None:
    tile = page.page.locator("#tiles .tile").first
    tile.focus()
    page.page.keyboard.press("Enter")
    box = page.page.locator("#box")
    expect(box.locator("tr", has_text="request_key")).to_be_visible()
    cells = dict(zip(box.locator("th").all_inner_texts(), box.locator("td").all_inner_texts(), strict=True))
    assert (cells["guidance_scale"], cells["num_inference_steps"], cells["latency_s"]) == ("4", "10", "1")
    assert box.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 48
    page.page.keyboard.press("ArrowRight")
    expect(page.page.locator("#box-says")).to_have_text("2 of 60")
    page.page.keyboard.press("Escape")
    expect(box).not_to_be_visible()
    expect(tile).to_be_focused()


def test_an_image_is_copied_as_a_row_of_a_manifest(page: Opened) -> None:
    page.page.locator("#tiles .tile").nth(1).click()
    page.page.get_by_role("button", name="Copy as manifest row").click()
    expect(page.page.locator("#box-says")).to_contain_text("Copied")
    assert page.page.evaluate("navigator.clipboard.readText()").startswith('- {"prompt": "A fox", "params": {')


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_stands_out_from_its_ground(browser: Browser, swept: Path, dark: bool) -> None:
    with opened(browser, swept, dark=dark) as seen:
        assert seen.page.evaluate(_FAINT) == []


def test_on_a_narrow_screen_nothing_is_wider_than_it_and_words_stay_whole(browser: Browser, tmp_path: Path) -> None:
    rows = [*sweep(), Wanted(prompt="An otter by the river", failure=failed(message="not to be drawn at all"))]
    with opened(browser, report(make(tmp_path / "out", rows)).page) as seen:
        seen.page.set_viewport_size({"width": 360, "height": 800})
        assert seen.page.evaluate("document.documentElement.scrollWidth") == 360
        rights = "all => all.map((one) => one.getBoundingClientRect().right)"
        assert max(seen.page.locator("select, input").evaluate_all(rights)) <= 360
        widths = "all => all.map((one) => one.getBoundingClientRect().width)"
        assert min(seen.page.locator("#failures ~ div td:nth-child(n + 3)").evaluate_all(widths)) > 120
        labels = seen.page.locator("svg").evaluate_all(
            "all => all.flatMap((svg) => [...svg.querySelectorAll('text')].map((text) =>"
            " text.getBoundingClientRect().right - svg.getBoundingClientRect().right))"
        )
        assert max(labels) <= 0


@pytest.mark.parametrize("letters", [165, 6_000])
def test_prompts_of_any_length_make_a_page_no_wider_than_the_screen(
    browser: Browser, tmp_path: Path, letters: int
) -> None:
    rows = [
        Wanted(prompt=f"{what} {'in a snowy forest at dawn ' * 240}"[:letters], params={"guidance_scale": scale})
        for what in ("A fox", "An owl")
        for scale in (4.0, 7.0)
    ]
    with opened(browser, report(make(tmp_path / "out", rows)).page) as seen:
        for width in (380, 1000):
            seen.page.set_viewport_size({"width": width, "height": 800})
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        options = seen.page.locator("#filters select[data-facet=prompt] option").all_inner_texts()
        assert max(map(len, options)) == 80


def test_signs_that_turn_the_direction_of_reading_end_with_the_text_that_holds_them(
    browser: Browser, tmp_path: Path
) -> None:
    turned = "\u202eturned round"
    rows = [
        Wanted(prompt=f"A fox {note}", labels={"axis_note": note, "other": note}, params={"seed": number})
        for number, note in enumerate((turned, "007", "\u05e9\u05dc\u05d5\u05dd"))
    ]
    rows.append(Wanted(prompt=turned, labels={"axis_note": "7"}, failure=failed(message=f"{turned} 007")))
    rows.append(Wanted(prompt=turned, params={"seed": 9}, failure=failed(message="plain")))
    with opened(browser, report(make(tmp_path / "out", rows)).page) as seen:
        assert seen.page.evaluate(_PLACES, ["#parameters ~ div tr", "(1)"]) == "left to right"
        assert seen.page.evaluate(_PLACES, ["#failures ~ div td", "(HTTP 400)"]) == "left to right"


#: Whether the letters of a text stand on the screen as they are written, wherever it occurs in some elements.
_PLACES = """([where, text]) => {
  let found = 0;
  for (const element of document.querySelectorAll(where)) {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const at = node.data.indexOf(text);
      if (at < 0) continue;
      found++;
      const lefts = [...text].map((_, place) => {
        const range = document.createRange();
        range.setStart(node, at + place);
        range.setEnd(node, at + place + 1);
        return range.getBoundingClientRect().left;
      });
      if (lefts.some((left, place) => place && left < lefts[place - 1])) return `turned: ${element.innerText}`;
    }
  }
  return found ? "left to right" : "not there";
}"""


def test_what_prompts_labels_and_errors_hold_is_shown_and_never_run(browser: Browser, tmp_path: Path) -> None:
    rows = [
        Wanted(
            prompt=f"{attack} {number}",
            labels={"note": attack, "axis_word": attack},
            failure=failed(message=attack) if number % 2 else None,
        )
        for number, attack in enumerate(ATTACKS)
    ]
    made = report(make(tmp_path / "out", rows))
    with opened(browser, made.page) as seen:
        tiles = seen.page.locator("#tiles .tile")
        for number in range(len(ATTACKS)):
            tiles.nth(number).click()
            expect(seen.page.locator("#box-cells tr").first).to_be_attached()
            expect(seen.page.locator("#box-title")).to_have_text(rows[number].prompt)
            seen.page.keyboard.press("Escape")
        assert seen.page.locator("#failures ~ div td p").first.inner_text().startswith(rows[1].prompt)
        assert seen.complaints == []
        assert seen.asked_elsewhere == []


def test_a_large_batch_loads_its_thumbnails_when_they_come_into_view(browser: Browser, tmp_path: Path) -> None:
    rows = [Wanted(prompt=f"A fox, number {n}", params={"seed": n}) for n in range(420)]
    made = report(make(tmp_path / "out", rows))
    with opened(browser, made.page) as seen:
        assert shown(seen) == "420 rows, page 1 of 5"
        seen.page.locator("#tiles img").first.scroll_into_view_if_needed()
        expect(seen.page.locator("#tiles img").first).to_have_attribute("src", THUMBNAIL)
        assert len([url for url in seen.asked if url.endswith(".js")]) < made.parts == 9
        seen.page.get_by_role("button", name="Last").click()
        assert seen.page.locator("#tiles img").count() == 20
        assert seen.complaints == []
        assert seen.asked_elsewhere == []


def foxes(count: int) -> list[Wanted]:
    return [Wanted(prompt=f"A fox, number {n}", params={"seed": n}) for n in range(count)]


def test_a_page_without_its_parts_says_so_and_shows_the_images_themselves(browser: Browser, tmp_path: Path) -> None:
    made = report(make(tmp_path / "out", foxes(260)))
    shutil.rmtree(tmp_path / "out" / PARTS_FOLDER)
    with opened(browser, made.page) as seen:
        image = seen.page.locator("#tiles img").first
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 48
        expect(seen.page.get_by_text("belong to this page are not there any more")).to_be_visible()


def test_a_page_that_is_open_while_a_newer_report_is_written_never_shows_that_ones_rows(
    browser: Browser, tmp_path: Path
) -> None:
    out = make(tmp_path / "out", foxes(260))
    made = report(out)
    with opened(browser, made.page) as seen:
        (out / "metadata.parquet").unlink()
        (out / "images").rename(out / "before")
        make(out, [Wanted(prompt=f"An owl, number {n}") for n in range(80)] + foxes(260))
        report(out)
        for tile, prompt in ((0, "A fox, number 0"), (99, "A fox, number 99")):
            seen.page.locator("#tiles .tile").nth(tile).click()
            expect(seen.page.locator("#box-title")).to_have_text(prompt)
            expect(seen.page.locator("#box-cells tr").first).to_be_attached()
            assert "An owl" not in seen.page.locator("#box").inner_text()
            seen.page.keyboard.press("Escape")
        expect(seen.page.locator("#parts-gone")).to_be_visible()
        seen.page.reload()
        expect(seen.page.locator("#parts-gone")).not_to_be_visible()
        seen.page.locator("#tiles .tile").nth(80).click()
        expect(seen.page.locator("#box-cells")).to_contain_text("A fox, number 0")


def test_an_old_page_beside_the_parts_of_a_report_that_was_cut_off_shows_its_own_rows(
    browser: Browser, tmp_path: Path
) -> None:
    out = make(tmp_path / "out", foxes(260))
    made = report(out)
    (out / "metadata.parquet").unlink()
    (out / "images").rename(out / "before")
    make(out, [Wanted(prompt=f"An owl, number {n}") for n in range(80)] + foxes(260))
    for file in pages.make(out):
        if file.content is not None and file.name != made.page.name:  # killed before the page was written
            (out / file.name).write_bytes(file.content)
    with opened(browser, made.page) as seen:
        seen.page.locator("#tiles .tile").first.click()
        expect(seen.page.locator("#box-cells tr", has_text="request_key")).to_be_visible()
        cells = seen.page.locator("#box-cells").inner_text()
        assert "A fox, number 0" in cells
        assert "An owl" not in cells
        expect(seen.page.locator("#parts-gone")).not_to_be_visible()


#: Elements with text of their own whose contrast with the nearest ground is below 4.5, as the accessibility
#: guidelines count it; what is switched off need not be read.
_FAINT = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && !one.disabled && !["SCRIPT", "STYLE"].includes(one.tagName))
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((one) => {
      const colour = one instanceof SVGElement ? getComputedStyle(one).fill : getComputedStyle(one).color;
      const [a, b] = [light(parts(colour)), light(ground(one))].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05) < 4.5;
    })
    .map((one) => `${one.tagName} ${one.textContent.slice(0, 40)}`);
}"""
