"""Names and values as they stand in file names and in messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

from batchgen.model import ParamValue

#: The hint wherever YAML reads as something else what is meant as text.
QUOTE = "Put it in quotes to have it as text."
_LONGEST = 80  # bytes of UTF-8; leaves room for key, sample number and extension in the 255 of a file name
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin", "conout"] + [f"{port}{n}" for port in ("com", "lpt") for n in range(10)]
)
_SPLIT = re.compile(r"\w+(\.\w+)*")
#: Columns that the index has of its own; no label may be called so, in whatever case.
# fmt: off
RESERVED = frozenset((
    "request_key", "row_index", "sample_index", "batch_id", "file_prefix", "run_id", "manifest_sha256",
    "file_name", "sha256", "bytes", "format", "width", "height", "phash", "image", "checks", "rejected_file",
    "duplicate_of", "near_duplicate_of",
    "prompt", "negative_prompt", "provider", "model", "endpoint", "num_inference_steps", "guidance_scale",
    "requested_width", "requested_height", "seed", "params_json",
    "job_id", "source_url", "response_json",
    "status", "error_class", "error_message", "http_status", "attempts",
    "submitted_at", "completed_at", "downloaded_at", "latency_s", "cost", "split", "delivered_sha256", "replaces",
))
# fmt: on
_PLAIN = re.compile("[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*")  # is safe as it is
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
#: Letters and marks that show nothing: fillers, joiners and variation selectors.
_INVISIBLE = frozenset(
    map(chr, [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)])
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))


def safe_name(text: str, *, fallback: str) -> str:
    """A tag made safe as part of a file or folder name, the same on every system. Idempotent.

    Letters, digits, `_` and `-` of any script stay (in NFKC form), every run of anything else becomes one `-`;
    at most 80 bytes of UTF-8; never a device name of Windows, never empty.

    Args:
        fallback: used where nothing of *text* is left.
    """
    return _cleaned(text) or _cleaned(fallback) or "batch"


def _cleaned(text: str) -> str:
    if len(text) <= _LONGEST and _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    kept: list[str] = []
    for character in unicodedata.normalize("NFKC", text):
        if _stays(character, after=kept[-1] if kept else "-"):
            kept.append(character)
        elif kept and kept[-1] != "-":
            kept.append("-")
    cut = "".join(kept).encode()[:_LONGEST].decode(errors="ignore").strip("-")
    return f"{cut}_" if cut.lower() in _RESERVED else cut


def _stays(character: str, *, after: str) -> bool:
    if character in _INVISIBLE:
        return False
    if unicodedata.category(character).startswith("M"):  # an accent belongs to the letter before it
        return after not in "-_"
    return character.isalnum() or character == "_"


def is_of_images(column: str) -> bool:
    """Whether loaders of datasets take a column of texts for the names of image files, by what it is called."""
    return column.lower().endswith("_file_name")


def is_split(name: str) -> bool:
    """Whether loaders of datasets take it as the name of a part; `all` is their word for all of them."""
    return name != "all" and _SPLIT.fullmatch(name) is not None


def sendable(text: str) -> bool:
    """Whether text survives JSON, databases and file formats: no NUL, no half of a surrogate pair."""
    return _UNSENDABLE.search(text) is None


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that *name* is probably a misspelling of."""
    by_letters = {squashed(candidate): candidate for candidate in known}
    found = get_close_matches(squashed(name), by_letters, n=1, cutoff=0.6)
    return by_letters[found[0]] if found else None


def squashed(name: str) -> str:
    """The name without regard to case, spaces, hyphens and underscores."""
    return "".join(character for character in name.casefold() if character not in " _-\t")


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the likely meaning of *name*, if there is one."""
    guess = near(name, known)
    return guess and f"Did you mean {guess}?"


def written(value: ParamValue | None) -> str:
    """A value as it stands in a text: 7 for 7.0, true for True, commas between those of a list."""
    if isinstance(value, tuple):
        return ", ".join(map(written, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def shown(value: object) -> str:
    """The value as a message names it: short, and in the words of YAML."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return repr(value if len(value) <= 60 else f"{value[:59]}…")
        case _:
            return str(value)
