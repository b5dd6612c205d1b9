"""Pictures of 16 bits a pixel, in the 8 that everything else takes."""

from __future__ import annotations

import numpy as np
from PIL import Image


def in_8_bits(image: Image.Image) -> Image.Image:
    """The image itself, or a grey one of 16 bits with the upper eight: Pillow makes most of it white."""
    if not image.mode.startswith("I"):
        return image
    deep = np.asarray(image)
    return Image.fromarray((np.clip(deep, 0, 65_535) >> 8).astype(np.uint8))
