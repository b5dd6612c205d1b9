"""Letters on pictures: which font has those of a text, and how a text is laid out in two lines.

Pillow's own font has those of English alone. Fontconfig, where there is one, says in which order the fonts of this
machine are to be asked; elsewhere Pillow looks for a few that systems come with.
"""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice

from PIL import ImageFont

Font = ImageFont.FreeTypeFont

#: Lines of a text.
LINES = 2
#: Letters of a text that are looked at: more than two lines of the largest cell hold.
_LONGEST = 2_000
#: Fonts that are asked, at most, for the letters of one text.
_MOST_FONTS = 100
_USUAL = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf", "Arial.ttf")
_SECONDS = 20  # for fontconfig, which may have to read all fonts once
#: Of emoji and of some Chinese characters: they choose a form, and have none themselves.
_SELECTORS = range(0xFE00, 0xFE10)
_ABSENT = "\uffff"  # is no character, in any font


def drawable(text: str) -> str:
    """The text in one line, letters and accents as one where they can be, without what commands and shows nothing."""
    letters = unicodedata.normalize("NFC", " ".join(text[:_LONGEST].split()))
    return "".join(letter for letter in letters if letter.isprintable() and ord(letter) not in _SELECTORS)


def font_for(text: str, size: int) -> tuple[Font, str]:
    """The first font that has all letters of a text, or else the most of them; and the letters that it lacks.

    Args:
        text: as `drawable` makes it.
        size: pixels.
    """
    fewest: tuple[Font, str] | None = None
    for font in islice(_fonts(size), _MOST_FONTS):
        lacking = "".join(letter for letter in dict.fromkeys(text) if not _has(font, letter))
        if fewest is None or len(lacking) < len(fewest[1]):
            fewest = font, lacking
        if not lacking:
            break
    return fewest or (_own(size), "")


def wrapped(text: str, font: Font, width: int) -> list[str]:
    """The text in two lines of so many pixels at most; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    words = text.split(" ")
    while words and len(lines) < LINES:
        line = words.pop(0)
        while words and font.getlength(f"{line} {words[0]}") <= width:
            line = f"{line} {words.pop(0)}"
        lines.append(line)
    if words:
        lines[-1] += " …"
    return [_cut(line, font, width) for line in lines]


def _cut(line: str, font: Font, width: int) -> str:
    line = line if len(line) <= width else f"{line[:width]}…"  # no letter is narrower than a pixel
    while line and font.getlength(line) > width:
        line = line[:-2] + "…" if len(line) > 2 else ""
    return line


def _fonts(size: int) -> Iterator[Font]:
    """Pillow's own font first, then those of the machine."""
    yield _own(size)
    for path, number in _asked_of_fontconfig() or tuple((name, 0) for name in _USUAL):
        if (font := _loaded(path, number, size)) is not None:
            yield font


@lru_cache(maxsize=8)
def _own(size: int) -> Font:
    font = ImageFont.load_default(size)
    assert isinstance(font, Font), "Pillow's wheels are built with FreeType"
    return font


@lru_cache(maxsize=64)
def _loaded(path: str, number: int, size: int) -> Font | None:
    try:
        return ImageFont.truetype(path, size, index=number)
    except (OSError, ValueError):  # gone, or of a kind that FreeType cannot scale
        return None


@cache
def _asked_of_fontconfig() -> tuple[tuple[str, int], ...]:
    """Files of fonts, and which font of each, in the order in which a page of plain text would take them."""
    program = shutil.which("fc-match")
    if program is None:
        return ()
    command = [program, "-s", "--format", "%{index} %{file}\n", "sans-serif:outline=True:color=False"]
    try:
        said = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    listed = (line.split(" ", 1) for line in said.stdout.splitlines())
    return tuple((entry[1], int(entry[0])) for entry in listed if len(entry) == 2 and entry[0].isdigit())


@lru_cache(maxsize=8_192)
def _has(font: Font, letter: str) -> bool:
    """Whether the font draws the letter otherwise than what it does not have."""
    return " " <= letter <= "~" or bytes(font.getmask(letter)) != bytes(font.getmask(_ABSENT))
