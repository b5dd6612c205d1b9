"""Stage 4: plan + journal -> `metadata.parquet`. The only place that knows column names.

One row a sample, in plan order, failed ones too. The schema is explicit, so that a batch without a single
image, or with a column of nulls, has the same types as any other.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchgen.errors import StorageFailed
from batchgen.lifecycle import Record, State
from batchgen.model import (
    BatchFacts,
    Failure,
    FailureKind,
    LabelValue,
    MissingImage,
    Request,
    RequestKey,
    Status,
    StoredImage,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCHEMA_VERSION = 1
_FACTS = b"batchgen.batch"
_STAMP = b"batchgen.stamp"
_ROW_GROUP_REQUESTS = 2_000
_TIME = pa.timestamp("us", tz="UTC")


#: name -> (type, what it holds). Order is the order of the columns; the batch's labels follow.
COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "file_name": (pa.string(), "image file, relative to this folder, forward slashes; null if there is none"),
    "prompt": (pa.string(), "as sent"),
    "negative_prompt": (pa.string(), "as sent"),
    "status": (pa.string(), "stored, rejected by a check, failed, in_doubt or pending"),
    "request_key": (pa.string(), "hash of all that changes the image; the samples of a request share it"),
    "row_index": (pa.int64(), "0-based row of the manifest"),
    "sample_index": (pa.int32(), "0-based sample of the row"),
    "batch_id": (pa.string(), "tag of the batch"),
    "file_prefix": (pa.string(), "tag of the request"),
    "run_id": (pa.string(), "the run that recorded the last step"),
    "manifest_sha256": (pa.string(), "of the bytes of the manifest that asked for it, hex"),
    "sha256": (pa.string(), "of the image file's bytes, hex"),
    "bytes": (pa.int64(), "length of the image file"),
    "format": (pa.string(), "png, jpg or webp, found in the bytes"),
    "width": (pa.int32(), "pixels, found in the image"),
    "height": (pa.int32(), "pixels, found in the image"),
    "phash": (pa.string(), "perceptual hash (DCT, 64 bits as hex): images that look alike differ in few bits"),
    "checks": (pa.string(), "what checks found, such as `size` or `blank`, with commas; null if nothing"),
    "rejected_file": (pa.string(), "file of a rejected image, relative to this folder, outside of the dataset"),
    "provider": (pa.string(), "who was asked"),
    "model": (pa.string(), "the model asked for"),
    "endpoint": (pa.string(), "provider and path"),
    "num_inference_steps": (pa.int64(), "as sent"),
    "guidance_scale": (pa.float64(), "as sent"),
    "requested_width": (pa.int64(), "pixels, as sent"),
    "requested_height": (pa.int64(), "pixels, as sent"),
    "seed": (pa.int64(), "as sent; null where the API takes none, or drew one itself (-1)"),
    "params_json": (pa.string(), "every parameter as sent, a JSON object"),
    "job_id": (pa.string(), "the API's handle of the job"),
    "source_url": (pa.string(), "where the image was downloaded from"),
    "response_json": (pa.string(), "the API's last answer about the job, cut"),
    "error_class": (pa.string(), "kind of failure; null if there was none"),
    "error_message": (pa.string(), "in the API's words where it gave any"),
    "http_status": (pa.int32(), "of the failed answer"),
    "attempts": (pa.int32(), "submissions that reached the API, or may have"),
    "submitted_at": (_TIME, "when the last submission was started"),
    "completed_at": (_TIME, "when the job was seen to have ended"),
    "downloaded_at": (_TIME, "when the request's last image was safe on disk"),
    "latency_s": (pa.float64(), "seconds from submission to the job's end being seen"),
    "cost": (pa.float64(), "price of the image, in the account's currency; null if unknown, or if there is no image"),
    "split": (pa.string(), "dataset split; null if the manifest makes none"),
}
_LABEL_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string(), "null": pa.string()}


def schema(label_types: Mapping[str, str]) -> pa.Schema:
    """The index's Arrow schema.

    Args:
        label_types: label -> int, float, bool, str or null; each becomes a column, in this order.
    """
    fields = [pa.field(name, kind) for name, (kind, _) in COLUMNS.items()]
    fields += [pa.field(name, _LABEL_TYPES[kind]) for name, kind in label_types.items()]
    return pa.schema(fields)


def describe() -> str:
    """The columns that every index has, as a table of Markdown."""
    rows = "\n".join(f"| `{name}` | {kind} | {text} |" for name, (kind, text) in COLUMNS.items())
    return f"Schema version {SCHEMA_VERSION}.\n\n| column | type | what it holds |\n|---|---|---|\n{rows}"


def write(
    path: Path,
    requests: Iterable[Request],
    records: Callable[[Sequence[RequestKey]], Mapping[RequestKey, Record]],
    *,
    facts: BatchFacts,
    label_types: Mapping[str, str],
    stamp: str,
) -> None:
    """Write the index so that it is there whole or not at all; the same input gives the same bytes.

    Args:
        requests: in plan order; streamed.
        records: the journal's records of some keys.
        stamp: names what the index was made from; see `is_current`.

    Raises:
        StorageFailed: the disk does not take it.
    """
    arrow = schema(label_types).with_metadata(
        {b"batchgen.schema_version": str(SCHEMA_VERSION), _FACTS: facts.to_json(), _STAMP: stamp}
    )
    part = path.with_name(f".{path.name}.part")
    try:
        with pq.ParquetWriter(part, arrow, compression="zstd") as writer:
            stream = iter(requests)
            while some := list(islice(stream, _ROW_GROUP_REQUESTS)):
                known = records([request.key for request in some])
                lines = [line for request in some for line in _lines(request, known.get(request.key), facts)]
                _fit_labels(lines, label_types)
                writer.write_table(pa.Table.from_pylist(lines, schema=arrow))
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        raise StorageFailed(
            f"The index {path} cannot be written: {error}. The images and the journal are safe; "
            "make room and run the same command again."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def read(
    path: Path, columns: Sequence[str] | None = None, *, only: npt.NDArray[np.int64] | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of an index, one dict each, streamed.

    Args:
        columns: None for all.
        only: positions of the rows wanted, 0-based, ascending; None for all.

    Raises:
        StorageFailed: not there or not readable.
    """
    for batch in batches(path, columns, only=only):
        yield from batch.to_pylist()


def batches(
    path: Path, columns: Sequence[str] | None = None, *, only: npt.NDArray[np.int64] | None = None
) -> Iterator[pa.RecordBatch]:
    """As `read`, as record batches of at most 2,000 rows."""
    first = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=2_000, columns=columns):
                if only is None:
                    yield batch
                else:
                    wanted = only[slice(*only.searchsorted([first, first + batch.num_rows]))] - first
                    if wanted.size:
                        yield batch.take(pa.array(wanted))
                first += batch.num_rows
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageFailed(f"The index {path} cannot be read ({error}). Run the manifest again.") from error


def read_schema(path: Path) -> pa.Schema:
    """The columns of an index and their types, without metadata.

    Raises:
        StorageFailed: not there or not readable.
    """
    try:
        return pq.read_schema(path).remove_metadata()
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageFailed(f"The index {path} cannot be read ({error}). Run the manifest again.") from error


def rows(path: Path) -> int:
    """How many rows an index has.

    Raises:
        StorageFailed: not there or not readable.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageFailed(f"The index {path} cannot be read ({error}). Run the manifest again.") from error


def is_current(path: Path, stamp: str) -> bool:
    """Whether there is an index, made from just that."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return bool(metadata.get(_STAMP) == stamp.encode())


def counts(path: Path) -> dict[Status, int]:
    """Samples by status; every status is there, if only with 0.

    Raises:
        StorageFailed: not there or not readable.
    """
    found = dict.fromkeys(Status, 0)
    for batch in batches(path, ["status"]):
        for status, number in zip(*pc.value_counts(batch.column(0)).flatten(), strict=True):
            found[Status(status.as_py())] += number.as_py()
    return found


def findings(path: Path) -> dict[str, int]:
    """How many stored images have each finding of a check; none where there is none.

    Raises:
        StorageFailed: not there or not readable.
    """
    found: Counter[str] = Counter()
    for row in read(path, ["status", "checks"]):
        if row["checks"] and row["status"] == Status.STORED:
            found.update(row["checks"].split(","))
    return dict(sorted(found.items()))


def failed_requests(path: Path) -> int:
    """Requests of which no sample was stored although the API was asked: those that can be tried again.

    Raises:
        StorageFailed: not there or not readable.
    """
    if not counts(path)[Status.FAILED]:  # as most often, and far quicker to know
        return 0
    samples = groupby(read(path, ["request_key", "status"]), key=lambda row: row["request_key"])
    return sum(all(row["status"] == Status.FAILED for row in rows) for _, rows in samples)


def read_facts(path: Path) -> tuple[BatchFacts, tuple[str, ...]]:
    """What an index says of its batch, and the names of its label columns.

    Raises:
        StorageFailed: not there, or not written by batchgen.
    """
    try:
        arrow = pq.read_schema(path)
        facts = BatchFacts.from_json((arrow.metadata or {})[_FACTS])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise StorageFailed(f"The index {path} cannot be read ({error}). Run the manifest again.") from error
    return facts, tuple(name for name in arrow.names if name not in COLUMNS)


def _lines(request: Request, record: Record | None, facts: BatchFacts) -> Iterator[dict[str, object]]:
    record = record or Record()
    common = _of_request(request, record, facts)
    images = {image.sample: image for image in record.images}
    missing = {lost.sample: lost for lost in record.missing}
    for sample in range(request.samples):
        line = {**common, "sample_index": request.sample + sample}
        if sample in images:
            line |= _of_image(images[sample], facts)
        elif sample in missing:
            line |= _of_missing(missing[sample])
        else:
            status = _status(record.state)
            line["status"] = status
            if status is not Status.PENDING:  # what failed and will be tried again is no failure
                line |= _of_failure(record.failure)
        yield line


def _of_request(request: Request, record: Record, facts: BatchFacts) -> dict[str, object]:
    params = request.params
    latency = None
    if record.submitted_at is not None and record.completed_at is not None:
        latency = round(max(0.0, record.completed_at - record.submitted_at), 6)
    return {
        **request.labels,
        "prompt": request.prompt,
        "negative_prompt": params.get("negative_prompt"),
        "request_key": request.key,
        "row_index": request.row_index,
        "batch_id": request.batch_id,
        "file_prefix": request.file_prefix,
        "run_id": record.run_id,
        "manifest_sha256": request.manifest_sha256,
        "provider": facts.provider,
        "model": facts.model,
        "endpoint": facts.endpoint,
        "num_inference_steps": params.get("num_inference_steps"),
        "guidance_scale": params.get("guidance_scale"),
        "requested_width": params.get("width"),
        "requested_height": params.get("height"),
        "seed": seed if (seed := params.get("seed", -1)) != -1 else None,
        "params_json": json.dumps(dict(params), sort_keys=True, ensure_ascii=False),
        "job_id": record.job_id,
        "response_json": record.response,
        "attempts": record.attempts,
        "submitted_at": _moment(record.submitted_at),
        "completed_at": _moment(record.completed_at),
        "downloaded_at": _moment(record.downloaded_at),
        "latency_s": latency,
        "split": request.split,
    }


def _of_image(stored: StoredImage, facts: BatchFacts) -> dict[str, object]:
    image = stored.image
    place: dict[str, object] = {"status": Status.STORED, "file_name": stored.file_name}
    if stored.rejected is not None:
        why = Failure(kind=FailureKind.REJECTED, message=stored.rejected)
        place = {"status": Status.REJECTED, "rejected_file": stored.file_name} | _of_failure(why)
    return place | {
        "source_url": stored.source_url,
        "sha256": image.sha256,
        "bytes": image.bytes,
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "phash": image.phash,
        "checks": ",".join(stored.findings) or None,
        "cost": facts.price_per_image,
    }


def _of_missing(lost: MissingImage) -> dict[str, object]:
    return {"status": Status.FAILED, "source_url": lost.source_url} | _of_failure(lost.failure)


def _of_failure(failure: Failure | None) -> dict[str, object]:
    if failure is None:
        return {}
    line: dict[str, object] = {
        "error_class": failure.kind,
        "error_message": failure.message,
        "http_status": failure.http_status,
    }
    return line if failure.response is None else line | {"response_json": failure.response}


def _status(state: State) -> Status:
    match state:
        case State.FAILED:
            return Status.FAILED
        case State.IN_DOUBT | State.SUBMITTING:
            return Status.IN_DOUBT
        case _:
            return Status.PENDING


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _fit_labels(lines: Iterable[dict[str, Any]], label_types: Mapping[str, str]) -> None:
    """Labels of mixed types are text for the whole column; those a row does not have are null."""
    fits: Mapping[str, Callable[[LabelValue], LabelValue]] = {"str": _as_text, "null": _as_text, "float": _as_float}
    changes = {name: fits[kind] for name, kind in label_types.items() if kind in fits}
    for line in lines:
        for name, fit in changes.items():
            line[name] = fit(line.get(name))


def _as_text(value: LabelValue) -> LabelValue:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)


def _as_float(value: LabelValue) -> LabelValue:
    return value if value is None else float(value)
