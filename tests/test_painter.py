"""What the simulator draws: the right size, always the same, and told apart by words and settings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from batchgen.model import ParamValue
from batchgen.simulator.painting.caption import legible, wrapped
from batchgen.simulator.painting.painter import paint
from batchgen.simulator.painting.palette import NAMED, Sky
from batchgen.simulator.painting.scene import read_scene
from batchgen.simulator.painting.vocabulary import Ground, Style, Subject

STYLES = "watercolor,oil painting,ink sketch,pixel art,neon,flat,vintage,monochrome,"
PLACES = "sea,mountains,desert,forest,city,snow,field"
FOX = "A red fox in the mountains at sunset"


def picture(prompt: str = FOX, *, draw: int = 1, size: tuple[int, int] = (96, 96), **params: ParamValue) -> Image.Image:
    return paint(prompt, {"width": size[0], "height": size[1], **params}, draw=draw)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean over pixels and channels, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def saturation(image: Image.Image) -> float:
    return ImageStat.Stat(image.convert("HSV")).mean[1]


@settings(max_examples=25, deadline=None)
@given(prompt=st.text(max_size=80), negative=st.text(max_size=20), size=st.tuples(*[st.integers(1, 200)] * 2))
def test_any_text_gives_a_picture_of_exactly_the_size(prompt: str, negative: str, size: tuple[int, int]) -> None:
    image = picture(prompt, size=size, negative_prompt=negative)
    assert (image.size, image.mode) == (size, "RGB")


@pytest.mark.parametrize("style", STYLES.split(","))
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (95, 97)])
def test_every_style_takes_every_size(style: str, size: tuple[int, int]) -> None:
    for place in PLACES.split(","):
        assert picture(f"a robot by the {place}, {style}", size=size, num_inference_steps=3).size == size


@pytest.mark.parametrize("subject", list(Subject))
def test_every_subject_can_be_drawn_under_every_sky(subject: Subject) -> None:
    plain = picture("fog over hills, nothing else", size=(64, 64))
    for sky in ("dawn", "noon", "sunset", "night", "storm", "fog", "space"):
        assert difference(picture(f"{subject.name} {sky}", size=(64, 64)), plain) > 1


def test_the_largest_size_is_drawn() -> None:
    assert picture(size=(2048, 2048)).size == (2048, 2048)


def test_the_same_arguments_give_the_same_picture() -> None:
    for style in STYLES.split(","):
        assert picture(f"{FOX} {style}").tobytes() == picture(f"{FOX} {style}").tobytes()


@given(st.integers(0, 2**32), st.integers(1, 2**32))
@settings(max_examples=20, deadline=None)
def test_another_draw_gives_another_picture(draw: int, step: int) -> None:
    assert difference(picture(draw=draw), picture(draw=draw + step)) > 1


def test_no_picture_is_blank() -> None:
    for draw in range(8):
        image = picture("", draw=draw, size=(32, 32), num_inference_steps=1, guidance_scale=0)
        assert max(ImageStat.Stat(image).stddev) > 4


def test_more_guidance_is_more_vivid() -> None:
    measured = [saturation(picture(guidance_scale=scale)) for scale in (0, 3, 7, 12, 20)]
    assert measured == sorted(measured)
    assert measured[-1] > 1.5 * measured[0]


def test_more_steps_come_nearer_to_the_finished_picture() -> None:
    finished = picture(size=(90, 90), num_inference_steps=60)
    measured = [difference(picture(size=(90, 90), num_inference_steps=steps), finished) for steps in (2, 5, 12, 25, 40)]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > 8
    assert measured[-1] == 0


def test_a_colour_word_tints_the_picture() -> None:
    blue, crimson = (ImageStat.Stat(picture(f"{word} abstract thoughts")).mean for word in ("blue", "crimson"))
    assert blue[2] - blue[0] > 20
    assert crimson[0] - crimson[2] > 20


def test_what_the_negative_prompt_names_is_not_drawn() -> None:
    scene = read_scene("A fox and a cat under the moon, oil painting", "foxes, moon, oil, clouds")
    assert scene.subjects == (Subject.CAT,)
    assert scene.style is None
    assert "cloud" in scene.without


@pytest.mark.parametrize(
    ("prompt", "sky", "ground", "style", "subject"),
    [
        ("Foxes in the WOODS, misty dawn, Watercolor", Sky.FOG, Ground.FOREST, Style.WATERCOLOUR, Subject.FOX),
        ("two sailing boats at sunset", Sky.SUNSET, Ground.SEA, None, Subject.BOAT),
        ("cyberpunk robots, city, midnight", Sky.NIGHT, Ground.CITY, Style.NEON, Subject.ROBOT),
        ("houses on snowy peaks at noon, pixel art", Sky.DAY, Ground.SNOW, Style.PIXELS, Subject.HOUSE),
    ],
)
def test_words_become_a_scene(prompt: str, sky: Sky, ground: Ground, style: Style | None, subject: Subject) -> None:
    scene = read_scene(prompt)
    assert (scene.sky, scene.ground, scene.style, scene.subjects[0]) == (sky, ground, style, subject)


def test_a_colour_belongs_to_the_subject_it_stands_before() -> None:
    scene = read_scene("a blue cat and a green little bird in a golden world")
    assert scene.own_colours == {Subject.CAT: NAMED["blue"], Subject.BIRD: NAMED["green"]}
    assert scene.tint == NAMED["golden"]


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_words_have_a_scene(prompt: str, negative: str) -> None:
    scene = read_scene(prompt, negative)
    assert scene.subjects
    assert read_scene(prompt, negative) == scene


def test_letters_that_the_font_lacks_are_replaced() -> None:
    assert legible("Crème brûlée, Łódź, 東京 at night") == "Creme brulee, Lodz, … at night"


@given(st.text(max_size=300), st.integers(40, 900), st.integers(9, 40))
@settings(max_examples=40, deadline=None)
def test_a_caption_has_at_most_three_lines(text: str, width: int, size: int) -> None:
    assert len(wrapped(legible(text), width, size)) <= 3


def test_the_prompt_and_the_mark_are_written_where_there_is_room() -> None:
    written = picture("fox", size=(256, 256))
    bare = picture("fox", size=(256, 256), negative_prompt="text")
    top, bottom = (0, 0, 256, 128), (0, 210, 256, 256)
    assert difference(written.crop(bottom), bare.crop(bottom)) > 10
    assert difference(written.crop(top), bare.crop(top)) == 0
