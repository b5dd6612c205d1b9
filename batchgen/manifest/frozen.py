"""A frozen plan as a manifest: the same requests again, even if the files it was made from have changed since."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from batchgen.errors import UsageError
from batchgen.manifest.names import safe_name
from batchgen.manifest.problems import Refused
from batchgen.manifest.reader import FindProfile, Manifest, Overrides, budget_over
from batchgen.manifest.row_sources import without_choices
from batchgen.manifest.words import Words
from batchgen.model import Budget, PlanHead, Replacement, Row, params_of_json
from batchgen.profile import Profile
from batchgen.streaming import streamed

SUFFIX = ".parquet"
_COLUMNS = ["row_index", "repeat", "file_prefix", "prompt", "params", "labels", "split", "sample", "kept"]
_COLUMNS += ["replaces", "replacement"]
_ROWS_AT_ONCE = 2_000


def is_frozen(path: Path) -> bool:
    """Whether there is a frozen plan at *path*, and not some other table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return PlanHead.METADATA in (pq.read_metadata(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def read(path: Path, *, find_profile: FindProfile, overrides: Overrides) -> Manifest:
    """The manifest that a frozen plan is. Its tags may be overridden; its parameters are what they were.

    Raises:
        UsageError: it cannot be read, or its profile is not what it was.
    """
    head = _head(path)
    profile = _profile(path, head, find_profile, overrides)
    stem = Path(head.manifest).stem or path.stem
    tags = _Tags(path, Words(stem, overrides.moment, lambda batch_id: {**head.words, **overrides.words_of(batch_id)}))
    batch_id = safe_name(tags.render("batch_id", overrides.batch_id) or head.batch_id, fallback=path.stem)
    tags.words.recall(batch_id)
    prefix = tags.render("file_prefix", overrides.file_prefix)
    return Manifest(
        source=str(path),
        path=path,
        sha256=_sha256(path),
        batch_id=batch_id,
        profile=profile,
        concurrency=head.concurrency or profile.concurrency,
        rate=head.rate,
        in_doubt=head.in_doubt,
        price_per_image=head.price_per_image,
        checks=head.checks,
        provenance=head.provenance,
        card=head.card,
        budget=_budget(path, head, overrides),
        label_types={name: kind for name, kind in head.label_types.items() if kind != "null"},
        words={**head.words, **tags.words.to_record(tags.named)},
        frozen=head,
        read_rows=partial(_rows, path, None if prefix is None else safe_name(prefix, fallback=head.batch_id)),
    )


class _Tags:
    """The tags that a frozen plan is given anew."""

    def __init__(self, path: Path, words: Words) -> None:
        self._path = path
        self.words = words
        self.named: set[str] = set()  #: what they have in braces

    def render(self, key: str, given: str | None) -> str | None:
        """
        Raises:
            UsageError: it names what a whole plan does not have.
        """
        if given is None:
            return None
        try:
            template = without_choices(key, given)
            self.named.update(template.names)
            return template.render(self.words.all)
        except Refused as refusal:
            raise UsageError(f"{key}: {refusal.message}") from refusal
        except KeyError as missing:
            raise UsageError(
                f"{key}: {self._path} is a frozen plan, and there is no {{{missing.args[0]}}} for all of it. "
                "Use {date}, {datetime}, {manifest} or {env.NAME}."
            ) from missing


def _profile(path: Path, head: PlanHead, find_profile: FindProfile, overrides: Overrides) -> Profile:
    if overrides.params:
        raise UsageError(
            f"{path} is a frozen plan; no parameter of it can be set, and {', '.join(overrides.params)} was. "
            "Run the manifest that it was made from instead."
        )
    name = overrides.profile or head.profile
    if not name:
        raise UsageError(
            f"{path} was frozen by an earlier version, which did not write down the profile. Name it with --profile."
        )
    profile = find_profile(name)
    known = set(profile.image_parameters)
    if profile.endpoint != head.endpoint or not known.issuperset(head.image_parameters):
        raise UsageError(
            f"{path} was frozen for {head.endpoint}, and the profile {name} is not the one it was frozen with: "
            "it would ask for other images. Name that profile with --profile, or run the manifest anew."
        )
    return profile


def _budget(path: Path, head: PlanHead, overrides: Overrides) -> Budget:
    try:
        return budget_over(head.budget, overrides.budget, head.price_per_image)
    except Refused as refusal:
        raise UsageError(f"{path}: {refusal.message} {refusal.hint}") from refusal


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        message = f"{path} is a frozen plan that cannot be read ({error}). Run the manifest that it was made from."
        raise UsageError(message) from error


def _head(path: Path) -> PlanHead:
    import pyarrow.parquet as pq

    with _translated(path):
        return PlanHead.from_json(pq.read_metadata(path).metadata[PlanHead.METADATA])


def _sha256(path: Path) -> str:
    with _translated(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(path: Path, file_prefix: str | None) -> Iterator[Row]:
    with _translated(path), streamed(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=_COLUMNS):
            for line in batch.to_pylist():
                yield _row(line, file_prefix)


def _row(line: Mapping[str, Any], file_prefix: str | None) -> Row:
    repeat, replaced = line["repeat"], line.get("replaces")  # earlier versions replaced nothing
    return Row(
        index=line["row_index"],
        prompt=line["prompt"],
        params=params_of_json(line["params"]),
        file_prefix=file_prefix or safe_name(line["file_prefix"], fallback="batch"),
        labels=json.loads(line["labels"]),
        repeats=range(repeat, repeat + 1),
        split=line["split"],
        sample=line.get("sample", 0),  # earlier versions knew no fan-out
        kept=line.get("kept", False),
        replaces=None if replaced is None else Replacement(of=replaced, number=line["replacement"]),
    )
