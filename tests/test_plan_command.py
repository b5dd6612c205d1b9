"""`batchgen plan`: what it says of a manifest, of a batch, and of the difference between the two."""

from __future__ import annotations

import asyncio
import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import batchgen
from batchgen.adapters.journal import SQLiteJournal
from batchgen.adapters.plan_file import PlanFile
from batchgen.app.comparing import against, drift, explain
from batchgen.app.folder import BatchFolder
from batchgen.app.freezing import frozen_plan
from batchgen.app.preview import read
from batchgen.app.settings import Settings
from batchgen.cli import cli
from batchgen.errors import BatchgenError, UsageError
from batchgen.explanation import Standing, standing
from batchgen.lifecycle import TABLE, AnswerLost, Event, Record, SubmitStarted
from batchgen.model import Failure, FailureKind, Request, RunId
from batchgen.planning import Plan
from tests.test_lifecycle import EVENTS

CASES = Path(__file__).parent / "cases/plan"
MANIFEST = """\
batch_id: small
profile: simulator
price_per_image: 0.5
params: {width: 16, height: 16, samples: 2}
prompts: [A red fox, A toucan, A robot]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(MANIFEST)
    return tmp_path


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["plan", *arguments])


def told(*arguments: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(plan(*arguments, "--json").stdout)
    return found


def freeze(manifest: str = "small.yaml", out: str = "outputs/small", **wanted: object) -> list[Request]:
    """What a run of the manifest does before it sends anything."""
    batch = BatchFolder(Path(out))
    batch.state.mkdir(parents=True, exist_ok=True)
    asyncio.run(record(batch, [], []))
    said = Settings(**wanted)  # type: ignore[arg-type]
    return list(frozen_plan(read(manifest, said), said, batch, go_on=lambda: None))


async def record(batch: BatchFolder, requests: Sequence[Request], lives: Sequence[Sequence[Event]]) -> list[Record]:
    """Lets each request live through those of the events that the table allows."""
    ends = []
    async with SQLiteJournal.open(batch.journal, run_id=RunId("run"), clock=lambda: 0.0) as journal:
        for request, events in zip(requests, lives, strict=True):
            known = Record()
            for event in events:
                if (known.state, type(event)) in TABLE:
                    known = await journal.record(request.key, event)
            ends.append(known)
    return ends


# What it says to people, word for word

NAMES = sorted(path.stem for path in CASES.glob("*.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_people_are_told_what_stands_in_the_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`manifest.txt` holds what `plan manifest.yaml` says."""
    monkeypatch.chdir(CASES)
    manifest = next(path.name for path in CASES.glob(f"{name}.*") if path.suffix != ".txt")
    assert plan(manifest, "-o", f"outputs/{name}").stdout == Path(f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_no_line_but_a_word_that_cannot_be_broken_is_wider_than_a_terminal(name: str) -> None:
    lines = (CASES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert all(len(line) <= 80 for line in lines[1:])


def test_wide_characters_take_two_columns_and_commands_to_the_terminal_are_shown() -> None:
    Path("wide.csv").write_text("prompt,a\x1b[31mb\n" + "狐" * 100 + ",x\x1b[0m\n", encoding="utf-8")
    said = plan("wide.csv").stdout
    assert "\x1b" not in said
    assert "a\\x1b[31mb='x\\x1b[0m'" in said
    lines = [line for line in said.splitlines() if "狐" in line]
    assert 78 <= max(len(line) + line.count("狐") for line in lines) <= 80
    assert sum(line.count("狐") for line in lines) == 100


def test_a_request_is_told_from_others_of_its_prompt() -> None:
    Path("sweep.yaml").write_text("axes: {grid: {guidance_scale: [4, 7]}}\nrepeat: 2\nprompts: [A fox]\n")
    keys = [request.key[:10] for request in Plan(read("sweep.yaml", Settings()))]
    said = plan("sweep.yaml", "--explain").stdout
    for key, which in zip(keys, ["=4, ", "=4, repeat 1, ", "=7, ", "=7, repeat 1, "], strict=True):
        assert f"guidance_scale{which}{key}: there is no batch yet" in said


# The expansion as a file


def test_a_table_for_people_has_a_line_for_each_request() -> None:
    Path("rows.csv").write_text('prompt,class,n\n"=1+1",@a,-5\nfox,,\n"fox, old","b\nc",7\n')
    done = plan("rows.csv", "--profile", "simulator", "-o", "all.csv")
    assert done.stdout.endswith("All 3 requests written to all.csv\n")
    with Path("all.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    requests = list(Plan(read("rows.csv", Settings(profile="simulator"))))
    assert [line["request_key"] for line in lines] == [request.key for request in requests]
    assert [line["prompt"] for line in lines] == ["'=1+1", "fox", "fox, old"]
    assert [line["label.class"] for line in lines] == ["'@a", "", "b\nc"]
    assert {line["guidance_scale"] for line in lines} == {"7.0"}
    assert not list(Path().glob("*.part"))


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from("=+-@ax'\t\r ,\"")).filter(str.strip))
def test_no_cell_of_the_table_is_a_formula(prompt: str) -> None:
    with Path("one.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "class"], [prompt, prompt]])
    assert plan("one.csv", "-o", "all.csv").exit_code == 0
    with Path("all.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    (request,) = Plan(read("one.csv", Settings()))
    assert cells[cells.index("request_key") + 1].removeprefix("'") == request.prompt.removeprefix("'")
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


def test_a_parquet_file_of_all_requests_can_be_run() -> None:
    assert plan("small.yaml", "-o", "all.parquet").exit_code == 0
    result = batchgen.run("all.parquet")
    assert result.out == Path("outputs/small")
    assert list(result.frame().request_key.unique()) == [r.key for r in Plan(read("small.yaml", Settings()))]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rows.csv", "-o", "rows.csv"), "is the manifest itself"),
        (("rows.csv", "-o", "nowhere/x.csv"), "there is no folder nowhere"),
        (("rows.csv", "-o", "x.csv", "--explain"), "looks into a batch folder"),
        (("rows.csv", "--frozen", "--explain"), "ask one at a time"),
        (("rows.csv", "--frozen"), "holds no frozen plan"),
        (("rows.csv", "--against", "nowhere"), "holds no frozen plan"),
        (("rows.csv", "--against", "nowhere", "-o", "elsewhere"), "Leave one out"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    Path("rows.csv").write_text("prompt\nfox\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = plan(*arguments)
    assert done.exit_code != 0
    assert said in f"{done.output}{done.exception}"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["outputs/small/.batchgen/plan.parquet", "outputs/small/metadata.parquet",
                                  "outputs/small/all.csv"])  # fmt: skip
def test_no_file_is_written_into_a_batch_but_by_runs(name: str) -> None:
    batchgen.run("small.yaml")
    before = {path: path.read_bytes() for path in Path("outputs").rglob("*") if path.is_file()}
    done = plan("small.yaml", "-o", name)
    assert "lies in the batch folder" in str(done.exception)
    assert {path: path.read_bytes() for path in Path("outputs").rglob("*") if path.is_file()} == before


def test_only_what_plan_wrote_is_written_over() -> None:
    Path("rows.csv").write_text("prompt\nfox\n")
    Path("with.yaml").write_text("prompts: {file: rows.csv}\n")
    assert plan("with.yaml", "-o", "all.csv").exit_code == plan("with.yaml", "-o", "all.csv").exit_code == 0
    assert plan("with.yaml", "-o", "all.parquet").exit_code == plan("with.yaml", "-o", "all.parquet").exit_code == 0
    assert "is read by the manifest" in str(plan("with.yaml", "-o", "rows.csv").exception)
    Path("all.csv").write_text("my,own\n1,2\n")
    assert "no table that `plan` wrote" in str(plan("with.yaml", "-o", "all.csv").exception)
    assert Path("all.csv").read_text() == "my,own\n1,2\n"


def test_a_link_is_written_through_and_files_beside_the_table_are_left_alone() -> None:
    Path("real").mkdir()
    Path("all.csv").symlink_to("real/all.csv")
    for name in ("all.part", "x.part", ".x.parquet.part"):
        Path(name).write_text("mine")
    assert plan("small.yaml", "-o", "all.csv").exit_code == plan("small.yaml", "-o", "x.parquet").exit_code == 0
    assert Path("all.csv").is_symlink()
    assert Path("real/all.csv").is_file()
    assert sorted(path.read_text() for path in Path().glob("*.part")) == ["mine"] * 3
    assert not list(Path("real").glob(".*"))


@pytest.mark.parametrize("length", [250, 255, 300])
def test_a_table_may_have_the_longest_name_there_is_and_no_longer_one(length: int) -> None:
    done = plan("small.yaml", "-o", "x" * (length - 4) + ".csv")
    assert (done.exit_code == 0) is (length <= 255)
    assert done.exception is None or isinstance(done.exception, BatchgenError | SystemExit)


# --explain


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(EVENTS), max_size=12), min_size=6, max_size=6), st.integers(0, 3))
def test_every_request_has_one_standing_and_it_is_that_of_the_journal(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[Event]], show: int
) -> None:
    out = tmp_path_factory.mktemp("batch")
    freeze(out=str(out))
    Path("more.yaml").write_text(MANIFEST.replace("A robot", "A robot, A ship, A moon, A hill"))
    requests = freeze("more.yaml", out=str(out))
    ends = asyncio.run(record(BatchFolder(out), requests, lives))
    found = explain("more.yaml", out=out, show=show)
    expected = Counter(
        standing(end.state if life else None, running=False) for end, life in zip(ends, lives, strict=True)
    )
    assert {where: amount.requests for where, amount in found.amounts.items() if amount.requests} == expected
    assert sum(amount.samples for amount in found.amounts.values()) == 12
    shown = Counter(one.standing for one in found.shown)
    assert shown == Counter({where: min(show, number) for where, number in expected.items() if show})
    assert all(one.why for one in found.shown)


def test_without_a_batch_everything_is_new(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    done = plan("small.yaml", "--explain", "--show", "1")
    assert "3 requests for a new batch in outputs/small" in done.stdout
    assert "new         3 requests, 6 images, cost 3.00" in done.stdout
    assert "… and 2 more" in done.stdout
    assert sorted(folder.rglob("*")) == before


def test_a_request_is_new_because_a_parameter_changed() -> None:
    freeze()
    found = told("small.yaml", "--explain", "--param", "guidance_scale=9", "--show", "1")
    assert found["new"] == {"requests": 3, "images": 6, "cost": 3.0}
    assert [one["why"] for one in found["requests"]] == [  # type: ignore[attr-defined]
        "prompt is as row 0 of the batch, but guidance_scale 7 -> 9"
    ]


def test_after_a_run_all_is_done() -> None:
    batchgen.run("small.yaml")
    done = plan("small.yaml", "--explain")
    assert "done        3 requests, 6 images" in done.stdout
    assert done.stdout.count("2 images stored") == 3
    assert "new" not in done.stdout


def test_a_batch_of_another_endpoint_is_refused_as_a_run_would() -> None:
    freeze()
    done = plan("small.yaml", "--explain", "--profile", "sd3")
    assert "holds a batch of" in str(done.exception)


# --against


def test_an_edit_costs_what_is_new_and_what_was_never_paid() -> None:
    freeze()
    Path("edited.yaml").write_text(MANIFEST.replace("A robot", "A ship, A moon"))
    found = against("edited.yaml", "outputs/small")
    amounts = [(amount.requests, amount.samples, amount.cost) for amount in (found.new, found.kept, found.dropped)]
    assert amounts == [(2, 4, 2.0), (2, 4, 2.0), (1, 2, 1.0)]
    assert (found.to_pay.requests, found.dropped_paid) == (4, 0)
    batchgen.run("small.yaml")
    found = against("edited.yaml", "outputs/small")
    assert (found.to_pay.requests, found.to_pay.cost, found.dropped_paid) == (2, 2.0, 1)
    assert "would submit 2 requests, 4 images, cost 2.00" in plan("edited.yaml", "--against", "outputs/small").stdout


LOST = Failure(kind=FailureKind.ANSWER_LOST, message="no answer")


@pytest.mark.parametrize("life", [[SubmitStarted()], [SubmitStarted(), AnswerLost(failure=LOST)]])
@pytest.mark.parametrize("in_the_manifest", [True, False])
def test_what_is_in_doubt_is_counted_as_paid_again_if_a_run_submits_it_again(
    life: list[Event], in_the_manifest: bool
) -> None:
    requests = freeze()
    asyncio.run(record(BatchFolder(Path("outputs/small")), requests[:1], [life]))
    kept = MANIFEST if in_the_manifest else MANIFEST.replace("A red fox, ", "")
    Path("small.yaml").write_text(kept + "in_doubt: retry\n")
    found = against("small.yaml", "outputs/small")
    assert (found.to_pay.requests, found.dropped_paid) == (3, 0 if in_the_manifest else 1)
    assert "1 request, 2 images, cost 1.00" in plan("small.yaml", "--explain").stdout
    assert "a run submits it again" in plan("small.yaml", "--explain").stdout
    held = ("--in-doubt", "hold")
    assert told("small.yaml", "--against", "outputs/small", *held)["to_pay"]["requests"] == 2  # type: ignore[index]
    assert "cost 1.00" not in plan("small.yaml", "--explain", *held).stdout


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.sampled_from(EVENTS), max_size=12), min_size=3, max_size=3))
def test_what_was_paid_for_is_what_a_run_keeps(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[Event]]
) -> None:
    out = tmp_path_factory.mktemp("batch")
    requests = freeze(out=str(out))
    asyncio.run(record(BatchFolder(out), requests, lives))
    Path("edited.yaml").write_text("profile: simulator\nprompts: [A ship]\n")
    found = against("edited.yaml", out)
    kept = [request for request in freeze("edited.yaml", out=str(out)) if request.kept]
    assert found.dropped_paid == len(kept)
    assert (found.dropped.requests, found.new.requests) == (3, 1)


@pytest.mark.parametrize("question", [("--explain", "-o", "outputs/small"), ("--against", "outputs/small")])
@pytest.mark.parametrize(
    ("spoil", "profile"),
    [
        (lambda batch: batch.journal.unlink(), "simulator"),
        (lambda batch: batch.journal.write_bytes(b""), "simulator"),
        (lambda batch: None, "sd3"),
        (lambda batch: batch.plan.unlink(), "simulator"),
        (lambda batch: batch.plan.write_bytes(b"damaged"), "simulator"),
    ],
    ids=["journal gone", "journal empty", "other endpoint", "plan gone", "plan damaged"],
)
def test_a_folder_that_a_run_refuses_is_refused_in_the_same_words(
    question: tuple[str, ...], spoil: Callable[[BatchFolder], object], profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEPIPELINE_API_KEY", "a-key")
    batchgen.run("small.yaml")
    spoil(BatchFolder(Path("outputs/small")))
    Path("small.yaml").write_text(MANIFEST.replace("A robot", "A ship"))
    with pytest.raises(BatchgenError) as refused:
        batchgen.run("small.yaml", settings=Settings(profile=profile))
    assert str(plan("small.yaml", *question, "--profile", profile).exception) == str(refused.value)


def test_a_batch_whose_plan_is_gone_is_gone_on_with_by_its_whole_manifest() -> None:
    batchgen.run("small.yaml", settings=Settings(limit=2))
    BatchFolder(Path("outputs/small")).plan.unlink()
    found = against("small.yaml", "outputs/small")
    assert [amount.requests for amount in (found.new, found.kept, found.dropped, found.to_pay)] == [1, 2, 0, 1]
    assert explain("small.yaml").amounts[Standing.DONE].requests == 2


# --frozen


def test_an_unchanged_manifest_has_not_drifted() -> None:
    freeze()
    done = plan("small.yaml", "--frozen")
    assert (done.exit_code, done.stdout.count("\n")) == (0, 1)
    assert "asks for what the frozen plan in outputs/small holds: 3 requests" in done.stdout


def test_order_and_comments_are_no_drift_and_what_changed_is_told() -> None:
    freeze()
    Path("small.yaml").write_text(MANIFEST.replace("A red fox, A toucan", "A toucan, A red fox") + "# hello\n")
    done = plan("small.yaml", "--frozen")
    assert done.exit_code == 0
    assert "not in what is asked for:\n  small.yaml: changed" in done.stdout


def test_a_changed_include_is_drift_and_is_named() -> None:
    Path("animals.txt").write_text("fox\nowl\n")
    Path("with.yaml").write_text("profile: simulator\nvariables: {a: {file: animals.txt}}\nprompts: ['A {a}']\n")
    freeze("with.yaml", "outputs/with")
    Path("animals.txt").write_text("fox\ncat\ndog\n")
    done = plan("with.yaml", "--frozen")
    assert done.exit_code == 2
    assert done.stdout.splitlines()[1:] == [
        "  animals.txt: changed",
        "  2 requests not in the frozen plan",
        "  1 request of the frozen plan no longer asked for",
    ]
    assert told("with.yaml", "--frozen")["exit_code"] == 2


def test_another_tag_or_label_is_drift_though_it_changes_no_image() -> None:
    freeze()
    Path("small.yaml").write_text(MANIFEST + "labels: {class: animal}\n")
    found = drift("small.yaml")
    assert (found.new, found.gone, found.renamed, bool(found)) == (0, 0, 3, True)


def test_what_is_kept_of_earlier_manifests_is_no_drift() -> None:
    batchgen.run("small.yaml")
    Path("small.yaml").write_text(MANIFEST.replace("A robot", "A ship"))
    result = batchgen.run("small.yaml")
    assert len(result.frame()) == 8
    assert not drift("small.yaml")
    assert drift("small.yaml").requests == 3


# The frozen plan runs


def test_a_frozen_plan_runs_on_in_its_own_folder_and_pays_nothing_again() -> None:
    batchgen.run("small.yaml", settings=Settings(limit=2))
    own = Path("outputs/small/.batchgen/plan.parquet")
    before = own.read_bytes()
    result = batchgen.run(own, out="outputs/small")
    assert own.read_bytes() == before
    assert len(result.frame()) == 4
    assert result.frame().attempts.tolist() == [1] * 4


def test_a_frozen_plan_makes_the_same_batch_elsewhere_though_its_files_changed() -> None:
    Path("animals.txt").write_text("fox\nowl\n")
    text = "profile: simulator\nparams: {width: 16, height: 16}\nsplit: {train: 0.5, test: 0.5}\nrepeat: 2\n"
    text += (
        "file_prefix: '{a}'\nlabels: {class: '{a}', n: 1}\nvariables: {a: {file: animals.txt}}\nprompts: ['A {a}']\n"
    )
    Path("with.yaml").write_text(text)
    first = batchgen.run("with.yaml").frame()
    Path("animals.txt").unlink()
    again = batchgen.run("outputs/with/.batchgen/plan.parquet", out="elsewhere").frame()
    same = [
        "request_key",
        "file_name",
        "prompt",
        "batch_id",
        "file_prefix",
        "class",
        "n",
        "split",
        "row_index",
    ]
    assert again[same].equals(first[same])
    assert [request.key for request in PlanFile(Path("elsewhere/.batchgen/plan.parquet"))] == list(again.request_key)


def test_the_own_plan_of_a_batch_is_not_cut_short_and_keeps_where_it_came_from() -> None:
    Path("animals.txt").write_text("fox\nowl\n")
    text = "profile: simulator\nparams: {width: 16, height: 16}\nvariables: {a: {file: animals.txt}}\n"
    Path("with.yaml").write_text(text + "prompts: ['A {a}', A robot]\n")
    batchgen.run("with.yaml")
    Path("with.yaml").write_text(text + "prompts: ['A {a}', A ship]\n")
    batchgen.run("with.yaml")
    own = Path("outputs/with/.batchgen/plan.parquet")
    before = own.read_bytes()
    for ask in (batchgen.run, explain):
        with pytest.raises(UsageError, match="would cut it short for good"):
            ask(own, out="outputs/with", settings=Settings(limit=2))
    assert own.read_bytes() == before
    head = PlanFile(own).head
    batchgen.run(own, out="outputs/with", settings=Settings(file_prefix="x"))
    assert batchgen.status("outputs/with").attempts == 4
    assert [request.kept for request in PlanFile(own)] == [False] * 3 + [True]
    again = PlanFile(own).head
    assert (again.manifest, again.manifest_sha256) == ("with.yaml", head.manifest_sha256)
    assert again.includes == head.includes != {}


def test_a_batch_is_no_file() -> None:
    with pytest.raises(UsageError, match="is called like a file"):
        batchgen.run("small.yaml", out="all.csv")
    assert not Path("all.csv").exists()


def test_a_frozen_plan_has_not_drifted_from_itself() -> None:
    Path("animals.txt").write_text("fox\nowl\n")
    text = "profile: simulator\nparams: {width: 16, height: 16}\nvariables: {a: {file: animals.txt}}\n"
    Path("with.yaml").write_text(text + "prompts: ['A {a}', A robot]\n")
    batchgen.run("with.yaml")
    Path("with.yaml").write_text(text + "prompts: ['A {a}', A ship]\n")
    batchgen.run("with.yaml")
    Path("copy.parquet").write_bytes(Path("outputs/with/.batchgen/plan.parquet").read_bytes())
    for frozen in ("outputs/with/.batchgen/plan.parquet", "copy.parquet"):
        found = drift(frozen, out="outputs/with")
        assert (bool(found), found.requests, dict(found.files)) == (False, 3, {})


def test_another_webhook_is_drift() -> None:
    freeze()
    found = drift("small.yaml", settings=Settings(params={"webhook": "https://example.org/"}))
    assert (found.new, found.gone, found.renamed) == (0, 0, 3)


@pytest.mark.parametrize("out", ["x" * 300, "a\0b", "~nobody-of-that-name/x"])
def test_a_name_that_no_folder_can_have_is_a_sentence(out: str) -> None:
    with pytest.raises(batchgen.UsageError, match=r"cannot be a folder: .* Name another --out"):
        batchgen.run("small.yaml", out=out)
    assert not Path("outputs").exists()


def test_the_home_folder_is_meant_by_a_tilde_that_no_shell_has_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert batchgen.plan("small.yaml", out="~/pictures").out == tmp_path / "home/pictures"


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("outputs/model=flux-dev", "DuckDB takes model=flux-dev for a column model of every row; name another --out"),
        ("we[i]rd", "datasets and polars take *, ? and [ in a path for patterns; name another --out"),
        ("outputs/=a", None),
        ("outputs/plain", None),
    ],
)
def test_a_folder_that_readers_take_for_something_else_is_remarked_upon(out: str, told: str | None) -> None:
    warnings = batchgen.plan("small.yaml", out=out).warnings
    assert [told is not None and told in warning for warning in warnings] == ([True] if told else [])
