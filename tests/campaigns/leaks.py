"""Looks for secrets in all that a run has left and said: in files, in what their formats hide, and in names."""

from __future__ import annotations

import base64
import html
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq
from PIL import Image

_IMAGES = frozenset({".png", ".jpg", ".webp"})


def spellings(secret: str) -> frozenset[bytes]:
    """Every form in which a program may write a text down without meaning to hide it."""
    plain = secret.encode()
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret)}
    texts |= {json.dumps(secret)[1:-1], json.dumps(json.dumps(secret))[3:-3], secret.replace("/", "\\/")}
    texts |= {text.lower() for text in texts} | {plain.hex(), repr(secret)[1:-1]}
    return frozenset({text.encode() for text in texts} | set(_in_base64(plain)) | {secret.encode("utf-16-le")})


def leaks(folder: Path, said: str, secrets: Iterable[str]) -> list[str]:
    """Where in the folder, or in what was said, any of the secrets is, however it is spelled."""
    wanted = {form for secret in secrets for form in spellings(secret)}
    found = {name for name, content in _everything(folder, said) if any(form in content for form in wanted)}
    return sorted(found)


def _everything(folder: Path, said: str) -> Iterator[tuple[str, bytes]]:
    yield "what was said", said.encode()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        yield f"the name {name!r}", name.encode()
        if path.is_symlink():
            yield f"where {name} leads", str(path.readlink()).encode()
        elif path.is_file():
            yield name, path.read_bytes()
            yield from ((name, content) for content in _unpacked(path))


def _unpacked(path: Path) -> Iterator[bytes]:
    """What a file holds that its bytes do not show: compressed, or split over pages."""
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        yield str(file.schema_arrow.metadata).encode()
        for batch in file.iter_batches(batch_size=64):
            yield from (str(value).encode() for row in batch.to_pylist() for value in row.values())
    elif path.suffix == ".sqlite":
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
            yield from (line.encode() for line in connection.iterdump())
        connection.close()
    elif path.suffix in _IMAGES:
        with Image.open(path) as image:
            yield str(image.info).encode()


def _in_base64(plain: bytes) -> Iterator[bytes]:
    """The middle of the text in base64, at each of the three places at which it may begin."""
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # The first and last characters hold bits of what stands beside the text.
            yield encode(bytes(shift) + plain)[4 if shift else 0 : -4]
