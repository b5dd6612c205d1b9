"""What a run takes as its plan grows: 1,000 requests, 64 at a time, of plans of so many rows.

    python -m tests.benchmarks.rows 10000 200000 1000000

The server is the bare one, a process of its own; memory is that of the run and its image processes together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measuring import free_port, run, wait_for

#: What a run ends with that has more to do.
_MORE = 6


def main() -> None:
    """Measure and print a table."""
    print("| rows | CPU s | peak MB |\n|---|---|---|")
    for rows in map(int, sys.argv[1:]):
        port = free_port()
        serving = [sys.executable, "-m", "tests.benchmarks.serving", "quick", str(port)]
        with (
            tempfile.TemporaryDirectory() as folder,
            subprocess.Popen(serving, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server,
        ):
            wait_for(port)
            usage, peak = run(_command(rows, Path(folder), f"http://127.0.0.1:{port}"), ends_with=_MORE)
            server.communicate("the end\n")
        print(f"| {rows:,} | {usage.ru_utime + usage.ru_stime:.1f} | {peak:.0f} |", flush=True)


def _command(rows: int, folder: Path, url: str) -> list[str]:
    params = {"negative_prompt": "", "num_inference_steps": 29, "samples": 1, "guidance_scale": 7}
    manifest = {"version": 1, "batch_id": "rows", "profile": "sd3", "params": params | {"width": 64, "height": 64}}
    (folder / "prompts.txt").write_text("".join(f"A red fox at dawn, number {number}\n" for number in range(rows)))
    (folder / "manifest.yaml").write_text(json.dumps(manifest | {"prompts": [{"file": "prompts.txt"}]}))
    told = ["--base-url", url, "--concurrency", "64", "--max-images", "1000", "-q"]
    return [sys.executable, "-m", "batchgen", "run", str(folder / "manifest.yaml"), "-o", str(folder / "out"), *told]


if __name__ == "__main__":
    main()
