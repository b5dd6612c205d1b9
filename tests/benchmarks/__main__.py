"""`python -m tests.benchmarks`: the works, each by all of its clients in turn, for some rounds; medians in a table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.measuring import Measured, measure
from tests.benchmarks.works import WORKS

_HEAD = (
    "| client | jobs/s | CPU s per 1,000 jobs | peak MB | MB/s | makespan / ideal | status calls a job | server busy |"
)


def table(measured: Sequence[Measured]) -> str:
    """The medians of one work's rounds, a line for each client."""
    lines = [_HEAD, "|---" * 8 + "|"]
    for client in dict.fromkeys(one.client for one in measured):
        rounds = [one for one in measured if one.client == client]
        spans = [one.makespan for one in rounds if one.makespan is not None]
        cells = (
            client,
            f"{median(one.jobs / one.wall_s for one in rounds):,.1f}",
            f"{median(1_000 * one.cpu_s / one.jobs for one in rounds):.2f}",
            f"{median(one.peak_mb for one in rounds):.0f}",
            f"{median(one.mb_s for one in rounds):,.1f}",
            f"{median(spans):.3f}" if spans else "",
            f"{median(one.calls for one in rounds):.2f}",
            f"{median(one.server_busy for one in rounds):.0%}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the tables, write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("works", nargs="*", default=list(WORKS), metavar="WORK", help=", ".join(WORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", help="only these, with commas between")
    parser.add_argument("--json", type=Path, help="where the results go")
    asked = parser.parse_args()
    wanted = asked.clients.split(",") if asked.clients else None
    results: list[Measured] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        for name in asked.works:
            work, found = WORKS[name], list[Measured]()
            for _ in range(asked.rounds):
                for client in work.clients:  # in turn, so that what else the machine does meets all of them
                    if wanted is None or client in wanted:
                        found.append(measure(name, work, client, place=Path(tempfile.mkdtemp(dir=folder))))
                        print(".", end="", file=sys.stderr, flush=True)
            print(f"\n{work.title}\n\n{table(found)}", flush=True)
            results += found
    if asked.json is not None:
        machine = {"python": platform.python_version(), "machine": platform.platform()}
        asked.json.write_text(json.dumps(machine | {"results": [one.row() for one in results]}, indent=1))


if __name__ == "__main__":
    main()
