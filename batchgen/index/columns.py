"""What the columns of the index are called, what they hold, and of which type."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa

SCHEMA_VERSION = 2
#: Where a row belongs whose batch makes no splits.
DEFAULT_SPLIT = "train"
#: Keys of the file's metadata.
FACTS = b"batchgen.batch"
STAMP = b"batchgen.stamp"
VERSION = b"batchgen.schema_version"
TIME = pa.timestamp("us", tz="UTC")

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
    "phash": (
        pa.string(),
        "perceptual hash (DCT, 64 bits as hex): images that look alike differ in few bits; null if not decoded",
    ),
    "duplicate_of": (pa.string(), "file_name of the first image with the same bytes; null if it is that image"),
    "near_duplicate_of": (
        pa.string(),
        "file_name of an earlier image that looks the same; null if there is none",
    ),
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
    "params_json": (pa.string(), "every parameter as sent, a JSON object; links among them as `source_url`"),
    "job_id": (pa.string(), "the API's handle of the job"),
    "source_url": (
        pa.string(),
        "where the image was downloaded from; values in its query are cut to `…`, for they may sign it",
    ),
    "response_json": (pa.string(), "the API's last answer about the job, cut; its links as `source_url`"),
    "error_class": (pa.string(), "kind of failure; null if there was none"),
    "error_message": (pa.string(), "in the API's words where it gave any"),
    "http_status": (pa.int32(), "of the failed answer"),
    "attempts": (pa.int32(), "submissions that reached the API, or may have"),
    "submitted_at": (TIME, "when the last submission was started"),
    "completed_at": (TIME, "when the job was seen to have ended"),
    "downloaded_at": (TIME, "when the request's last image was safe on disk"),
    "latency_s": (pa.float64(), "seconds from submission to the job's end being seen"),
    "cost": (pa.float64(), "price of the image, in the account's currency; null if unknown, or if there is no image"),
    "split": (pa.string(), "dataset split; null if the manifest makes none"),
    "delivered_sha256": (pa.string(), "of the bytes that the API delivered, hex; sha256, unless provenance was added"),
    "replaces": (
        pa.string(),
        "request_key of the request whose rejected image of this sample_index it was asked for in place of",
    ),
}
LABEL_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string(), "null": pa.string()}


#: How the columns begin that scorers fill.
SCORE = "score_"


def schema(label_types: Mapping[str, str], scores: Mapping[str, str] = MappingProxyType({})) -> pa.Schema:
    """The index's Arrow schema.

    Args:
        label_types: label -> int, float, bool, str or null; each becomes a column, in this order.
        scores: column without `score_` -> int, float, bool or str; they follow the labels.
    """
    fields = [pa.field(name, kind) for name, (kind, _) in COLUMNS.items()]
    fields += [pa.field(name, LABEL_TYPES[kind]) for name, kind in label_types.items()]
    fields += [pa.field(f"{SCORE}{name}", LABEL_TYPES[kind]) for name, kind in scores.items()]
    return pa.schema(fields)


def describe() -> str:
    """The columns that every index has, as a table of Markdown."""
    rows = "\n".join(f"| `{name}` | {kind} | {text} |" for name, (kind, text) in COLUMNS.items())
    return f"Schema version {SCHEMA_VERSION}.\n\n| column | type | what it holds |\n|---|---|---|\n{rows}"
