"""A plan that was lost, made anew: what the manifest asks for, and what was asked for in place of rejected images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import TypeVar

from batchgen.lifecycle import Record, State
from batchgen.model import Request, RequestKey
from batchgen.planning import Elsewhere, replacement
from batchgen.profile import Profile

_LOOKED_UP_AT_ONCE = 1_000
_Entry = TypeVar("_Entry")


def several(entries: Iterable[_Entry]) -> Iterator[list[_Entry]]:
    """As many at once as are looked up in the journal together."""
    stream = iter(entries)
    while some := list(islice(stream, _LOOKED_UP_AT_ONCE)):
        yield some


def rejected_samples(record: Record) -> Iterator[int]:
    """Which of a request's images a check keeps out of the dataset, once there are no more to come."""
    if record.state is State.STORED:
        yield from (image.sample for image in record.images if image.rejected is not None)


def planned_anew(
    planned: Iterable[Request | Elsewhere],
    records: Callable[[Sequence[Request]], Mapping[RequestKey, Record]],
    profile: Profile,
    *,
    unknown: set[RequestKey],
) -> Iterator[Request | Elsewhere]:
    """What is planned, then the replacements that were paid for, round after round: they follow from rejected images.

    Args:
        records: of those requests that the journal knows.
        unknown: keys of what was paid for; those that are found are taken out of it.
    """
    rejected: list[tuple[Request, int]] = []  #: request and number of its image
    position = 0
    for some in several(planned):
        requests = [entry for entry in some if isinstance(entry, Request)]
        known = records(requests)
        rejected += [(one, n) for one in requests for n in rejected_samples(known.get(one.key, Record()))]
        unknown.difference_update(request.key for request in requests)
        position += sum(request.samples for request in requests)
        yield from some
    for number in count(1):
        before = position
        for original, sample in rejected:
            made = replacement(profile, original, sample, number=number, position=position)
            if made.key in unknown:
                unknown.remove(made.key)
                position += 1
                yield made
        if position == before:
            return
