"""What the commands print: for people, and as one JSON object for machines.

`profiles` has the words of profiles, `plan` those of plans, `batch` those of its beginning, its runs and where it
stands, `runs` those of what its runs did and do, `cleaning` those of its end, `reports` those of what is wrong with it,
`pictures` those of what people look at; `phrases` is what all of them say.
"""

from batchgen.app.as_json import result_json
from batchgen.cli.words.batch import (
    examples_text,
    result_text,
    start_json,
    start_text,
    status_json,
    status_text,
)
from batchgen.cli.words.cleaning import clean_json, clean_text
from batchgen.cli.words.pictures import (
    difference_json,
    difference_text,
    grid_json,
    grid_text,
    report_json,
    report_text,
    sheet_json,
    sheet_warnings,
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
from batchgen.cli.words.reports import (
    check_json,
    check_text,
    disputes_csv,
    disputes_json,
    readers_json,
    readers_text,
)
from batchgen.cli.words.runs import (
    glance_json,
    glance_text,
    history_json,
    history_text,
    planning_json,
    planning_text,
)

__all__ = [
    "check_json",
    "check_text",
    "clean_json",
    "clean_text",
    "comparison_json",
    "comparison_text",
    "difference_json",
    "difference_text",
    "disputes_csv",
    "disputes_json",
    "drift_json",
    "drift_text",
    "examples_text",
    "explanation_json",
    "explanation_text",
    "glance_json",
    "glance_text",
    "grid_json",
    "grid_text",
    "history_json",
    "history_text",
    "planning_json",
    "planning_text",
    "preview_json",
    "preview_text",
    "profile_json",
    "profiles_text",
    "readers_json",
    "readers_text",
    "report_json",
    "report_text",
    "result_json",
    "result_text",
    "sheet_json",
    "sheet_warnings",
    "start_json",
    "start_text",
    "status_json",
    "status_text",
]
