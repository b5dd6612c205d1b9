"""The space of combinations: its order, its gaps, its ranges, and draws from it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.manifest.axes import LONGEST, PATIENCE, Dimension, Space, Value, draw, read_range
from batchgen.manifest.names import written
from batchgen.manifest.problems import Refused

#: Says nothing about time: the machine may be busy.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

GUIDANCE = Dimension(names=("guidance_scale",), columns=([4, 7, 10],))
SIZES = Dimension(names=("width", "height"), columns=([1024, 768], [768, 1024]))
VALUES = st.sampled_from([0, 1, 1.0, 7, 7.5, True, False, None, "1", "fox"])


@st.composite
def dimensions(draw: st.DrawFn) -> list[Dimension]:
    names = iter("abcdefgh")
    found = []
    for width in draw(st.lists(st.integers(1, 2), max_size=4)):
        length = draw(st.integers(1, 4))
        columns = tuple(draw(st.lists(VALUES, min_size=length, max_size=length)) for _ in range(width))
        found.append(Dimension(names=tuple(next(names) for _ in range(width)), columns=columns))
    return found


EXCLUDES = st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1, max_size=2), max_size=3)


def listed(found: Sequence[Dimension]) -> list[dict[str, Value]]:
    """All combinations, by listing them."""
    rows = [
        [dict(zip(dimension.names, values, strict=True)) for values in zip(*dimension.columns, strict=True)]
        for dimension in found
    ]
    return [{name: value for part in parts for name, value in part.items()} for parts in product(*rows)]


def agrees(entries: Mapping[str, Value], combination: Mapping[str, Value]) -> bool:
    def same(one: Value, other: Value) -> bool:
        return (one is None) == (other is None) and written(one) == written(other)

    return all(name in combination and same(value, combination[name]) for name, value in entries.items())


def test_the_last_dimension_varies_fastest_and_a_group_varies_together() -> None:
    assert list(Space([GUIDANCE, SIZES]))[:3] == [
        {"guidance_scale": 4, "width": 1024, "height": 768},
        {"guidance_scale": 4, "width": 768, "height": 1024},
        {"guidance_scale": 7, "width": 1024, "height": 768},
    ]


@given(dimensions())
@CALM
def test_a_combination_is_reached_by_its_number_in_the_order_of_the_product(found: list[Dimension]) -> None:
    space = Space(found)
    assert [space.at(index) for index in range(space.size)] == listed(found)
    for outside in (-1, space.size):
        with pytest.raises(IndexError):
            space.at(outside)


@given(dimensions(), EXCLUDES, st.lists(st.dictionaries(st.sampled_from("axy"), VALUES), max_size=3))
@CALM
def test_a_space_is_the_product_without_the_excluded_and_with_the_included(
    found: list[Dimension], exclude: list[dict[str, Value]], include: list[dict[str, Value]]
) -> None:
    kept = [row for row in listed(found) if not any(agrees(entries, row) for entries in exclude)]
    assert list(Space(found, exclude=exclude, include=include)) == kept + include


@pytest.mark.parametrize(
    ("entries", "combination", "excluded"),
    [
        ({"a": 7}, {"a": 7.0, "b": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": False}, {"a": 0}, False),
        ({"a": "1"}, {"a": 1}, True),
        ({"a": "1.5"}, {"a": 1.5}, True),
        ({"a": 10**16}, {"a": 1e16}, True),
        ({"a": None}, {"a": "none"}, False),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {"b": None}, False),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
    ],
)
def test_an_exclude_compares_by_value(entries: dict[str, Value], combination: dict[str, Value], excluded: bool) -> None:
    assert Space([GUIDANCE], exclude=[entries]).excluded(combination) is excluded


def test_a_huge_space_is_reached_anywhere() -> None:
    steps = read_range({"from": 0, "count": 10**15})
    space = Space([Dimension(names=(name,), columns=(steps,)) for name in ("a", "b")])
    assert space.size == 10**30
    assert space.at(10**30 - 2) == {"a": 10**15 - 1, "b": 10**15 - 2}


def test_dimensions_that_make_no_sense_are_refused() -> None:
    with pytest.raises(Refused, match="width has 2, height has 1"):
        Dimension(names=("width", "height"), columns=([1, 2], [1]))
    with pytest.raises(Refused, match="width: has no values"):
        Dimension(names=("width",), columns=([],))
    with pytest.raises(Refused, match="an axis needs a name"):
        Dimension(names=(), columns=())
    with pytest.raises(Refused, match="guidance_scale: is given twice"):
        Space([GUIDANCE, GUIDANCE])
    with pytest.raises(Refused, match="would leave out everything"):
        Space([GUIDANCE], exclude=[{}])


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"from": 20, "to": 30, "step": 5}, [20, 25, 30]),
        ({"from": 20, "to": 29, "step": 5}, [20, 25]),
        ({"from": 3, "to": 1, "step": -1}, [3, 2, 1]),
        ({"from": 3, "to": 3, "step": -1}, [3]),
        ({"from": 0, "to": 1, "step": 0.1}, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ({"from": 1.0, "to": 3, "step": 1}, [1.0, 2.0, 3.0]),
        ({"from": 5, "count": 3, "step": None}, [5, 6, 7]),
        ({"from": 0.5, "count": 2}, [0.5, 1.5]),
        ({"from": 0, "to": 10, "count": 3}, [0, 5, 10]),
        ({"from": 0, "to": 1, "count": 3}, [0.0, 0.5, 1.0]),
        ({"from": 10, "to": 0, "count": 3}, [10, 5, 0]),
        ({"from": 4, "to": 4, "count": 1}, [4]),
    ],
)
def test_a_range_gives(spec: dict[str, object], values: list[float]) -> None:
    found = list(read_range(spec))
    assert [(type(value), value) for value in found] == [(type(value), value) for value in values]


DECIMALS = st.decimals(-1000, 1000, places=3)


@given(DECIMALS, DECIMALS.filter(bool), st.integers(0, 50))
@CALM
def test_steps_are_exact_and_include_the_end_that_they_hit(start: Decimal, step: Decimal, more: int) -> None:
    end = start + step * more
    values = read_range({"from": float(start), "to": float(end), "step": float(step)})
    assert list(values) == [float(start + step * position) for position in range(more + 1)]


@given(DECIMALS, DECIMALS, st.integers(2, 50))
@CALM
def test_even_spacing_keeps_both_ends_exactly(start: Decimal, end: Decimal, count: int) -> None:
    if start == end:
        return
    values = read_range({"from": float(start), "to": float(end), "count": count})
    assert (len(values), values[0], values[-1]) == (count, float(start), float(end))
    assert list(values) == sorted(values, reverse=start > end)


def test_a_long_range_takes_no_memory_and_is_cut_without_being_listed() -> None:
    values = read_range({"from": 0, "to": 10**8, "step": 0.1})
    assert (len(values), values[123_456_789], values[-1]) == (10**9 + 1, 12_345_678.9, 1e8)
    assert list(values[3:9:3]) == [0.3, 0.6]
    with pytest.raises(IndexError):
        values[10**9 + 1]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"from": 0, "to": 10, "step": 0}, "step: 0 never gets"),
        ({"from": 0, "to": 10, "step": -1}, "to, which is above from. Make it positive"),
        ({"from": 10, "to": 0, "step": 0.5}, "to, which is below from. Make it negative"),
        ({"from": 0, "count": 0}, "count: must be at least 1."),
        ({"from": 0, "count": -(10**5000)}, "count: must be at least 1."),
        ({"from": 0, "count": 2.0}, "count: must be a whole number of at least 1, not 2.0."),
        ({"from": 0, "count": True}, "not true."),
        ({"from": 0, "to": 1, "count": 1}, "cannot stand at both ends"),
        ({"from": 1, "to": 1, "count": 2}, "only one value"),
        ({"from": 0, "values": 1, "step": 1}, "values: unknown key. A range is {from, to, step}"),
        ({"from": 0, "two": 1, "step": 1}, "two: unknown key. Did you mean to?"),
        ({"form": 0, "count": 1}, "form: unknown key. Did you mean from?"),
        ({1: 0}, "1: unknown key."),
        ({}, "a range needs from."),
        ({"from": None, "count": 2}, "a range needs from."),
        ({"from": 0, "to": 1}, "a range needs step or count."),
        ({"from": 0, "step": 1}, "a range with step needs to."),
        ({"from": 0, "to": 1, "step": 1, "count": 2}, "a range with count has no step."),
        ({"from": "0", "count": 1}, "from: must be a number, not '0'."),
        ({"from": False, "count": 1}, "from: must be a number, not false."),
        ({"from": 0, "to": math.inf, "step": 1}, "to: must be a finite number, not inf."),
        ({"from": math.nan, "count": 1}, "from: must be a finite number, not nan."),
        ({"from": 10**5000, "count": 1}, "from: is too large."),
        ({"from": 0, "count": LONGEST + 1}, "more than 1,000,000,000,000,000 values"),
        ({"from": 0, "to": 1e308, "step": 5e-324}, "more than 1,000,000,000,000,000 values"),
        ({"from": 1e300, "count": 3}, "too close to tell apart"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(spec: dict[str, object], words: str) -> None:
    with pytest.raises(Refused) as refused:
        read_range(spec)
    assert words in f"{refused.value.message} {refused.value.hint}"


NUMBERS = st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=3)


@given(st.dictionaries(st.sampled_from(["from", "to", "step", "count"]), NUMBERS))
@CALM
def test_any_range_is_either_refused_or_has_values(spec: dict[str, object]) -> None:
    try:
        values = read_range(spec)
    except Refused:
        return
    assert len(values) >= 1
    assert all(math.isfinite(value) for value in (values[0], values[len(values) // 2], values[-1]))


@given(st.integers(0, 300), st.integers(0, 320), st.integers(), st.integers(1, 7))
@CALM
def test_a_draw_holds_different_wanted_indices_in_order_and_as_many_as_there_are(
    size: int, count: int, seed: int, divisor: int
) -> None:
    drawn = draw(size, count, seed=seed, wanted=lambda index: index % divisor == 0)
    wanted = range(0, size, divisor)
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(wanted)
    assert len(drawn) == min(count, len(wanted))


@given(st.integers(1, 10**30), st.integers(1, 50), st.integers())
@CALM
def test_a_draw_from_a_space_of_any_size_is_without_repetition(size: int, count: int, seed: int) -> None:
    drawn = draw(size, count, seed=seed)
    assert len(set(drawn)) == len(drawn) == min(size, count)
    assert 0 <= drawn[0] <= drawn[-1] < size


def test_a_thousand_are_drawn_from_ten_to_the_thirty() -> None:
    drawn = draw(10**30, 1_000, seed=7)
    assert len(set(drawn)) == 1_000
    assert drawn != draw(10**30, 1_000, seed=8)


@pytest.mark.parametrize(("size", "count"), [(2, 1), (5, 2), (9, 8), (12, 2)])
def test_over_many_seeds_every_selection_is_drawn_about_equally_often(size: int, count: int) -> None:
    seeds, selections = 3_000, math.comb(size, count)
    times = Counter(tuple(draw(size, count, seed=seed)) for seed in range(seeds))
    expected = seeds / selections
    deviation = sum((seen - expected) ** 2 / expected for seen in times.values())
    assert len(times) == selections
    assert deviation < selections - 1 + 4 * math.sqrt(2 * selections)  # chi-square: mean plus four deviations or so


def test_a_large_draw_is_spread_evenly_over_the_space() -> None:
    times = Counter(index * 20 // 10**9 for index in draw(10**9, 10_000, seed=7))
    assert sum((times[part] - 500) ** 2 / 500 for part in range(20)) < 45  # 19 degrees of freedom


def test_a_draw_is_the_same_on_every_machine() -> None:
    assert draw(10**9, 3, seed=7) == [27428842, 113181866, 716023822]
    assert draw(10, 4, seed=-1) == [0, 4, 5, 6]


@pytest.mark.parametrize("hash_seed", ["0", "1234"])
def test_a_draw_is_the_same_in_another_process(hash_seed: str) -> None:
    program = "from batchgen.manifest.axes import draw; print(draw(10**20, 50, seed=7))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(draw(10**20, 50, seed=7))


def test_a_draw_finds_the_few_that_are_wanted_where_all_can_be_tried() -> None:
    assert draw(50_000, 100, seed=7, wanted=lambda index: index in (3, 49_999)) == [3, 49_999]


def test_a_draw_gives_up_where_nearly_everything_of_a_huge_space_is_excluded() -> None:
    tried = []
    with pytest.raises(Refused, match="hold only 0 of the 10 wanted"):
        draw(10**12, 10, seed=7, wanted=lambda index: bool(tried.append(index)))  # type: ignore[func-returns-value]
    assert len(set(tried)) == PATIENCE + 1_000
