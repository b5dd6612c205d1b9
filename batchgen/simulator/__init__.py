"""The image APIs, stood in for by a real HTTP server: free, offline, and as forgetful or slow as it is told to be."""

from batchgen.simulator.behaviour import Behaviour, Early, Links
from batchgen.simulator.jobs import Audit
from batchgen.simulator.server import Simulator, background, serve

__all__ = ["Audit", "Behaviour", "Early", "Links", "Simulator", "background", "serve"]
