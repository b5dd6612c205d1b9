"""The links to images: where they lead, and how long each one holds."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count
from urllib.parse import quote

from batchgen.model import ParamValue
from batchgen.simulator.behaviour import Links
from batchgen.simulator.jobs import Job

#: The part of a link's query that says when it was given.
TICKET = "ticket"
_FORMATS = ("png", "jpeg", "webp")
_TAG_LENGTH = 100
_IMAGE_NAME = re.compile(r"(?:.*-)?(?P<id>[0-9a-f]{32})-(?P<sample>\d{1,3})\.(?:png|jpeg|webp)", re.DOTALL)
_TICKET = re.compile(r"(?P<at>\d{1,12}(\.\d{1,9})?)-\d{1,12}")


class LinkDesk:
    """Gives links, and knows which of them hold. Where no link expires, an image has one link for ever."""

    def __init__(self, settings: Links) -> None:
        self._settings = settings
        self._numbers = count()
        self._used: Counter[str] = Counter()

    def links(self, job: Job, *, origin: str, at: float) -> list[str]:
        """A link to each image of the job, in sample order; fresh ones each time, if links expire.

        Args:
            at: now, in seconds since the epoch.
        """
        query = f"?{TICKET}={at!r}-{next(self._numbers)}" if self._expire else ""
        return [origin + path + query for path in image_paths(job)]

    def holds(self, name: str, ticket: str, job: Job, at: float) -> bool:
        """Whether the link with that ticket still gives the image of that name."""
        if not self._expire:
            return True
        given = _TICKET.fullmatch(ticket)
        if given is None:
            return False
        within, times = self._settings.expire_after, self._settings.downloads
        lasts = within is None or at < max(float(given["at"]), job.ends_at) + within
        return lasts and (times is None or self._used[name + ticket] < times)

    def used(self, name: str, ticket: str) -> None:
        """The link gave its image once more."""
        if self._settings.downloads is not None:
            self._used[name + ticket] += 1

    @property
    def _expire(self) -> bool:
        return self._settings.expire_after is not None or self._settings.downloads is not None


def image_format(job: Job) -> str:
    """png, jpeg or webp: what was asked for, png where the direct link was, else webp."""
    asked = str(job.body.get("output_format", "png" if job.body.get("direct_link") else "webp"))
    return asked if asked in _FORMATS else "webp"


def image_paths(job: Job) -> list[str]:
    """Where its images lie on this server, in sample order; the tags are there to be seen."""
    folder = _path_part(job.body.get("batch_id", ""))
    prefix = _path_part(job.body.get("file_prefix", ""))
    extension = image_format(job)
    return [f"/images/{folder}/{prefix}-{job.id}-{sample}.{extension}" for sample in range(job.samples)]


def parse_image_name(name: str) -> tuple[str, int] | None:
    """Job id and sample of the last part of an image's path; None if it is not one."""
    match = _IMAGE_NAME.fullmatch(name)
    return (match["id"], int(match["sample"])) if match else None


def _path_part(tag: ParamValue) -> str:
    # A part of dots alone would be taken for a step up the path, even percent-encoded.
    text = str(tag)[:_TAG_LENGTH]
    return quote(text, safe="", errors="replace") if text.strip(".") else "untagged"
