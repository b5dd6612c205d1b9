"""What all clients ask for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

KEY = {"API-Key": "a-key"}
POLL_EVERY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line of a client."""

    url: str
    jobs: int
    concurrency: int
    samples: int
    side: int
    grain: float
    folder: Path

    @classmethod
    def read(cls) -> Asked:
        """From the arguments of the script."""
        url, jobs, concurrency, samples, side, grain, folder = sys.argv[1:]
        return cls(url, int(jobs), int(concurrency), int(samples), int(side), float(grain), Path(folder))

    def body(self, number: int) -> dict[str, str | int]:
        """The parameters of one submission."""
        return {
            "prompt": f"A red fox at dawn, number {number}",
            "negative_prompt": "",
            "num_inference_steps": 29,
            "samples": self.samples,
            "guidance_scale": 7,
            "width": self.side,
            "height": self.side,
        }

    def links(self) -> list[str]:
        """The links of all images, for who does not ask for them."""
        return [
            f"{self.url}/image/job-{number}/{sample}.png"
            for number in range(self.jobs)
            for sample in range(self.samples)
        ]

    def path(self, number: int, sample: int) -> Path:
        """Where an image goes."""
        return self.folder / f"{number:06d}-{sample}.png"
