"""The image processes of a run, and what they have to know."""

from __future__ import annotations

import os
from collections.abc import Callable

from batchgen.adapters.http_api.addresses import AddressRule
from batchgen.adapters.image_process.fetching import ImageProcesses
from batchgen.app import image_worker
from batchgen.app.folder import BatchFolder
from batchgen.app.image_worker import Setup
from batchgen.app.settings import Settings
from batchgen.manifest import Manifest
from batchgen.model import Completion


def image_processes(
    manifest: Manifest,
    settings: Settings,
    *,
    folder: BatchFolder,
    base_url: str | None,
    clean: Callable[[str], str],
) -> ImageProcesses:
    """What fetches the images of a batch, in as many processes as there are cores to decode them.

    Args:
        base_url: of the API, if it is not the profile's.
        clean: takes secrets out of what is quoted of an answer.
    """
    profile = manifest.profile
    hosts = AddressRule.beside(
        base_url or profile.base_url, hosts=profile.image_hosts, private=settings.allow_private_hosts
    )
    checks = settings.checks or manifest.checks
    completion = settings.completion or manifest.completion
    setup = Setup(
        folder=folder.root.absolute(),
        rule=hosts,
        checks=checks,
        embeds=profile if manifest.provenance else None,
        read_again=settings.report or bool(checks.score),
    )
    return ImageProcesses(
        image_worker.__name__,
        setup,
        most=os.cpu_count() or 1,
        ahead=completion is not Completion.DETACH,  # which leaves all images to a later run
        clean=clean,
    )
