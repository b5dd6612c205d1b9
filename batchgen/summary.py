"""What a plan amounts to, counted in one pass. Pure."""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from batchgen.firsts import Firsts, FirstsInMemory
from batchgen.model import Request, cost_of
from batchgen.planning import Duplicate, Elsewhere

#: Requests and duplicates of each sort that are shown.
_SHOWN = 3
#: Hex digits that stand for a prompt: 128 bits.
_DIGEST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    """What a plan amounts to."""

    requests: int
    samples: int  #: images wanted
    prompts: int  #: different ones
    duplicates: int  #: rows and repeats left out
    elsewhere: int  #: requests left out because other batches have them
    cost: float | None  #: of all samples, in the account's currency; None if no price is known
    first: tuple[Request, ...]  #: the first few, as they will be sent
    drawn: tuple[Request, ...]  #: a few of the others, in plan order; equal plans give the same
    repeated: tuple[Duplicate, ...]  #: the first few duplicates of different rows or prompts
    splits: Mapping[str, int]  #: samples in each part of the dataset; none if it has no parts
    labels: tuple[str, ...]  #: names, in order of appearance
    parted: str | None = None  #: the first prompt of which images fall in several parts of the dataset


class _Count:
    """A summary in the making.

    Args:
        prompts: remembers the prompts met.
    """

    def __init__(self, prompts: Firsts) -> None:
        self.requests = self.samples = self.prompts = self.duplicates = self.elsewhere = 0
        self.first: list[Request] = []
        self.repeated: list[Duplicate] = []
        self.splits: dict[str, int] = {}
        self.labels: dict[str, None] = {}
        self._prompts = prompts
        self.parted: str | None = None
        self._last: tuple[str, str | None] | None = None
        self._drawn: list[tuple[str, int, Request]] = []  #: by key

    def duplicate(self, duplicate: Duplicate) -> None:
        self.duplicates += 1
        if len(self.repeated) < _SHOWN and not any(_alike(duplicate, known) for known in self.repeated):
            self.repeated.append(duplicate)

    def request(self, request: Request) -> None:
        self.requests += 1
        self.samples += request.samples
        found = (request.prompt, request.split)
        if found != self._last:  # those of a sweep follow each other
            self._last = found
            digest = hashlib.sha256(request.prompt.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
            part = self._prompts.meet(digest, request.split or "")
            self.prompts += part is None
            if self.parted is None and part not in (None, request.split or ""):
                self.parted = request.prompt
        self.labels.update(dict.fromkeys(request.labels))
        if request.split is not None:
            self.splits[request.split] = self.splits.get(request.split, 0) + request.samples
        if len(self.first) < _SHOWN:
            self.first.append(request)
        else:
            self._draw(request)

    def _draw(self, request: Request) -> None:
        """Keep those with the smallest keys: keys are hashes, so this is a fair draw, and needs no dice."""
        if len(self._drawn) < _SHOWN or request.key < self._drawn[-1][0]:
            insort(self._drawn, (request.key, self.requests, request))
            del self._drawn[_SHOWN:]

    @property
    def drawn(self) -> tuple[Request, ...]:
        return tuple(request for _, _, request in sorted(self._drawn, key=lambda kept: kept[1]))


def _alike(one: Duplicate, other: Duplicate) -> bool:
    """Whether two duplicates of a sweep would be told in the same words."""
    return (one.row_index, one.first_row, one.prompt) == (other.row_index, other.first_row, other.prompt)


def summarise(
    entries: Iterable[Request | Duplicate | Elsewhere], *, price: float | None, prompts: Firsts | None = None
) -> PlanSummary:
    """Count a plan in one pass, whatever its length.

    Args:
        price: of one image; None if unknown.
        prompts: remembers the prompts met; in memory if not given.
    """
    with prompts or FirstsInMemory() as met:
        count = _Count(met)
        for entry in entries:
            if isinstance(entry, Duplicate):
                count.duplicate(entry)
            elif isinstance(entry, Elsewhere):
                count.elsewhere += 1
            else:
                count.request(entry)
    return PlanSummary(
        requests=count.requests,
        samples=count.samples,
        prompts=count.prompts,
        duplicates=count.duplicates,
        elsewhere=count.elsewhere,
        cost=cost_of(count.samples, price),
        first=tuple(count.first),
        drawn=count.drawn,
        repeated=tuple(count.repeated),
        splits=count.splits,
        labels=tuple(count.labels),
        parted=count.parted,
    )
