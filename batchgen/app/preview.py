"""`plan`: what a manifest amounts to. No network, nothing written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batchgen.adapters.profiles import find_profile
from batchgen.app.folder import BatchFolder
from batchgen.app.settings import Settings
from batchgen.manifest import Manifest, read_manifest
from batchgen.planning import Plan, PlanSummary, summarise


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A manifest and what it would ask for."""

    manifest: Manifest
    summary: PlanSummary
    out: Path  #: the batch folder that a run would write


def read(manifest: Path | str, settings: Settings) -> Manifest:
    """The manifest, with what the settings say over it.

    Raises:
        UsageError: the file cannot be read.
        ManifestError: every problem of the document; those of table rows come with iteration.
    """
    return read_manifest(Path(manifest), find_profile=find_profile, overrides=settings.overrides)


def batch_folder(manifest: Manifest, out: Path | str | None) -> BatchFolder:
    """Where a batch lies: `outputs/<batch_id>` unless said otherwise; `{batch_id}` in *out* stands for the tag."""
    return BatchFolder(Path(str(out or "outputs/{batch_id}").replace("{batch_id}", manifest.batch_id)))


def plan(manifest: Path | str, *, out: Path | str | None = None, settings: Settings | None = None) -> Preview:
    """What a manifest would ask for, counted and checked to its last row.

    Args:
        manifest: a YAML, CSV or TSV file.
        out: the batch folder; default `outputs/<batch_id>`.
        settings: what to say over the manifest.

    Raises:
        UsageError: the file cannot be read.
        ManifestError: every problem found in it.
    """
    settings = settings or Settings()
    read_in = read(manifest, settings)
    entries = Plan(read_in, limit=settings.limit).entries()
    summary = summarise(entries, price=read_in.price_per_image)
    return Preview(manifest=read_in, summary=summary, out=batch_folder(read_in, out).root)
