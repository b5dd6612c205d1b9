"""`init`: an example to start from, laid down with the files that it names and the schema that editors check it by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchgen.adapters.profiles import find_profile
from batchgen.errors import StorageFailed, UsageError
from batchgen.manifest import json_schema, read_manifest

#: The manifests of the repository, as they come with the package.
_EXAMPLES = Path(__file__).parents[1] / "examples"
SCHEMA_NAME = "manifest.schema.json"
_COMMENT = "# yaml-language-server: $schema="


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What was laid down."""

    manifest: Path
    files: tuple[Path, ...]  #: all of them, the manifest first


def examples() -> dict[str, str]:
    """The names of the examples, and what each shows in a sentence."""
    return {path.stem: _sentence(path) for path in sorted(_EXAMPLES.glob("*.yaml"))}


def init(folder: Path | str = ".", *, example: str = "quickstart") -> Start:
    """Lay an example down in a folder, which is made if need be. Nothing that is there is written over.

    Raises:
        UsageError: there is no such example, or a file of it is there already.
        StorageFailed: the disk does not take it.
    """
    source = _EXAMPLES / f"{example}.yaml"
    if example not in examples():
        raise UsageError(f"There is no example {example!r}; there are {', '.join(examples())}.")
    includes = read_manifest(source, find_profile=find_profile).includes
    comment, rest = source.read_text(encoding="utf-8").split("\n", 1)
    contents = {
        source.name: f"{_COMMENT}{SCHEMA_NAME}\n{rest}".replace("manifests/", "") if _COMMENT in comment else rest,
        **{name: (_EXAMPLES / name).read_text(encoding="utf-8") for name in includes},
        SCHEMA_NAME: json.dumps(json_schema(), indent=2) + "\n",
    }
    _refuse_to_overwrite(Path(folder), contents)
    try:
        for name, content in contents.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                with path.open("x", encoding="utf-8") as file:
                    file.write(content)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{error.filename} is in the way. Name another folder.") from error
    except OSError as error:
        raise StorageFailed(f"{folder} cannot be written: {error}. Mend that, or name another folder.") from error
    return Start(manifest=Path(folder) / source.name, files=tuple(Path(folder) / name for name in contents))


def _refuse_to_overwrite(folder: Path, contents: Mapping[str, str]) -> None:
    for name, content in contents.items():
        path = folder / name
        if path.is_symlink() or (path.exists() and not _is_equal(path, content)):
            raise UsageError(f"{path} is there already. Nothing was written; name another folder.")


def _is_equal(path: Path, content: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == content
    except (OSError, UnicodeDecodeError):
        return False


def _sentence(path: Path) -> str:
    """The first sentence of the comment at the top of an example."""
    lines = (line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").splitlines()[1:5])
    return " ".join(lines).split(". ")[0].removesuffix(".")
