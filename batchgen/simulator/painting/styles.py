"""What the words for a style do to a finished picture, and what steps and guidance do."""

from __future__ import annotations

from functools import lru_cache
from random import Random

from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from batchgen.simulator.painting.vocabulary import Style

_TILE = 256
_PLAIN_GUIDANCE = 7.0
_MOST_GUIDANCE = 20.0
_PLAIN_STEPS = 30


def detail_of(steps: float) -> float:
    """0 to 1: how far a number of denoising steps brings the picture; 30 and more bring it all the way."""
    return float(min(1.0, max(0.0, (steps - 1) / (_PLAIN_STEPS - 1))) ** 0.55)


def apply_style(picture: Image.Image, style: Style | None, dice: Random) -> Image.Image:
    """The picture as that style would have it; of the same size."""
    match style:
        case Style.WATERCOLOUR:
            return _watercolour(picture, dice)
        case Style.INK:
            return _ink(picture, dice)
        case Style.PIXELS:
            return _pixels(picture)
        case Style.OIL:
            return _oil(picture, dice)
        case Style.NEON:
            return _neon(picture)
        case Style.FLAT:
            return ImageOps.posterize(ImageEnhance.Color(picture).enhance(0.85), 5)
        case Style.VINTAGE:
            return _vintage(picture, dice)
        case Style.MONOCHROME:
            return ImageOps.autocontrast(ImageOps.grayscale(picture), cutoff=1).convert("RGB")
        case None:
            return picture


def apply_guidance(picture: Image.Image, guidance: float) -> Image.Image:
    """Washed out below a guidance of 7, vivid above."""
    if guidance == _PLAIN_GUIDANCE:
        return picture
    reach = _PLAIN_GUIDANCE if guidance < _PLAIN_GUIDANCE else _MOST_GUIDANCE - _PLAIN_GUIDANCE
    lean = max(-1.0, min(1.0, (guidance - _PLAIN_GUIDANCE) / reach))
    picture = ImageEnhance.Color(picture).enhance(1 + (0.6 if lean < 0 else 0.5) * lean)
    picture = ImageEnhance.Contrast(picture).enhance(1 + (0.36 if lean < 0 else 0.28) * lean)
    if lean < 0:
        picture = Image.blend(picture, Image.new("RGB", picture.size, (214, 212, 208)), -0.24 * lean)
    return picture


def apply_steps(picture: Image.Image, detail: float, dice: Random) -> Image.Image:
    """Soft and grainy where the detail is low, clear where it is 1."""
    missing = 1 - detail
    radius = missing**1.3 * min(picture.size) * 0.03
    if radius > 0.35:
        picture = picture.filter(ImageFilter.GaussianBlur(radius))
    return _grained(picture, dice, 3 + round(110 * missing**1.3))


def _grained(picture: Image.Image, dice: Random, strength: int) -> Image.Image:
    """Speckled by up to half of *strength* of 255 to either side, in grains that a large picture shows too."""
    coarse = max(1, min(picture.size) // 512)
    width, height = (max(1, -(-side // coarse)) for side in picture.size)
    tile_size = (min(_TILE, width), min(_TILE, height))
    tile = Image.frombytes("L", tile_size, dice.randbytes(tile_size[0] * tile_size[1]).translate(_levels(strength)))
    noise = Image.new("L", (width, height))
    for left in range(0, width, _TILE):
        for top in range(0, height, _TILE):
            noise.paste(tile, (left, top))
    noise = noise.resize(picture.size, Image.Resampling.BILINEAR)
    return ImageChops.add(picture, _grey(noise), scale=1, offset=-128)


@lru_cache(maxsize=128)
def _levels(spread: int) -> bytes:
    """For every level of grey, one that lies nearer to the middle."""
    return bytes(128 + round((level - 128) * spread / 255) for level in range(256))


def _blotches(size: tuple[int, int], cells: tuple[int, int], dice: Random) -> Image.Image:
    """Soft patches of every level of grey, about *cells* of them across and down."""
    patches = Image.frombytes("L", cells, dice.randbytes(cells[0] * cells[1]))
    return patches.resize(size, Image.Resampling.BICUBIC)


def _grey(levels: Image.Image) -> Image.Image:
    return Image.merge("RGB", (levels, levels, levels))


def _softened(picture: Image.Image, share: float) -> Image.Image:
    """Blurred over that share of its shorter side; done small, for speed."""
    side = min(picture.size)
    shrink = max(1, round(side * share / 2))
    small = picture.reduce(shrink)
    return small.filter(ImageFilter.GaussianBlur(side * share / shrink)).resize(picture.size, Image.Resampling.BICUBIC)


def _watercolour(picture: Image.Image, dice: Random) -> Image.Image:
    """Colours that run and pool, on paper whose margin stays white."""
    paper = Image.new("RGB", picture.size, (253, 250, 242))
    soft = _softened(picture, 0.006)
    rims = ImageChops.difference(ImageOps.grayscale(picture), ImageOps.grayscale(soft)).point(lambda level: 255 - level)
    washed = ImageChops.multiply(Image.blend(picture, soft, 0.4), _grey(rims))
    pools = _blotches(picture.size, (13, 13), dice).point(lambda level: 10 + level * 0.42)
    washed = Image.composite(paper, washed, pools)
    washed = _grained(ImageEnhance.Color(washed).enhance(1.3), dice, 22)
    return Image.composite(washed, paper, _brushed_area(picture.size, dice))


def _brushed_area(size: tuple[int, int], dice: Random) -> Image.Image:
    """White where the brush went, black along an uneven margin."""
    cells = 40
    margin = Image.new("L", (cells, cells), 0)
    for inset, level in enumerate((20, 110, 210, 255)):
        margin.paste(level, (inset, inset, cells - inset, cells - inset))
    uneven = Image.blend(margin.resize(size, Image.Resampling.BICUBIC), _blotches(size, (cells, cells), dice), 0.28)
    return uneven.point(lambda level: max(0, min(255, (level - 108) * 9)))


def _ink(picture: Image.Image, dice: Random) -> Image.Image:
    grey = ImageOps.autocontrast(ImageOps.grayscale(picture), cutoff=1)
    soft = _softened(grey, 0.006)
    lines = ImageChops.subtract(soft, grey, scale=1, offset=0).point(lambda level: 255 - min(255, level * 5))
    washed = ImageOps.posterize(grey, 3).point(lambda level: 120 + level * 0.56)
    sheet = ImageChops.multiply(lines, washed)
    return _grained(ImageOps.colorize(sheet, (34, 32, 44), (250, 246, 236)), dice, 24)


def _pixels(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    cells = 96 / min(picture.size)
    if cells >= 1:
        return ImageOps.posterize(picture, 3)
    small = picture.resize((max(1, round(width * cells)), max(1, round(height * cells))), Image.Resampling.BOX)
    small = small.quantize(40, dither=Image.Dither.NONE).convert("RGB")
    return small.resize(picture.size, Image.Resampling.NEAREST)


def _oil(picture: Image.Image, dice: Random) -> Image.Image:
    """Dabs of one colour each, with the relief of the bristles on them."""
    width, height = picture.size
    shrink = max(1, min(width, height) // 200)
    dabs = picture.reduce(shrink).filter(ImageFilter.ModeFilter(5)).resize(picture.size, Image.Resampling.BICUBIC)
    dabs = Image.blend(dabs, picture, 0.3)
    bristles = _blotches(picture.size, (max(1, width // 16), max(1, height // 5)), dice)
    patches = _blotches(picture.size, (24, 24), dice)
    relief = Image.blend(bristles, patches, 0.35).point(lambda level: 99 + level * 0.25)
    return ImageChops.overlay(ImageEnhance.Color(dabs).enhance(1.25), _grey(relief))


def _neon(picture: Image.Image) -> Image.Image:
    grey = ImageOps.grayscale(picture)
    dark = ImageOps.colorize(grey, (8, 4, 28), (96, 196, 255), mid=(150, 24, 150))
    edges = ImageEnhance.Color(picture.filter(ImageFilter.FIND_EDGES)).enhance(2.6)
    halo = _softened(edges, 0.011)
    return ImageChops.screen(ImageChops.screen(Image.blend(dark, picture, 0.25), halo), edges)


def _vintage(picture: Image.Image, dice: Random) -> Image.Image:
    brown = ImageOps.colorize(ImageOps.grayscale(picture), (46, 30, 24), (250, 236, 206))
    return _grained(Image.blend(picture, brown, 0.75), dice, 40)
