"""`plan`: what a manifest amounts to. No network, and nothing written but the table that was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from batchgen.adapters.expansion_file import is_expansion
from batchgen.adapters.expansion_file import write as write_expansion
from batchgen.adapters.file_store import replacing
from batchgen.adapters.profiles import find_profile, profiles_with
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app.folder import BatchFolder
from batchgen.app.settings import Settings, fingerprint
from batchgen.budget import Account
from batchgen.errors import StorageFailed, UsageError
from batchgen.manifest import Manifest, WordsOf, no_words, read_manifest
from batchgen.manifest.frozen import SUFFIX, is_frozen
from batchgen.manifest.names import shown
from batchgen.model import RequestKey
from batchgen.named_files import place_of
from batchgen.planning import Plan
from batchgen.profile import Role
from batchgen.summary import PlanSummary, summarise

#: What the name of a file ends in to which a whole plan can be written.
_TABLES = (".csv", SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A manifest and what it would ask for."""

    manifest: Manifest
    summary: PlanSummary
    out: Path  #: the batch folder that a run would write
    account: Account  #: what runs into that folder have spent, of what may be spent
    to_submit: int  #: images that a run would ask for: all, but for those of a batch that was begun
    table: Path | None = None  #: the file that all requests were written to, if one was asked for
    others: int | None = None  #: how many batches' requests are left out; None if all were wanted
    costly: tuple[str, ...] = ()  #: warnings of what a run would say however quiet

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and most likely not meant."""
        return (*self.costly, *self.manifest.warnings, *BatchFolder(self.out).remarks(), *self._of_all())

    def _of_all(self) -> Iterator[str]:
        if self.summary.parted is not None:
            prompt = shown(self.summary.parted)
            yield f"images of one prompt fall in several parts of the dataset, as those of {prompt}."
        if (shortfall := self.account.shortfall(self.to_submit)) is not None:
            yield shortfall


def read(manifest: Path | str, settings: Settings, *, words_of: WordsOf = no_words) -> Manifest:
    """The manifest, with what the settings say over it.

    Args:
        words_of: see `Overrides`.

    Raises:
        UsageError: the file cannot be read.
        ManifestError: every problem of the document; those of table rows come with iteration.
    """
    overrides = replace(settings.overrides, words_of=words_of)
    folders, trusted = (Path(manifest).parent, Path()), settings.profile is not None
    find = partial(find_profile, folders=folders[::-1] if trusted else folders, trusted=trusted)
    return read_manifest(Path(manifest), find_profile=find, profiles_with=profiles_with, overrides=overrides)


def read_for(manifest: Path | str, out: Path | str | None, settings: Settings) -> tuple[Manifest, BatchFolder]:
    """The manifest, and the folder of its batch.

    In a batch that was begun, `{date}`, `{env.NAME}` and the like say what they said then, whatever day it is now.

    Raises: as `read`; UsageError, too, if *out* is called like a file.
    """
    if table_of(out) is not None:
        raise UsageError(f"{out} is called like a file, and a batch is a folder. Name another --out.")

    def recorded(batch_id: str | None) -> Mapping[str, str]:
        if batch_id is None and (out is None or "{batch_id}" in str(out)):
            return {}  # where it lies is not known yet
        return _recorded_words(batch_folder(batch_id or "", out))

    read_in = read(manifest, settings, words_of=recorded)
    return read_in, batch_folder(read_in.batch_id, out)


def _recorded_words(folder: BatchFolder) -> Mapping[str, str]:
    if not folder.plan.is_file():
        return {}
    from batchgen.adapters.plan_file import PlanFile  # brings pyarrow

    try:
        return PlanFile(folder.plan).head.words
    except StorageFailed:  # a damaged plan: whoever needs it says so
        return {}


def batch_folder(batch_id: str, out: Path | str | None) -> BatchFolder:
    """Where a batch lies: `outputs/<batch_id>` unless said otherwise; `{batch_id}` in *out* stands for the tag.

    Raises:
        UsageError: no folder can be called so.
    """
    root = Path(str(out or "outputs/{batch_id}").replace("{batch_id}", batch_id))
    try:
        root = root.expanduser()  # as a shell does it, but not in --out=~/pictures
        root.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # whoever opens it says what is wrong with it, if anything is
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{str(root)[:80]} cannot be a folder: {error}. Name another --out.") from error
    return BatchFolder(root)


def plan(manifest: Path | str, *, out: Path | str | None = None, settings: Settings | None = None) -> Preview:
    """What a manifest would ask for, counted and checked to its last row.

    Args:
        manifest: a YAML, CSV or TSV file, or a frozen plan.
        out: the batch folder, default `outputs/<batch_id>`; or, if its name ends in .csv or .parquet, a file to write
            all requests to: a table for people, or a frozen plan that can be run.
        settings: what to say over the manifest.

    Raises:
        UsageError: the file cannot be read.
        ManifestError: every problem found in it.
        StorageFailed: the table cannot be written, or the batch whose budget it is cannot be read.
    """
    settings = settings or Settings()
    table = table_of(out)
    read_in, folder = read_for(manifest, None if table is not None else out, settings)
    if table is not None:
        place = place_of(table, by="-o")
        _must_be_free(table, read_in)
    with contextlib.ExitStack() as stack:
        elsewhere, others, costly = _elsewhere(stack, settings, folder)
        planned = Plan(read_in, limit=settings.limit, firsts=SpillingFirsts, elsewhere=elsewhere)
        summary = summarise(planned.entries(), price=read_in.price_per_image, prompts=SpillingFirsts())
        if table is not None:
            _write(planned, place, summary, settings)
    account = Account(budget=read_in.budget, price_per_image=read_in.price_per_image)
    to_submit = summary.samples
    if table is None and account.left is not None and folder.journal.is_file():
        account, to_submit = _gone_on_with(folder, read_in, settings)
    return Preview(
        manifest=read_in,
        summary=summary,
        out=folder.root,
        table=table,
        account=account,
        to_submit=to_submit,
        others=others,
        costly=costly,
    )


def _gone_on_with(folder: BatchFolder, manifest: Manifest, settings: Settings) -> tuple[Account, int]:
    """What the batch in the folder has spent, and how many images a run would ask for."""
    from batchgen.app.opening import OpenedBatch  # brings pyarrow

    with OpenedBatch(folder, manifest, settings) as batch:
        return batch.account(), batch.to_submit()


def _elsewhere(
    stack: contextlib.ExitStack, settings: Settings, folder: BatchFolder
) -> tuple[Callable[[RequestKey], str | None], int | None, tuple[str, ...]]:
    """What says of a key which other batch has it, until the stack is left; how many others there are; and warnings."""
    if not settings.only_new:
        return lambda key: None, None, ()
    from batchgen.app.earlier import EarlierBatches, remarks  # brings pyarrow

    others = stack.enter_context(EarlierBatches(settings.against, itself=folder))
    others.read()
    return others.batch_with, len(others.folders), tuple(remarks(settings.against, itself=folder))


def table_of(out: Path | str | None) -> Path | None:
    """The file that *out* names, if it names one and no batch folder."""
    path = None if out is None else Path(out)
    return path if path is not None and path.suffix.lower() in _TABLES and not _is_folder(path) else None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that no disk takes; whoever writes there says so
        return False


def _must_be_free(table: Path, manifest: Manifest) -> None:
    """Nothing is written over but what `plan` itself wrote, and that outside of batches only.

    Raises:
        UsageError: the table would be written over something else.
    """
    if not _is_folder(table.parent):
        raise UsageError(f"{table}: there is no folder {table.parent}. Make it, or name another file.")
    for above in (parent for parent in table.resolve().parents if _is_batch(parent)):
        raise UsageError(f"{table} lies in the batch folder {above}, which runs alone write to. Name another place.")
    try:
        if not table.exists():
            return
        if table.samefile(manifest.path):
            raise UsageError(f"{table} is the manifest itself, and would be overwritten. Name another file.")
        includes = (manifest.path.parent / name for name in manifest.includes)
        if any(path.exists() and table.samefile(path) for path in includes):
            raise UsageError(f"{table} is read by the manifest, and would be overwritten. Name another file.")
        if not is_expansion(table) and not (table.suffix.lower() == SUFFIX and is_frozen(table)):
            raise UsageError(f"{table} is there and is no table that `plan` wrote. Remove it, or name another file.")
    except OSError as error:
        raise UsageError(f"{table} cannot be written: {error.strerror}. Name another file.") from error


def _is_batch(folder: Path) -> bool:
    kept = BatchFolder(folder)
    return kept.journal.exists() or kept.plan.exists()


def _write(planned: Plan, place: Path, summary: PlanSummary, settings: Settings) -> None:
    manifest = planned.manifest
    with replacing(place) as part:
        if place.suffix.lower() == SUFFIX:
            from batchgen.adapters.plan_file import freeze  # brings pyarrow, which few plans need
            from batchgen.app.freezing import origin

            freeze(planned.entries(), part, origin(manifest, fingerprint=fingerprint(manifest, settings)))
            return
        roles = (Role.IMAGE, Role.DELIVERY)
        params = [name for role in roles for name in manifest.profile.named(role) if name != "prompt"]
        write_expansion(planned, part, params=params, labels=summary.labels)
