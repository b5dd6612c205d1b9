"""`grid` with axes: which image stands in which cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from batchgen.app.reporting import draw_labelled_grid
from batchgen.cli import cli
from batchgen.errors import UsageError
from batchgen.review import labelled_grid
from tests.review.sweeps import Wanted, failed, make, sweep


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sweep") / "out", [*sweep(), Wanted(prompt="A sin", failure=failed())])


def grid(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["grid", *map(str, arguments)])


def test_every_value_has_its_column_or_row_and_every_image_its_cell(out: Path, tmp_path: Path) -> None:
    select = {"num_inference_steps": "20"}
    cells, _ = draw_labelled_grid(out, tmp_path / "g.png", x="guidance_scale", y="animal", select=select, cell=48)
    assert (cells.across, cells.down, cells.most) == (["4", "7", "10", "13"], ["fox", "owl", "toucan"], 1)
    with Image.open(tmp_path / "g.png") as picture:
        assert picture.size == (180 + 4 * 56, 64 + 3 * 56)
        for column, guidance in enumerate((4, 7, 10, 13)):
            for line in range(3):
                colour = picture.getpixel((180 + column * 56 + 40, 64 + line * 56 + 24))
                assert colour == (60 * line, guidance * 10, 100)


def test_one_axis_alone_makes_one_row_or_one_column(out: Path) -> None:
    across = labelled_grid.lay_out(out, x="animal", y=None, select={})
    down = labelled_grid.lay_out(out, x=None, y="animal", select={})
    assert (len(across.across), len(across.down)) == (3, 1)
    assert (len(down.across), len(down.down)) == (1, 3)
    assert labelled_grid.draw(out, down, cell=32).picture.size == (180 + 40, 8 + 3 * 40)


def test_prompts_and_parameters_are_axes_too(tmp_path: Path) -> None:
    rows = [Wanted(prompt=f"A {what}", params={"seed": seed}) for what in ("fox", "owl") for seed in (9, 10)]
    cells = labelled_grid.lay_out(make(tmp_path / "out", rows[:-1]), x="seed", y="prompt", select={})
    assert (cells.across, cells.down, len(cells.files)) == (["9", "10"], ["A fox", "A owl"], 3)


def test_it_is_said_when_cells_hold_more_than_they_show(out: Path, tmp_path: Path) -> None:
    done = grid(out, tmp_path / "g.png", "--x", "guidance_scale", "--y", "animal", "--cell", 32)
    assert "3 x 4 cells, 12 images" in done.output
    assert "cells hold up to 5 images" in done.output
    done = grid(out, tmp_path / "g.png", "--x", "guidance_scale", "--y", "animal", "--cell", 32, "--json")
    told: dict[str, Any] = json.loads(done.output)
    assert (told["columns"], told["most_in_a_cell"]) == (["4", "7", "10", "13"], 5)


@pytest.mark.parametrize(
    ("x", "select", "said"),
    [
        ("colour", {}, "no axis, label or parameter colour. There are: animal, guidance_scale, negative_prompt"),
        ("animal", {"guidance_scale": "5"}, "has guidance_scale=5. There are: 4, 7, 10, 13."),
        ("animal", {"prompt": "A fox", "animal": "owl"}, "no stored image with all of prompt=A fox and animal=owl"),
    ],
)
def test_what_no_image_has_is_refused_with_what_there_is(out: Path, x: str, select: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        labelled_grid.lay_out(out, x=x, y=None, select=select)
    assert said in str(refused.value)


def test_a_batch_without_an_image_has_no_grid(tmp_path: Path) -> None:
    out = make(tmp_path / "out", [Wanted(failure=failed())])
    with pytest.raises(UsageError, match="no stored image yet"):
        labelled_grid.lay_out(out, x="animal", y=None, select={})


def test_a_picture_larger_than_formats_take_is_refused(out: Path) -> None:
    cells = labelled_grid.lay_out(out, x="animal", y="guidance_scale", select={})
    with pytest.raises(UsageError, match="smaller --cell"):
        labelled_grid.draw(out, cells, cell=6_000)


def test_values_that_are_numbers_are_chosen_however_they_are_written(tmp_path: Path) -> None:
    rows = [Wanted(prompt=f"A {n}", params={"guidance_scale": n}, labels={"code": f"00{n:g}"}) for n in (4.0, 7.0)]
    out = make(tmp_path / "out", [*rows, Wanted(prompt="Other", params={"guidance_scale": 9.0}, labels={"code": "7"})])
    for asked in ("7", "7.0", "07", "0.7e1"):
        cells = labelled_grid.lay_out(out, x="prompt", y=None, select={"guidance_scale": asked})
        assert cells.across == ["A 7.0"]
    assert labelled_grid.lay_out(out, x="prompt", y=None, select={"code": "007"}).across == ["A 7.0"]
    assert labelled_grid.lay_out(out, x="prompt", y=None, select={"code": "7"}).across == ["Other"]
    with pytest.raises(UsageError, match=r"guidance_scale=7\.5\. There are: 4, 7, 9"):
        labelled_grid.lay_out(out, x="prompt", y=None, select={"guidance_scale": "7.5"})


def test_an_image_file_that_is_gone_leaves_its_cell_empty_and_is_named(tmp_path: Path) -> None:
    out = make(tmp_path / "out", sweep())
    gone, damaged, *_ = sorted(path for path in (out / "images").iterdir())
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:60])
    for flags in (["--x", "num_inference_steps", "--y", "prompt", "--select", "guidance_scale=4"], ["--count", 60]):
        done = grid(out, tmp_path / "g.png", *flags, "--cell", 32, "--json")
        told = json.loads(done.stdout)
        assert done.exit_code == 0
        assert set(told["unreadable"]) <= {f"images/{path.name}" for path in (gone, damaged)}
    assert len(told["unreadable"]) == 2
    assert "2 image files cannot be read, and the cells say so: images/" in done.stderr
    assert grid(out, tmp_path / "g.png", "--count", 60, "--cell", 32, "-q").stdout == ""


def test_a_cell_whose_request_failed_says_so(tmp_path: Path) -> None:
    rows = [Wanted(prompt=f"A {n}", labels={"axis_n": n}) for n in ("fox", "owl")]
    rows += [Wanted(prompt=f"A red {n}", labels={"axis_n": n, "tone": "red"}) for n in ("fox",)]
    rows.append(Wanted(prompt="A red owl", labels={"axis_n": "owl", "tone": "red"}, failure=failed()))
    cells = labelled_grid.lay_out(make(tmp_path / "out", rows), x="n", y="tone", select={})
    assert cells.lacking == {("owl", "red"): "failed"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--select", "animal=fox"], "name one of them, too"),
        (["--x", "animal", "--columns", "3"], "leave them out"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(out: Path, tmp_path: Path, flags: list[str], said: str) -> None:
    done = grid(out, tmp_path / "g.png", *flags)
    assert (done.exit_code, said in done.output) == (2, True)


def test_without_axes_it_stays_the_contact_sheet(out: Path, tmp_path: Path) -> None:
    assert grid(out, tmp_path / "g.png", "--columns", 3, "--count", 6, "--cell", 32).exit_code == 0
    with Image.open(tmp_path / "g.png") as picture:
        assert picture.width == 3 * 48 + 16
