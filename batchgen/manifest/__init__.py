"""Stage 1: a manifest file -> a Manifest: read, validated with line and hint, its rows as a stream.

    manifest = read_manifest(Path("animals.yaml"), find_profile=find_profile)
    for row in manifest.rows(): ...

Every problem is found in one go and raised as a ManifestError. In the order of reading: `source` finds the files and
makes sure that they are text; `document` (YAML) and `tables` turn them into plain values that know their lines;
`schema`, `complaints` and `parameters` say what is allowed; `entries` and `columns` hold values to it; `template`,
`axes` and `sweep` read what varies; `row_sources` makes sources of rows of all that, `expansion` rows of those and of
the sweep; `reader` puts the Manifest together.
"""

from batchgen.manifest.names import RESERVED, is_of_images, is_split, safe_name
from batchgen.manifest.reader import Manifest, Overrides, WordsOf, no_words, read_manifest
from batchgen.manifest.schema import json_schema, parse_rate

__all__ = [
    "RESERVED",
    "Manifest",
    "Overrides",
    "WordsOf",
    "is_of_images",
    "is_split",
    "json_schema",
    "no_words",
    "parse_rate",
    "read_manifest",
    "safe_name",
]
