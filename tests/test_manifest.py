"""Stage 1: from a file to rows, or to every problem of it with its line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.checks import Checks, DuplicateCheck, SizeCheck
from batchgen.errors import BatchgenError, ManifestError, Problem, UsageError
from batchgen.manifest import RESERVED, Manifest, Overrides, json_schema, parse_rate, read_manifest, safe_name
from batchgen.manifest import document as yaml_document
from batchgen.manifest.problems import KEPT, Problems
from batchgen.model import CardFacts, InDoubt, LabelValue, Request, Row
from batchgen.planning import Plan
from batchgen.profile import Profile

CASES = Path(__file__).parent / "cases" / "manifest"
PARTI = Path(__file__).parents[1].parent / "shared" / "data" / "PartiPrompts.tsv"

#: Says nothing about time: the machine may be busy.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SD3 = Profile.model_validate(yaml.safe_load((files("batchgen.adapters.profiles") / "sd3.yaml").read_text()))
SEEDED = SD3.model_copy(
    update={
        "name": "seeded",
        "price_per_image": 0.01,
        "concurrency": 3,
        "parameters": {
            "model_id": SD3.parameters["prompt"],
            **SD3.parameters,
            "seed": SD3.parameters["width"].model_copy(update={"default": -1, "minimum": -1}),
        },
    }
)


def find_profile(name: str) -> Profile:
    if name not in ("sd3", "seeded"):
        raise UsageError(f"There is no profile {name!r}. Known profiles: sd3, seeded.")
    return SD3 if name == "sd3" else SEEDED


def profiles_with(parameter: str) -> list[str]:
    return [profile.name for profile in (SD3, SEEDED) if parameter in profile.parameters]


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a manifest into the working directory and gives its relative path."""
    monkeypatch.chdir(tmp_path)

    def write(content: str | bytes, name: str = "manifest.yaml") -> Path:
        path = Path(name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(path: Path, **overrides: Any) -> Manifest:
    return read_manifest(path, find_profile=find_profile, profiles_with=profiles_with, overrides=Overrides(**overrides))


def rows(path: Path, **overrides: Any) -> list[Row]:
    return list(read(path, **overrides).rows())


def problems(path: Path, **overrides: Any) -> tuple[Problem, ...]:
    with pytest.raises(ManifestError) as caught:
        rows(path, **overrides)
    return caught.value.problems


def outcome(path: Path) -> str:
    """What becomes of a manifest, as text: what it warns of and a line of JSON for each request, or its problems."""
    try:
        manifest = read(path, moment=datetime(2026, 11, 25, 23, 59, 58, tzinfo=UTC))
        requests = [_line(request) for request in Plan(manifest)]
        lines = [*(f"warning: {warning}" for warning in manifest.warnings), *requests]
    except ManifestError as error:
        lines = [str(error)]
    return "\n".join(lines) + "\n"


def _line(request: Request) -> str:
    parts = [request.file_stem, request.prompt, request.params, request.labels]
    return json.dumps([*parts, *([request.split] if request.split else [])], ensure_ascii=False)


# Golden cases: a manifest, and beside it the plan that it becomes

NAMES = sorted(path.name for path in CASES.iterdir() if path.suffix in (".yaml", ".csv", ".tsv", ".jsonl"))


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_becomes_what_stands_beside_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    expected = Path(name).with_suffix(".expected.txt")
    if os.environ.get("BATCHGEN_WRITE_CASES"):
        expected.write_text(outcome(Path(name)), encoding="utf-8")
    assert outcome(Path(name)) == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.glob("*.yaml")))
def test_the_pure_python_loader_finds_what_the_c_loader_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    with_c = outcome(Path(name))
    monkeypatch.setattr(yaml_document, "_LOADER", yaml.SafeLoader)
    if name.startswith("syntax-"):
        assert outcome(Path(name)).startswith(f"{name}:")
    else:
        assert outcome(Path(name)) == with_c


# The file itself


def test_a_file_that_is_not_there_is_named_with_the_one_that_is_probably_meant(write: Write) -> None:
    write("prompts: [A fox]\n", "animals.yaml")
    with pytest.raises(UsageError, match=r"animal.yml: there is no such file. Did you mean animals.yaml\?"):
        read(Path("animal.yml"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        read(tmp_path / "nowhere" / "animals.yaml")


def test_a_folder_is_not_a_manifest(write: Write, tmp_path: Path) -> None:
    write("prompts: [A fox]\n")
    with pytest.raises(UsageError, match=r"is a folder, not a manifest. Name a file in it, such as .*manifest.yaml"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["animals.json", "animals", "animals.yaml.gz"])
def test_a_file_of_another_kind_is_refused(write: Write, name: str) -> None:
    with pytest.raises(UsageError, match=r"a manifest's name ends in \.yaml, \.yml, \.csv, \.tsv"):
        read(write("prompts: [A fox]", name))


@pytest.mark.parametrize("name", ["a\0b.yaml", "a" * 5000 + ".yaml", "\ud800.yaml"])
def test_an_impossible_name_is_a_usage_error(write: Write, name: str) -> None:
    with pytest.raises(UsageError):
        read(Path(name))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_before_anything_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UsageError, match="not a regular file"):
        read(tmp_path / "pipe.yaml")


def test_a_yaml_manifest_too_large_for_memory_is_refused_unread(write: Write) -> None:
    path = write("prompts: [A fox]")
    with path.open("r+b") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(UsageError, match=r"more than 64 MB. Put that many prompts into a .csv file"):
        read(path)


@pytest.mark.parametrize("name", ["m.yaml", "m.csv", "m.tsv"])
@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(write: Write, name: str, content: bytes) -> None:
    (problem,) = problems(write(content, name))
    assert str(problem) == f"{name}: the file is empty. Write at least one prompt into it."


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("m.csv", "prompt,place\nA fox,here\nAn owl,Zürich\n".encode("latin-1"), 3),
        ("m.yaml", "prompts:\n  - Zürich\n".encode("latin-1"), 2),
        ("m.csv", b"\xff\xfep\0r", 1),
    ],
)
def test_a_file_that_is_not_text_is_refused_with_the_line(write: Write, name: str, content: bytes, line: int) -> None:
    (problem,) = problems(write(content, name))
    assert problem.line == line
    assert re.match("the file is not UTF-(8|16) text", problem.message)


def test_a_table_in_utf16_with_its_mark_is_read(write: Write) -> None:
    assert [row.prompt for row in rows(write("prompt\nA fox, Zürich\n".encode("utf-16"), "m.tsv"))] == ["A fox, Zürich"]


@pytest.mark.parametrize("name", ["m.yaml", "m.csv"])
def test_a_nul_byte_is_refused_with_its_line(write: Write, name: str) -> None:
    (problem,) = problems(write(b"prompt\nA f\0ox\n", name))
    assert problem.line == 2
    assert "NUL" in problem.message


@pytest.mark.parametrize("case", ["animals.yaml", "everything-at-once.yaml", "table.csv", "bad-cells.csv"])
def test_windows_line_endings_and_a_byte_order_mark_change_nothing_but_newlines_in_cells(
    write: Write, case: str
) -> None:
    def without_keys(text: str) -> str:
        return re.sub(r"-[0-9b-z]{10}\"", '"', text).replace("\\r\\n", "\\n")

    plain = (CASES / case).read_bytes()
    expected = without_keys(outcome(write(plain, case)))
    as_windows = b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n")
    assert without_keys(outcome(write(as_windows, case))) == expected


def test_a_table_with_bare_carriage_returns_is_read(write: Write) -> None:
    assert [row.prompt for row in rows(write("prompt,class\rA fox,fox\rAn owl,owl", "m.csv"))] == ["A fox", "An owl"]


def test_a_carriage_return_in_the_middle_of_a_cell_is_refused(write: Write) -> None:
    (problem,) = problems(write("prompt,class\nA fox\rin two,fox\n", "m.csv"))
    assert str(problem).startswith("m.csv:2: a carriage return stands in a cell that is not quoted.")


def test_a_table_that_changes_between_two_readings_is_refused(write: Write) -> None:
    manifest = read(write("prompt\nA fox\n", "m.csv"))
    write("prompt\nAn owl\n", "m.csv")
    with pytest.raises(UsageError, match="changed while it was being read"):
        list(manifest.rows())


def test_a_table_that_vanishes_between_two_readings_is_a_usage_error(write: Write) -> None:
    path = write("prompt\nA fox\n", "m.csv")
    manifest = read(path)
    path.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        list(manifest.rows())


# What a manifest says as a whole


def test_a_manifest_says_what_its_file_says(write: Write) -> None:
    content = (CASES / "animals.yaml").read_text()
    manifest = read(write(content))
    assert (manifest.source, manifest.path) == ("manifest.yaml", Path("manifest.yaml"))
    assert (manifest.batch_id, manifest.profile) == ("Animals-2026", SD3)
    assert (manifest.concurrency, manifest.rate) == (4, 5.0)
    assert (manifest.in_doubt, manifest.price_per_image) == (InDoubt.RETRY, 0.008)


def test_what_a_manifest_leaves_out_comes_from_the_profile_and_the_files_name(write: Write) -> None:
    content = "profile: seeded\nparams: {model_id: m}\nprompts: [A fox]"
    manifest = read(write(content, "red & white.yaml"))
    assert (manifest.batch_id, manifest.profile) == ("red-white", SEEDED)
    assert (manifest.concurrency, manifest.rate) == (3, None)
    assert (manifest.in_doubt, manifest.price_per_image) == (InDoubt.HOLD, 0.01)


def test_a_price_of_nothing_is_a_price(write: Write) -> None:
    content = "profile: seeded\nparams: {model_id: m}\nprice_per_image: 0\nprompts: [A fox]"
    assert read(write(content)).price_per_image == 0


def test_the_file_name_is_no_longer_than_a_tag_may_be(write: Write) -> None:
    assert len(read(write("prompt\nA fox\n", "x" * 200 + ".csv")).batch_id) == 80


@pytest.mark.parametrize(("text", "rate"), [("5/s", 5), ("300/min", 5), ("36/h", 0.01), (" 0.5 / s ", 0.5)])
def test_a_rate_is_requests_per_second(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["5", "0/s", "-1/s", "nan/s", "1e9/s", "5/day", "٣/s", "9" * 400 + "/s", ""])
def test_what_is_not_a_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be requests per second, minute or hour"):
        parse_rate(text)


# What is said over it


def test_the_command_line_wins_over_the_row_and_the_row_over_the_manifest(write: Write) -> None:
    path = write(
        "params: {samples: 2, width: 512, guidance_scale: 5}\n"
        "prompts: [{prompt: A fox, params: {width: 640, guidance_scale: 6}, file_prefix: own}]"
    )
    (row,) = rows(path, params={"guidance_scale": "8.0", "height": 256}, file_prefix="Over it", batch_id="a/b")
    assert row.params == {**row.params, "samples": 2, "width": 640, "guidance_scale": 8.0, "height": 256}
    assert row.file_prefix == "Over-it"
    assert read(path, batch_id="a/b").batch_id == "a-b"


def test_the_command_line_wins_over_the_cells_of_a_table(write: Write) -> None:
    path = write("prompt,samples,file_prefix\nA fox,2,own\n", "m.csv")
    (row,) = rows(path, params={"samples": 3}, batch_id="b")
    assert (row.params["samples"], row.file_prefix) == (3, "own")
    (row,) = rows(path, file_prefix="over")
    assert (row.params["samples"], row.file_prefix) == (2, "over")


def test_everything_wrong_on_the_command_line_is_told_with_the_rest(write: Write) -> None:
    wrong = {"samples": "9", "width": True, "seed": 1, "file_prefix": "x", "guidence_scale": 1, "height": 10**400}
    found = [str(problem) for problem in problems(write("prompts: ['']"), params=wrong)]
    assert found == [
        "override: samples: must be a whole number from 1 to 4, not 9.",
        "override: width: must be a whole number of at least 1, not true.",
        "override: sd3 has no seed: its results cannot be repeated. Remove it; seeded has one.",
        "override: file_prefix: is a tag, not a parameter. Give it outside params, as file_prefix.",
        "override: guidence_scale: sd3 has no such parameter; it knows negative_prompt, num_inference_steps, samples, "
        "guidance_scale, height, width, direct_link, webhook, queued_image_urls. Did you mean guidance_scale?",
        found[5],
        "manifest.yaml:1: prompt: is empty. Write what the image shows, or remove the line.",
    ]
    assert found[5].startswith("override: height: must be a whole number of at least 1")


@pytest.mark.parametrize("name", ["sd4", "", " "])
@pytest.mark.parametrize(("file", "content"), [("m.yaml", "prompts: [A fox]"), ("m.csv", "prompt\nA fox\n")])
def test_an_unknown_profile_over_the_manifest_is_refused(write: Write, name: str, file: str, content: str) -> None:
    (problem,) = problems(write(content, file), profile=name)
    assert str(problem) == f"override: profile: There is no profile {name!r}. Known profiles: sd3, seeded."


def test_another_profile_over_the_manifest_decides_which_parameters_there_are(write: Write) -> None:
    path = write("params: {seed: 5, model_id: m}\nprompts: [A fox]")
    assert len(problems(path)) == 2
    assert rows(path, profile="seeded")[0].params["seed"] == 5


def test_a_parameter_that_the_api_requires_and_nobody_gives_is_missing(write: Write) -> None:
    yaml_problems = problems(write("profile: seeded\nprompts:\n  - A fox\n  - {prompt: b, params: {model_id: m}}"))
    assert [(problem.line, problem.message) for problem in yaml_problems] == [
        (3, "model_id: is missing; seeded requires it.")
    ]
    table = write("prompt,model_id\nA fox,m\nAn owl,\n", "m.csv")
    assert [problem.line for problem in problems(table, profile="seeded")] == [3]
    assert len(rows(table, profile="seeded", params={"model_id": "n"})) == 2


# Parameters and labels


def test_text_that_cannot_be_sent_is_refused_wherever_it_comes_from(write: Write) -> None:
    (problem,) = problems(write("prompts: [A fox]"), params={"negative_prompt": "a\udc80"})
    assert "surrogate" in problem.message


def test_zero_below_zero_is_zero(write: Write) -> None:
    path = write("prompts: [{prompt: A fox, params: {guidance_scale: -0.0}}]")
    assert str(rows(path)[0].params["guidance_scale"]) == "0.0"


@CALM
@given(st.floats(0, 20), st.integers(1, 2**62))
def test_equal_numbers_give_equal_parameters_however_they_are_written(scale: float, width: int) -> None:
    spellings = [f"{scale!r}", f"{scale:.20e}", f"+{scale:.400f}", f" {scale!r} "]
    made = {json.dumps(read_table(f'prompt,guidance_scale\nA fox,"{text}"\n')[0].params) for text in spellings}
    assert len(made) == 1
    wholes = [f"{width}", f"+{width}", f" {width}"] + ([f"{width}.0", f"{width}e0"] if width < 2**53 else [])
    made = {json.dumps(read_table(f"prompt,width\nA fox,{text}\n")[0].params) for text in wholes}
    assert len(made) == 1


def test_parameters_stand_in_the_profiles_order_whoever_gives_them(write: Write) -> None:
    path = write("webhook,width,prompt,direct_link,samples\nhttps://x,8,A fox,no,2\n", "m.csv")
    order = [name for name in SD3.parameters if name not in ("prompt", "batch_id", "file_prefix", "queued_image_urls")]
    assert list(rows(path)[0].params) == order


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_label_called_like_a_column_of_the_index_is_refused(write: Write, name: str) -> None:
    for spelling in (name, name.upper(), f" {name}"):
        (problem,) = problems(write(json.dumps({"prompts": ["A fox"], "labels": {spelling: 1}})))
        assert problem.message == f"{spelling}: no label can be called so; the index has such columns of its own."


def test_labels_that_differ_only_in_case_are_refused_across_prompts(write: Write) -> None:
    path = write("prompts:\n  - {prompt: a, labels: {Class: 1}}\n  - {prompt: b, labels: {class: 2}}\n")
    assert [problem.line for problem in problems(path)] == [3]


LABELS = st.dictionaries(
    st.text("abcXYZ é_-", min_size=1).map(lambda name: f"x{name}y"),
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp", "Cn", "Co"], blacklist_characters="{}")),
    max_size=4,
).filter(lambda labels: len({name.strip().lower() for name in labels}) == len(labels))  # fmt: skip


@CALM
@given(LABELS)
def test_labels_keep_their_values_and_types(labels: dict[str, LabelValue]) -> None:
    text = json.dumps({"prompts": [{"prompt": "A fox", "labels": labels}]}, ensure_ascii=False)  # JSON is YAML
    (row,) = read_yaml(text)
    assert row.labels == labels
    assert [type(row.labels[name]) for name in labels] == [type(value) for value in labels.values()]


# Tables

CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
PROMPTS = CELLS.filter(lambda text: bool(text.strip()))
TABLES = st.lists(st.tuples(PROMPTS, CELLS, st.integers(1, 4)), min_size=1, max_size=6)


@CALM
@given(
    TABLES,
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_table_written_by_a_spreadsheet_is_read_exactly(
    table: list[tuple[str, str, int]], delimiter: str, ending: str, quoting: int
) -> None:
    if (ending, quoting) == ("\n", csv.QUOTE_MINIMAL):  # then the csv module, unlike spreadsheets, leaves \r unquoted
        table = [(prompt.replace("\r", "CR"), note.replace("\r", "CR"), samples) for prompt, note, samples in table]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=ending, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([("prompt", "note", "samples"), *table])
    for name in ("m.csv", "m.tsv") if delimiter == "\t" else ("m.csv",):
        found = read_table(buffer.getvalue(), name)
        assert [(row.prompt, row.labels["note"] or "", row.params["samples"]) for row in found] == [
            (newlines(prompt), newlines(note), samples) for prompt, note, samples in table
        ]
        assert [row.index for row in found] == list(range(len(table)))


def newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_table_saved_by_another_editor_asks_for_the_same(ending: str) -> None:
    text = 'prompt,negative_prompt\n"A fox\nin two lines","no\n\ncats"\n'
    (row,) = read_table(text.replace("\n", ending))
    assert (row.prompt, row.params["negative_prompt"]) == ("A fox\nin two lines", "no\n\ncats")


def test_rows_before_a_broken_one_come_first_and_its_position_is_counted(write: Write) -> None:
    found = read(write("prompt,samples\nA fox,1\nAn owl,9\nA cat,2\n", "m.csv")).rows()
    assert [next(found).index, next(found).index] == [0, 2]
    with pytest.raises(ManifestError):
        next(found)


def test_more_problems_than_anyone_reads_are_counted(write: Write) -> None:
    with pytest.raises(ManifestError) as refused:
        list(read(write("prompt,samples\n" + "A fox,9\n" * (KEPT + 500), "m.csv")).rows())
    assert (len(refused.value.problems), refused.value.found) == (KEPT, KEPT + 500)
    assert str(refused.value).endswith(f"\n… and {KEPT + 450:,} more problems.")


def test_memory_does_not_grow_with_the_table(write: Write) -> None:
    path = write("prompt,samples,n\n" + "".join(f"Fox {n},{n % 4 + 1},{n}\n" for n in range(20_000)), "m.csv")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(path).rows()) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_cell_longer_than_any_prompt_is_refused_with_its_line(write: Write) -> None:
    (problem,) = problems(write(f'prompt,class\nA fox,fox\n"{"x" * 200_000}",owl\n', "m.csv"))
    assert (problem.line, problem.hint) == (3, "Is a closing double quote missing?")
    (problem,) = problems(write(f"prompt\tclass\nA fox\tfox\n{'x' * 200_000}\towl\n", "m.tsv"))
    assert problem.line == 3


def parti() -> Path:
    path = Path(os.environ.get("BATCHGEN_TEST_PROMPTS", PARTI))
    if not path.is_file():
        pytest.skip("the published prompts are not here")
    return path


def test_a_published_table_with_a_capital_in_its_header_is_told_what_is_meant() -> None:
    mapped = "in a .yaml, prompts: {file: PartiPrompts.tsv, columns: {Prompt: prompt}}"
    assert [problem.hint for problem in problems(parti())] == [f"Did you mean prompt? Rename it, or map it: {mapped}."]


def test_a_published_table_of_1632_prompts_is_read_exactly(write: Write) -> None:
    header, *lines = parti().read_text(encoding="utf-8").rstrip("\n").split("\n")
    found = rows(write("\n".join([header.lower(), *lines]), "parti.tsv"))
    assert len(found) == 1632
    assert [[row.prompt, *(value or "" for value in row.labels.values())] for row in found] == [
        line.split("\t") for line in lines
    ]


# Names


@CALM
@given(st.text(), st.text())
def test_a_safe_name_is_safe_everywhere_and_stays_as_it_is(text: str, fallback: str) -> None:
    name = safe_name(text, fallback=fallback)
    assert safe_name(name, fallback="other") == name
    assert 1 <= len(name.encode()) <= 80
    assert name.isprintable()
    assert not set(name) & set('./\\:*?"<>| \u200b\u200d\u202e\ufe0f')
    assert not name.startswith("-")
    assert not name.endswith("-")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("CON", "CON_"),
        ("lpt1", "lpt1_"),
        ("com¹", "com1_"),
        ("con.txt", "con-txt"),
        ("a  b--c", "a-b-c"),
        ("ｆｏｘ №1", "fox-No1"),
        ("狐の嫁入り", "狐の嫁入り"),
        ("हिन्दी", "हिन्दी"),
        ("a\u202egpj.exe", "a-gpj-exe"),
        ("\u3164", "spare"),
        ("...", "spare"),
        ("é" * 60, "é" * 40),
        ("x" * 79 + "é", "x" * 79),
    ],
)
def test_a_tag_becomes_a_file_name(text: str, name: str) -> None:
    assert safe_name(text, fallback="spare") == name


def test_a_name_without_any_usable_character_has_a_fallback_of_its_own() -> None:
    assert safe_name("???", fallback="!!!") == "batch"


# The JSON Schema


def test_every_key_of_the_schema_is_explained() -> None:
    schema: dict[str, Any] = json_schema()
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["prompts"]
    parts = {name: part for name, part in schema["$defs"].items() if "properties" in part}
    for part in (schema, *parts.values()):
        assert all(described["description"] for described in part["properties"].values())
    assert list(parts) == [
        "Axes",
        "BudgetEntry",
        "CardEntry",
        "ChecksEntry",
        "Column",
        "Draw",
        "FileEntry",
        "LimitEntry",
        "PromptEntry",
    ]


TAKEN = [
    path.with_name(path.name.replace(".expected.txt", ".yaml"))
    for path in sorted(CASES.glob("*.expected.txt"))
    if path.read_text(encoding="utf-8").startswith(("[", "warning"))
]


@pytest.mark.parametrize("name", [path.name for path in TAKEN if path.is_file()])
def test_what_the_reader_takes_the_schema_takes_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    root = yaml_document.parse(Path(name).read_text(encoding="utf-8"), Problems(name))
    assert root is not None
    jsonschema.validate(yaml_document.plain(root), json_schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "text",
    [
        "prompts: []",
        "prompts: [{prompt: a, colour: b}]",
        "prompts: [{file: a.csv, prompts: b}]",
        "{prompts: [a], axes: {grid: {width: {from: 1, to: 2}}}}",
        "{prompts: [a], axes: {grid: {width: {from: 1, to: 2, step: 1, count: 2}}}}",
        "{prompts: [a], axes: {grid: {width: {from: 1, count: 0}}}}",
        "{prompts: [a], axes: {exclude: [{width: [1, 2]}]}}",
        "{prompts: [a], variables: {a: {file: b.txt, x: 1}}}",
        "{prompts: [a], columns: {a: {label: b, type: int}}}",
        "{prompts: [a], rate: 5 per second}",
        "{prompts: [a], in_doubt: hodl}",
        "{prompts: [a], checks: {duplicates: delete}}",
        "{prompts: [a], card: {licence: mit}}",
        "{prompts: [a], card: {license: ''}}",
    ],
)
def test_the_schema_refuses_what_an_editor_should_underline(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema(), cls=jsonschema.Draft202012Validator)
    assert problems_of_text(text)


def problems_of_text(text: str) -> bool:
    try:
        read_yaml(text)
    except ManifestError:
        return True
    return False


def test_every_example_of_the_schema_is_taken() -> None:
    schema: dict[str, Any] = json_schema()
    for key, described in schema["properties"].items():
        for example in described.get("examples", []):
            prompts = [{"file": "rows.csv"}] if key == "columns" else ["A fox"]
            (_SCRATCH[0] / "rows.csv").write_text("Prompt,Category\nA fox,animal\n")
            manifest = {"prompts": prompts, **({} if example == "simulator" else {key: example})}
            if key == "budget":
                manifest["price_per_image"] = 0.008
            assert read_yaml(json.dumps(manifest))


def manifest_in(folder: Path, text: str) -> Manifest:
    (folder / "m.yaml").write_text(text)
    return read_manifest(folder / "m.yaml", find_profile=find_profile)


def test_checks_and_card_are_what_the_manifest_says_and_else_as_ever(tmp_path: Path) -> None:
    plain = manifest_in(tmp_path, "prompts: [a]")
    assert (plain.checks, plain.card) == (Checks(), CardFacts())
    text = "{prompts: [a], checks: {size: exact, duplicates: off}, card: {license: mit, title: null}}"
    told = manifest_in(tmp_path, text)
    assert told.checks == Checks(size=SizeCheck.EXACT, duplicates=DuplicateCheck.OFF)
    assert told.card == CardFacts(license="mit")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("checks: {size: large}", "size: must be exact, warn or off, not 'large'"),
        ("checks: {blanks: off}", "blanks: unknown key.*Did you mean blank"),
        ("checks: {decode: streams}", "decode: must be full, stream or header.*Did you mean stream"),
        ("checks: {blank: reject, decode: header}", "decode: with header nothing finds blank.*Write decode: full"),
        ("checks: strict", "checks: must be a mapping of checks"),
        ("card: {licence: mit}", "licence: unknown key.*Did you mean license"),
        ("card: {title: 7}", "title: must be text, not 7"),
    ],
)
def test_a_wrong_check_or_card_is_refused_with_the_words_there_are(tmp_path: Path, given: str, words: str) -> None:
    with pytest.raises(ManifestError, match=f"(?s){words}"):
        manifest_in(tmp_path, f"{{prompts: [a], {given}}}")


# Whatever is in the file

_SCRATCH: list[Path] = []


@pytest.fixture(autouse=True, scope="module")
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    _SCRATCH[:] = [tmp_path_factory.mktemp("scratch")]


def read_text(content: str | bytes, name: str) -> list[Row]:
    path = _SCRATCH[0] / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return rows(path)


def read_table(content: str | bytes, name: str = "m.csv") -> list[Row]:
    return read_text(content, name)


def read_yaml(content: str | bytes) -> list[Row]:
    return read_text(content, "m.yaml")


def survives(content: str | bytes, name: str) -> None:
    """It is read, the same twice, or refused in words; nothing else."""
    try:
        first = read_text(content, name)
    except BatchgenError as error:
        message: str | None = str(error)
    else:
        message = None
        assert first == read_text(content, name)
        assert all(row.prompt.strip() for row in first)
    assert message is None or 0 < len(message) < 100_000


KINDS = st.sampled_from(["m.yaml", "m.csv", "m.tsv"])
SOURCES = [path.read_text(encoding="utf-8") for path in sorted(CASES.glob("*.*")) if path.suffix != ".txt"]
PIECES = [
    *"{}[]:,-#&*!|>'\"%@`?\n\t ~=<;", "- ", ": ", "<<: ", "---\n", "...\n", "!!int ", "&a ", "*a", "null", "1e9",
    ".nan", "0x", "\x85", "\u2028", "\ufeff", "\r", '"', '""', "prompts:", "prompt", "params:", "2024-13-45", "\\ud800",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(SOURCES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(st.sampled_from([*PIECES, text[start:end] * 2, ""])) + text[end:]
    return text


@settings(CALM, max_examples=150)
@given(st.text() | st.text(st.sampled_from("".join(PIECES))), KINDS)
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    survives(text.encode(errors="surrogatepass"), name)


@settings(CALM, max_examples=150)
@given(st.binary(max_size=200), KINDS)
def test_any_bytes_are_read_or_refused(content: bytes, name: str) -> None:
    survives(content, name)


@settings(CALM, max_examples=300)
@given(mutated(), KINDS)
def test_any_manifest_with_a_slip_in_it_is_read_or_refused(text: str, name: str) -> None:
    survives(text, name)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["prompt", "params", "labels", "samples", "width", "a", "A"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
KEYS = [
    "version",
    "batch_id",
    "file_prefix",
    "profile",
    "params",
    "prompts",
    "labels",
    "repeat",
    "rate",
    "in_doubt",
    "x",
]


@settings(CALM, max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_value_under_any_key_is_read_or_refused(manifest: dict[str, object]) -> None:
    survives(yaml.safe_dump(manifest), "m.yaml")


@settings(CALM, max_examples=100)
@given(mutated())
def test_the_pure_python_loader_lets_nothing_else_out_either(text: str) -> None:
    with contextlib.suppress(ManifestError):
        yaml_document.parse(text, Problems("m.yaml"), loader=yaml.SafeLoader)
