"""The figures of a run, kept in a file while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from batchgen.adapters.metrics_file import MetricsFile
from batchgen.app.ending import Ending
from batchgen.app.repeating import kept_up_to_date
from batchgen.app.settings import Settings
from batchgen.errors import BatchgenError
from batchgen.ports import Observer

#: Seconds from one writing of the file to the next: half of what Prometheus commonly waits.
_EVERY = 7.5


@contextlib.asynccontextmanager
async def measured(settings: Settings, ending: Ending, observer: Observer) -> AsyncIterator[Observer]:
    """What counts the run that goes on within; nothing, if no file was named.

    Raises:
        UsageError, StorageFailed: on entry; it is no file, or cannot be written. Later that is told to the
            observer, and fails nothing.
    """
    if settings.metrics_file is None:
        yield Observer()
        return
    metrics = MetricsFile(
        settings.metrics_file,
        batch_id=ending.manifest.batch_id,
        price_per_image=ending.manifest.price_per_image,
        started_at=ending.started_at,
    )
    await asyncio.to_thread(metrics.write)
    try:
        async with kept_up_to_date(metrics.write, every=_EVERY):
            yield metrics
    finally:
        metrics.ended(ending.ended_at or ending.started_at, ending.exit_code)
        try:
            await asyncio.to_thread(metrics.write)
        except BatchgenError as failed:
            observer.untold(str(failed))
