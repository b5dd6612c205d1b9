"""Speaking to a simulator over real HTTP, as plainly as that allows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from batchgen.adapters.profiles import find_profile
from batchgen.simulator import Behaviour, Faults, Fixed, Simulator, serve

KEY = {"API-Key": "a-key"}
AT_ONCE = (0.0, 0.0)
NEVER = (1e6, 1e6)


SD3 = find_profile("sd3")


def body(**changes: object) -> dict[str, object]:
    params: dict[str, object] = {
        "prompt": "A red fox at dawn",
        "negative_prompt": "",
        "num_inference_steps": 29,
        "samples": 1,
        "guidance_scale": 7,
        "width": 64,
        "height": 64,
    }
    return params | changes


class Client:
    """Speaks to a simulator as plainly as HTTP allows."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def submit(self, sent: object, headers: dict[str, str] = KEY) -> tuple[int, Any]:
        data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        async with self.session.post(self.url + "/sd3/v1", data=data, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def accepted(self, **changes: object) -> str:
        status, answer = await self.submit(body(**changes))
        assert status == 202, answer
        return str(answer["id"])

    async def status(self, job_id: str, headers: dict[str, str] = KEY) -> tuple[int, Any]:
        async with self.session.get(f"{self.url}/sd3/v1/status/{job_id}", headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, url: str, headers: dict[str, str] | None = None) -> tuple[int, str, bytes]:
        async with self.session.get(url, headers=headers) as answer:
            return answer.status, answer.content_type, await answer.read()


@asynccontextmanager
async def talking_to(simulator: Simulator) -> AsyncIterator[Client]:
    async with serve(simulator) as url, aiohttp.ClientSession() as session:
        session._retry_connection = False  # else aiohttp asks once more by itself where a connection ends early
        yield Client(session, url)


def faulty(**faults: Any) -> Behaviour:
    """Jobs that end at once, tiny pictures, and these faults."""
    return Behaviour(latency=Fixed(0), pictures="tiny", faults=Faults.model_validate(faults))


def with_faults(*, seed: int = 0, **faults: Any) -> Simulator:
    """A simulator that behaves so."""
    return Simulator(SD3, behaviour=faulty(**faults), seed=seed)
