"""What stands under prompts -> the sources of rows: prompts in the document, and the tables that it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from batchgen.errors import ManifestError
from batchgen.manifest.columns import ColumnReader, Columns, Given, Meaning, RowReader, check_meaning
from batchgen.manifest.document import Location
from batchgen.manifest.entries import Entries, Values
from batchgen.manifest.expansion import Form, RowSource
from batchgen.manifest.names import did_you_mean
from batchgen.manifest.parameters import Parameters
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.remarks import Remarks
from batchgen.manifest.schema import Column, FileEntry, PromptEntry, Target
from batchgen.manifest.source import LARGEST_LIST, SEPARATED, Reach, Source
from batchgen.manifest.tables import Table, open_table
from batchgen.manifest.template import Template, parse

V = TypeVar("V")
_WILDCARD = re.compile(r"__([A-Za-z][\w/-]*?)__")
_SEVERAL = re.compile(r"\{\s*\d+(-\d+)?\$\$")
_NOUNS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}


@dataclass(frozen=True, kw_only=True)
class SourceReader:
    """Makes sources of rows, and notes what is wrong with those of which it cannot."""

    problems: Problems
    entries: Entries
    parameters: Parameters
    reach: Reach
    common: Values  #: of the whole manifest
    columns: Mapping[str, Target]  #: of the whole manifest
    file_prefix: str  #: of the whole manifest
    fixed_prefix: str | None  #: whatever the manifest says
    repeat: int
    splits: Collection[str]  #: the manifest's parts
    remarks: Remarks  #: filled with what is allowed and most likely not meant
    label_types: dict[str, str] = field(default_factory=dict)  #: filled with what tables say of their labels
    _seen_columns: set[str] = field(default_factory=set)

    @cached_property
    def _common(self) -> Form:
        """What the whole manifest says, with its problems noted at its own lines."""
        return self._texts(self.common, self.fixed_prefix or self.file_prefix, ())

    def place(self, name: str, source: RowSource) -> tuple[str, int | None]:
        """Where a text stands that names that: in the source, or in what holds for the whole manifest."""
        for key, texts in (("params", self._common.params), ("labels", self._common.labels)):
            for of, text in texts.items():
                if isinstance(text, Template) and name in text.names and getattr(source.form, key).get(of) is text:
                    return self.problems.source, self.entries.line((key, of))
        if name in self._common.file_prefix.names and source.form.file_prefix is self._common.file_prefix:
            return self.problems.source, self.entries.line(("file_prefix",))
        return source.place

    def from_prompt(self, position: int, prompt: str | PromptEntry, own: Values) -> RowSource | None:
        """One prompt; None, with problems, if a text of it is no template."""
        location: Location = ("prompts", position)
        entry = PromptEntry(prompt=prompt) if isinstance(prompt, str) else prompt
        try:
            form = self._form(entry, own, parse(entry.prompt), location)
        except Refused as refusal:
            self.entries.refuse(location, refusal)
            return None
        line, file = self.entries.line(location) or 1, self.problems.source
        self._warn_of_other_syntax(entry.prompt, file, line)
        return RowSource(named=file, place=(file, line), form=form, rows=_once(Given(line=line)), single=True)

    def from_file(
        self, position: int, entry: FileEntry, own: Values, *, found: Source | None = None
    ) -> list[RowSource]:
        """The tables of one entry; those of which nothing can be read are left out, with problems.

        Args:
            found: the table, where it is the manifest itself.
        """
        location: Location = ("prompts", position)
        try:
            if entry.templates and entry.prompt is not None:
                raise Refused("templates: is for the file's own prompts, and prompt replaces them.", "Remove one.")
            form = self._form(entry, own, None if entry.prompt is None else parse(entry.prompt), location)
            mapping = self._meanings(entry, location)
            _check_encoding(entry.encoding)
            tables = [found] if found else self.reach.tables(entry.file, encoding=entry.encoding)
        except ManifestError as error:
            self.problems.include(error)
            return []
        except Refused as refusal:
            self.entries.refuse(location, refusal)
            return []
        if entry.prompt is not None:
            self._warn_of_other_syntax(entry.prompt, self.problems.source, self.entries.line(location))
        made = [self._from_table(table, entry, form, mapping, location) for table in tables]
        return [source for sources in made for source in sources]

    def check_columns(self) -> None:
        """Note what the manifest says of columns that no table has."""
        for name in self.columns:
            if name not in self._seen_columns:
                hint = did_you_mean(name, self._seen_columns) or "Remove it, or name a file that has it."
                self.entries.refuse(("columns", name), Refused(f"{name}: no table has such a column.", hint))

    def _form(self, entry: PromptEntry | FileEntry, own: Values, prompt: Template | None, location: Location) -> Form:
        common = self._common
        prefix = None if self.fixed_prefix is not None else entry.file_prefix
        texts = self._texts(own, prefix or "", location)
        return replace(
            common,
            prompt=prompt,
            file_prefix=texts.file_prefix if prefix else common.file_prefix,
            params={**common.params, **texts.params},
            labels={**common.labels, **texts.labels},
            repeat=entry.repeat or self.repeat,
        )

    def _texts(self, values: Values, prefix: str, location: Location) -> Form:
        """The templates among values; what is none, with its problem noted, is left out."""

        def read(given: Mapping[str, V], key: str) -> dict[str, V | Template]:
            found: dict[str, V | Template] = {}
            for name, value in given.items():
                try:
                    found[name] = _maybe(name, value)
                except Refused as refusal:
                    self.entries.refuse((*location, key, name), refusal)
            return found

        try:
            file_prefix = without_choices("file_prefix", prefix)
        except Refused as refusal:
            self.entries.refuse((*location, "file_prefix"), refusal)
            file_prefix = without_choices("file_prefix", "")
        return Form(
            prompt=None,
            file_prefix=file_prefix,
            prefix_fixed=self.fixed_prefix is not None,
            params=read(values.params, "params"),
            labels=read(values.labels, "labels"),
        )

    def _warn_of_other_syntax(self, prompt: str, file: str, line: int | None) -> None:
        """People know these from Stable Diffusion's dynamic prompts; here they would be sent as they stand."""
        found = _WILDCARD.search(prompt)
        if found is not None:
            instead = f"write {{{found[1]}}} and variables: {{{found[1]}: {{file: {found[1]}.txt}}}}"
            self.remarks.note(f"{found[0]} is sent as it stands; for a value of a list {instead}", file, line)
        if (several := _SEVERAL.search(prompt)) is not None:
            text = f"{several[0]} is sent as it stands; there is no choice of several at once here"
            self.remarks.note(text, file, line)

    def _types(self, label_types: Mapping[str, str], source: Source) -> None:
        """Note what a table says of its labels; where two disagree, the column is text."""
        for label, kind in label_types.items():
            known = self.label_types.setdefault(label, kind)
            if known != kind:
                wider = "float" if {known, kind} == {"int", "float"} else "str"
                self.label_types[label] = wider
                if wider == "str":
                    text = f"the label {label} is {_NOUNS[kind]} here and {_NOUNS[known]} elsewhere; its column is text"
                    self.remarks.note(text, source.named, None)

    def _warn_of_others_parameters(self, columns: Columns, form: Form, source: Source) -> None:
        """A label that no text takes and that is called like a parameter of another API is hardly meant as a label."""
        for label in columns.label_types:
            if self.parameters.is_known_elsewhere(label) and label not in form.names and label not in self.columns:
                text = f"{label} becomes a label; {self.parameters.profile.name} has no such parameter"
                self.remarks.note(text, source.named, None)

    def _meanings(self, entry: FileEntry, location: Location) -> dict[str, Meaning]:
        meanings = {name: _meaning(target) for name, target in {**self.columns, **entry.columns}.items()}
        for name, meaning in meanings.items():
            own = (*location, "columns", name) if name in entry.columns else ("columns", name)
            try:
                check_meaning(name, meaning, self.parameters)
                if meaning.label is not None:
                    self.entries.label_names.check(meaning.label, self.entries.line(own))
            except Refused as refusal:
                self.entries.refuse(own, refusal)
        return meanings

    def _from_table(
        self, source: Source, entry: FileEntry, form: Form, mapping: Mapping[str, Meaning], location: Location
    ) -> list[RowSource]:
        problems = self.problems.of(source.named)
        if entry.delimiter is not None and source.kind not in SEPARATED:
            message = f"delimiter: {source.named} has none."
            self.entries.refuse((*location, "delimiter"), Refused(message, "It is for .csv and .tsv files; remove it."))
        if entry.encoding is not None and source.kind == ".parquet":
            refusal = Refused(f"encoding: {source.named} needs none.", "It is for files of text; remove it.")
            self.entries.refuse((*location, "encoding"), refusal)
        wanted = [*mapping, *form.names]
        table = open_table(source, problems, wanted=wanted, delimiter=entry.delimiter)
        if table is None:
            return []
        self._seen_columns.update(table.names)
        for name in entry.columns:
            if name not in table.names:
                hint = did_you_mean(name, table.names) or f"It has: {', '.join(table.names[:20])}."
                refusal = Refused(f"{name}: {source.named} has no such column.", hint)
                self.entries.refuse((*location, "columns", name), refusal)
        reader = ColumnReader(
            self.parameters,
            mapping,
            self.entries.label_names,
            prompt_given=form.prompt is not None,
            alone=entry.file if self.entries.none else None,
        )
        columns = reader.read(table, problems)
        if columns is None:
            return []
        self._types(columns.label_types, source)
        self._warn_of_others_parameters(columns, form, source)
        if entry.templates and form.prompt is None:
            return list(self._templates(source, table, columns, form))
        rows = self._rows(table, columns, form.names, own_prompts=form.prompt is None)
        place = self.problems.source, self.entries.line(location)
        return [RowSource(named=source.named, place=place, form=form, columns=frozenset(columns.words), rows=rows.rows)]

    def _rows(self, table: Table, columns: Columns, named: Collection[str], *, own_prompts: bool) -> RowReader:
        return RowReader(
            table=table,
            columns=columns,
            named=named,
            own_prompts=own_prompts,
            parameters=self.parameters,
            splits=self.splits,
        )

    def _templates(self, source: Source, table: Table, columns: Columns, form: Form) -> Iterator[RowSource]:
        """A source for each row, whose prompt is a template of its own."""
        problems = self.problems.of(source.named)
        if source.path.stat().st_size > LARGEST_LIST:
            megabytes = LARGEST_LIST // 2**20
            problems.add(None, f"the file is larger than {megabytes} MB, too large for templates.", "Split it.")
            return
        rows = self._rows(table, columns, columns.words, own_prompts=True)
        for given in rows.rows(problems):
            if given is None:
                continue
            self._warn_of_other_syntax(given.prompt or "", source.named, given.line)
            try:
                own = replace(form, prompt=parse(given.prompt or ""))
            except Refused as refusal:
                problems.refuse(given.line, refusal)
            else:
                yield RowSource(
                    named=source.named,
                    place=(source.named, given.line),
                    form=own,
                    columns=frozenset(columns.words),
                    rows=_once(given),
                    single=True,
                )


def _once(given: Given) -> Callable[[Problems], Iterator[Given]]:
    return lambda _: iter([given])


def _meaning(target: Target) -> Meaning:
    if isinstance(target, Column):
        return Meaning(target=f"label.{target.label}", type=target.type)
    return Meaning(target=target)


def _check_encoding(name: str | None) -> None:
    if name is None:
        return
    try:
        "".encode(name)
    except (LookupError, ValueError) as error:
        known = "Known ones are utf-8, utf-16, cp1252, shift_jis."
        raise Refused(f"encoding: {name!r} is no encoding of text.", known) from error


def _maybe(name: str, value: V) -> V | Template:
    """The value, or the template that it is if it is a text with braces in it."""
    if isinstance(value, str) and ("{" in value or "}" in value):
        return without_choices(name, value)
    if isinstance(value, tuple) and any(isinstance(one, str) and ("{" in one or "}" in one) for one in value):
        raise Refused(f"{name}: braces stand in one text, not in a list of them.", "Write the values out.")
    return value


def without_choices(name: str, text: str) -> Template:
    """
    Raises:
        Refused: not a template, or one with alternatives, which only a prompt may have.
    """
    try:
        template = parse(text)
    except Refused as refusal:
        raise Refused(f"{name}: {refusal.message}", refusal.hint) from refusal
    if template.size > 1:
        raise Refused(f"{name}: alternatives stand in prompts only.", "Make them a variable, and name it in both.")
    return template
