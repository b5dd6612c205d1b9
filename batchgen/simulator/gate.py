"""What the account may do: limits of rate, of jobs in flight and of credit, and a switch to block it."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Literal

from batchgen.simulator.behaviour import Limits
from batchgen.simulator.faults import Fault
from batchgen.simulator.jobs import Job

#: 401: the key is not accepted; 402: no credit; 403: not allowed.
Blocked = Literal[401, 402, 403]


class Gate:
    """Lets submissions through, or says what stands against it."""

    def __init__(self, limits: Limits, jobs: Iterable[Job] = ()) -> None:
        self._limits = limits
        self._ends = sorted(job.ends_at for job in jobs)
        self._tokens = self._burst
        self._filled_at: float | None = None
        self.credit = limits.credit  #: submissions that are still paid for; None: any number
        self.blocked: Blocked | None = None  #: what everything is answered, if the account is blocked

    def blocks(self, *, submission: bool) -> Blocked | None:
        """Why the account may not ask this. One without credit may still ask about its jobs."""
        if self.blocked == 402 or self.credit == 0:
            return 402 if submission else None
        return self.blocked

    def refuses(self, at: float) -> Fault | None:
        """Which limit stands against one more submission now, if any."""
        while self._ends and self._ends[0] <= at:
            heappop(self._ends)
        if self._limits.in_flight is not None and len(self._ends) >= self._limits.in_flight:
            return Fault.TOO_MANY_JOBS
        rate = self._limits.per_second
        if rate is not None:
            passed = 0.0 if self._filled_at is None else max(at - self._filled_at, 0.0)
            self._filled_at = at
            self._tokens = min(self._burst, self._tokens + passed * rate)
            if self._tokens < 1:
                return Fault.RATE_LIMITED
            self._tokens -= 1
        return None

    def passed(self, job: Job) -> None:
        """The submission became that job."""
        heappush(self._ends, job.ends_at)
        if self.credit is not None:
            self.credit = max(self.credit - 1, 0)

    @property
    def _burst(self) -> float:
        return max(1.0, self._limits.per_second or 1.0)
