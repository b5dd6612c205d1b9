"""How the simulator is told to behave, as one frozen value: in code, or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from batchgen.errors import UsageError
from batchgen.simulator.faults import Fault, Faults
from batchgen.simulator.latency import Latency, Uniform, parse_latency
from batchgen.simulator.setting import Count, Positive, Setting


def _latency(value: object) -> object:
    """Two bare numbers are the shortest and the longest time; a text is read."""
    if isinstance(value, tuple):
        return Uniform(*value)
    return parse_latency(value) if isinstance(value, str) else value


class Early(StrEnum):
    """What a link answers whose job has not ended yet; what the real one does is not documented."""

    NOT_FOUND = "not_found"  # 404
    FORBIDDEN = "forbidden"  # 403
    EMPTY = "empty"  # 200 without a body
    PLACEHOLDER = "placeholder"  # 200 with a text in place of the image
    PIXEL = "pixel"  # 200 with a whole PNG of one pixel
    PICTURE = "picture"  # 200 with a whole picture of the size asked for, the same for all jobs
    PREVIOUS = "previous"  # 200 with what an earlier job of the same prompt might have left there


class Links(Setting):
    """How long the links to images hold, and what those say that do not hold yet."""

    early: Early = Early.NOT_FOUND
    expire_after: Positive | None = None  #: seconds since it was given or, if that is later, since the job's end
    downloads: Count | None = None  #: times that a link gives its image
    expired: Literal[403, 410] = 403  #: what a link answers from then on


class RetryAfter(StrEnum):
    """How a refusal says when to come back."""

    NONE = "none"
    SECONDS = "seconds"  # Retry-After: 2
    DATE = "date"  # Retry-After: Wed, 21 Oct 2026 07:28:00 GMT
    BODY = "body"  # {"retry_after": 2}


class Limits(Setting):
    """What the account may do at most; what is beyond is refused with 429."""

    per_second: Positive | None = None  #: submissions accepted a second
    in_flight: Count | None = None  #: jobs that have not ended
    credit: Annotated[int, Field(ge=0)] | None = None  #: submissions until the credit has run out: 402
    retry_after: RetryAfter = RetryAfter.SECONDS
    wait: Positive = 1.0  #: seconds to wait that a refusal names


class Behaviour(Setting):
    """All that a simulator does otherwise than the plainest of APIs would."""

    latency: Annotated[Latency, BeforeValidator(_latency)] = Uniform(0.3, 1.5)  #: seconds that jobs take, once they run
    capacity: Count | None = None  #: jobs that run at one time, others wait their turn; None: any number
    #: drawn after the prompt; or made once and told apart by some bytes: tiny, noise, or of a size such as 200KB
    pictures: Annotated[str, Field(pattern=r"^(drawn|tiny|noise|[1-9][0-9]{0,3}(\.[0-9]+)?(KB|MB))$")] = "drawn"
    links: Links = Links()
    limits: Limits = Limits()
    faults: Faults = Faults()

    def but(self, *, latency: Latency | tuple[float, float] | None, failure_rate: float | None) -> Behaviour:
        """The behaviour with another latency, or with that share of failing jobs.

        Raises:
            UsageError: these cannot be.
        """
        behaviour = self
        if latency is not None:
            behaviour = behaviour.changed(latency=latency)
        if failure_rate is not None:
            odds = self.faults.job
            if not isinstance(odds, Mapping):
                raise UsageError("The faults of jobs are scripted; a failure rate has no place beside them.")
            faults = self.faults.changed(job={**odds, Fault.FAILURE: failure_rate})
            behaviour = behaviour.changed(faults=faults)
        return behaviour
