"""Letters on pictures: of any script that a font of the machine has, and what is said of the others."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from batchgen.cli import cli
from batchgen.review import lettering
from batchgen.review.lettering import LINES, drawable, font_for, wrapped
from tests.review.sweeps import Wanted, make

FOREIGN = "Bär, é, Möwe, лиса, αλεπού"


@pytest.fixture
def without_fonts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine with no font but Pillow's own."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(lettering, "_USUAL", ())
    lettering._asked_of_fontconfig.cache_clear()
    yield
    lettering._asked_of_fontconfig.cache_clear()


def fontconfig_has(letters: str) -> bool:
    if shutil.which("fc-list") is None:
        return False
    asked = ":charset=" + " ".join(f"{ord(letter):x}" for letter in letters)
    return bool(subprocess.run(["fc-list", asked], capture_output=True, check=True).stdout)


def test_letters_that_a_font_of_the_machine_has_are_drawn() -> None:
    if not fontconfig_has("".join(set(FOREIGN) - {" "})):
        pytest.skip("no font with these letters is installed")
    font, lacking = font_for(FOREIGN, 17)
    assert lacking == ""
    assert len({bytes(font.getmask(letter)) for letter in "éлαÜ"}) == 4


def test_english_is_written_as_pillow_writes_it() -> None:
    font, lacking = font_for("prompt: A fox!", 17)
    assert (font.getname()[0], lacking) == ("Aileron", "")


@pytest.mark.usefixtures("without_fonts")
def test_where_there_is_no_font_it_is_said_what_could_not_be_drawn(tmp_path: Path) -> None:
    out = make(tmp_path / "out", [Wanted(prompt="A Bär", labels={"axis_tier": "лис"}), Wanted(prompt="A fox")])
    sheet = CliRunner().invoke(cli, ["grid", str(out), str(tmp_path / "g.png")])
    assert sheet.exit_code == 0
    assert "no font that was found has all letters of the labels: ä are drawn as boxes" in sheet.stderr
    grid = CliRunner().invoke(cli, ["grid", str(out), str(tmp_path / "g.png"), "--x", "tier", "-q"])
    assert "лис are drawn as boxes" in grid.stderr
    assert grid.stdout == ""


def test_an_accent_is_one_with_its_letter_and_what_shows_nothing_is_left_out() -> None:
    assert drawable("cafe\u0301 \u202e\x1b[31m\n a\ufe0f") == "café [31m a"


@given(st.text(max_size=300), st.integers(20, 400))
def test_any_text_fits_into_its_two_lines(text: str, width: int) -> None:
    font, _ = font_for(drawable(text), 15)
    lines = wrapped(drawable(text), font, width)
    assert len(lines) <= LINES
    assert all(font.getlength(line) <= width for line in lines)
