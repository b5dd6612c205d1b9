"""YAML text -> a tree of plain values that know their lines.

Built from the parser's events, with a stack of its own: nothing is executed, nothing nests or expands without
limit, and keys that stand twice are seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import Any

import yaml
from yaml import events

from batchgen.errors import ManifestError
from batchgen.manifest.names import QUOTE, shown
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.scalars import SCALARS, TAG, tag_of

#: The way to a value: keys of mappings and 0-based positions in lists.
Location = tuple[str | int, ...]

#: Levels of lists and mappings in each other; a manifest has about five.
DEEPEST = 40
#: Nodes reached through aliases; a few hundred are a convenience, a million an attack.
MOST_ALIASED = 100_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where it is there: several times faster


class Mark(Enum):
    """What a scalar can be besides a value."""

    UNUSABLE = "unusable"  # was refused already; no further complaint is due
    MERGE = "<<"  # the key that takes over another mapping


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands. Nodes under an anchor are shared by all aliases."""

    line: int  #: 1-based
    value: str | int | float | bool | Mark | list[Node] | dict[str, Entry] | None
    size: int = 1  #: nodes in it, those behind aliases counted each time
    height: int = 1  #: levels in it


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands under a key of a mapping."""

    line: int  #: of the key
    node: Node


@dataclass(slots=True)
class _Open:
    """A list or mapping that has not ended."""

    line: int
    anchor: str | None
    mapping: bool
    usable: bool
    children: list[Node] = field(default_factory=list)  #: of a mapping: key, value, key, value ...


def parse(text: str, problems: Problems, *, loader: Any = None) -> Node | None:
    """The document in *text*; None if there is nothing in it. Problems that leave the rest readable are added.

    Raises:
        ManifestError: it cannot be read to its end.
    """
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise problems.fatal(line, "the file has a NUL character in it; it is damaged, or not a text file.")
    try:
        return _Builder(problems).build(yaml.parse(text, Loader=loader or _LOADER))
    except yaml.MarkedYAMLError as error:
        raise _syntax(problems, error, text) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the pure loader lets bad \U escapes through
        line_of_character = text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
        raise problems.fatal(line_of_character, f"not valid YAML: {' '.join(str(error).split())}.") from error


_QUOTING = 'Text with ": " or " #" in it, or beginning with one of {[*&!|>%@`"\', goes in quotes.'
_TABS = "Lines are indented by spaces, not by tabs."


def _syntax(problems: Problems, error: yaml.MarkedYAMLError, text: str) -> ManifestError:
    mark = error.problem_mark or error.context_mark
    words = " ".join((error.problem or error.context or "it makes no sense").split())
    if error.context and error.context_mark and mark and error.context_mark.line != mark.line:
        words = f"{error.context} that begins in line {error.context_mark.line + 1}, {words}"
    if mark is None:
        return problems.fatal(None, f"not valid YAML: {words}.", _QUOTING)
    line = "".join(text.split("\n")[mark.line : mark.line + 1]).rstrip()
    at = f" at {shown(line.strip())}" if line.strip() else ""
    return problems.fatal(mark.line + 1, f"not valid YAML{at}: {words}.", _TABS if line.startswith("\t") else _QUOTING)


def plain(node: Node) -> object:
    """The value without its lines; `Mark.UNUSABLE` stands for what was refused."""
    match node.value:
        case dict():
            return {key: plain(entry.node) for key, entry in node.value.items()}
        case list():
            return [plain(item) for item in node.value]
        case _:
            return node.value


def line_of(root: Node, location: Iterable[object]) -> int:
    """The line where the value at *location* begins, or the nearest one around it that is there."""
    node, line = root, root.line
    for step in location:
        if isinstance(node.value, dict) and isinstance(step, str) and step in node.value:
            line, node = node.value[step].line, node.value[step].node
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.line
    return line


def keys_at(root: Node, location: Location) -> dict[str, int]:
    """The keys of the mapping at *location*, and their lines; none if there is no mapping."""
    node = root
    for step in location:
        if isinstance(node.value, dict) and isinstance(step, str) and step in node.value:
            node = node.value[step].node
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        else:
            return {}
    return {name: entry.line for name, entry in node.value.items()} if isinstance(node.value, dict) else {}


def _line(event: events.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


class _Builder:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._anchors: dict[str, Node] = {}
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._documents = 0
        self._aliased = 0

    def build(self, stream: Iterator[events.Event]) -> Node | None:
        for event in stream:
            line = _line(event)
            match event:
                case events.DocumentStartEvent():
                    self._start_document(line)
                case events.AliasEvent():
                    self._place(self._alias(str(event.anchor), line))
                case events.ScalarEvent():
                    self._place(self._scalar(event, line), anchor=event.anchor)
                case events.SequenceStartEvent() | events.MappingStartEvent():
                    self._start(event, line)
                case events.SequenceEndEvent() | events.MappingEndEvent():
                    self._end()
                case _:
                    pass
        return self._root

    def _start_document(self, line: int) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._problems.fatal(line, "a second document begins here; a manifest is one document.")

    def _place(self, node: Node, *, anchor: str | None = None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node

    def _alias(self, name: str, line: int) -> Node:
        node = self._anchors.get(name)
        if node is None:
            problem = f"*{name}: there is no anchor &{name} that ends before this."
            self._problems.add(line, problem, "Text that begins with * goes in quotes.")
            return Node(line, Mark.UNUSABLE)
        self._aliased += node.size
        if self._aliased > MOST_ALIASED:
            message = f"aliases in this document stand for more than {MOST_ALIASED:,} values."
            raise self._problems.fatal(line, message, "Write the values out, or make a table of them.")
        return node

    def _start(self, event: events.CollectionStartEvent, line: int) -> None:
        if len(self._open) >= DEEPEST:
            raise self._too_deep(line)
        mapping = isinstance(event, events.MappingStartEvent)
        usable = event.tag in (None, "!", TAG + ("map" if mapping else "seq"))
        if not usable:
            self._refuse_tag(str(event.tag), line)
        self._open.append(_Open(line, event.anchor, mapping, usable))

    def _end(self) -> None:
        ended = self._open.pop()
        size = 1 + sum(child.size for child in ended.children)
        height = 1 + max((child.height for child in ended.children), default=0)
        if height > DEEPEST:
            raise self._too_deep(ended.line)
        value = self._entries(ended.children) if ended.mapping else ended.children
        self._place(Node(ended.line, value if ended.usable else Mark.UNUSABLE, size, height), anchor=ended.anchor)

    def _too_deep(self, line: int) -> ManifestError:
        return self._problems.fatal(line, f"lists and mappings lie more than {DEEPEST} levels deep in each other.")

    def _refuse_tag(self, tag: str, line: int) -> None:
        name = f"!!{tag.removeprefix(TAG)}" if tag.startswith(TAG) else tag
        self._problems.add(
            line, f"the tag {shown(name)} is not allowed; nothing was run.", "Text that begins with ! goes in quotes."
        )

    def _entries(self, children: list[Node]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        for key, node in zip(children[::2], children[1::2], strict=True):
            if key.value is Mark.MERGE:
                merged += self._merged(node)
            elif (name := self._key(key)) is None:
                continue
            elif name in entries:
                message = f"{name}: stands twice in the same mapping, here and in line {entries[name].line}."
                self._problems.add(key.line, message, "Remove one of them.")
            else:
                entries[name] = Entry(key.line, node)
        inherited = chain.from_iterable(node.value.items() for node in merged if isinstance(node.value, dict))
        for name, entry in inherited:
            entries.setdefault(name, entry)
        return entries

    def _merged(self, node: Node) -> list[Node]:
        mappings = node.value if isinstance(node.value, list) else [node]
        for one in mappings:
            if not isinstance(one.value, dict | Mark):
                self._problems.add(one.line, "<<: takes over mappings only.", "Name the anchor of a mapping.")
        return mappings

    def _key(self, node: Node) -> str | None:
        if isinstance(node.value, str):
            return node.value
        if node.value is not Mark.UNUSABLE:
            message = f"a key must be text; YAML reads this one as {shown(node.value)}."
            hint = "A prompt that begins with { or [ goes in quotes." if isinstance(node.value, dict | list) else QUOTE
            self._problems.add(node.line, message, hint)
        return None

    def _scalar(self, event: events.ScalarEvent, line: int) -> Node:
        is_key = bool(self._open) and self._open[-1].mapping and len(self._open[-1].children) % 2 == 0
        tag = tag_of(event)
        if tag == f"{TAG}merge" and is_key:
            return Node(line, Mark.MERGE)
        convert = SCALARS.get(tag)
        if convert is None:
            self._refuse_tag(tag, line)
            return Node(line, Mark.UNUSABLE)
        try:
            return Node(line, convert(event.value.rstrip("\n") if event.style in ("|", ">") else event.value))
        except Refused as refusal:
            self._problems.refuse(line, refusal)
            return Node(line, Mark.UNUSABLE)
