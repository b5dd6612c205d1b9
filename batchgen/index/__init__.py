"""Stage 4: plan + journal -> `metadata.parquet`. The only place that knows column names.

One row a sample, in plan order, failed ones too. The schema is explicit, so that a batch without a single
image, or with a column of nulls, has the same types as any other.
"""

from batchgen.index.columns import COLUMNS, DEFAULT_SPLIT, SCHEMA_VERSION, describe, schema
from batchgen.index.reading import (
    batches,
    counts,
    failed_requests,
    findings,
    is_current,
    read,
    read_facts,
    read_schema,
    replacements,
    rows,
    stamp_of,
)
from batchgen.index.splits import split_of, split_table, splits, write_splits
from batchgen.index.writing import write

__all__ = [
    "COLUMNS",
    "DEFAULT_SPLIT",
    "SCHEMA_VERSION",
    "batches",
    "counts",
    "describe",
    "failed_requests",
    "findings",
    "is_current",
    "read",
    "read_facts",
    "read_schema",
    "replacements",
    "rows",
    "schema",
    "split_of",
    "split_table",
    "splits",
    "stamp_of",
    "write",
    "write_splits",
]
