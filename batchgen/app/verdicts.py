"""Which stored images are rejected for what the batch, or a scorer, tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from batchgen.checks import Checks, DuplicateCheck, Finding
from batchgen.firsts import Firsts
from batchgen.likeness import LookAlikes, Names
from batchgen.model import StoredImage
from batchgen.policy import Verdict, judge_scores, set_aside

#: By the image's name: the image, and what is found of it.
Found = dict[str, tuple[StoredImage, Verdict]]


class Verdicts:
    """Told of all images of a batch in plan order, some at once. The first of several that are the same stands.

    Args:
        firsts: remembers by its hash who had an image first.
    """

    def __init__(self, checks: Checks, firsts: Firsts) -> None:
        self._checks = checks
        self._firsts = firsts
        self._look_alikes = LookAlikes()
        self._names = Names()  #: of the images that the look-alikes have met

    def of(self, images: Iterable[StoredImage]) -> Found:
        """Those images that do not stand, each with the reason. Images that are rejected already are none."""
        found: Found = {}
        stand: list[StoredImage] = []
        for image in images:
            if image.rejected is not None:
                continue
            if verdict := self._by_itself(image):
                found[image.file_name] = image, verdict
            else:
                stand.append(image)
        if self._checks.duplicates is DuplicateCheck.REJECT_NEAR:
            found |= self._look_alike(stand)
        return found

    def _by_itself(self, image: StoredImage) -> Verdict | None:
        scores = {name: value for scored in image.scores.values() for name, value in scored.values.items()}
        if reason := judge_scores(scores, self._checks.limits):
            return Verdict(findings=(Finding.SCORE,), rejected=set_aside(reason))
        delivered = image.image.delivered_sha256 or image.image.sha256
        first = self._firsts.meet(delivered, image.file_name) if self._checks.rejects_duplicates else None
        if first is None:
            return None
        return Verdict(findings=(Finding.DUPLICATE,), rejected=set_aside(f"it is the same as {first}"))

    def _look_alike(self, images: Sequence[StoredImage]) -> Found:
        seen = [(image, int(image.image.phash, 16)) for image in images if image.image.phash is not None]
        self._names.extend(image.file_name for image, _ in seen)
        like = self._look_alikes.meet(np.array([phash for _, phash in seen], np.uint64))
        return {
            image.file_name: (
                image,
                Verdict(
                    findings=(Finding.NEAR_DUPLICATE,),
                    rejected=set_aside(f"it looks the same as {self._names[number]}"),
                ),
            )
            for (image, _), number in zip(seen, like.tolist(), strict=True)
            if number >= 0
        }
