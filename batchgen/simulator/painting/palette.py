"""Colours: mixing them, the ones that words name, and the light of each sky. Pure."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

#: Red, green and blue, 0 to 255 each.
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

NAMED: Mapping[str, Colour] = {
    "red": (206, 44, 48), "crimson": (170, 20, 52), "scarlet": (224, 48, 30), "ruby": (168, 16, 70),
    "orange": (238, 126, 40), "amber": (242, 170, 40), "gold": (226, 178, 62), "golden": (226, 178, 62),
    "yellow": (244, 208, 66), "lime": (150, 208, 60), "green": (62, 146, 82), "emerald": (22, 142, 100),
    "olive": (128, 132, 58), "mint": (150, 214, 184), "teal": (24, 138, 140), "turquoise": (50, 184, 182),
    "cyan": (40, 190, 214), "azure": (50, 140, 224), "blue": (46, 98, 196), "navy": (26, 40, 98),
    "indigo": (66, 54, 160), "violet": (130, 80, 190), "purple": (118, 56, 156), "lavender": (178, 160, 220),
    "magenta": (204, 46, 150), "pink": (240, 144, 176), "rose": (224, 96, 124), "coral": (246, 124, 100),
    "brown": (122, 80, 52), "beige": (220, 202, 170), "white": (246, 246, 242), "ivory": (246, 240, 222),
    "silver": (186, 194, 204), "gray": (130, 134, 140), "grey": (130, 134, 140), "black": (34, 34, 42),
}  # fmt: skip


class Sky(Enum):
    """The light a scene is in."""

    DAWN = auto()
    DAY = auto()
    SUNSET = auto()
    NIGHT = auto()
    STORM = auto()
    FOG = auto()
    SPACE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """How one sky colours everything."""

    top: Colour
    middle: Colour
    horizon: Colour
    orb: Colour | None  #: of sun or moon; None where neither shows
    ambient: tuple[float, float, float]  #: what the ground keeps of its own red, green and blue
    haze: float  #: how far distance fades into the horizon, 0 to 1


LIGHTS: Mapping[Sky, Light] = {
    Sky.DAWN: Light(
        top=(96, 112, 172), middle=(232, 164, 164), horizon=(255, 222, 180),
        orb=(255, 240, 208), ambient=(0.86, 0.76, 0.80), haze=0.78,
    ),
    Sky.DAY: Light(
        top=(58, 132, 206), middle=(138, 196, 234), horizon=(224, 240, 244),
        orb=(255, 250, 226), ambient=(1.0, 1.0, 0.98), haze=0.70,
    ),
    Sky.SUNSET: Light(
        top=(58, 40, 104), middle=(206, 80, 98), horizon=(255, 184, 96),
        orb=(255, 232, 160), ambient=(0.74, 0.50, 0.52), haze=0.66,
    ),
    Sky.NIGHT: Light(
        top=(10, 14, 42), middle=(28, 38, 88), horizon=(74, 84, 142),
        orb=(250, 246, 224), ambient=(0.34, 0.40, 0.62), haze=0.62,
    ),
    Sky.STORM: Light(
        top=(42, 50, 64), middle=(88, 98, 112), horizon=(164, 168, 166),
        orb=None, ambient=(0.56, 0.60, 0.66), haze=0.72,
    ),
    Sky.FOG: Light(
        top=(176, 188, 196), middle=(206, 212, 212), horizon=(232, 230, 222),
        orb=(250, 246, 232), ambient=(0.80, 0.84, 0.86), haze=0.92,
    ),
    Sky.SPACE: Light(
        top=(6, 6, 20), middle=(26, 18, 58), horizon=(64, 34, 96),
        orb=None, ambient=(0.50, 0.48, 0.66), haze=0.5,
    ),
}  # fmt: skip


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """*one* with that share of *other*, 0 to 1."""
    share = min(1.0, max(0.0, share))
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


def lit(colour: Colour, light: Light) -> Colour:
    """The colour as it looks under that light."""
    red, green, blue = (min(255, round(part * keeps)) for part, keeps in zip(colour, light.ambient, strict=True))
    return (red, green, blue)


def turned(colour: Colour, degrees: float) -> Colour:
    """The colour with its hue turned."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    red, green, blue = colorsys.hls_to_rgb((hue + degrees / 360) % 1, lightness, saturation)
    return (round(red * 255), round(green * 255), round(blue * 255))


def tinted(colour: Colour, tint: Colour, strength: float) -> Colour:
    """The colour drawn towards the tint's hue, about as light as before."""
    hue, tint_lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in tint))
    lightness = colorsys.rgb_to_hls(*(part / 255 for part in colour))[1]
    lightness = 0.8 * lightness + 0.2 * tint_lightness
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return mix(colour, (round(red * 255), round(green * 255), round(blue * 255)), strength)


def under(light: Light, *, tint: Colour | None, degrees: float) -> Light:
    """The light with its sky tinted and its hues turned a little."""

    def change(colour: Colour) -> Colour:
        colour = turned(colour, degrees)
        return tinted(colour, tint, 0.62) if tint else colour

    return Light(
        top=change(light.top),
        middle=change(light.middle),
        horizon=change(light.horizon),
        orb=light.orb,
        ambient=light.ambient,
        haze=light.haze,
    )
