"""A manifest file -> a Manifest: every problem of the document at once, rows as a stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from batchgen.checks import Checks
from batchgen.errors import UsageError
from batchgen.manifest import document, words
from batchgen.manifest.complaints import check_document
from batchgen.manifest.document import line_of
from batchgen.manifest.entries import Entries
from batchgen.manifest.expansion import Expansion, RowSource
from batchgen.manifest.names import did_you_mean, safe_name
from batchgen.manifest.parameters import Parameters
from batchgen.manifest.problems import OVERRIDE, Problems, Refused
from batchgen.manifest.remarks import Remarks
from batchgen.manifest.row_sources import SourceReader, without_choices
from batchgen.manifest.schema import FileEntry, ManifestDocument
from batchgen.manifest.source import DOCUMENTS, Reach, Source, find
from batchgen.manifest.sweep import Sweep, SweepReader, unused
from batchgen.model import NO_BUDGET, Budget, CardFacts, Completion, InDoubt, ParamValue, PlanHead, Row
from batchgen.profile import Profile

FindProfile = Callable[[str], Profile]
#: The names of the profiles that have a parameter of that name.
ProfilesWith = Callable[[str], Sequence[str]]
#: What texts name -> what an earlier run of the batch with that id resolved it to; None: as far as is known without.
WordsOf = Callable[[str | None], Mapping[str, str]]
_DEFAULT_PROFILE = "sd3"


def no_words(_: str | None) -> Mapping[str, str]:
    """The words of a batch that is new."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line or a caller says over the manifest."""

    profile: str | None = None
    params: Mapping[str, str | ParamValue] = field(default_factory=dict)  #: text is parsed, other values are checked
    batch_id: str | None = None
    file_prefix: str | None = None
    moment: datetime | None = None  #: what {date} and {datetime} say; None: now
    words_of: WordsOf = no_words  #: what a batch that was begun says for {date}, {env.NAME} and the like
    budget: Budget = NO_BUDGET  #: goes before the manifest's, limit by limit
    folders: Sequence[Path] = ()  #: from which files may be read, besides the manifest's own


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
    completion: Completion = Completion.POLL
    checks: Checks = field(default_factory=Checks)
    provenance: bool = False  #: whether image files say where they come from
    card: CardFacts = field(default_factory=CardFacts)  #: what the user says of the dataset
    in_doubt: InDoubt
    price_per_image: float | None  #: in the account's currency; the manifest's, else the profile's; None: unknown
    budget: Budget = NO_BUDGET  #: has a cost only if there is a price
    split: Mapping[str, float] = field(default_factory=dict)  #: shares of the dataset's parts, adding up to 1; or none
    read_rows: Callable[[], Iterator[Row]] = field(repr=False, compare=False)
    includes: Mapping[str, str] = field(default_factory=dict)  #: files that it reads, and the SHA-256 of each
    label_types: Mapping[str, str] = field(default_factory=dict)  #: label -> int, float, bool or str, where a file says
    dimensions: Sequence[tuple[str, int]] = ()  #: variables and axes, and how many values each has
    words: Mapping[str, str] = field(default_factory=dict)  #: what {date}, {env.NAME} and the like stand for in it
    frozen: PlanHead | None = None  #: of a frozen plan: what it says of itself
    remarks: Remarks = field(default_factory=Remarks, repr=False, compare=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and most likely not meant; of the rows, what the last reading of them met."""
        return self.remarks.texts

    def rows(self) -> Iterator[Row]:
        """The rows in order, read anew by each call; memory does not grow with a table.

        Rows with problems are left out, and reading goes on to find all of them (1,000 are kept, more are counted).

        Raises:
            ManifestError: at the end, with every problem of the rows.
            UsageError: a file cannot be read any more, or has changed.
        """
        return self.read_rows()


_NOTHING = Overrides()


def read_manifest(
    path: Path,
    *,
    find_profile: FindProfile,
    profiles_with: ProfilesWith = lambda _: (),
    overrides: Overrides = _NOTHING,
) -> Manifest:
    """The manifest in a YAML file or in a table alone, or the one that a frozen plan is.

    Args:
        find_profile: the profile of a name; raises UsageError for a name it does not know.
        profiles_with: for messages: where a parameter is known that the profile does not know.
        overrides: what holds whatever the manifest says.

    Raises:
        ManifestError: with every problem of a YAML document, or of a table's header; rows of a table are checked
            as they are read.
        UsageError: the file cannot be read.
    """
    from batchgen.manifest import frozen  # it makes a Manifest, too

    if path.suffix.lower() == frozen.SUFFIX and frozen.is_frozen(path):
        return frozen.read(path, find_profile=find_profile, overrides=overrides)
    source = find(path)
    reading = _Reading(source, find_profile, profiles_with, overrides)
    return reading.document() if source.kind in DOCUMENTS else reading.table()


class _Reading:
    """One reading of one file, and the problems it meets."""

    def __init__(
        self, source: Source, find_profile: FindProfile, profiles_with: ProfilesWith, overrides: Overrides
    ) -> None:
        self._source = source
        self._find_profile = find_profile
        self._profiles_with = profiles_with
        self._overrides = overrides
        self._problems = Problems(source.named)
        self._reach = Reach(source.path.parent, overrides.folders)
        self._batch_id_line: int | None = None
        self._budget_line: int | None = None
        self._remarks = Remarks()
        self._words = words.Words(source.path.stem, overrides.moment, overrides.words_of)

    def document(self) -> Manifest:
        """From YAML: everything but the rows of tables is checked here."""
        root = document.parse(self._source.text(), self._problems)
        if root is None or root.value is None:
            raise self._problems.fatal(None, "the file holds no manifest, only comments.", "List prompts in it.")
        value = document.plain(root)
        top = value if isinstance(value, dict) else {}
        checked = check_document(value)
        self._batch_id_line = line_of(root, ["batch_id"]) if "batch_id" in top else None
        self._budget_line = line_of(root, ["budget"]) if "budget" in top else None
        parameters = self._parameters(top.get("profile"), line_of(root, ["profile"]))
        entries = Entries(root, self._problems, parameters)
        if not isinstance(checked, ManifestDocument):
            entries.complain(checked)
            entries.look_through(top)
        sweep = SweepReader(root, self._problems, parameters, self._reach, self._remarks).read(top)
        fixed = self._fixed(parameters)
        if not isinstance(checked, ManifestDocument) or parameters is None:
            raise self._problems.error()
        reader = self._source_reader(checked, entries, parameters, top)
        sources = list(_sources(reader, checked, entries, top))
        reader.check_columns()
        return self._made(checked, reader, sources, sweep, fixed)

    def table(self) -> Manifest:
        """From a table alone: only its header is checked here."""
        parameters = self._parameters(None, None)
        fixed = self._fixed(parameters)
        self._problems.raise_any()
        if parameters is None:
            raise self._problems.error()
        entry = FileEntry(file=self._source.path.name)
        checked = ManifestDocument(prompts=[entry])
        entries = Entries(None, self._problems, parameters)
        reader = self._source_reader(checked, entries, parameters, {})
        sources = reader.from_file(0, entry, entries.common({}), found=self._source)
        nothing = SweepReader(None, self._problems, parameters, self._reach, self._remarks).read({})
        return self._made(checked, reader, sources, nothing, fixed)

    def _source_reader(
        self, checked: ManifestDocument, entries: Entries, parameters: Parameters, top: Mapping[str, object]
    ) -> SourceReader:
        batch_id = self._batch_id(checked.batch_id)
        self._words.recall(batch_id)
        return SourceReader(
            problems=self._problems,
            entries=entries,
            parameters=parameters,
            reach=self._reach,
            common=entries.common(top),
            columns=checked.columns,
            file_prefix=checked.file_prefix or batch_id,
            fixed_prefix=self._overrides.file_prefix,
            repeat=checked.repeat,
            splits=checked.split,
            remarks=self._remarks,
        )

    def _made(
        self,
        checked: ManifestDocument,
        reader: SourceReader,
        sources: Sequence[RowSource],
        sweep: Sweep,
        fixed: Mapping[str, ParamValue],
    ) -> Manifest:
        unused_variables = self._check_names(sources, sweep, reader)
        self._look_at_flags(fixed)
        profile = reader.parameters.profile
        price = profile.price_per_image if checked.price_per_image is None else checked.price_per_image
        budget = self._budget(Budget(images=checked.budget.images, cost=checked.budget.cost), price)
        self._problems.raise_any()
        batch_id = self._batch_id(checked.batch_id)
        expansion = Expansion(
            sources=sources,
            sweep=sweep,
            parameters=reader.parameters,
            overrides=fixed,
            words=self._words.all,
            fallback_prefix=batch_id,
            problems=partial(Problems, self._source.named),
            remarks=self._remarks,
        )
        named = {name for source in sources for name in source.form.names}
        named.update(without_choices("batch_id", self._overrides.batch_id or checked.batch_id or "").names)
        return Manifest(
            source=self._source.named,
            path=self._source.path,
            sha256=self._source.sha256,
            batch_id=batch_id,
            profile=profile,
            concurrency=checked.concurrency or profile.concurrency,
            rate=checked.rate,
            completion=checked.completion,
            checks=checked.checks.checks,
            provenance=checked.provenance,
            card=checked.card.facts,
            in_doubt=checked.in_doubt,
            price_per_image=price,
            budget=budget,
            split=checked.split,
            read_rows=expansion.rows,
            includes=dict(self._reach.read),
            label_types=reader.label_types,
            dimensions=[dimension for dimension in sweep.dimensions if dimension[0] not in unused_variables],
            words=self._words.to_record(named),
            remarks=self._remarks,
        )

    def _check_names(self, sources: Sequence[RowSource], sweep: Sweep, reader: SourceReader) -> list[str]:
        """Every name that a text has in braces is there, and every axis does something; gives unused variables."""
        known = {*sweep.names, *words.BUILT_IN}
        used: set[str] = set()
        for source in sources:
            named = source.form.names
            used.update(named - source.columns.difference(sweep.axis_names))
            self._look_at(source, sweep, reader.parameters)
            for name in sorted(named - known - source.columns):
                if name in self._words.all and name not in source.form.names_sent:
                    continue  # tags stay with batchgen and its user
                file, line = reader.place(name, source)
                self._problems.of(file).refuse(line, _no_such_name(name, known, source))
        variables, axes = unused(sweep, used, reader.parameters)
        for name in axes:
            self._problems.refuse(sweep.lines.get(name), _useless_axis(name, reader.parameters))
        for one, line in zip(sweep.include, sweep.include_lines, strict=True):
            for name in used.intersection(sweep.axis_names).difference(one):
                message = f"include: says nothing for {name}, which texts take."
                self._problems.add(line, message, f"Give {name} a value.")
        for name in variables:
            self._remarks.note(
                f"the variable {name} is not used in any text", self._source.named, sweep.lines.get(name)
            )
        return variables

    def _look_at(self, source: RowSource, sweep: Sweep, parameters: Parameters) -> None:
        """Note what a source's texts and columns hardly mean."""
        form, swept = source.form, {*sweep.variables, *sweep.axis_names}.difference(parameters.known)
        for name in sorted(swept.intersection(form.names).difference(form.names_asked, source.columns)):
            text = f"a tag or label takes {{{name}}}, which the prompt does not name: only its first value is made"
            self._remarks.note(text, *source.place)
        for name in sorted(source.columns.intersection(sweep.variables, sweep.axes.excluded_names)):
            text = f"{name} is a column here, and exclude looks at the variable {name} only"
            self._remarks.note(text, source.named, None)

    def _look_at_flags(self, fixed: Mapping[str, ParamValue]) -> None:
        for name, value in fixed.items():
            if isinstance(value, str) and "{" in value:
                self._remarks.note(f"{name}: braces are sent as they stand", OVERRIDE, None)

    def _budget(self, given: Budget, price: float | None) -> Budget:
        try:
            return budget_over(given, self._overrides.budget, price)
        except Refused as refusal:
            flagged = self._overrides.budget.cost is not None
            line, source = (None, OVERRIDE) if flagged else (self._budget_line, None)
            self._problems.add(line, refusal.message, refusal.hint, source=source)
            return NO_BUDGET

    def _batch_id(self, given: str | None) -> str:
        named = given if self._overrides.batch_id is None else self._overrides.batch_id
        try:
            text = without_choices("batch_id", named or "").render(self._words.all)
        except Refused as refusal:
            self._problems.refuse(self._batch_id_line, refusal)
        except KeyError as missing:
            self._problems.refuse(self._batch_id_line, words.no_such_word(missing.args[0]))
        else:
            return safe_name(text, fallback=self._source.path.stem)
        raise self._problems.error()

    def _parameters(self, given: object, line: int | None) -> Parameters | None:
        """What the named profile knows; None, with a problem, if there is no such profile."""
        if self._overrides.profile is not None:
            return self._profile(self._overrides.profile, None, source=OVERRIDE)
        name = _DEFAULT_PROFILE if given is None else given
        if not isinstance(name, str) or not name.strip():
            return None  # the document's model complains
        return self._profile(name, line, source=None)

    def _profile(self, name: str, line: int | None, *, source: str | None) -> Parameters | None:
        try:
            return Parameters(self._find_profile(name), elsewhere=self._profiles_with)
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
                self._problems.add(None, refusal.message, refusal.hint, source=OVERRIDE)
        return fixed


def budget_over(given: Budget, said: Budget, price: float | None) -> Budget:
    """The budget of a manifest, with what was said over it.

    Raises:
        Refused: a cost is worth nothing while nobody says what an image costs.
    """
    budget = given.but(said)
    if budget.cost is not None and price is None:
        raise Refused(
            "budget: a cost needs the price of an image, and nobody says it.",
            "Set price_per_image in the manifest, or limit the images.",
        )
    return budget


def _no_such_name(name: str, known: Collection[str], source: RowSource) -> Refused:
    hint = did_you_mean(name, source.columns.union(known)) or "Braces to be shown are doubled: {{ and }}."
    if name.startswith("env."):
        hint = "Variables of the environment that are set and hold no secret may stand in tags."
    there = f"no such variable or axis here, and no such column in {source.named}" if source.columns else ""
    return Refused(f"{{{name}}}: there is {there or 'no such variable or axis here'}.", hint)


def _useless_axis(name: str, parameters: Parameters) -> Refused:
    try:
        parameters.must_know(name)
    except Refused as refusal:
        if parameters.is_known_elsewhere(name):
            return refusal
    hint = did_you_mean(name, parameters.known) or f"Write {{{name}}} in a prompt, or remove the axis."
    return Refused(f"{name}: this axis is no parameter of the API and no text uses it.", hint)


def _sources(
    reader: SourceReader, checked: ManifestDocument, entries: Entries, top: Mapping[str, object]
) -> Iterator[RowSource]:
    for position, (entry, own) in enumerate(zip(checked.prompts, entries.own(top), strict=True)):
        if isinstance(entry, FileEntry):
            yield from reader.from_file(position, entry, own)
        elif (source := reader.from_prompt(position, entry, own)) is not None:
            yield source
