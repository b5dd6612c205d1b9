"""Rows from files: whatever a table is written in, it means the same; and it stays a stream."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.adapters.profiles import find_profile
from batchgen.errors import ManifestError, UsageError
from batchgen.manifest import Manifest, Overrides, read_manifest
from batchgen.model import Row
from batchgen.planning import Plan

CALM = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PROMPTS = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12).filter(
    lambda text: text == text.strip() and not text.startswith("#")
)
TABLES = st.lists(
    st.fixed_dictionaries({"prompt": PROMPTS, "guidance_scale": st.integers(0, 20), "samples": st.integers(1, 4)}),
    min_size=1,
    max_size=6,
)


def read(path: Path, **overrides: Any) -> Manifest:
    return read_manifest(path, find_profile=find_profile, overrides=Overrides(**overrides))


def rows(path: Path, **overrides: Any) -> list[Row]:
    return list(read(path, **overrides).rows())


def keys(path: Path) -> set[str]:
    return {request.key for request in Plan(read(path))}


def problems(path: Path, **overrides: Any) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        rows(path, **overrides)
    return [str(problem) for problem in caught.value.problems]


def as_csv(table: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(table[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(table)
    return buffer.getvalue().encode()


def as_json_lines(table: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in table).encode()


def as_parquet(table: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(table), buffer)
    return buffer.getvalue()


def as_yaml(table: list[dict[str, Any]]) -> bytes:
    prompts = [
        {
            "prompt": row["prompt"].replace("{", "{{").replace("}", "}}"),
            "params": {k: v for k, v in row.items() if k != "prompt"},
        }
        for row in table
    ]
    return yaml.safe_dump({"prompts": prompts}, default_style='"').encode()


WAYS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "m.csv": as_csv,
    "m.tsv": lambda table: as_csv(table, "\t"),
    "m.jsonl": as_json_lines,
    "m.parquet": as_parquet,
    "m.yaml": as_yaml,
}


@CALM
@given(TABLES)
def test_the_same_rows_have_the_same_keys_whatever_they_are_written_in(
    tmp_path: Path, table: list[dict[str, Any]]
) -> None:
    found = []
    for name, written in WAYS.items():
        (tmp_path / name).write_bytes(written(table))
        found.append([(row.prompt, row.params) for row in rows(tmp_path / name)])
        assert keys(tmp_path / name) == keys(tmp_path / next(iter(WAYS)))
    assert all(one == found[0] for one in found)


@CALM
@given(TABLES, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_of_columns_nor_other_labels_change_a_key(
    tmp_path: Path, table: list[dict[str, Any]], chance: random.Random
) -> None:
    (tmp_path / "a.jsonl").write_bytes(as_json_lines(table))
    shuffled = [dict(chance.sample(sorted(row.items()), len(row)), label=n) for n, row in enumerate(table)]
    chance.shuffle(shuffled)
    (tmp_path / "b.jsonl").write_bytes(as_json_lines(shuffled))
    assert keys(tmp_path / "a.jsonl") == keys(tmp_path / "b.jsonl")


DOCUMENT: dict[str, Any] = {
    "version": 1,
    "params": {"guidance_scale": 7.5, "width": 640},
    "variables": {"animal": ["fox", "owl"], "style": ["oil", "ink"]},
    "axes": {"grid": {"num_inference_steps": [5, 10]}},
    "prompts": ["A {animal}, {style} {at dawn|at night}", {"prompt": "A cat", "params": {"guidance_scale": 9}}],
}


@CALM
@given(st.randoms(use_true_random=False), st.booleans(), st.integers(2, 8))
def test_formatting_comments_and_tags_change_no_key(
    tmp_path: Path, chance: random.Random, flow: bool, indent: int
) -> None:
    (tmp_path / "m.yaml").write_text(json.dumps(DOCUMENT))
    items = [*DOCUMENT.items(), ("batch_id", f"other-{indent}"), ("file_prefix", "x"), ("labels", {"n": indent})]
    chance.shuffle(items)
    text = yaml.safe_dump(dict(items), default_flow_style=flow, indent=indent, sort_keys=False, width=40)
    text = text.replace("7.5", "7.50").replace("640", "640.0" if flow else "+640")
    (tmp_path / "other.yaml").write_text("# a comment\n" + text.replace("\n", "  # another\n", 1 if not flow else 0))
    assert keys(tmp_path / "m.yaml") == keys(tmp_path / "other.yaml")


@pytest.mark.parametrize("changed", [{"guidance_scale": 8}, {"width": 512}, {"negative_prompt": "blurry"}])
def test_a_changed_parameter_changes_just_the_keys_of_those_that_have_it(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    (tmp_path / "a.yaml").write_text(json.dumps(DOCUMENT))
    changed_cat = {**DOCUMENT, "prompts": [DOCUMENT["prompts"][0], {"prompt": "A cat", "params": changed}]}
    (tmp_path / "b.yaml").write_text(json.dumps(changed_cat))
    assert len(keys(tmp_path / "a.yaml") - keys(tmp_path / "b.yaml")) == 2  # of the two steps
    assert len(keys(tmp_path / "a.yaml") & keys(tmp_path / "b.yaml")) == 16


def test_a_plan_is_the_same_in_every_process_whatever_its_hash_seed(tmp_path: Path) -> None:
    axes = {"grid": {"num_inference_steps": {"from": 1, "count": 1_000_000}}, "sample": {"count": 50, "seed": 3}}
    (tmp_path / "m.yaml").write_text(json.dumps(DOCUMENT | {"split": {"train": 0.5, "test": 0.5}, "axes": axes}))
    code = (
        "import sys\nfrom pathlib import Path\nfrom batchgen.adapters.profiles import find_profile\n"
        "from batchgen.manifest import read_manifest\nfrom batchgen.planning import Plan\n"
        "for request in Plan(read_manifest(Path(sys.argv[1]), find_profile=find_profile)): print(request)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "m.yaml")],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1
    assert outputs.pop().count(b"Request(") == 50


# Types


def test_labels_keep_the_types_that_a_file_gives_them_even_where_all_are_null(tmp_path: Path) -> None:
    table = pa.table(
        {
            "prompt": ["A fox", "An owl"],
            "year": pa.array([None, None], pa.int16()),
            "share": pa.array([0.5, None], pa.float32()),
            "wild": [True, None],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    manifest = read(tmp_path / "m.parquet")
    assert [row.labels for row in manifest.rows()] == [
        {"year": None, "share": 0.5, "wild": True, "kind": "a"},
        {"year": None, "share": None, "wild": None, "kind": "b"},
    ]
    assert manifest.label_types == {"year": "int", "share": "float", "wild": "bool", "kind": "str"}


def test_a_column_of_a_type_that_no_label_has_is_refused_once_unless_it_is_left_out(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["A fox"], "price": [Decimal("1.5")], "tags": [["a"]]}), tmp_path / "m.parquet")
    assert problems(tmp_path / "m.parquet") == [
        f"{tmp_path}/m.parquet: price: holds decimal128(2, 1), which no label does. "
        "Leave it out: in a .yaml, prompts: {file: m.parquet, columns: {price: null}}.",
        f"{tmp_path}/m.parquet: tags: holds list<element: string>, which no label does. "
        "Leave it out: in a .yaml, prompts: {file: m.parquet, columns: {tags: null}}.",
    ]
    (tmp_path / "m.yaml").write_text("prompts: {file: m.parquet, columns: {price: null, tags: null}}")
    assert [row.labels for row in rows(tmp_path / "m.yaml")] == [{}]


@pytest.mark.parametrize("content", [b"PAR1", b"", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_damaged_parquet_file_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.parquet").write_bytes(content)
    (found,) = problems(tmp_path / "m.parquet")
    assert "the file is no Parquet that can be read" in found


def test_an_empty_parquet_file_has_no_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "m.parquet")
    assert problems(tmp_path / "m.parquet") == [f"{tmp_path}/m.parquet: the table has no rows. Write at least one."]


def test_a_text_file_alone_is_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("# two\nA fox\n\nAn {owl}\n")
    assert [(row.prompt, row.params["samples"]) for row in rows(tmp_path / "m.txt", params={"samples": "2"})] == [
        ("A fox", 2),
        ("An {owl}", 2),
    ]


@pytest.mark.parametrize("name", ["m.txt", "m.jsonl"])
def test_a_file_of_nothing_but_comments_or_blanks_has_no_prompts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("# nothing\n" if name == "m.txt" else "[]\n")
    assert len(problems(tmp_path / name)) == 1


# Reach


def test_a_file_outside_of_the_manifests_folder_is_read_only_if_its_folder_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there/rows.csv").write_text("prompt\nA fox\n")
    for named in ("../there/rows.csv", "../there/*.csv", str(tmp_path / "there/rows.csv")):
        (tmp_path / "here/m.yaml").write_text(json.dumps({"prompts": {"file": named}}))
        assert "lies outside of the manifest's folder" in problems(tmp_path / "here/m.yaml")[0]
        assert [row.prompt for row in rows(tmp_path / "here/m.yaml", folders=[tmp_path / "there"])] == ["A fox"]


def test_a_link_out_of_the_manifests_folder_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "secret.csv").write_text("prompt\nA secret\n")
    (tmp_path / "here/rows.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "here/words.txt").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "here/m.yaml").write_text("prompts: {file: rows.csv}\nvariables: {a: {file: words.txt}}\n")
    found = problems(tmp_path / "here/m.yaml")
    assert len(found) == 2
    assert all("lies outside" in problem for problem in found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_among_the_files_is_refused_before_anything_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    (tmp_path / "m.yaml").write_text("prompts: {file: rows.csv}")
    assert "it is no regular file" in problems(tmp_path / "m.yaml")[0]


@pytest.mark.parametrize("named", ["\0", "a\0*", "x" * 300 + ".csv", "[", "**/**/nothing.csv", "~/x.csv", ""])
def test_a_name_that_no_file_can_have_is_a_sentence(tmp_path: Path, named: str) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"prompts": [{"file": named}]}))
    assert len(problems(tmp_path / "m.yaml")) == 1


def test_a_pattern_walks_through_no_links_and_takes_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/rows.csv").write_text("prompt\nA fox\n")
    (tmp_path / "a/~$rows.csv").write_bytes(b"\0lock")
    (tmp_path / "a/.hidden.csv").write_text("prompt\nA secret\n")
    for name in ("b", "c"):
        (tmp_path / "a" / name).symlink_to(tmp_path)
    (tmp_path / "m.yaml").write_text("prompts: {file: '**/*.csv'}")
    assert [row.prompt for row in rows(tmp_path / "m.yaml")] == ["A fox"]


def test_a_pattern_outside_of_reach_is_refused_before_anything_is_walked_through(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("prompts: {file: '/**/*.csv'}")
    assert "lies outside" in problems(tmp_path / "m.yaml")[0]


def test_many_columns_take_time_in_proportion_and_too_many_are_refused(tmp_path: Path) -> None:
    names = ",".join(f"c{n}" for n in range(1_999))
    (tmp_path / "m.csv").write_text(f"prompt,{names}\nA fox{',1' * 1_999}\n")
    assert len(rows(tmp_path / "m.csv")[0].labels) == 1_999
    (tmp_path / "m.csv").write_text(f"prompt,x,{names}\nA fox,1{',1' * 1_999}\n")
    assert "more than 2,000 columns" in problems(tmp_path / "m.csv")[0]


def test_a_parquet_value_that_python_cannot_hold_harms_only_who_reads_it(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["A fox"], "at": pa.array([2**60], pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "m.parquet")
    (tmp_path / "m.yaml").write_text("prompts: {file: m.parquet, columns: {at: null}}")
    assert [row.prompt for row in rows(tmp_path / "m.yaml")] == ["A fox"]
    (tmp_path / "m.yaml").write_text("prompts: {file: m.parquet, prompt: 'fox {at}', columns: {at: null}}")
    assert "cannot be read from here on" in problems(tmp_path / "m.yaml")[0]


def test_not_a_number_in_parquet_is_nothing_as_in_a_data_frame(tmp_path: Path) -> None:
    columns = {"prompt": ["A fox"] * 2, "guidance_scale": [9.0, float("nan")], "score": [float("nan"), 0.5]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    found = [(row.params["guidance_scale"], row.labels) for row in rows(tmp_path / "m.parquet")]
    assert found == [(9.0, {"score": None}), (7.0, {"score": 0.5})]


def test_a_number_of_32_bits_in_parquet_is_the_one_that_was_written(tmp_path: Path) -> None:
    columns = {"prompt": ["A fox"] * 3, "guidance_scale": pa.array([7.1, None, float("nan")], pa.float32())}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert [row.params["guidance_scale"] for row in rows(tmp_path / "m.parquet")] == [7.1, 7.0, 7.0]


def test_a_parquet_column_of_nothing_is_a_label_of_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["A fox"], "note": pa.nulls(1)}), tmp_path / "m.parquet")
    assert [row.labels for row in rows(tmp_path / "m.parquet")] == [{"note": None}]


def test_a_label_of_two_types_is_text_and_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,year\nA fox,1\n")
    (tmp_path / "b.csv").write_text("prompt,year\nAn owl,x\n")
    (tmp_path / "m.yaml").write_text(
        "prompts: [{file: a.csv, columns: {year: {label: year, type: integer}}}, {file: b.csv}]"
    )
    manifest = read(tmp_path / "m.yaml")
    assert manifest.label_types == {"year": "str"}
    assert "the label year is text here and a whole number elsewhere" in manifest.warnings[0]


def test_every_file_that_a_manifest_reads_is_named_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt\nA fox\n")
    (tmp_path / "b.txt").write_text("owl\n")
    (tmp_path / "m.yaml").write_text("variables: {x: {file: b.txt}}\nprompts: [{file: '*.csv'}, 'An {x}']")
    before = read(tmp_path / "m.yaml").includes
    (tmp_path / "a.csv").write_text("prompt\nA fix\n")
    after = read(tmp_path / "m.yaml").includes
    assert list(before) == ["b.txt", "a.csv"]
    assert [name for name in before if before[name] != after[name]] == ["a.csv"]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("a.csv", b"prompt\nA fox\n", b"prompt\nAn owl\n"), ("a.jsonl", b'{"prompt": "a"}\n', b'{"prompt": "b"}\n')],
)
def test_a_file_that_changes_between_two_readings_is_refused(
    tmp_path: Path, name: str, first: bytes, second: bytes
) -> None:
    (tmp_path / name).write_bytes(first)
    (tmp_path / "m.yaml").write_text(f"prompts: {{file: {name}}}")
    manifest = read(tmp_path / "m.yaml")
    (tmp_path / name).write_bytes(second)
    with pytest.raises(UsageError, match="changed while it was being read"):
        list(manifest.rows())


def test_a_parquet_table_that_changes_in_its_place_while_it_is_read_is_refused(tmp_path: Path) -> None:
    def write(word: str) -> None:
        table = pa.table({"prompt": [f"{word} {number:06}" for number in range(20_000)]})
        pq.write_table(table, tmp_path / "new.parquet", compression="none", use_dictionary=False, row_group_size=2_000)
        (tmp_path / "a.parquet").write_bytes((tmp_path / "new.parquet").read_bytes())

    write("fox")
    (tmp_path / "m.yaml").write_text("prompts: {file: a.parquet}")
    rows = read(tmp_path / "m.yaml").rows()
    next(rows)
    write("owl")
    with pytest.raises(UsageError, match="changed while it was being read"):
        list(rows)


# Streams


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_memory_does_not_grow_with_a_file(tmp_path: Path, name: str) -> None:
    table = [{"prompt": f"Fox {n}", "samples": n % 4 + 1, "n": n} for n in range(20_000)]
    (tmp_path / name).write_bytes(WAYS[f"m{Path(name).suffix}"](table))
    del table
    text = f"axes: {{grid: {{guidance_scale: [1, 2]}}}}\nprompts: {{file: {name}, prompt: 'A {{prompt}}, {{n}}'}}"
    (tmp_path / "m.yaml").write_text(text)
    read(tmp_path / "m.yaml")  # imports
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(tmp_path / "m.yaml").rows()) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_prompts_times_axes(tmp_path: Path) -> None:
    axes = {"grid": {"num_inference_steps": {"from": 1, "count": 500}}}
    peaks = []
    for prompts in (20, 200):
        (tmp_path / "m.yaml").write_text(json.dumps({"axes": axes, "prompts": [f"Fox {n}" for n in range(prompts)]}))
        manifest = read(tmp_path / "m.yaml")
        tracemalloc.start()
        try:
            assert sum(1 for _ in manifest.rows()) == 500 * prompts
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000


def test_a_line_without_end_is_refused_by_its_length(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"prompt": "' + "x" * 11_000_000 + '"}')
    assert "longer than 10,000,000 characters" in problems(tmp_path / "m.jsonl")[0]


def test_a_sample_of_a_table_is_drawn_from_all_its_rows_and_keeps_their_order(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("".join(f"Fox {n}\n" for n in range(1_000)))
    (tmp_path / "m.yaml").write_text("axes: {sample: {count: 100, seed: 1}}\nprompts: [first, {file: rows.txt}, last]")
    made = [row.prompt for row in rows(tmp_path / "m.yaml")]
    numbers = [int(prompt.split()[1]) for prompt in made if prompt.startswith("Fox")]
    assert len(made) == len(set(made)) == 100
    assert numbers == sorted(numbers)
    assert min(numbers) < 100
    assert max(numbers) >= 900


def test_a_row_says_where_it_stands_counted_over_all_sources(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt,samples\nA fox,1\nAn owl,9\nA cat,1\n")
    (tmp_path / "m.yaml").write_text("prompts: [first, {file: rows.csv}, {prompt: last, file_prefix: 'n{row}'}]")
    found: list[tuple[int, str, str]] = []
    with contextlib.suppress(ManifestError):
        found.extend((row.index, row.prompt, row.file_prefix) for row in read(tmp_path / "m.yaml").rows())
    assert found == [(0, "first", "m"), (1, "A fox", "m"), (3, "A cat", "m"), (4, "last", "n4")]
