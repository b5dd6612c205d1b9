"""Scene -> picture: what the simulator hands out in place of a generated image. Pure, but for Pillow."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from PIL import Image

from batchgen.model import ParamValue, number_of
from batchgen.simulator.painting.canvas import Canvas
from batchgen.simulator.painting.caption import write_caption
from batchgen.simulator.painting.grounds import paint_ground
from batchgen.simulator.painting.palette import LIGHTS, Sky, under
from batchgen.simulator.painting.scene import Scene, read_scene, seed_of
from batchgen.simulator.painting.skies import orb_place, paint_heavens, paint_sky, paint_weather
from batchgen.simulator.painting.styles import apply_guidance, apply_steps, apply_style, detail_of
from batchgen.simulator.painting.subjects import paint_subjects
from batchgen.simulator.painting.vocabulary import Style

_HUE_JITTER = 7.0  # degrees
_FINE_SIDE = 1400  # pixels; below it, outlines are drawn twice as large and reduced, so that their edges are smooth
_NO_LETTERS = frozenset({"text", "caption", "letter", "word"})


def paint(prompt: str, params: Mapping[str, ParamValue], *, draw: int) -> Image.Image:
    """A picture that tells its prompt and its settings by looking at it.

    The words give the scene and the style, guidance_scale the vividness, num_inference_steps the clarity,
    negative_prompt what must not show. The same arguments give the same picture.

    Args:
        params: an endpoint's parameters; those it does not know are of no effect.
        draw: another one gives another composition of the same scene.

    Returns:
        RGB, exactly width x height (1024 each if not given).
    """
    width, height = int(number_of(params, "width", 1024)), int(number_of(params, "height", 1024))
    steps, guidance = number_of(params, "num_inference_steps", 29), number_of(params, "guidance_scale", 7)
    scene = read_scene(prompt, str(params.get("negative_prompt", "")))
    dice = Random(seed_of(f"{draw}/{prompt}"))
    detail = detail_of(steps)
    picture = _draw(scene, (width, height), dice, detail)
    picture = apply_style(picture, scene.style, dice)
    picture = apply_guidance(picture, guidance)
    picture = apply_steps(picture, detail, dice)
    settings = f"{steps:g} steps · guidance {guidance:g} · {width} x {height}"
    write_caption(picture, None if _NO_LETTERS & scene.without else prompt, settings)
    return picture


def _draw(scene: Scene, size: tuple[int, int], dice: Random, detail: float) -> Image.Image:
    """The scene without style or lettering."""
    scale = 2 if max(size) <= _FINE_SIDE else 1
    large = (size[0] * scale, size[1] * scale)
    light = under(LIGHTS[scene.sky], tint=scene.tint, degrees=dice.uniform(-_HUE_JITTER, _HUE_JITTER))
    placing = Canvas(Image.new("RGB", (1, 1)), dice=dice, detail=detail)
    orb_at = orb_place(scene, placing)
    glow = 0.0 if scene.style is Style.FLAT else 0.55 if scene.sky is Sky.NIGHT else 1.0
    canvas = Canvas(paint_sky(large, light, orb_at, glow=glow), dice=dice, detail=detail)
    paint_heavens(canvas, scene, light, orb_at)
    paint_ground(canvas, scene, light, orb_at)
    paint_subjects(canvas, scene, light)
    paint_weather(canvas, scene, light)
    return canvas.image.reduce(scale) if scale > 1 else canvas.image
