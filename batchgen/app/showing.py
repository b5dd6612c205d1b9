"""`grid` and `simulate`: the pictures of a batch on one sheet, and the APIs stood in for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from batchgen.app.folder import BatchFolder
from batchgen.errors import StorageFailed, UsageError
from batchgen.simulator import Behaviour, Faults, Simulator, serve


def draw_grid(out: Path | str, picture: Path | str, *, columns: int = 4, at_most: int = 24, cell: int = 256) -> None:
    """Draw the first images of a batch, with their prompts, as one picture.

    Args:
        out: the batch folder.
        picture: the file to write; its ending says the format.
        columns: pictures side by side.
        at_most: pictures on the sheet.
        cell: width and height of each in pixels.

    Raises:
        UsageError: no image is stored yet, or the ending is of no known format.
        StorageFailed: the batch cannot be read, or the picture not written.
    """
    from PIL import Image

    from batchgen.review import contact_sheet

    if Path(picture).suffix.lower() not in Image.registered_extensions():
        raise UsageError(f"{picture} has no ending of a known picture format; write .png, .jpg or .webp.")
    if not BatchFolder(Path(out)).index.is_file():
        raise UsageError(f"{out} holds no index yet. Name a batch folder, or run its manifest first.")
    sheet = contact_sheet.draw(BatchFolder(Path(out)).index, columns=columns, at_most=at_most, cell=cell)
    try:
        sheet.save(picture)
    except (ValueError, OSError) as error:
        raise StorageFailed(f"The picture {picture} cannot be written: {error}.") from error


def behaviour(*, file: str | None, faults: str | None, **changes: object) -> Behaviour:
    """What a simulator is told.

    Args:
        file: of YAML or JSON that says all of it; None: the plainest behaviour.
        faults: another, whose faults go before that file's.
        changes: other values for some of its names, which go before both; None leaves a name as it is.

    Raises:
        UsageError: a file or value that cannot be.
    """
    told = Behaviour() if file is None else Behaviour.from_file(file)
    if faults is not None:
        changes["faults"] = Faults.from_file(faults)
    return told.changed(**{name: value for name, value in changes.items() if value is not None})


def simulate(
    started: Callable[[str], None],
    told: Behaviour,
    *,
    profiles: Sequence[str] = (),
    port: int = 0,
    seed: int = 0,
) -> None:
    """Stand in for the APIs on a loopback port, until interrupted.

    Args:
        started: told the base URL once it answers.
        profiles: whose endpoints; none named: all.
        port: 0 for any free one.
        seed: another seed, other pictures, latencies and faults.

    Raises:
        UsageError: a profile is not known, or the port is taken.
    """
    simulator = Simulator(*profiles, behaviour=told, seed=seed)

    async def forever() -> None:
        async with serve(simulator, port=port) as url:
            started(url)
            await asyncio.Event().wait()

    asyncio.run(forever())
