"""What must agree in a batch folder, what may be wrong with it, and what mends it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from batchgen.lifecycle import ImagesLost, Record
from batchgen.model import RequestKey, StoredImage


class FlawKind(StrEnum):
    """Something that does not agree. Written to reports."""

    IMAGE_MISSING = "image_missing"  # the journal says stored, and there is no file
    IMAGE_DAMAGED = "image_damaged"  # the file's bytes are not those that were verified
    IMAGE_UNREADABLE = "image_unreadable"  # the disk does not give the file's bytes
    IMAGE_UNKNOWN = "image_unknown"  # a file in the images' folder that the journal knows nothing of
    TEMPORARY_FILE = "temporary_file"  # what a killed run left behind
    EVENTS_FORGOTTEN = "events_forgotten"  # log or index tell of what the journal does not know
    RECORD_WRONG = "record_wrong"  # the journal's record of a request is not what its events add up to
    REQUEST_UNPLANNED = "request_unplanned"  # paid for, and not in the frozen plan
    PLAN_UNUSABLE = "plan_unusable"  # the frozen plan is missing or damaged
    INDEX_OUTDATED = "index_outdated"  # missing, damaged, or not what plan and journal amount to
    CARD_MISSING = "card_missing"  # or the table of a split


class Remedy(StrEnum):
    """What mends a flaw. None of them costs anything."""

    REPAIR = "repair"  # `check --repair` does
    DOWNLOAD = "download"  # `check --repair` takes it down, and the next run downloads again, if the API has it still
    JOURNAL = "journal"  # putting the journal back whole
    MANIFEST = "manifest"  # running the manifest as it was
    USER = "user"  # somebody has to look


REMEDIES: Mapping[FlawKind, Remedy] = MappingProxyType(
    {
        FlawKind.IMAGE_MISSING: Remedy.DOWNLOAD,
        FlawKind.IMAGE_DAMAGED: Remedy.DOWNLOAD,
        FlawKind.IMAGE_UNREADABLE: Remedy.USER,
        FlawKind.IMAGE_UNKNOWN: Remedy.USER,  # it may be the only copy of something that was paid for
        FlawKind.TEMPORARY_FILE: Remedy.REPAIR,
        FlawKind.EVENTS_FORGOTTEN: Remedy.JOURNAL,
        FlawKind.RECORD_WRONG: Remedy.REPAIR,
        FlawKind.REQUEST_UNPLANNED: Remedy.MANIFEST,
        FlawKind.PLAN_UNUSABLE: Remedy.MANIFEST,
        FlawKind.INDEX_OUTDATED: Remedy.REPAIR,
        FlawKind.CARD_MISSING: Remedy.REPAIR,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One thing that is wrong in a batch folder."""

    kind: FlawKind
    where: str  #: a file relative to the batch folder, forward slashes; or a request key
    words: str  #: what is wrong with it
    request_key: RequestKey | None = None  #: whose image it is
    sample: int | None = None  #: 0-based

    @property
    def remedy(self) -> Remedy:
        """What mends it."""
        return REMEDIES[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a file was found to be."""

    bytes: int  #: its length
    sha256: str | None  #: of its bytes, 64 hex digits; None if they were not read
    error: str | None = None  #: why they could not be


def judge_image(key: RequestKey, stored: StoredImage, found: Measured | None) -> Flaw | None:
    """What is wrong with a stored image; None if nothing is.

    Args:
        found: what is there under its name; None if nothing is.
    """

    def flaw(kind: FlawKind, words: str) -> Flaw:
        return Flaw(kind=kind, where=stored.file_name, words=words, request_key=key, sample=stored.sample)

    if found is None:
        return flaw(FlawKind.IMAGE_MISSING, "is not there")
    if found.error is not None:
        return flaw(FlawKind.IMAGE_UNREADABLE, f"cannot be read: {found.error}")
    if found.bytes != stored.image.bytes:
        return flaw(FlawKind.IMAGE_DAMAGED, f"has {found.bytes:,} bytes instead of {stored.image.bytes:,}")
    if found.sha256 != stored.image.sha256:
        return flaw(FlawKind.IMAGE_DAMAGED, "holds other bytes than those that were verified")
    return None


def loss(record: Record, samples: Iterable[int]) -> ImagesLost:
    """The event by which a stored request's lost images are had again: from its job, or by their old links."""
    if record.job_id is not None:
        return ImagesLost(samples=tuple(samples))
    links = {stored.sample: stored.source_url for stored in record.images}
    links |= {lost.sample: lost.source_url for lost in record.missing if lost.source_url is not None}
    urls = tuple(links[sample] for sample in range(len(links)) if sample in links)
    return ImagesLost(samples=tuple(samples), urls=urls)
