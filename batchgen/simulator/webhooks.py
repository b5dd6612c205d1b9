"""Webhooks: when a job ends, its submitter is called back, up to three times until it answers 2xx."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from typing import Self

import aiohttp

from batchgen.model import JobId
from batchgen.simulator.faults import Fault
from batchgen.simulator.jobs import Job

#: Times that a webhook is sent at most (documented for the current API).
TRIES = 3
_MARGIN = 0.005  # seconds; a timer may be early by the clock that jobs go by
_PAUSE = 0.2  # seconds before the second try; twice as long before the third
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_JSON = {"Content-Type": "application/json"}

Body = Callable[[], Mapping[str, object]]


class Webhooks:
    """Calls back for as long as the context lasts; what has not been sent by then never is.

    Args:
        sent: counts each try, by job.
    """

    def __init__(self, sent: Counter[JobId]) -> None:
        self._sent = sent
        self._waiting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        for waiting in self._waiting:
            waiting.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        await self._session.close()

    def expect(self, job: Job, url: str, body: Body, fault: Fault | None = None) -> None:
        """Have the job's end sent to the URL when it has come.

        Args:
            body: makes what is sent, at that time.
            fault: what goes wrong with it.
        """
        if fault is Fault.NEVER_SENT or job.ends_at == inf:
            return
        waiting = asyncio.create_task(self._send_at_end(job, url, body, fault))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)

    async def _send_at_end(self, job: Job, url: str, body: Body, fault: Fault | None) -> None:
        if fault is not Fault.TOO_EARLY:
            await asyncio.sleep(max(job.ends_at - time.time(), 0) + _MARGIN)
        for number in range(TRIES):
            self._sent[job.id] += 1
            text = "<html>" if fault is Fault.GARBAGE else json.dumps(body())
            taken = await self._is_taken(url, text)
            if taken and fault is not Fault.REPEATED:
                return
            await asyncio.sleep(0 if taken else _PAUSE * 2**number)

    async def _is_taken(self, url: str, text: str) -> bool:
        try:
            async with self._session.post(url, data=text, headers=_JSON, allow_redirects=False) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, OSError, ValueError):  # the receiver is not there, or the URL is none
            return False
