"""How sharp a picture is: an example of a scorer for batchgen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from PIL import Image


class _Picture(Protocol):
    """The part of `batchgen.Picture` that is used here: a scorer need not import batchgen."""

    @property
    def path(self) -> str: ...


class Sharpness:
    """The variance of a picture's Laplacian: near 0 for blank and blurred pictures, in the hundreds for sharp ones."""

    columns: Mapping[str, str] = {"sharpness": "float"}

    def score(self, picture: _Picture) -> Mapping[str, float]:
        """See `batchgen.Scorer`."""
        with Image.open(picture.path) as image:
            light = np.asarray(image.convert("L"), dtype=np.float64)
        edges = 4 * light[1:-1, 1:-1] - light[:-2, 1:-1] - light[2:, 1:-1] - light[1:-1, :-2] - light[1:-1, 2:]
        return {"sharpness": float(edges.var())}
