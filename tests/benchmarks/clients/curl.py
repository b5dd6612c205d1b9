"""curl, told all links at once: what the network and the disk give. No submission, no check, no flush."""

from __future__ import annotations

import os

from tests.benchmarks.clients.asked import Asked


def main() -> None:
    """All of it."""
    asked = Asked.read()
    config = asked.folder / "links"
    places = ((link, asked.folder / f"{number}.png") for number, link in enumerate(asked.links()))
    config.write_text("".join(f'url = "{link}"\noutput = "{path}"\n' for link, path in places))
    os.execvp("curl", ["curl", "-sS", "--parallel", "--parallel-max", str(asked.concurrency), "-K", str(config)])


if __name__ == "__main__":
    main()
