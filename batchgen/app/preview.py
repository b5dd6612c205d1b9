"""`plan`: what a manifest amounts to. No network, and nothing written but the table that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from batchgen.adapters import expansion_file
from batchgen.adapters.profiles import find_profile, profiles_with
from batchgen.adapters.spilling import SpillingFirsts
from batchgen.app.folder import BatchFolder
from batchgen.app.settings import Settings, fingerprint
from batchgen.budget import in_words, most_images
from batchgen.errors import StorageFailed, UsageError
from batchgen.manifest import Manifest, read_manifest
from batchgen.planning import Plan
from batchgen.profile import Role
from batchgen.summary import PlanSummary, summarise

#: What the name of a file ends in to which a whole plan can be written.
_TABLES = (".csv", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A manifest and what it would ask for."""

    manifest: Manifest
    summary: PlanSummary
    out: Path  #: the batch folder that a run would write
    table: Path | None = None  #: the file that all requests were written to, if one was asked for

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and most likely not meant."""
        budget, price = self.manifest.budget, self.manifest.price_per_image
        most = most_images(budget, price)
        if most is None or self.summary.samples <= most:
            return self.manifest.warnings
        more = (
            f"the plan asks for {self.summary.samples:,} images, and the budget is {in_words(budget, price)}: "
            "a run stops there."
        )
        return (*self.manifest.warnings, more)


def read(manifest: Path | str, settings: Settings, *, words: Mapping[str, str] | None = None) -> Manifest:
    """The manifest, with what the settings say over it.

    Args:
        words: what its texts name, as an earlier run resolved it.

    Raises:
        UsageError: the file cannot be read.
        ManifestError: every problem of the document; those of table rows come with iteration.
    """
    overrides = replace(settings.overrides, words=words or {})
    folders, trusted = (Path(manifest).parent, Path()), settings.profile is not None
    find = partial(find_profile, folders=folders[::-1] if trusted else folders, trusted=trusted)
    return read_manifest(Path(manifest), find_profile=find, profiles_with=profiles_with, overrides=overrides)


def read_for(manifest: Path | str, out: Path | str | None, settings: Settings) -> tuple[Manifest, BatchFolder]:
    """The manifest, and the folder of its batch.

    In a batch that was begun, `{date}`, `{env.NAME}` and the like say what they said then, whatever day it is now.

    Raises: as `read`.
    """
    read_in = read(manifest, settings)
    folder = batch_folder(read_in, out)
    recorded = _recorded_words(folder)
    if any(recorded.get(name, word) != word for name, word in read_in.words.items()):
        read_in = read(manifest, settings, words=recorded)
    return read_in, folder


def _recorded_words(folder: BatchFolder) -> Mapping[str, str]:
    if not folder.plan.is_file():
        return {}
    from batchgen.adapters.plan_file import PlanFile  # brings pyarrow

    try:
        return PlanFile(folder.plan).head.words
    except StorageFailed:  # a damaged plan: whoever needs it says so
        return {}


def batch_folder(manifest: Manifest, out: Path | str | None) -> BatchFolder:
    """Where a batch lies: `outputs/<batch_id>` unless said otherwise; `{batch_id}` in *out* stands for the tag."""
    return BatchFolder(Path(str(out or "outputs/{batch_id}").replace("{batch_id}", manifest.batch_id)))


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
        StorageFailed: the table cannot be written.
    """
    settings = settings or Settings()
    table = table_of(out)
    read_in, folder = read_for(manifest, None if table is not None else out, settings)
    if table is not None:
        _must_be_free(table, read_in)
    planned = Plan(read_in, limit=settings.limit, firsts=SpillingFirsts)
    summary = summarise(planned.entries(), price=read_in.price_per_image, prompts=SpillingFirsts())
    if table is not None:
        _write(planned, table, summary, settings)
    return Preview(manifest=read_in, summary=summary, out=folder.root, table=table)


def table_of(out: Path | str | None) -> Path | None:
    """The file that *out* names, if it names one and no batch folder."""
    path = None if out is None else Path(out)
    return path if path is not None and path.suffix.lower() in _TABLES and not path.is_dir() else None


def _must_be_free(table: Path, manifest: Manifest) -> None:
    if not table.parent.is_dir():
        raise UsageError(f"{table}: there is no folder {table.parent}. Make it, or name another file.")
    if table.exists() and table.samefile(manifest.path):
        raise UsageError(f"{table} is the manifest itself, and would be overwritten. Name another file.")


def _write(planned: Plan, table: Path, summary: PlanSummary, settings: Settings) -> None:
    manifest = planned.manifest
    if table.suffix.lower() == ".parquet":
        from batchgen.adapters.plan_file import freeze  # brings pyarrow, which few plans need
        from batchgen.app.freezing import origin

        freeze(planned, table, origin(manifest, fingerprint=fingerprint(manifest, settings)))
        return
    roles = (Role.IMAGE, Role.DELIVERY)
    params = [name for role in roles for name in manifest.profile.named(role) if name != "prompt"]
    expansion_file.write(planned, table, params=params, labels=summary.labels)
