"""`python -m tests.benchmarks.completions`: what each way to completion costs, as `docs/completion.md` has it."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import batchgen
from batchgen import Completion, Settings
from batchgen.adapters.profiles import find_profile
from batchgen.simulator import Behaviour, Simulator, Uniform, background

JOBS, IN_FLIGHT = 300, 64
#: Seconds.
LATENCY = Uniform(2, 4)


def row(completion: Completion, folder: Path) -> str:
    """A line of the table: one batch, run by that way in this process, the simulator in a thread beside it."""
    simulator = Simulator(find_profile("simulator"), behaviour=Behaviour(latency=LATENCY, pictures="tiny"))
    prompts = [f"number {n}" for n in range(JOBS)]
    manifest = folder / "m.yaml"
    manifest.write_text(json.dumps({"profile": "simulator", "params": {"width": 64, "height": 64}, "prompts": prompts}))
    with background(simulator) as url:
        settings = Settings(base_url=url, completion=completion, concurrency=IN_FLIGHT)
        began = time.monotonic()
        result = batchgen.run(manifest, out=folder / "out", settings=settings)
        seconds = time.monotonic() - began
        audit = simulator.audit()
    assert audit.accepted == JOBS, result
    seen = sorted(audit.seen_after.values())
    delay = f"{median(seen):.3f} s, {quantiles(seen, n=20)[-1]:.3f} s" if seen else ""
    return f"| `{completion.value}` | {audit.status_calls / JOBS:.2f} | {delay} | {seconds:.1f} s |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.completions", description=__doc__)
    parser.add_argument("completion", type=Completion, nargs="*", default=list(Completion))
    for completion in parser.parse_args().completion:
        with tempfile.TemporaryDirectory() as folder:
            print(row(completion, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
