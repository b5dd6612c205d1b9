"""The frozen plan, `.batchgen/plan.parquet`: what a batch asks for, whatever becomes of its manifest.

Written once per plan, streamed both ways: neither writing nor reading holds more than one row group. Arrow is loaded by
whoever does either, so that what only may have to takes none of its memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.errors import StorageFailed
from batchgen.model import LabelValue, PlanHead, Replacement, Request, RequestKey, params_of_json
from batchgen.planning import Duplicate, Elsewhere
from batchgen.streaming import streamed

if TYPE_CHECKING:
    import pyarrow as pa

#: Columns -> types in Arrow's words, and those of them that may be null.
_COLUMNS = {
    "request_key": "string",
    "manifest_sha256": "string",
    "row_index": "int64",
    "repeat": "int32",
    "first_sample": "int64",
    "batch_id": "string",
    "file_prefix": "string",
    "file_stem": "string",
    "prompt": "string",
    "params": "string",  # JSON object
    "labels": "string",  # JSON object
    "split": "string",
    "kept": "bool",
    "sample": "int32",
    "replaces": "string",  # a request key
    "replacement": "int32",  # 1 for the first in that place
}
_NULLABLE = ("split", "replaces", "replacement")
_ROW_GROUP = 5_000
#: Requests of a row group that are read together.
_AT_ONCE = 500
_to_json = json.JSONEncoder(ensure_ascii=False).encode
#: Requests share their parameters where these are the same text; nobody changes them.
_params = lru_cache(maxsize=1_024)(params_of_json)


class PlanFile:
    """A frozen plan, opened for reading; iterate it as often as needed.

    Raises:
        StorageFailed: it is not there or not readable.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._path = path
        with _translated(path):
            metadata = pq.read_metadata(path).metadata or {}
            self.head = PlanHead.from_json(metadata[PlanHead.METADATA])

    def __iter__(self) -> Iterator[Request]:
        with _translated(self._path), streamed(self._path, verified=True) as file:
            for batch in file.iter_batches(batch_size=_AT_ONCE):
                yield from map(_request, batch.to_pylist())

    def without(self, done: Callable[[Sequence[RequestKey]], Collection[RequestKey]]) -> Iterator[Request]:
        """The requests in order but for those that are done; of a row group that is done nothing but the keys is read.

        Args:
            done: told some keys, gives those of them that are done.
        """
        with _translated(self._path), streamed(self._path, verified=True) as file:
            for group in range(file.num_row_groups):
                keys = file.read_row_group(group, columns=["request_key"]).column(0).to_pylist()
                gone = done(keys)
                if len(gone) == len(keys):
                    continue
                for batch in file.read_row_group(group).to_batches(max_chunksize=_AT_ONCE):
                    lines = (line for line in batch.to_pylist() if line["request_key"] not in gone)
                    yield from map(_request, lines)

    def of_prompts(self, prompts: Collection[str]) -> Iterator[Request]:
        """The requests of those prompts, in order."""
        import pyarrow as pa
        import pyarrow.compute as pc  # 9 MB, which no run needs

        wanted = pa.array(sorted(prompts), pa.string())
        with _translated(self._path), streamed(self._path, verified=True) as file:
            for batch in file.iter_batches(batch_size=_AT_ONCE):
                yield from map(_request, batch.filter(pc.is_in(batch.column("prompt"), wanted)).to_pylist())

    def keys(self) -> Iterator[RequestKey]:
        """The request keys alone, in order."""
        with _translated(self._path), streamed(self._path, verified=True) as file:
            for batch in file.iter_batches(batch_size=65_536, columns=["request_key"]):
                yield from map(RequestKey, batch.column(0).to_pylist())


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise StorageFailed(_why(path, error)) from error


def _why(path: Path, error: Exception) -> str:
    if not path.parent.is_dir():
        return (
            f"The folder {path.parent.parent} is no longer there: it was moved or removed meanwhile. Its journal knows "
            "what was submitted: go on where it lies now (--out); a new folder would pay for all of it again."
        )
    if not path.is_file():
        return f"The frozen plan {path} is missing. Run the manifest again, which makes it anew."
    return f"The frozen plan {path} cannot be read ({error}). Remove it and run the manifest again."


def freeze(entries: Iterable[Request | Duplicate | Elsewhere], path: Path, origin: PlanHead) -> PlanHead:
    """Write a plan, streamed: its requests, of what a plan's entries are.

    Args:
        origin: what the plan is made from; what is counted is filled in here.

    Raises:
        OSError: the disk does not take it.
        ManifestError: from *entries*.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, schema = _Count(origin.label_types), _schema()
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        stream = count.requests_of(entries)
        while lines := [count.line(request) for request in islice(stream, _ROW_GROUP)]:
            writer.write_table(pa.Table.from_pylist(lines, schema=schema))
        head = replace(
            origin,
            keys_sha256=count.keys.hexdigest(),
            requests=count.requests,
            samples=count.samples,
            replacements=count.replacements,
            elsewhere=count.elsewhere,
            label_types={name: _COLUMN[kind] for name, kind in count.label_types.items()},
        )
        writer.add_key_value_metadata({PlanHead.METADATA: head.to_json()})
    return head


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pa.field(name, kind, nullable=name in _NULLABLE) for name, kind in _COLUMNS.items()])


def _request(line: dict[str, Any]) -> Request:
    params, labels = _params(line.pop("params")), json.loads(line.pop("labels"))
    of, number = line.pop("replaces", None), line.pop("replacement", None)  # earlier versions replaced nothing
    replaces = None if of is None else Replacement(of=of, number=number)
    return Request(key=line.pop("request_key"), params=params, labels=labels, replaces=replaces, **line)


class _Count:
    """What is learnt of a plan while it is written.

    Args:
        declared: types of labels that the manifest's files give.
    """

    def __init__(self, declared: Mapping[str, str]) -> None:
        self._declared = declared
        self.requests = 0
        self.samples = 0
        self.replacements = 0
        self.elsewhere = 0
        self.keys = hashlib.sha256()
        self.label_types: dict[str, str] = {}
        self._spelling: dict[str, str] = {}  #: of label names, whatever the case: databases take them for one

    def requests_of(self, entries: Iterable[Request | Duplicate | Elsewhere]) -> Iterator[Request]:
        for entry in entries:
            if isinstance(entry, Request):
                yield entry
            self.elsewhere += isinstance(entry, Elsewhere)

    def line(self, request: Request) -> dict[str, object]:
        self.requests += 1
        self.samples += request.samples
        self.replacements += request.replaces is not None
        self.keys.update(request.key.encode() + b"\n")
        labels = {self._spelling.setdefault(name.lower(), name): value for name, value in request.labels.items()}
        for name, value in labels.items():
            self.label_types[name] = _common_type(self.label_types.get(name) or self._declared.get(name), value)
        return {
            "request_key": request.key,
            "manifest_sha256": request.manifest_sha256,
            "row_index": request.row_index,
            "repeat": request.repeat,
            "first_sample": request.first_sample,
            "batch_id": request.batch_id,
            "file_prefix": request.file_prefix,
            "file_stem": request.file_stem,
            "prompt": request.prompt,
            "params": _to_json(dict(request.params)),
            "labels": _to_json(labels),
            "split": request.split,
            "kept": request.kept,
            "sample": request.sample,
            "replaces": request.replaces and request.replaces.of,
            "replacement": request.replaces and request.replaces.number,
        }


#: What can be told of a label's values -> the type of its column. Whole numbers that no float holds are set apart.
_COLUMN = {"null": "null", "bool": "bool", "int": "int", "big": "int", "float": "float", "str": "str"}
_EXACT = 2**53


def _common_type(known: str | None, value: LabelValue) -> str:
    """The type of a label's column once *value* is in it; text takes everything, a column of nulls is text."""
    if value is None:
        return known or "null"
    kind = type(value).__name__
    if kind == "int" and abs(int(value)) > _EXACT:
        kind = "big"
    if known in (None, "null", kind):
        return kind
    match {known, kind}:
        case both if both == {"int", "float"}:
            return "float"
        case both if both == {"int", "big"}:
            return "big"
        case _:
            return "str"
