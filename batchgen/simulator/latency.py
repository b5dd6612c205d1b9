"""How long jobs take: distributions of seconds, as they are written and as they are drawn. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random
from statistics import NormalDist

_Z99 = NormalDist().inv_cdf(0.99)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every job takes the same time."""

    seconds: float

    def __post_init__(self) -> None:
        _check(self, self.seconds)

    def draw(self, dice: Random) -> float:
        """Seconds that one job takes."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any time between two is as likely as any other."""

    shortest: float  #: seconds
    longest: float  #: seconds

    def __post_init__(self) -> None:
        _check(self, self.shortest, self.longest)

    def draw(self, dice: Random) -> float:
        """Seconds that one job takes."""
        return dice.uniform(self.shortest, self.longest)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Most jobs take about as long, some take much longer: how real services are."""

    p50: float  #: seconds within which half of the jobs end; above 0
    p99: float  #: seconds within which 99 of 100 end

    def __post_init__(self) -> None:
        _check(self, self.p50, self.p99)
        if self.p50 == 0:
            raise ValueError("lognormal:p50:p99 needs a p50 above 0.")

    def draw(self, dice: Random) -> float:
        """Seconds that one job takes."""
        return dice.lognormvariate(math.log(self.p50), math.log(self.p99 / self.p50) / _Z99)


@dataclass(frozen=True, slots=True)
class Bimodal:
    """Warm and cold: most jobs are quick, a share is slow."""

    quick: float  #: seconds
    slow: float  #: seconds
    share: float  #: of the slow ones, 0 to 1

    def __post_init__(self) -> None:
        _check(self, self.quick, self.slow)
        if not 0 <= self.share <= 1:
            raise ValueError(f"bimodal:quick:slow:share needs a share from 0 to 1, not {self.share:g}.")

    def draw(self, dice: Random) -> float:
        """Seconds that one job takes."""
        return self.slow if dice.random() < self.share else self.quick


Latency = Fixed | Uniform | Lognormal | Bimodal
_KINDS: Mapping[str, type[Latency]] = {kind.__name__.lower(): kind for kind in (Fixed, Uniform, Lognormal, Bimodal)}
_FORMS = " or ".join(":".join((name, *(field.name for field in fields(kind)))) for name, kind in _KINDS.items())


def parse_latency(text: str) -> Latency:
    """The distribution written as `fixed:2`, `uniform:0.3:1.5`, `lognormal:2:8` or `bimodal:2:30:0.1`.

    Raises:
        ValueError: it is none of these; the message names them.
    """
    name, *numbers = text.split(":")
    kind = _KINDS.get(name.strip())
    if kind is None or len(numbers) != len(fields(kind)):
        raise ValueError(f"{text!r} is not a latency; write {_FORMS}.")
    try:
        values = [float(number) for number in numbers]
    except ValueError as error:
        raise ValueError(f"{text!r} is not a latency: {error}. Write {_FORMS}.") from error
    return kind(*values)


def _check(latency: Latency, *ascending: float) -> None:
    if not all(map(math.isfinite, ascending)) or list(ascending) != sorted(ascending) or ascending[0] < 0:
        shown = " and ".join(f"{value:g}" for value in ascending)
        raise ValueError(
            f"A {type(latency).__name__.lower()} latency takes seconds of at least 0, the shorter first, not {shown}."
        )
