"""Stage 2: manifest -> plan. Pure: the same manifest gives the same plan, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from math import isfinite

from batchgen.firsts import Firsts, FirstsInMemory
from batchgen.manifest import Manifest
from batchgen.model import ParamValue, Replacement, Request, RequestKey, Row, number_of
from batchgen.profile import Profile, Role

#: 5 bits a character, and neither a nor e, so that a key in a file name cannot spell one of the words
#: (`train`, `test`, `val`, …) by which dataset loaders guess splits.
_ALPHABET = "0123456789bcdfghjklmnpqrstuvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits at a time, for speed
_SHIFTS = range(120, -1, -10)  # 130 bits, 26 characters
_KEY_BYTES = 17
_SEEDS = 2**31  # from 0: what every API that takes a seed can be hoped to take
_NAMED = 10  # characters of the key in a file name: 50 bits
_KEPT = "kept"  # instead of a row: the name is that of a request submitted before
#: Files in one folder of images; with the numbered folders beside them fewer than 5,000 entries up to
#: 2 million images (loaders and hubs begin to refuse at 10,000).
IMAGES_PER_FOLDER = 4_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A row, or a repeat of one, that asks for what an earlier one asks for already; it is not requested again."""

    row_index: int  #: 0-based
    first_row: int  #: the row that asked first
    key: RequestKey
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A request that another batch has, where only new ones are wanted; it is not in the plan."""

    request: Request
    batch: str  #: the folder of that batch


def request_key(
    profile: Profile,
    prompt: str,
    params: Mapping[str, ParamValue],
    repeat: int,
    sample: int = 0,
    replaces: Replacement | None = None,
) -> RequestKey:
    """Hash of everything that changes the images, and of nothing else.

    Args:
        params: canonical values; only those with the role `image` count, in any order.
        repeat: 0 for the first submission of a row.
        sample: 0 for the first submission of a row that fans out; counts only where no seed tells them apart.
        replaces: in whose place it is made, if it is.

    Returns:
        26 characters, lower case, unique for all practical purposes (130 bits of SHA-256).
    """
    # Canonical JSON, its names sorted; written by hand because this is most of what planning costs.
    names = _written(profile.image_parameters)
    image = ",".join([written + _json(params[name]) for name, written in names if name in params])
    endpoint = _json(profile.endpoint)
    which = f',"sample":{sample}' if sample and not _is_seeded(params) else ""
    if replaces is not None:
        which = f',"replaces":[{_json(replaces.of)},{sample},{replaces.number}]'
    meaning = f'{{"endpoint":{endpoint},"params":{{{image}}},"prompt":{_json(prompt)},"repeat":{repeat}{which}}}'
    number = int.from_bytes(hashlib.sha256(meaning.encode()).digest()[:_KEY_BYTES], "big")
    return RequestKey("".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS]))


@lru_cache(maxsize=16)
def _written(names: tuple[str, ...]) -> Sequence[tuple[str, str]]:
    """The names, sorted, each with how it begins its pair in JSON."""
    return [(name, f"{_json(name)}:") for name in sorted(names)]


def _json(value: ParamValue) -> str:
    """As `json.dumps` writes it, without spaces."""
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is int or (type(value) is float and isfinite(value)):
        return repr(value)
    if type(value) is tuple:
        return f"[{','.join(map(_json, value))}]"
    return json.dumps(value)


def fan_out(profile: Profile, rows: Iterable[Row]) -> Iterator[Row]:
    """The rows; where a job makes one image, each as many rows of one sample as it has samples.

    The first has the row's seed, each other one a seed of its own: equal seeds would be equal images.
    """
    names = profile.named(Role.FAN_OUT)
    if not names:
        yield from rows
        return
    for row in rows:
        if names[0] not in row.params:  # of a frozen plan: it is one of them already
            yield row
            continue
        sent = {name: value for name, value in row.params.items() if name not in names}
        for sample in range(int(number_of(row.params, names[0], 1))):
            seed = {"seed": _seed_of(sample, sent, profile)} if sample and _is_seeded(sent) else {}
            yield replace(row, params=sent | seed, sample=sample)


def _seed_of(sample: int, params: Mapping[str, ParamValue], profile: Profile) -> int:
    """Its seed, after the first: by hash, for a seed counted up would be that of the next row of a seed axis."""
    return _hashed_seed(f"{int(number_of(params, 'seed', -1))}/{sample}", profile)


def _hashed_seed(text: str, profile: Profile) -> int:
    maximum = profile.parameters["seed"].maximum
    seeds = _SEEDS if maximum is None else min(_SEEDS, int(maximum) + 1)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % seeds


def replacement(profile: Profile, original: Request, sample: int, *, number: int, position: int) -> Request:
    """The request for one image in place of a rejected one. Always the same for the same image and number.

    Args:
        original: the request of the manifest whose image was rejected.
        sample: which of its images, 0-based.
        number: 1 for the first in its place.
        position: samples wanted by all requests before it.
    """
    replaces, sample = Replacement(of=original.key, number=number), original.sample + sample
    params = {name: 1 if name == "samples" else value for name, value in original.params.items()}
    if _is_seeded(params):
        params["seed"] = _hashed_seed(f"{original.key}/{sample}/{number}", profile)
    key = request_key(profile, original.prompt, params, original.repeat, sample, replaces)
    return replace(
        original,
        key=key,
        params=params,
        first_sample=position,
        sample=sample,
        # All of the key: nobody looks whether its first characters are another's.
        file_stem=f"{image_folder(position)}/{original.file_prefix}-{key}",
        replaces=replaces,
    )


def _is_seeded(params: Mapping[str, ParamValue]) -> bool:
    return number_of(params, "seed", -1) >= 0


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
    if not shares:
        return None
    point = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big") / 2**64
    reached = 0.0
    for name, share in sorted(shares.items()):  # in whatever order they are written
        reached += share
        if point < reached:
            return name
    return max(shares, default=None)


class Plan:
    """The ordered, duplicate-free requests of a manifest, produced anew, lazily, by each iteration.

    Args:
        manifest: where the rows come from.
        limit: at most so many requests; None for all.
        kept: gives the requests of an earlier version of the manifest that were submitted already, each time it is
            called. Those that the manifest no longer asks for follow at the end, so that nothing paid for drops out of
            the batch; and no other request is given a name that one of them has.
        firsts: remembers, for one iteration, what was asked for already.
        elsewhere: says of a key which other batch has its request, if one has; such requests are left out.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        limit: int | None = None,
        kept: Callable[[], Iterable[Request]] = tuple,
        firsts: Callable[[], Firsts] = FirstsInMemory,
        elsewhere: Callable[[RequestKey], str | None] = lambda key: None,
    ) -> None:
        self._elsewhere = elsewhere
        self.manifest = manifest
        self._limit = limit
        self._kept = kept
        self._firsts = firsts

    def __iter__(self) -> Iterator[Request]:
        """The requests alone.

        Raises:
            ManifestError: at the end, with every problem of the rows.
        """
        return (entry for entry in self.entries() if isinstance(entry, Request))

    def entries(self) -> Iterator[Request | Duplicate | Elsewhere]:
        """The requests in order, and in between what was left out because it stands there already, or elsewhere.

        Once the limit is reached, rows are read on for their problems only.
        """
        position = requests = 0
        profile = self.manifest.profile
        with self._firsts() as firsts:
            for request in self._kept():
                firsts.meet(_name_of(request), f"{request.key} {_KEPT}")
            for row in fan_out(profile, self.manifest.rows()):
                for repeat in row.repeats:
                    if requests == self._limit:
                        break
                    key = request_key(profile, row.prompt, row.params, repeat, row.sample, row.replaces)
                    if (batch := self._elsewhere(key)) is not None:
                        request = self._request(row, repeat, key, key[:_NAMED], position)
                        yield Elsewhere(request=request, batch=batch)
                        continue
                    name, first_row = _named(key, row.index, firsts)
                    if first_row is not None:
                        yield Duplicate(row_index=row.index, first_row=first_row, key=key, prompt=row.prompt)
                        continue
                    request = self._request(row, repeat, key, name, position)
                    yield request
                    position += request.samples
                    requests += 1
            for request in self._kept():
                if _named(request.key, request.row_index, firsts)[1] is None:
                    # What was asked for in place of a rejected image is of the batch, whatever the manifest says.
                    yield replace(request, first_sample=position, kept=request.replaces is None)
                    position += request.samples

    def _request(self, row: Row, repeat: int, key: RequestKey, name: str, position: int) -> Request:
        samples = int(number_of(row.params, "samples", 1))
        return Request(
            key=key,
            manifest_sha256=self.manifest.sha256,
            row_index=row.index,
            repeat=repeat,
            first_sample=position,
            sample=row.sample,
            batch_id=self.manifest.batch_id,
            file_prefix=row.file_prefix,
            file_stem=f"{image_folder(position + samples - 1)}/{row.file_prefix}-{name}",
            prompt=row.prompt,
            params=row.params,
            labels=row.labels,
            split=row.split or split_of(row.prompt, self.manifest.split),
            kept=row.kept,
            replaces=row.replaces,
        )


def _named(key: RequestKey, row_index: int, firsts: Firsts) -> tuple[str, int | None]:
    """What stands for the key in file names, and the row that asked for the same before, if one did.

    Its first characters, or all of it where another key has those already: no two names are ever equal.
    """
    who = f"{key} {row_index}"
    for name in (key[:_NAMED], key):
        earlier = firsts.meet(name, who)
        if earlier is None:
            return name, None
        first_key, _, first_row = earlier.partition(" ")
        if first_key == key and first_row == _KEPT:
            earlier = firsts.meet(f"{name} again", who)
            return name, None if earlier is None else int(earlier.partition(" ")[2])
        if first_key == key:
            return name, int(first_row)
    raise AssertionError(f"the name {key} was given to another key")


def _name_of(request: Request) -> str:
    """What stands for its key in the names of its files."""
    return request.file_stem.rpartition("-")[2]
