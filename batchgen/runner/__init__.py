"""Stage 3: plan -> images. The one asyncio loop, and what it is made of.

`Runner` carries each request through its life; `Slots` says how many jobs are in flight, `Pace` when the next
may be submitted, `Polls` when each is asked about. What the world looks like comes in through `batchgen.ports`.
"""

from batchgen.runner.limits import Ports, RunLimits
from batchgen.runner.loop import Runner

__all__ = ["Ports", "RunLimits", "Runner"]
