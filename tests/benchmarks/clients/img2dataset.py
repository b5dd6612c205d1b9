"""img2dataset, told all links at once, in an environment of its own: `IMG2DATASET` names its Python."""

from __future__ import annotations

import os

from tests.benchmarks.clients.asked import Asked

_CALL = """
from img2dataset import download
if __name__ == "__main__":
    download(
        url_list={links!r}, output_folder={out!r}, processes_count={cores}, thread_count={threads}, resize_mode="no",
        skip_reencode=True, encode_format="png", encode_quality=9, output_format="files", number_sample_per_shard=500,
    )
"""


def main() -> None:
    """All of it."""
    asked = Asked.read()
    links, script = asked.folder / "links.txt", asked.folder / "call.py"
    links.write_text("\n".join(asked.links()))
    cores = os.cpu_count() or 1
    script.write_text(
        _CALL.format(links=str(links), out=str(asked.folder / "out"), cores=cores, threads=asked.concurrency // cores)
    )
    python = os.environ["IMG2DATASET"]
    os.execve(python, [python, str(script)], os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONPATH": ""})


if __name__ == "__main__":
    main()
