"""`simulate`: the APIs stood in for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from batchgen.simulator import Behaviour, Faults, Simulator, serve


def behaviour(*, file: str | None, faults: str | None, **changes: object) -> Behaviour:
    """What a simulator is told.

    Args:
        file: of YAML or JSON that says all of it; None: the plainest behaviour.
        faults: another, whose faults go before that file's.
        changes: other values for some of its names, which go before both; None leaves a name as it is.

    Raises:
        UsageError: a file or value that cannot be.
    """
    told = Behaviour() if file is None else Behaviour.from_file(file)
    if faults is not None:
        changes["faults"] = Faults.from_file(faults)
    return told.changed(**{name: value for name, value in changes.items() if value is not None})


def simulate(
    started: Callable[[str], None],
    told: Behaviour,
    *,
    profiles: Sequence[str] = (),
    port: int = 0,
    seed: int = 0,
) -> None:
    """Stand in for the APIs on a loopback port, until interrupted.

    Args:
        started: told the base URL once it answers.
        profiles: whose endpoints; none named: all.
        port: 0 for any free one.
        seed: another seed, other pictures, latencies and faults.

    Raises:
        UsageError: a profile is not known, or the port is taken.
    """
    simulator = Simulator(*profiles, behaviour=told, seed=seed)

    async def forever() -> None:
        async with serve(simulator, port=port) as url:
            started(url)
            await asyncio.Event().wait()

    asyncio.run(forever())
