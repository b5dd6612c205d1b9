"""The image APIs, stood in for by a real HTTP server: free, offline, and as forgetful or slow as it is told to be."""

from batchgen.simulator.audit import Audit
from batchgen.simulator.behaviour import Behaviour, Early, Limits, Links, RetryAfter
from batchgen.simulator.faults import Fault, Faults
from batchgen.simulator.latency import Bimodal, Fixed, Lognormal, Uniform
from batchgen.simulator.server import Simulator
from batchgen.simulator.serving import background, serve

__all__ = [
    "Audit",
    "Behaviour",
    "Bimodal",
    "Early",
    "Fault",
    "Faults",
    "Fixed",
    "Limits",
    "Links",
    "Lognormal",
    "RetryAfter",
    "Simulator",
    "Uniform",
    "background",
    "serve",
]
