"""A manifest file -> a Manifest: every problem of the document at once, rows as a stream."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

from batchgen.errors import UsageError
from batchgen.manifest import document, table
from batchgen.manifest.columns import Columns, RowMaker, columns_of
from batchgen.manifest.document import Location
from batchgen.manifest.entries import Entries, Given
from batchgen.manifest.expansion import Entry, Expansion
from batchgen.manifest.names import did_you_mean, safe_name
from batchgen.manifest.parameters import Parameters
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.schema import ManifestDocument, PromptEntry, check_document
from batchgen.manifest.source import DOCUMENTS, Source, find
from batchgen.manifest.sweep import BUILT_IN, Sweep, SweepReader, unused
from batchgen.manifest.template import Template, parse
from batchgen.model import InDoubt, ParamValue, Row
from batchgen.profile import Profile

V = TypeVar("V")
FindProfile = Callable[[str], Profile]
_DEFAULT_PROFILE = "sd3"
#: Names of environment variables that may hold a secret.
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
#: Stands for the file in problems of what was said over the manifest.
_OVERRIDE = "override"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line or a caller says over the manifest."""

    profile: str | None = None
    params: Mapping[str, str | ParamValue] = field(default_factory=dict)  #: text is parsed, other values are checked
    batch_id: str | None = None
    file_prefix: str | None = None
    moment: datetime | None = None  #: what {date} and {datetime} say; None: now


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the user wrote, validated."""

    source: str  #: the file, as the user named it
    path: Path
    sha256: str  #: of the file's bytes; 64 hex digits
    batch_id: str  #: safe for a folder's name
    profile: Profile
    concurrency: int  #: jobs in flight; at least 1
    rate: float | None  #: submissions a second, above 0; None: no limit
    in_doubt: InDoubt
    price_per_image: float | None  #: in the account's currency; the manifest's, else the profile's; None: unknown
    repeat: int  #: submissions of each row; at least 1
    split: Mapping[str, float] = field(default_factory=dict)  #: shares of the dataset's parts, adding up to 1; or none
    read_rows: Callable[[], Iterator[Row]] = field(repr=False, compare=False)
    includes: Mapping[str, str] = field(default_factory=dict)  #: files that it reads, and the SHA-256 of each
    warnings: tuple[str, ...] = ()  #: what is allowed, and most likely not meant

    def rows(self) -> Iterator[Row]:
        """The rows in the order of the file, read anew by each call; memory does not grow with a table.

        Rows with problems are left out, and reading goes on to find all of them (1,000 are kept, more are counted).

        Raises:
            ManifestError: at the end, with every problem of the rows.
            UsageError: the file cannot be read any more, or has changed.
        """
        return self.read_rows()


_NOTHING = Overrides()


def read_manifest(path: Path, *, find_profile: FindProfile, overrides: Overrides = _NOTHING) -> Manifest:
    """The manifest in a YAML, CSV or TSV file.

    Args:
        find_profile: the profile of a name; raises UsageError for a name it does not know.
        overrides: what holds whatever the manifest says.

    Raises:
        ManifestError: with every problem of a YAML document, or of a table's header; rows of a table are checked
            as they are read.
        UsageError: the file cannot be read.
    """
    source = find(path)
    reading = _Reading(source, find_profile, overrides)
    return reading.document() if source.kind in DOCUMENTS else reading.table()


class _Reading:
    """One reading of one file, and the problems it meets."""

    def __init__(self, source: Source, find_profile: FindProfile, overrides: Overrides) -> None:
        self._source = source
        self._find_profile = find_profile
        self._overrides = overrides
        self._problems = Problems(source.named)

    def document(self) -> Manifest:
        """From YAML: everything is checked here."""
        root = document.parse(self._source.text(), self._problems)
        if root is None or root.value is None:
            raise self._problems.fatal(None, "the file holds no manifest, only comments.", "List prompts in it.")
        value = document.plain(root)
        top = value if isinstance(value, dict) else {}
        checked = check_document(value)
        parameters = self._parameters(top.get("profile"), document.line_of(root, ["profile"]))
        entries = Entries(root, self._problems, parameters)
        if not isinstance(checked, ManifestDocument):
            entries.complain(checked)
        common, own = entries.common(top), entries.own(top)
        reader = SweepReader(root, self._problems, parameters, self._source.path.parent)
        sweep = reader.read(top)
        fixed = self._fixed(parameters)
        self._problems.raise_any()
        if not isinstance(checked, ManifestDocument) or parameters is None:
            raise self._problems.error()
        made = [self._entry(*one, entries, common, checked) for one in zip(count(), checked.prompts, own, strict=False)]
        unused_names = self._check_names(made, sweep, parameters)
        self._problems.raise_any()
        expansion = Expansion(
            entries=[entry for entry in made if entry is not None],
            sweep=sweep,
            parameters=parameters,
            overrides=fixed,
            words={**self._environment(), **self._words()},
            fallback_prefix=self._batch_id(checked.batch_id),
            problems=partial(Problems, self._source.named),
        )
        manifest = self._manifest(checked, parameters.profile, expansion.rows)
        warnings = [f"the variable {name} is not used in any text." for name in unused_names]
        return replace(manifest, includes=reader.files, warnings=tuple(warnings))

    def _entry(
        self,
        index: int,
        prompt: str | PromptEntry,
        given: Given,
        entries: Entries,
        common: Given,
        checked: ManifestDocument,
    ) -> Entry | None:
        """One prompt with all that holds for it; None, with problems, if a text of it is no template."""
        location: Location = ("prompts", index)
        text, own = (prompt, None) if isinstance(prompt, str) else (prompt.prompt, prompt.file_prefix)
        prefix = self._overrides.file_prefix or own or checked.file_prefix or self._batch_id(checked.batch_id)
        try:
            return Entry(
                index=index,
                line=entries.line(location),
                prompt=parse(text),
                file_prefix=_without_choices("file_prefix", prefix),
                params={name: _maybe(name, value) for name, value in {**common.params, **given.params}.items()},
                labels={name: _maybe(name, value) for name, value in {**common.labels, **given.labels}.items()},
            )
        except Refused as refusal:
            entries.refuse(location, refusal)
            return None

    def _check_names(self, made: Sequence[Entry | None], sweep: Sweep, parameters: Parameters) -> list[str]:
        """Every name that a text has in braces is there, and every axis does something; gives unused variables."""
        known = {*sweep.names, *BUILT_IN}
        used: set[str] = set()
        for entry in filter(None, made):
            used.update(entry.names)
            for name in sorted(entry.names - known):
                if name in entry.file_prefix.names and name in self._environment():
                    continue
                hint = did_you_mean(name, known) or "Braces to be shown are doubled: {{ and }}."
                if name.startswith("env."):
                    hint = "Variables of the environment that are set and hold no secret may stand in tags."
                self._problems.add(entry.line, f"{{{name}}}: there is no such variable or axis here.", hint)
        variables, axes = unused(sweep, used, parameters)
        for name in axes:
            hint = did_you_mean(name, parameters.known) or f"Write {{{name}}} in a prompt, or remove the axis."
            self._problems.add(None, f"{name}: this axis is no parameter of the API and no text uses it.", hint)
        return variables

    def _words(self) -> dict[str, str]:
        """What every text may name, but for its row."""
        moment = self._overrides.moment or datetime.now().astimezone()
        return {
            "date": f"{moment:%Y-%m-%d}",
            "datetime": f"{moment:%Y%m%dT%H%M%S}",
            "manifest": self._source.path.stem,
        }

    def _environment(self) -> dict[str, str]:
        """What tags may name besides: a manifest from elsewhere must not send keys away in a tag."""
        return {f"env.{name}": value for name, value in os.environ.items() if not _SECRET.search(name)}

    def table(self) -> Manifest:
        """From CSV or TSV: only the header is checked here."""
        parameters = self._parameters(None, None)
        fixed = self._fixed(parameters)
        delimiter = table.find_delimiter(next(self._source.lines()), extension=self._source.kind)
        before = len(self._problems)
        head = list(islice(table.records(self._source.lines(), delimiter, self._problems), 2))
        if len(head) == 1 and len(self._problems) == before:
            self._problems.add(None, "the table has no rows.", "Write at least one line below the header.")
        columns = None
        if head and parameters is not None:
            columns = columns_of(head[0], parameters, self._problems, delimiter=delimiter)
        self._problems.raise_any()
        if columns is None or parameters is None:
            raise self._problems.error()
        settings = ManifestDocument(prompts=["as the table says"])
        rows = partial(self._table_rows, columns, parameters, fixed, delimiter)
        return self._manifest(settings, parameters.profile, rows)

    def _table_rows(
        self, columns: Columns, parameters: Parameters, fixed: Mapping[str, ParamValue], delimiter: str
    ) -> Iterator[Row]:
        problems = Problems(self._source.named)
        prefix = self._overrides.file_prefix
        maker = RowMaker(
            columns=columns,
            parameters=parameters,
            problems=problems,
            overrides=fixed,
            file_prefix=self._prefix(None, None),
            prefix_fixed=prefix is not None,
        )
        records = table.records(self._source.lines(), delimiter, problems)
        next(records, None)  # the header
        yield from maker.rows(records)
        problems.raise_any()

    def _manifest(self, checked: ManifestDocument, profile: Profile, rows: Callable[[], Iterator[Row]]) -> Manifest:
        price = checked.price_per_image
        return Manifest(
            source=self._source.named,
            path=self._source.path,
            sha256=self._source.sha256,
            batch_id=self._batch_id(checked.batch_id),
            profile=profile,
            concurrency=checked.concurrency or profile.concurrency,
            rate=checked.rate,
            in_doubt=checked.in_doubt,
            price_per_image=profile.price_per_image if price is None else price,
            repeat=checked.repeat,
            split=checked.split,
            read_rows=rows,
        )

    def _batch_id(self, given: str | None) -> str:
        named = given if self._overrides.batch_id is None else self._overrides.batch_id
        try:
            text = _without_choices("batch_id", named or "").render({**self._environment(), **self._words()})
        except Refused as refusal:
            self._problems.refuse(None, refusal)
        except KeyError as missing:
            name = missing.args[0]
            message = f"batch_id: there is no {{{name}}} for a whole batch."
            self._problems.add(None, message, "Use {date}, {datetime}, {manifest} or {env.NAME}.")
        else:
            return safe_name(text, fallback=self._source.path.stem)
        raise self._problems.error()

    def _prefix(self, given: str | None, batch_id: str | None) -> str:
        named = given if self._overrides.file_prefix is None else self._overrides.file_prefix
        return safe_name(named or "", fallback=self._batch_id(batch_id))

    def _parameters(self, given: object, line: int | None) -> Parameters | None:
        """What the named profile knows; None, with a problem, if there is no such profile."""
        if self._overrides.profile is not None:
            return self._profile(self._overrides.profile, None, source=_OVERRIDE)
        name = _DEFAULT_PROFILE if given is None else given
        if not isinstance(name, str) or not name.strip():
            return None  # the document's model complains
        return self._profile(name, line, source=None)

    def _profile(self, name: str, line: int | None, *, source: str | None) -> Parameters | None:
        try:
            return Parameters(self._find_profile(name))
        except UsageError as error:
            self._problems.add(line, f"profile: {error}", source=source)
            return None

    def _fixed(self, parameters: Parameters | None) -> dict[str, ParamValue]:
        """The parameters that hold whatever the manifest says."""
        fixed: dict[str, ParamValue] = {}
        if parameters is None:
            return fixed
        for name, value in self._overrides.params.items():
            try:
                fixed[name] = parameters.parse(name, value) if isinstance(value, str) else parameters.check(name, value)
            except Refused as refusal:
                self._problems.add(None, refusal.message, refusal.hint, source=_OVERRIDE)
        return fixed


def _maybe(name: str, value: V) -> V | Template:
    """The value, or the template that it is if it is a text with braces in it."""
    if isinstance(value, str) and ("{" in value or "}" in value):
        return _without_choices(name, value)
    return value


def _without_choices(name: str, text: str) -> Template:
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
