"""Templates: what they render to, in which order, and what is refused."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.manifest.problems import Refused
from batchgen.manifest.template import DEEPEST, escaped, parse

#: Says nothing about time: the machine may be busy.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

VALUES = {"animal": "toucan", "env.HOME": "{a|b}", "x": "", "größe": "7"}


@dataclass(frozen=True)
class Name:
    name: str


@dataclass(frozen=True)
class Pair:
    """Braces to be shown, and what is between them."""

    inside: Tree


@dataclass(frozen=True)
class Choice:
    alternatives: tuple[tuple[str, Tree], ...]  # weight as written, or nothing


Tree = tuple["str | Name | Pair | Choice", ...]


def written(tree: Tree) -> str:
    """The template of a tree, straight from the grammar."""
    parts = []
    for part in tree:
        match part:
            case str():
                parts.append(part)
            case Name(name):
                parts.append(f"{{ {name}}}")
            case Pair(inside):
                parts.append("{{" + written(inside) + "}}")
            case Choice(alternatives):
                texts = [f"{weight}::{written(own)}" if weight else written(own) for weight, own in alternatives]
                apart = "1::" if texts[0].startswith("{") else ""
                parts.append("{" + apart + "|".join(texts) + "}")
    return "".join(parts)


def expanded(tree: Tree) -> list[str]:
    """Every text of a tree, by listing all of them."""
    ways: list[list[str]] = []
    for part in tree:
        match part:
            case str():
                ways.append([part])
            case Name(name):
                ways.append([VALUES[name]])
            case Pair(inside):
                ways.append(["{" + text + "}" for text in expanded(inside)])
            case Choice(alternatives):
                ways.append([text for _, own in alternatives for text in expanded(own)])
    return ["".join(texts) for texts in product(*ways)]


def grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    alternative = st.tuples(st.sampled_from(["", "", "1", " 3", "0.25 "]), inner)
    choice = st.lists(alternative, min_size=2, max_size=3).map(lambda found: Choice(tuple(found)))
    return st.lists(inner | st.tuples(choice) | st.tuples(st.builds(Pair, inner)), max_size=3).map(
        lambda found: tuple(part for tree in found for part in tree)
    )


LEAVES = st.sampled_from(["a", "toucan ", " ", "ü\n", "3"]) | st.sampled_from(sorted(VALUES)).map(Name)
TREES = st.recursive(st.lists(LEAVES, max_size=2).map(tuple), grown, max_leaves=8).filter(
    lambda tree: parse(written(tree)).size <= 500
)
#: Texts that are full of what the grammar gives a meaning.
MARKED = st.text(st.sampled_from("{}{}||::a1. _")) | st.lists(
    st.sampled_from(["{", "}", "{{", "}}", "|", "::", "3::", "a", "{a}", "{a|b}", "0", " "]), max_size=30
).map("".join)


def rendered(text: str) -> list[str]:
    template = parse(text)
    return [template.render(VALUES, choice) for choice in range(template.size)]


@given(st.text() | MARKED)
@CALM
def test_an_escaped_text_renders_to_itself(text: str) -> None:
    template = parse(escaped(text))
    assert (template.render({}), template.names, template.size) == (text, (), 1)


@given(TREES)
@CALM
def test_the_ways_of_a_template_are_those_of_a_naive_expansion_in_order(tree: Tree) -> None:
    template = parse(written(tree))
    assert rendered(template.source) == expanded(tree)
    assert template.size == len(expanded(tree))


@given(TREES)
@CALM
def test_a_template_written_and_parsed_again_is_the_same(tree: Tree) -> None:
    template = parse(written(tree))
    again = parse(str(template))
    assert again == template
    assert (str(again), again.names, again.size) == (str(template), template.names, template.size)
    assert rendered(str(template)) == rendered(template.source)


@given(st.text() | MARKED)
@CALM
def test_any_text_is_either_refused_or_written_and_rendered(text: str) -> None:
    try:
        template = parse(text)
    except Refused:
        return
    values = dict.fromkeys(template.names, "{")
    last = template.size - 1
    assert template.render(values, last) == parse(str(template)).render(values, last)


@given(TREES, st.integers())
@CALM
def test_a_drawn_way_is_one_of_the_ways(tree: Tree, seed: int) -> None:
    template = parse(written(tree))
    assert 0 <= template.draw(random.Random(seed)) < template.size


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("A plain fox, 3::2 | x", ["A plain fox, 3::2 | x"]),
        ("", [""]),
        ("A { animal } in {x}{größe}", ["A toucan in 7"]),
        ("{env.HOME}", ["{a|b}"]),
        ("{red|green} {fox|owl}", ["red fox", "red owl", "green fox", "green owl"]),
        ("{|very }big", ["big", "very big"]),
        ("{a|{b|c}}!", ["a!", "b!", "c!"]),
        ("{a|{b|{c|d}}}", ["a", "b", "c", "d"]),
        ("{1::{a|b}|c}", ["a", "b", "c"]),
        ("{3::red| 0.5 ::blue|.5:::green}", ["red", "blue", ":green"]),
        ("{{a|b}}", ["{a|b}"]),
        ("}} {{{animal}}}", ["} {toucan}"]),
        ("{a|{{b}}}", ["a", "{b}"]),
        ("{a|{{{b|c}}}}", ["a", "{b}", "{c}"]),
        ("{a|b}}}", ["a}", "b}"]),
    ],
)
def test_a_template_renders_to(text: str, ways: list[str]) -> None:
    assert rendered(text) == ways


def test_names_are_listed_once_in_order_with_those_of_alternatives() -> None:
    assert parse("{b} {x|{a} {b}|{c.d}} {a}").names == ("b", "a", "c.d")


def test_a_value_that_is_not_needed_may_be_missing() -> None:
    template = parse("{plain|{a}}")
    assert template.render({}, 0) == "plain"
    with pytest.raises(KeyError, match="a"):
        template.render({}, 1)


@pytest.mark.parametrize("choice", [-1, 2])
def test_a_choice_that_is_none_of_the_ways_is_an_error(choice: int) -> None:
    with pytest.raises(IndexError):
        parse("{a|b}").render({}, choice)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("plain", [1]),
        ("{a|b|c} {d|{e|f|g}}", [1] * 12),
        ("{3::red|blue}", [3, 1]),
        ("{3::red|blue} {fox|1::owl}", [3, 3, 1, 1]),
        ("{3::red|{blue|3::green}}", [3, 0.5, 1.5]),
        ("{9::a|b}{9::c|d}{9::e|f}", [729, 81, 81, 9, 81, 9, 9, 1]),
    ],
)
def test_ways_are_drawn_as_often_as_their_weights_say(text: str, weights: list[float]) -> None:
    template, chance, draws = parse(text), random.Random(7), 4_000
    times = Counter(template.draw(chance) for _ in range(draws))
    expected = [draws * weight / sum(weights) for weight in weights]
    deviation = sum((times[way] - wanted) ** 2 / wanted for way, wanted in enumerate(expected))
    assert deviation < len(weights) - 1 + 4 * math.sqrt(2 * len(weights))
    assert template.weighted == (len(set(weights)) > 1)


def test_a_heavy_alternative_among_thousands_is_drawn_as_often_as_it_weighs() -> None:
    template = parse("{" + "|".join(f"w{n}" for n in range(5_000)) + "|5000::z}")
    chance = random.Random(1)
    assert 400 < sum(template.draw(chance) == 5_000 for _ in range(1_000)) < 600


def test_templates_that_mean_the_same_are_equal() -> None:
    assert parse("{ a }{1::b|c}") == parse("{a}{b|c}")
    assert parse("{a|b}") != parse("{a|c}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A {animal", "the { at column 3 is never closed."),
        ("{a|{b|c}", "the { at column 1 is never closed."),
        ("{a|{{b}", "the } at column 7 comes before the }} that belongs to the {{ at column 4."),
        ("{a|{{b|c}}}", "the | at column 7 comes before the }} that belongs to the {{ at column 4."),
        ("{{a|b}|c}", "the } at column 6 closes nothing."),
        ("a}", "the } at column 2 closes nothing."),
        ("{a}}", "the } at column 4 closes nothing."),
        ("x{}", "the braces at column 2 are empty."),
        ("{ }", "the braces at column 1 are empty."),
        ("{2nd}", "'2nd' in the braces at column 1 is not a name"),
        ("{_a}", "'_a' in the braces at column 1 is not a name"),
        ("{my-name}", "'my-name' in the braces at column 1 is not a name"),
        ('{"json": 1}', "'\"json\": 1' in the braces at column 1 is not a name"),
        ("{{{a}{b}", None),
        ("{3::red}", "'3::red' in the braces at column 1 is not a name"),
        ("{0::a|b}", "'0' before the :: at column 3 is not a weight"),
        ("{-1::a|b}", "'-1' before the :: at column 4 is not a weight"),
        ("{a|::b}", "'' before the :: at column 4 is not a weight"),
        ("{red 3::a|b}", "'red 3' before the :: at column 7 is not a weight"),
        ("{{{a}3::a|b}", "the } at column 12 closes nothing."),
        ("{1::a::b|c}", "the :: at column 6 is the second one of its alternative."),
        (f"{{{'9' * 400}::a|b}}", "before the :: at column 402 is not a weight"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_column(text: str, message: str | None) -> None:
    if message is None:
        assert parse(text).render({"a": "1", "b": "2"}) == "{12"
        return
    with pytest.raises(Refused) as refused:
        parse(text)
    assert message in refused.value.message
    assert refused.value.hint


def test_braces_nest_as_deep_as_is_promised_and_no_deeper() -> None:
    def nested(depth: int) -> str:
        return "{a|" * depth + "b" + "}" * depth

    template = parse(nested(DEEPEST))
    assert (template.size, template.render({}, DEEPEST)) == (DEEPEST + 1, "b")
    with pytest.raises(Refused, match=f"at column {3 * DEEPEST + 1} is more than 32 braces deep"):
        parse(nested(DEEPEST + 1))


@pytest.mark.parametrize("text", ["{", "}", "{a", "{a|", "{a|{{", "a}", "{{", "}}", "{a}", "{a|b}", "{|{{}}}"])
def test_a_hundred_thousand_braces_are_read_or_refused(text: str) -> None:
    times = 100_000 // (text.count("{") + text.count("}"))
    try:
        template = parse(text * times)
    except Refused:
        return
    assert len(template.render({"a": "a"}, template.size - 1)) >= times // 2


def test_a_space_of_thousands_of_digits_is_reached_anywhere() -> None:
    template = parse("{a|b|c}" * 5_000)
    assert template.size == 3**5_000
    assert template.render({}, 0) == "a" * 5_000
    assert template.render({}, template.size - 2) == "c" * 4_999 + "b"
