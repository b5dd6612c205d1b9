"""Stage 2: manifest -> plan. Pure: the same manifest gives the same plan, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from batchgen.manifest import Manifest
from batchgen.model import ParamValue, Request, RequestKey, Row
from batchgen.profile import Profile

#: 5 bits a character, and neither a nor e, so that a key in a file name cannot spell one of the words
#: (`train`, `test`, `val`, …) by which dataset loaders guess splits.
_ALPHABET = "0123456789bcdfghjklmnpqrstuvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits at a time, for speed
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_SHIFTS = range(120, -1, -10)  # 130 bits, 26 characters
_KEY_BYTES = 17
_NAMED = 10  # characters of the key in a file name: 50 bits
#: Files in one folder of images; with the numbered folders beside them fewer than 5,000 entries up to
#: 2 million images (loaders and hubs begin to refuse at 10,000).
IMAGES_PER_FOLDER = 4_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A row, or a repeat of one, that asks for what an earlier one asks for already; it is not requested again."""

    row_index: int  #: 0-based
    key: RequestKey
    prompt: str


def request_key(profile: Profile, prompt: str, params: Mapping[str, ParamValue], repeat: int) -> RequestKey:
    """Hash of everything that changes the images, and of nothing else.

    Args:
        params: canonical values; only those with the role `image` count, in any order.
        repeat: 0 for the first submission of a row.

    Returns:
        26 characters, lower case, unique for all practical purposes (130 bits of SHA-256).
    """
    meaning = {
        "endpoint": profile.endpoint,
        "prompt": prompt,
        "params": {name: params[name] for name in profile.image_parameters if name in params},
        "repeat": repeat,
    }
    number = int.from_bytes(hashlib.sha256(_canonical(meaning).encode()).digest()[:_KEY_BYTES], "big")
    return RequestKey("".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS]))


def image_folder(last_sample: int) -> str:
    """The folder of a request's images, given the position of its last sample in the whole batch (0-based).

    A batch that grows keeps the folders of what it has: the first images lie in `images`, later ones in
    `images/0001` and so on.
    """
    number = last_sample // IMAGES_PER_FOLDER
    return "images" if number == 0 else f"images/{number:04d}"


def split_of(prompt: str, shares: Mapping[str, float]) -> str | None:
    """The part of the dataset that a prompt belongs to; None if there are no parts.

    By hash of the prompt alone: all its images are in one part, whatever their parameters, and stay there when other
    prompts come or go.

    Args:
        shares: part -> share; they add up to 1.
    """
    point = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big") / 2**64
    reached = 0.0
    for name, share in shares.items():
        reached += share
        if point < reached:
            return name
    return next(reversed(list(shares)), None)


class Plan:
    """The ordered, duplicate-free requests of a manifest, produced anew, lazily, by each iteration.

    Args:
        manifest: where the rows come from.
        limit: at most so many requests; None for all.
        kept: requests of an earlier version of the manifest that were submitted already. Those that the
            manifest no longer asks for follow at the end, so that nothing paid for drops out of the batch.
    """

    def __init__(self, manifest: Manifest, *, limit: int | None = None, kept: Iterable[Request] = ()) -> None:
        self.manifest = manifest
        self._limit = limit
        self._kept = kept

    def __iter__(self) -> Iterator[Request]:
        """The requests alone.

        Raises:
            ManifestError: at the end, with every problem of the rows.
        """
        return (entry for entry in self.entries() if isinstance(entry, Request))

    def entries(self) -> Iterator[Request | Duplicate]:
        """The requests in order, and in between what was left out because it stands there already."""
        seen: set[str] = set()
        position = requests = 0
        for row in self.manifest.rows():
            for repeat in row.repeats:
                key = request_key(self.manifest.profile, row.prompt, row.params, repeat)
                if key in seen:
                    yield Duplicate(row_index=row.index, key=key, prompt=row.prompt)
                elif self._limit is None or requests < self._limit:
                    request = self._request(row, repeat, key, position, seen)
                    yield request
                    position += request.samples
                    requests += 1
        for request in self._kept:
            if request.key not in seen:
                yield replace(request, first_sample=position)
                position += request.samples

    def _request(self, row: Row, repeat: int, key: RequestKey, position: int, seen: set[str]) -> Request:
        named = key[:_NAMED] if key[:_NAMED] not in seen else key
        seen.update((key, key[:_NAMED]))
        samples = int(row.params.get("samples", 1))
        return Request(
            key=key,
            manifest_sha256=self.manifest.sha256,
            row_index=row.index,
            repeat=repeat,
            first_sample=position,
            batch_id=self.manifest.batch_id,
            file_prefix=row.file_prefix,
            file_stem=f"{image_folder(position + samples - 1)}/{row.file_prefix}-{named}",
            prompt=row.prompt,
            params=row.params,
            labels=row.labels,
            split=row.split or split_of(row.prompt, self.manifest.split),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    """What a plan amounts to."""

    requests: int
    samples: int  #: images wanted
    prompts: int  #: different ones
    duplicates: int  #: rows and repeats left out
    cost: float | None  #: of all samples, in the account's currency; None if no price is known
    first: tuple[Request, ...]  #: the first few, as they will be sent


def summarise(entries: Iterable[Request | Duplicate], *, price: float | None, show: int = 3) -> PlanSummary:
    """Count a plan in one pass, whatever its length.

    Args:
        price: of one image; None if unknown.
        show: requests to keep in `first`.
    """
    requests = samples = duplicates = 0
    prompts: set[int] = set()
    first: list[Request] = []
    for entry in entries:
        if isinstance(entry, Duplicate):
            duplicates += 1
            continue
        requests += 1
        samples += entry.samples
        prompts.add(hash(entry.prompt))
        if len(first) < show:
            first.append(entry)
    return PlanSummary(
        requests=requests,
        samples=samples,
        prompts=len(prompts),
        duplicates=duplicates,
        cost=None if price is None else price * samples,
        first=tuple(first),
    )
