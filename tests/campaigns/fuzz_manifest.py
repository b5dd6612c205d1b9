"""Coverage-guided fuzzing of the manifest reader: no exception but its own, no hang, no growing memory.

    pip install atheris
    python -m tests.campaigns.fuzz_manifest --minutes 10

Starts from the golden cases. An input is a manifest of some kind, and a file beside it that the manifest may name.
A finding is written to the folder that --findings names, and ends the campaign.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from itertools import islice
from pathlib import Path

KINDS = (".yaml", ".csv", ".tsv", ".jsonl", ".txt", ".parquet")
CASES = Path(__file__).parents[1] / "cases" / "manifest"
#: Between a manifest and the file beside it.
BETWEEN = b"\n%%%%\n"
#: Rows that are made of one manifest: a sweep may have more than anyone waits for.
ROWS = 300


def try_out(content: bytes, folder: Path) -> int:
    """The rows of what fuzzed bytes say, if they say any.

    Args:
        content: the kind as one byte, then the manifest, then perhaps a file beside it.
        folder: where both are written.
    """
    from batchgen.adapters.profiles import find_profile
    from batchgen.errors import ManifestError, UsageError
    from batchgen.manifest import read_manifest

    kind = KINDS[content[0] % len(KINDS)] if content else ".yaml"
    text, _, beside = content[1:].partition(BETWEEN)
    (folder / "rows").with_suffix(KINDS[(content[0] // 16) % len(KINDS)] if content else ".csv").write_bytes(beside)
    path = folder / f"m{kind}"
    path.write_bytes(text)
    try:
        return sum(1 for _ in islice(read_manifest(path, find_profile=find_profile).rows(), ROWS))
    except (ManifestError, UsageError):
        return 0


def seeds() -> list[bytes]:
    """The golden cases as inputs; those that name files are given one of them."""
    found = []
    for path in sorted(CASES.glob("*.*")):
        if path.suffix in KINDS:
            for beside, name in enumerate(("animals.csv", "prompts.txt", "rows.jsonl")):
                text = path.read_bytes().replace(b"files/" + name.encode(), b"rows" + Path(name).suffix.encode())
                kind = KINDS.index(path.suffix) + 16 * KINDS.index(Path(name).suffix)
                found.append(bytes([kind]) + text + BETWEEN + (CASES / "files" / name).read_bytes())
                if beside == 0 and b"rows." not in text:
                    break
    return found


def main() -> None:
    """Run the campaign; ends with 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()))
    wanted = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("This campaign needs atheris: pip install atheris")
    with atheris.instrument_imports(include=["batchgen.manifest"]):
        import batchgen.manifest
        import batchgen.manifest.tables.json_lines
        import batchgen.manifest.tables.parquet
        import batchgen.manifest.tables.plain
        import batchgen.manifest.tables.separated  # noqa: F401
    folder = Path(tempfile.mkdtemp(prefix="batchgen-fuzz-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds()):
        (corpus / str(number)).write_bytes(seed)
    tried = {"inputs": 0, "rows": 0}

    def one(content: bytes) -> None:
        tried["inputs"] += 1
        tried["rows"] += try_out(content, folder)
        if tried["inputs"] in (2_000, 20_000) or tried["inputs"] % 100_000 == 0:
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{tried['inputs']:,} inputs, {tried['rows']:,} rows, peak {megabytes:.0f} MB", flush=True)

    flags = [f"-max_total_time={wanted.minutes * 60:.0f}", f"-seed={wanted.seed}", "-timeout=10", "-rss_limit_mb=1024"]
    flags += ["-max_len=6000", f"-artifact_prefix={wanted.findings}{os.sep}", "-verbosity=0", str(corpus)]
    atheris.Setup([sys.argv[0], *flags], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
