"""`croissant.json`: what the dataset is, in Croissant 1.1, with where it comes from in the terms of PROV.

Facts that nobody gave are said not to be stated: none is made up.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from batchgen import index
from batchgen.model import INDEX_NAME
from batchgen.review.counting import Found

_NOT_STATED = "not stated"
_MIME = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
_TERMS = ("citeAs", "column", "conformsTo", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
          "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
          "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
          "transform", "arrayShape", "containedIn", "equivalentProperty")  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "sc": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
}


def text_of(path: Path, found: Found) -> str:
    """The file's text for an index, which must have an image.

    Raises:
        StorageFailed: the index cannot be read.
    """
    facts, card = found.facts, found.facts.card
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": card.title or facts.batch_id,
        "description": card.description or f"Images made by {facts.model} from a manifest of prompts.",
        "license": card.license or _NOT_STATED,
        "url": card.url or f"urn:batchgen:{facts.manifest_sha256 or facts.batch_id}",
        "creator": {"@type": "Organization", "name": card.creator or _NOT_STATED},
        "datePublished": _moment(found.ended),
        "citeAs": _citation(found),
        "version": "1.0.0",
        "isLiveDataset": False,
        "prov:wasGeneratedBy": _provenance(found),
        "distribution": _files(path, found),
        "recordSet": [*_splits(found), _samples(path, found)],
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _citation(found: Found) -> str:
    card = found.facts.card
    told = {"title": card.title or found.facts.batch_id, "author": card.creator, "url": card.url}
    told["year"] = None if found.ended is None else str(found.ended.year)
    fields = ", ".join(f"{name} = {{{value}}}" for name, value in told.items() if value is not None)
    return f"@misc{{{found.facts.batch_id}, {fields}}}"


def _provenance(found: Found) -> dict[str, Any]:
    facts = found.facts
    return {
        "@type": "prov:Activity",
        "prov:startedAtTime": _moment(found.begun),
        "prov:endedAtTime": _moment(found.ended),
        "prov:used": {
            "@type": "prov:Entity",
            "prov:label": "the manifest of prompts",
            "prov:value": f"sha256:{facts.manifest_sha256}",
        },
        "prov:wasAssociatedWith": [
            {"@type": "prov:SoftwareAgent", "prov:label": facts.model, "prov:atLocation": facts.endpoint},
            {"@type": "prov:SoftwareAgent", "prov:label": f"batchgen {version('batchgen')}"},
        ],
    }


def _files(path: Path, found: Found) -> list[dict[str, Any]]:
    formats = sorted(found.counts["format"])
    return [
        {
            "@type": "cr:FileObject",
            "@id": INDEX_NAME,
            "name": INDEX_NAME,
            "description": "One row an image that was asked for, failed ones too.",
            "contentUrl": INDEX_NAME,
            "encodingFormat": "application/x-parquet",
            "sha256": _sha256(path),
        },
        {
            "@type": "cr:FileSet",
            "@id": "images",
            "name": "images",
            "description": "The image files.",
            "encodingFormat": _encodings(formats),
            "includes": [f"images/{folder}*.{kind}" for kind in formats for folder in ("", "*/")],
        },
    ]


def _encodings(formats: list[str]) -> list[str]:
    """The types of the image files. mlcroissant opens images of any, but only where it is told one that it knows."""
    told = [_MIME[kind] for kind in formats]
    return told if _MIME["png"] in told or _MIME["jpg"] in told else [*told, _MIME["png"]]


def _samples(path: Path, found: Found) -> dict[str, Any]:
    fields = [_field(column, found) for column in index.read_schema(path)]
    image = {
        "@type": "cr:Field",
        "@id": "samples/image",
        "name": "image",
        "description": "The image itself.",
        "dataType": "sc:ImageObject",
        "source": {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "content"}},
    }
    return {"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": [*fields, image]}


def _field(column: pa.Field, found: Found) -> dict[str, Any]:
    known = index.COLUMNS.get(column.name)
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"samples/{quote(column.name, safe='')}",  # an @id holds no white space, a label may
        "name": column.name,
        "description": "a label of the manifest" if known is None else known[1],
        "dataType": _data_type(column.type),
        "source": {"fileObject": {"@id": INDEX_NAME}, "extract": {"column": column.name}},
    }
    if column.name == "file_name":
        # mlcroissant compares whole paths as objects of another type; names alone are unique in a batch, too.
        field["description"] = "name of the image file without its folder; null if there is none"
        field["source"]["transform"] = {"regex": "(?:.*/)?(.+)"}
        field["references"] = {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "filename"}}
    if column.name == "split" and found.splits:
        field["references"] = {"field": {"@id": "splits/name"}}
    return field


def _splits(found: Found) -> list[dict[str, Any]]:
    if not found.splits:
        return []
    field = {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}
    return [
        {
            "@type": "cr:RecordSet",
            "@id": "splits",
            "name": "splits",
            "dataType": "cr:Split",
            "key": {"@id": "splits/name"},
            "field": [field],
            "data": [{"splits/name": split} for split in sorted(found.splits)],
        }
    ]


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "sc:DateTime"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Boolean" if pa.types.is_boolean(kind) else "sc:Text"


def _moment(at: Any) -> str | None:
    return None if at is None else str(at.isoformat(timespec="seconds"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
