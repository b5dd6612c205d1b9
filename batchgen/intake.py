"""What becomes of an image that came: looked at, judged, and given the place and the bytes that it is kept with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from batchgen.checks import Checks
from batchgen.errors import Came, ResultUnavailable
from batchgen.model import REJECTED_FOLDER, Request, StoredImage, VerifiedImage
from batchgen.policy import Verdict, has_other_size, is_placeholder, judge
from batchgen.ports import ImageCheck, SampleLink, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An image that is ready to be written."""

    link: SampleLink
    image: VerifiedImage
    content: bytes  #: of the file
    verdict: Verdict

    @property
    def file_stem(self) -> str:
        """Its place, relative to the batch folder, without extension."""
        request = self.link.request
        stem = f"{request.file_stem}-{request.sample + self.link.sample}"
        if self.verdict.rejected is None:
            return stem
        # Paid for, so it is kept, where no reader of the dataset looks.
        return f"{REJECTED_FOLDER}/{stem.rpartition('/')[2]}"

    def stored(self, file_name: str) -> StoredImage:
        """What it is once it lies there, safe on disk."""
        return StoredImage(
            sample=self.link.sample,
            file_name=file_name,
            source_url=self.link.url,
            image=self.image,
            findings=self.verdict.findings,
            rejected=self.verdict.rejected,
        )


def as_delivered(request: Request, sample: int, extension: str, content: bytes) -> bytes:
    """The bytes of an image, for a run that adds nothing to them."""
    return content


class Intake:
    """Prepares images.

    Args:
        checks: what they must stand.
        as_kept: request, sample, extension, bytes of an image -> bytes of the file to keep, which show the same
            picture.
    """

    def __init__(
        self,
        check: ImageCheck,
        checks: Checks,
        *,
        as_kept: Callable[[Request, int, str, bytes], bytes] = as_delivered,
    ) -> None:
        self._check, self._checks, self._as_kept = check, checks, as_kept

    def look(self, content: bytes) -> VerifiedImage:
        """What the bytes are found to be; see `ports.ImageCheck`."""
        return self._check.verify(content)

    def prepare(self, link: SampleLink, content: bytes) -> Prepared:
        """The image as it is to be written.

        Raises:
            ResultUnavailable: as of `ports.ImageCheck`, or it is none of those wanted.
        """
        image = self._check.verify(content)
        _must_be_wanted(image, link)
        verdict = judge(image, link.request.params, self._checks)
        image, content = self._kept(link, image, content)
        return Prepared(link=link, image=image, content=content, verdict=verdict)

    def _kept(self, link: SampleLink, image: VerifiedImage, content: bytes) -> tuple[VerifiedImage, bytes]:
        """What is written, and what it was found to be: what was delivered, unless another file shows the same."""
        kept = self._as_kept(link.request, link.sample, image.format, content)
        if kept == content:
            return image, content
        try:
            found = self._check.verify(kept)
        except ResultUnavailable:
            return image, content
        seen = replace(found, sha256=image.sha256, bytes=image.bytes)
        return (replace(found, delivered_sha256=image.sha256), kept) if seen == image else (image, content)


def _must_be_wanted(image: VerifiedImage, link: SampleLink) -> None:
    asked = link.request.params
    if link.wanted is Wanted.OF_SIZE and has_other_size(image, asked):
        raise ResultUnavailable(f"What came has {image.width} × {image.height} pixels.", came=Came.OTHER)
    if link.wanted is Wanted.PROVEN and (image.blank or is_placeholder(image, asked)):
        message = "What came is no picture of the size that was asked for."
        raise ResultUnavailable(message, permanent=True, came=Came.OTHER)
