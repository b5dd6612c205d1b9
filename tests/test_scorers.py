"""Scorers of one's own: found among what is installed, each image seen once, and no run ended by them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchgen
from batchgen import Settings
from batchgen.adapters.journal import JournalView
from batchgen.adapters.journal.database import event_json
from batchgen.adapters.profiles import find_profile
from batchgen.adapters.scorers import find_scorers
from batchgen.app.checking import check
from batchgen.checks import Checks, Limit, OnReject
from batchgen.errors import UsageError
from batchgen.lifecycle import ImagesJudged
from batchgen.model import Scored, ScoreValue
from batchgen.policy import judge_scores
from batchgen.scoring import Picture, Unbelievable, believed
from batchgen.simulator import Behaviour, Fixed, Simulator, background
from tests.test_lifecycle import IMAGE

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests/example_scorer"
#: Installs a package that is not there but for its metadata: name, version, entry points.
Install = Callable[[str, str, Mapping[str, str]], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, version: str, scorers: Mapping[str, str]) -> None:
        for old in site.glob(f"{name}-*.dist-info"):
            old.rename(old.with_suffix(".gone"))
        metadata = site / f"{name}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{scorer} = {leads_to}" for scorer, leads_to in scorers.items()]
        (metadata / "entry_points.txt").write_text("\n".join(["[batchgen.scorers]", *lines, ""]))

    return install


@pytest.fixture
def example(install: Install, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example package, as its pyproject.toml says."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    told = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(told["name"].replace("-", "_"), told["version"], told["entry-points"]["batchgen.scorers"])
    yield
    sys.modules.pop("batchgen_sharpness", None)


class Counting:
    """A scorer that says what it was told to, and remembers what it has seen."""

    columns: ClassVar[Mapping[str, str]] = {"number": "int", "word": "str"}
    seen: ClassVar[list[Picture]] = []

    def score(self, picture: Picture) -> Mapping[str, object]:
        self.seen.append(picture)
        if "broken" in picture.prompt:
            raise ZeroDivisionError("too bad")
        return {"number": len(picture.prompt), "word": Path(picture.path).suffix}


class Failing(Counting):
    def score(self, picture: Picture) -> Mapping[str, object]:
        self.seen.append(picture)
        raise MemoryError("no GPU")


class Leaving(Counting):
    def score(self, picture: Picture) -> Mapping[str, object]:
        sys.exit(3)


class Strange:
    columns: ClassVar[Mapping[str, str]] = {"No Column": "float"}


class OfImages:
    columns: ClassVar[Mapping[str, str]] = {"mask_file_name": "str"}


class Gone:
    def __init__(self) -> None:
        sys.exit("no model")


@pytest.fixture
def counting(install: Install) -> list[Picture]:
    install("counting", "1.0", {"counting": f"{__name__}:Counting", "failing": f"{__name__}:Failing"})
    Counting.seen.clear()
    return Counting.seen


def manifest(folder: Path, checks: str, prompts: Sequence[str] = ("A fox", "An owl at night")) -> Path:
    path = folder / "m.yaml"
    params = "{samples: 2, width: 32, height: 32}"
    path.write_text(f"profile: simulator\nparams: {params}\nchecks: {checks}\nprompts: {json.dumps(list(prompts))}\n")
    return path


def run(folder: Path, checks: str, **changes: Any) -> pd.DataFrame:
    simulator = Simulator(find_profile("simulator"), behaviour=Behaviour(latency=Fixed(0)))
    with background(simulator) as url:
        settings = Settings(base_url=url, report=False)
        made = batchgen.run(manifest(folder, checks, **changes), out=folder / "out", settings=settings)
    assert check(folder / "out").flaws == ()
    return made.frame()


def noted(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = (folder / "out/.batchgen/run.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


@pytest.mark.usefixtures("example")
def test_an_installed_scorer_fills_its_column(tmp_path: Path) -> None:
    frame = run(tmp_path, "{score: [sharpness]}")
    assert frame.columns[-1] == "score_sharpness"
    assert frame.score_sharpness.dtype == float
    assert (frame.score_sharpness > 0).all()


def test_each_image_is_seen_once_however_often_the_index_is_written(tmp_path: Path, counting: list[Picture]) -> None:
    frame = run(tmp_path, "{score: [counting]}")
    assert [picture.prompt for picture in counting] == ["A fox", "A fox", "An owl at night", "An owl at night"]
    assert [Path(picture.path).relative_to(tmp_path / "out").as_posix() for picture in counting] == list(
        frame.file_name
    )
    assert list(frame.score_number) == [5, 5, 15, 15]
    assert list(frame.score_word) == [f".{kind}" for kind in frame.format]
    run(tmp_path, "{score: [counting]}", prompts=("A fox", "An owl at night", "A cat"))
    assert [picture.prompt for picture in counting[4:]] == ["A cat", "A cat"]


def test_a_batch_that_is_done_is_scored_when_a_scorer_is_named_later(tmp_path: Path, counting: list[Picture]) -> None:
    assert "score_number" not in run(tmp_path, "{}")
    frame = run(tmp_path, "{score: [counting]}")
    assert len(counting) == 4
    assert list(frame.score_number) == [5, 5, 15, 15]
    assert "score_number" not in run(tmp_path, "{}")


@pytest.mark.parametrize(
    "checks",
    [
        "{score: [counting], limits: {number: {at_most: 6}}}",
        "{duplicates: reject-near}",
        "{blank: reject, on_reject: replace}",
    ],
)
@pytest.mark.usefixtures("counting")
def test_a_batch_that_is_done_and_screened_is_idle_until_its_checks_or_images_change(
    tmp_path: Path, checks: str
) -> None:
    def runs() -> int:
        with JournalView(tmp_path / "out/.batchgen/journal.sqlite") as journal:
            return len(journal.runs())

    for _ in range(3):
        run(tmp_path, checks)
        assert runs() == 1
    run(tmp_path, checks, prompts=("A fox", "An owl at night", "A cat"))
    assert runs() == 2
    run(tmp_path, checks.replace("{", "{replacements: 9, ", 1), prompts=("A fox", "An owl at night", "A cat"))
    assert runs() == 3


def test_another_version_of_a_scorer_sees_all_images_anew(
    tmp_path: Path, counting: list[Picture], install: Install
) -> None:
    run(tmp_path, "{score: [counting]}")
    install("counting", "1.1", {"counting": f"{__name__}:Counting"})
    run(tmp_path, "{score: [counting]}")
    assert len(counting) == 8


def test_what_a_scorer_raises_is_a_null_and_a_line_of_the_log_and_the_next_run_asks_it_again(
    tmp_path: Path, counting: list[Picture]
) -> None:
    for tries in (1, 2):
        frame = run(tmp_path, "{score: [counting]}", prompts=("A fox", "A broken owl"))
        assert frame.score_number.isna().tolist() == [False, False, True, True]
        told = noted(tmp_path, "scorer.failed")
        assert [line["file_name"] for line in told] == list(frame.file_name[2:]) * tries
        assert told[0]["reason"] == "ZeroDivisionError: too bad"
        assert len(counting) == 2 + 2 * tries


def test_a_scorer_that_fails_at_everything_is_let_be_and_its_columns_are_there(
    tmp_path: Path, counting: list[Picture]
) -> None:
    frame = run(tmp_path, "{score: [failing]}", prompts=[f"prompt {n}" for n in range(20)])
    assert len(counting) == 25
    assert frame.score_number.isna().all()
    assert pq.read_schema(tmp_path / "out/metadata.parquet").field("score_number").type == pa.int64()
    assert len(noted(tmp_path, "scorer.let_be")) == 1


def test_a_scorer_that_would_end_the_process_does_not(tmp_path: Path, install: Install) -> None:
    install("leaving", "1", {"leaving": f"{__name__}:Leaving"})
    frame = run(tmp_path, "{score: [leaving]}")
    assert frame.score_number.isna().all()
    assert [line["reason"] for line in noted(tmp_path, "scorer.failed")] == ["SystemExit: 3"] * 4


def test_images_beyond_a_limit_are_kept_aside_and_those_without_a_score_stay(
    tmp_path: Path, counting: list[Picture]
) -> None:
    checks = "{score: [counting], limits: {number: {at_most: 6}}}"
    frame = run(tmp_path, checks, prompts=("A fox", "An owl at night", "broken"))
    assert list(frame.status) == ["stored"] * 2 + ["rejected"] * 2 + ["stored"] * 2
    rejected = frame[frame.status == "rejected"].iloc[0]
    assert rejected.error_message == (
        "The image was made and is kept aside: its score_number is 15 instead of at most 6."
    )
    assert (rejected.checks, rejected.score_number) == ("score", 15)
    assert frame.file_name.isna().tolist() == [False, False, True, True, False, False]
    assert (tmp_path / "out" / rejected.rejected_file).is_file()
    assert len(list((tmp_path / "out/images").iterdir())) == 4
    assert len(counting) == 6


def test_a_rejected_image_stays_in_the_dataset_where_that_is_wanted(tmp_path: Path, counting: list[Picture]) -> None:
    frame = run(tmp_path, "{score: [counting], limits: {number: {at_most: 6}}, on_reject: keep}")
    assert list(frame.status) == ["stored"] * 4
    assert frame.checks.fillna("").tolist() == ["", "", "score", "score"]
    assert len(counting) == 4


@pytest.mark.parametrize(
    ("checks", "complaint"),
    [
        ("{score: [beauty]}", r"there is no scorer beauty. There are .*counting.*Nothing was sent"),
        ("{score: [strange]}", r"strange \(.*:Strange\) has a column 'No Column' of type 'float'"),
        ("{score: [of_images]}", r"of_images \(.*:OfImages\) has a column 'mask_file_name'.*not …file_name"),
        ("{score: [gone]}", r"gone \(.*:Gone\) cannot be made: SystemExit: no model"),
        ("{score: [absent]}", r"absent \(no_such_module:It\) cannot be made: ModuleNotFoundError"),
        ("{score: [counting, failing]}", "counting and failing both fill the column score_number"),
        ("{score: [counting], limits: {word: {at_most: 1}}}", "word is no score that has limits. There are number"),
        ("{limits: {number: {at_most: 1}}}", "number is no score that has limits. No scorer under checks.score"),
    ],
)
def test_a_scorer_that_cannot_be_had_is_told_before_anything_is_sent(
    tmp_path: Path, counting: list[Picture], install: Install, checks: str, complaint: str
) -> None:
    names = {"strange": "Strange", "of_images": "OfImages", "gone": "Gone"}
    install("odd", "1", {name: f"{__name__}:{kind}" for name, kind in names.items()} | {"absent": "no_such_module:It"})
    with pytest.raises(UsageError, match=complaint):
        run(tmp_path, checks)
    assert not (tmp_path / "out").exists()
    assert counting == []


@pytest.mark.usefixtures("counting")
def test_a_scorer_comes_with_the_version_of_its_package() -> None:
    (found,) = find_scorers(["counting"])
    assert (found.name, found.version, dict(found.columns)) == ("counting", "1.0", {"number": "int", "word": "str"})


#: A scorer that writes down what it has seen, and waits for good once that is enough.
STUCK = """
import os, threading
class Stuck:
    columns = {"number": "int"}
    def score(self, picture):
        with open(os.environ["SEEN"], "a") as seen:
            seen.write(picture.sha256 + chr(10))
        if open(os.environ["SEEN"]).read().count(chr(10)) == int(os.environ["ENOUGH"]):
            with open(os.environ["TOLD"], "w") as told:
                told.write("enough")
            threading.Event().wait()
        return {"number": int(picture.sha256[:6], 16) % 100}
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="waits for the scorer by a pipe with a name")
def test_a_run_killed_while_images_are_scored_goes_on_with_those_that_are_left(
    tmp_path: Path, install: Install
) -> None:
    (tmp_path / "site-packages/stuck.py").write_text(STUCK)
    install("stuck", "1", {"stuck": "stuck:Stuck"})
    path = manifest(tmp_path, "{score: [stuck], limits: {number: {at_least: 30}}}", [f"prompt {n}" for n in range(60)])
    seen, told, record = (tmp_path / name for name in ("seen", "told", "accepted.jsonl"))
    os.mkfifo(told)
    behaviour = Behaviour(latency=Fixed(0), pictures="tiny")
    simulator = Simulator(find_profile("simulator"), behaviour=behaviour, record=record)
    with background(simulator) as url:
        command = [sys.executable, "-m", "batchgen", "run", str(path), "-o", str(tmp_path / "out"), "--base-url", url]
        places = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site-packages"), str(ROOT)]), "SEEN": str(seen)}
        environment = os.environ | places | {"TOLD": str(told), "ENOUGH": "90"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            assert told.read_text() == "enough"
            run.kill()
        before = {image.name: image.read_bytes() for image in (tmp_path / "out/images").iterdir()}
        accepted = record.read_bytes()
        done = subprocess.run(command, env=environment | {"ENOUGH": "-1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr  # some images are below the limit
    assert record.read_bytes() == accepted
    kept = [*(tmp_path / "out/images").iterdir(), *(tmp_path / "out/.batchgen/rejected").iterdir()]
    assert {image.name: image.read_bytes() for image in kept} == before
    frame = pd.read_parquet(tmp_path / "out/metadata.parquet")
    assert list(frame.score_number) == [int(sha256[:6], 16) % 100 for sha256 in frame.sha256]
    assert ((frame.status == "rejected") == (frame.score_number < 30)).all()
    assert len(seen.read_text().split()) - 120 == 90 - 64  # 32 requests of two images are put down at a time
    assert check(tmp_path / "out").flaws == ()


NUMBERS = st.integers() | st.floats() | st.booleans() | st.none() | st.text()


@given(st.sampled_from(["int", "float", "bool", "str"]), NUMBERS)
def test_what_is_believed_has_the_type_of_its_column_and_survives_the_journal(kind: str, value: ScoreValue) -> None:
    try:
        said = believed({"a": kind}, {"a": value})
    except Unbelievable:
        return
    assert said["a"] is None or type(said["a"]).__name__ == kind
    image = replace(IMAGE, scores={"s": Scored(version="1", values=said)})
    again = event_json.validate_json(event_json.dump_json(ImagesJudged(images=(image,))))
    assert isinstance(again, ImagesJudged)
    back = again.images[0].scores["s"].values["a"]
    assert (back, type(back)) == (said["a"], type(said["a"]))


@pytest.mark.parametrize("said", [{}, {"a": 1, "b": 2}, {"a": "1"}, {"a": b"1"}, {"a": 2**70}, {"a": object()}])
def test_what_no_column_holds_is_not_believed(said: Mapping[str, object]) -> None:
    with pytest.raises(Unbelievable):
        believed({"a": "int"}, said)


@given(
    st.dictionaries(st.sampled_from("ab"), st.none() | st.floats(-10, 10) | st.integers(-10, 10)), st.floats(-10, 10)
)
def test_a_score_is_rejected_only_beyond_its_limit(scores: Mapping[str, Any], end: float) -> None:
    score = scores.get("a")
    assert (judge_scores(scores, {"a": Limit(at_least=end)}) is not None) == (score is not None and score < end)
    assert (judge_scores(scores, {"a": Limit(at_most=end)}) is not None) == (score is not None and score > end)
    assert judge_scores(scores, {}) is None


def test_checks_of_scores_are_read_back_as_they_were() -> None:
    checks = Checks(score=("a",), limits={"b": Limit(at_least=1.0)}, on_reject=OnReject.KEEP)
    assert Checks.of(json.loads(json.dumps(asdict(checks)))) == checks
