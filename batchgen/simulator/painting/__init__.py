"""Pictures drawn from prompts: words -> scene -> picture. No model, no randomness but the draw that is given."""

from batchgen.simulator.painting.painter import paint

__all__ = ["paint"]
