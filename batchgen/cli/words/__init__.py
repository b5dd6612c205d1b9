"""What the commands print: for people, and as one JSON object for machines.

`profiles` has the words of profiles, `plan` those of plans, `batch` those of its beginning, its runs and where it
stands; `phrases` is what both say.
"""

from batchgen.cli.words.batch import (
    examples_text,
    result_json,
    result_text,
    start_json,
    start_text,
    status_json,
    status_text,
)
from batchgen.cli.words.plan import (
    comparison_json,
    comparison_text,
    drift_json,
    drift_text,
    explanation_json,
    explanation_text,
    preview_json,
    preview_text,
)
from batchgen.cli.words.profiles import profile_json, profiles_text

__all__ = [
    "comparison_json",
    "comparison_text",
    "drift_json",
    "drift_text",
    "examples_text",
    "explanation_json",
    "explanation_text",
    "preview_json",
    "preview_text",
    "profile_json",
    "profiles_text",
    "result_json",
    "result_text",
    "start_json",
    "start_text",
    "status_json",
    "status_text",
]
