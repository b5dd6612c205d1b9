"""What the simulator can be told in files and on the command line, and that its document tells all of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchgen.app import simulating
from batchgen.errors import UsageError
from batchgen.simulator import Audit, Behaviour, Fault, Faults, Fixed, Lognormal
from batchgen.simulator.faults import PLACES

DOCUMENT = (Path(__file__).parents[1] / "docs/simulator.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    match = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    assert match, name
    return match[1]


def names(model: type[Any]) -> set[str]:
    return set(model.model_fields)


def test_the_documented_behaviour_is_all_there_is(tmp_path: Path) -> None:
    file = tmp_path / "behaviour.yaml"
    file.write_text(block("behaviour"), encoding="utf-8")
    told = Behaviour.from_file(file)
    written = yaml.safe_load(block("behaviour"))
    assert (told.latency, told.capacity) == (Lognormal(2, 8), 64)
    assert set(written) == names(Behaviour)
    assert set(written["links"]) == names(type(told.links))
    assert set(written["limits"]) == names(type(told.limits))


def test_the_documented_faults_are_all_there_are(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(block("faults"), encoding="utf-8")
    assert Faults.from_file(file).hang == 30
    assert set(yaml.safe_load(block("faults"))) == names(Faults)
    documented = set(re.findall(r"`(\w+)`", DOCUMENT.partition("## Faults")[2].partition("## The audit")[0]))
    assert set(map(str, Fault)) <= documented
    assert frozenset().union(*PLACES.values()) == frozenset(Fault)


def test_the_documented_audit_is_all_there_is() -> None:
    documented = set(re.findall(r"`(\w+)`", DOCUMENT.partition("## The audit")[2]))
    assert {field.name for field in fields(Audit)} <= documented


def test_the_documented_example_passes(tmp_path: Path) -> None:
    example = tmp_path / "test_example.py"
    example.write_text(block("example"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(example)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_file_of_json_will_do(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps({"job": {"lost": 0.5}, "submit": [None, "hang"]}))
    faults = Faults.from_file(file)
    assert (faults.job, faults.submit) == ({Fault.LOST: 0.5}, (None, Fault.HANG))


@pytest.mark.parametrize("model", [Behaviour, Faults])
def test_an_empty_file_changes_nothing(model: type[Behaviour | Faults], tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert model.from_file(tmp_path / "empty.yaml") == model()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("faults: {submit: {reset: 0.1}}", r"faults\.submit: reset cannot happen to submit; what can: bad_gateway"),
        ("faults: {job: {lost: 0.6, stuck: 0.6}}", r"faults\.job: the shares add up to more than 1"),
        ("faults: {job: {lost: 2}}", r"faults\.job.*less than or equal to 1"),
        ("faults: {image: [nonsense]}", r"faults\.image"),
        ("latency: quick", r"latency: 'quick' is not a latency; write fixed:seconds or"),
        ("latency: [3, 1]", "latency"),
        ("pictures: 12 elephants", "pictures"),
        ("colour: red", "colour"),
        ("- a list", "behaviour.yaml"),
        ("{", "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "behaviour.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=problem) as refused:
        Behaviour.from_file(file)
    assert "behaviour.yaml" in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read"):
        Faults.from_file(tmp_path / "none.yaml")


def test_flags_go_before_files_and_leave_the_rest(tmp_path: Path) -> None:
    whole, faults = tmp_path / "whole.yaml", tmp_path / "faults.yaml"
    whole.write_text("latency: fixed:1\ncapacity: 4\nfaults: {job: {lost: 1}}\n")
    faults.write_text("job: {stuck: 1}\n")
    told = simulating.behaviour(file=str(whole), faults=str(faults), latency="fixed:2", capacity=None)
    assert (told.latency, told.capacity, told.faults.job) == (Fixed(2), 4, {Fault.STUCK: 1})


def test_the_command_refuses_nonsense_with_a_sentence() -> None:
    command = [sys.executable, "-m", "batchgen", "simulate", "--latency", "quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'quick' is not a latency; write fixed:seconds" in done.stderr
