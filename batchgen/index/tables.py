"""Requests and their records -> Arrow columns: what a row of the index says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa

from batchgen.index.columns import SCORE
from batchgen.index.links import without_signatures, without_signatures_in_json
from batchgen.lifecycle import Record, State
from batchgen.model import (
    BatchFacts,
    Failure,
    FailureKind,
    LabelValue,
    MissingImage,
    ParamValue,
    Request,
    RequestKey,
    Status,
    StoredImage,
)

#: A row's own columns, those that are not null.
Row = dict[str, object]

_NOTHING = Record()
_LINK = ("https://", "http://")
_to_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode

#: Columns that all samples of a request share, but for those that are the same in the whole batch.
_OF_REQUEST: Mapping[str, Callable[[Request], object]] = {
    "prompt": lambda request: request.prompt,
    "negative_prompt": lambda request: request.params.get("negative_prompt"),
    "request_key": lambda request: request.key,
    "row_index": lambda request: request.row_index,
    "batch_id": lambda request: request.batch_id,
    "file_prefix": lambda request: request.file_prefix,
    "manifest_sha256": lambda request: request.manifest_sha256,
    "num_inference_steps": lambda request: request.params.get("num_inference_steps"),
    "guidance_scale": lambda request: request.params.get("guidance_scale"),
    "requested_width": lambda request: request.params.get("width"),
    "requested_height": lambda request: request.params.get("height"),
    "seed": lambda request: _seed(request),
    "split": lambda request: request.split,
    "replaces": lambda request: request.replaces and request.replaces.of,
}
_OF_RECORD: Mapping[str, Callable[[Record], object]] = {
    "run_id": lambda record: record.run_id,
    "job_id": lambda record: record.job_id,
    "attempts": lambda record: record.attempts,
    "submitted_at": lambda record: _moment(record.submitted_at),
    "completed_at": lambda record: _moment(record.completed_at),
    "downloaded_at": lambda record: _moment(record.downloaded_at),
    "latency_s": lambda record: _latency(record),
}
#: Columns that may hold links which open a file to everybody; the journal has them whole.
_CUT: Mapping[str, Callable[[str], str]] = {
    "source_url": without_signatures,
    "response_json": without_signatures_in_json,
    "error_message": without_signatures,
}
_OF_BATCH: Mapping[str, Callable[[BatchFacts], object]] = {
    "provider": lambda facts: facts.provider,
    "model": lambda facts: facts.model,
    "endpoint": lambda facts: facts.endpoint,
}


def table(
    requests: Sequence[Request],
    records: Mapping[RequestKey, Record],
    *,
    facts: BatchFacts,
    label_types: Mapping[str, str],
    schema: pa.Schema,
) -> pa.Table:
    """The rows of some requests, one a sample, in their order; null in columns that are told of the whole batch."""
    known = [records.get(request.key, _NOTHING) for request in requests]
    pairs = zip(requests, known, strict=True)
    samples = [row for request, record in pairs for row in _samples(request, record, facts)]
    shared: dict[str, Sequence[object]] = {
        name: [of(request) for request in requests] for name, of in _OF_REQUEST.items()
    }
    shared |= {name: [of(record) for record in known] for name, of in _OF_RECORD.items()}
    shared["params_json"] = _params_json(requests)
    shared |= {name: _fitted(name, kind, requests) for name, kind in label_types.items()}
    of_request = pa.array([n for n, request in enumerate(requests) for _ in range(request.samples)], pa.int64())
    columns = []
    for field in schema:
        if field.name in shared:
            columns.append(_array(shared[field.name], field.type).take(of_request))
        elif field.name in _OF_BATCH:
            columns.append(pa.repeat(pa.scalar(_OF_BATCH[field.name](facts), field.type), len(samples)))
        else:
            values = [row.get(field.name) for row in samples]
            columns.append(_array(_of_type(values, field.type) if field.name.startswith(SCORE) else values, field.type))
    return pa.table(columns, schema=schema)


def _params_json(requests: Sequence[Request]) -> list[str]:
    """The parameters of each as text; requests of a plan often share them, and they are written once then."""
    once = {id(request.params): request.params for request in requests}
    texts = {key: _to_json({name: _shown(value) for name, value in params.items()}) for key, params in once.items()}
    return [texts[id(request.params)] for request in requests]


def _shown(value: ParamValue) -> object:
    """The value of a parameter, its links without what signs them: a webhook, the file of a model."""
    if isinstance(value, tuple):
        return [_shown(one) for one in value]
    return without_signatures(value) if isinstance(value, str) and value.startswith(_LINK) else value


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def _of_type(values: Sequence[object], kind: pa.DataType) -> list[object]:
    """The values without those of another type: what a scorer said before it was changed."""
    types = {pa.string(): str, pa.bool_(): bool, pa.int64(): int, pa.float64(): float}
    return [value if type(value) is types[kind] else None for value in values]


def _samples(request: Request, record: Record, facts: BatchFacts) -> Iterable[Row]:
    images = {image.sample: image for image in record.images}
    missing = {lost.sample: lost for lost in record.missing}
    for sample in range(request.samples):
        if sample in images:
            row = _of_image(images[sample], facts)
        elif sample in missing:
            row = _of_missing(missing[sample])
        else:
            row = _of_state(record)
        row.setdefault("response_json", record.response)
        row["sample_index"] = request.sample + sample
        yield row | {name: cut(text) for name, cut in _CUT.items() if isinstance(text := row.get(name), str)}


def _of_image(stored: StoredImage, facts: BatchFacts) -> Row:
    image = stored.image
    place: Row = {"status": Status.STORED, "file_name": stored.file_name}
    if stored.rejected is not None:
        why = Failure(kind=FailureKind.REJECTED, message=stored.rejected)
        place = {"status": Status.REJECTED, "rejected_file": stored.file_name} | _of_failure(why)
    return (
        place
        | {
            "source_url": stored.source_url,
            "sha256": image.sha256,
            "delivered_sha256": image.delivered_sha256 or image.sha256,
            "bytes": image.bytes,
            "format": image.format,
            "width": image.width,
            "height": image.height,
            "phash": image.phash,
            "checks": ",".join(stored.findings) or None,
            "cost": facts.price_per_image,
        }
        | _scores(stored)
    )


def _scores(stored: StoredImage) -> Row:
    return {f"{SCORE}{name}": value for scored in stored.scores.values() for name, value in scored.values.items()}


def _of_missing(lost: MissingImage) -> Row:
    return {"status": Status.FAILED, "source_url": lost.source_url} | _of_failure(lost.failure)


def _of_state(record: Record) -> Row:
    status = _status(record.state)
    if status is Status.PENDING:  # what failed and will be tried again is no failure
        return {"status": status}
    return {"status": status} | _of_failure(record.failure)


def _of_failure(failure: Failure | None) -> Row:
    if failure is None:
        return {}
    row: Row = {
        "error_class": failure.kind,
        "error_message": failure.message,
        "http_status": failure.http_status,
    }
    return row if failure.response is None else row | {"response_json": failure.response}


def _status(state: State) -> Status:
    match state:
        case State.FAILED:
            return Status.FAILED
        case State.IN_DOUBT | State.SUBMITTING:
            return Status.IN_DOUBT
        case _:
            return Status.PENDING


def _seed(request: Request) -> object:
    seed = request.params.get("seed", -1)
    return None if seed == -1 else seed


def _latency(record: Record) -> float | None:
    if record.submitted_at is None or record.completed_at is None:
        return None
    return round(max(0.0, record.completed_at - record.submitted_at), 6)


def _moment(seconds: float | None) -> int | None:
    """Microseconds since the epoch."""
    return None if seconds is None else round(seconds * 1e6)


def _fitted(name: str, kind: str, requests: Sequence[Request]) -> list[LabelValue]:
    """A label's column: null where a row does not have it, and text throughout if its values are of mixed types."""
    values = [request.labels.get(name) for request in requests]
    if kind == "float":
        return [value if value is None else float(value) for value in values]
    return [_as_text(value) for value in values] if kind in ("str", "null") else values


def _as_text(value: LabelValue) -> LabelValue:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)
