"""A dataset on the Hub of Hugging Face: an export is one commit, so that nothing of it is seen before all of it is.

Large files are sent first and lie there under their hashes, in no commit. A push that was interrupted sends only those
that are missing, and the commit. It is made upon the very state of the repository that was looked at, or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batchgen.errors import AccountBlocked, KeyMissing, StorageFailed, UsageError
from batchgen.export.destination import MARKER
from batchgen.export.source import Tick
from batchgen.index.links import without_signatures
from batchgen.review.rules import MOST_ENTRIES

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_PLACE = re.compile(r"hf://datasets/(?P<name>[^/@]+/[^/@]+)(?:@(?P<branch>[^/]+))?(?:/(?P<path>.*?))?/?", re.IGNORECASE)
_KIND = "dataset"
#: Files that one commit holds, as huggingface_hub says of `create_commit`.
_MOST_IN_A_COMMIT = 25_000
#: Files that the Hub is asked about at one time, as huggingface_hub does.
_AT_A_TIME = 256
#: What the Hub itself puts into a new repository.
_THE_HUBS = ".gitattributes"
_SHOWN = 400  # characters of what the Hub or the network says


class Hub:
    """`hf://datasets/USER/NAME`, with `@BRANCH` and a folder or file in it where wanted; see `pushing.Remote`.

    Raises:
        KeyMissing: neither is HF_TOKEN set, nor has `hf auth login` left a token.
    """

    def __init__(self, dest: str) -> None:
        found = _PLACE.fullmatch(dest)
        if found is None:
            raise UsageError(f"{dest} is no dataset on the Hub. Name one, such as hf://datasets/me/animals.")
        self._dest, self._name, self._branch = dest, found["name"], found["branch"] or "main"
        self._path = (found["path"] or "").strip("/")
        try:
            from huggingface_hub import HfApi, get_token
        except ImportError as error:
            raise UsageError(f"{dest}: that needs huggingface_hub. Run pip install 'batchgen[hf]' first.") from error
        self._api = HfApi()
        token = get_token()
        if token is None:
            raise KeyMissing(host=urlsplit(self._api.endpoint).netloc, variable="HF_TOKEN")
        self._token = token

    def look(self) -> None:
        """Refuse a place where something lies that is no export, before one is made."""
        with self._reached():
            there = self._there(self._head())
            if there and MARKER not in there and "" not in there:
                raise self._something_else()

    def put(self, made: Mapping[str, Path], begun: Callable[[int], Tick]) -> bool:
        """Put the files there in one commit."""
        self._must_fit(made)
        with self._reached():
            head = self._head() or self._created()
            there = self._there(head)
            if there:
                if there.keys() == made.keys() and all(_is_same(there[name], made[name]) for name in made):
                    return True
                raise self._something_else()
            self._commit(made, head, begun(len(made)))
        return False

    def _commit(self, made: Mapping[str, Path], head: str, tick: Tick) -> None:
        from huggingface_hub import CommitOperationAdd

        additions = [CommitOperationAdd(self._in_repository(name), path) for name, path in made.items()]
        for first in range(0, len(additions), _AT_A_TIME):
            some = additions[first : first + _AT_A_TIME]
            self._api.preupload_lfs_files(self._name, some, repo_type=_KIND, revision=self._branch, free_memory=False)
            tick(len(some))
        self._api.create_commit(
            self._name,
            additions,
            commit_message=f"Add an export of batchgen: {len(made):,} files",
            repo_type=_KIND,
            revision=self._branch,
            parent_commit=head,
        )

    def _head(self) -> str | None:
        """The commit that the branch is at; None if there is no such dataset yet."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        try:
            return self._api.repo_info(self._name, repo_type=_KIND, revision=self._branch).sha
        except RepositoryNotFoundError:
            return None
        except RevisionNotFoundError as error:
            raise UsageError(
                f"{self._dest}: {self._name} has no branch {self._branch}. Make it with `hf repos branch create "
                f"{self._name} {self._branch} --repo-type dataset`, or name another."
            ) from error

    def _created(self) -> str:
        """Make the dataset; nobody else sees it until its owner says so."""
        self._api.create_repo(self._name, repo_type=_KIND, private=True, exist_ok=True)
        head = self._head()
        if head is None:
            raise StorageFailed(f"{self._dest} was made and cannot be read. Run the same command again.")
        return head

    def _there(self, head: str | None) -> dict[str, RepoFile]:
        """What lies at the place, by its name there; "" is the place itself, if it is a file."""
        if head is None:
            return {}
        from huggingface_hub.hf_api import RepoFile

        self._must_ignore_nothing(head)
        if self._path:
            found = self._api.get_paths_info(self._name, [self._path], revision=head, repo_type=_KIND)
            if not found:
                return {}
            if isinstance(found[0], RepoFile):
                return {"": found[0]}
        tree = self._api.list_repo_tree(self._name, self._path or None, recursive=True, revision=head, repo_type=_KIND)
        files = (entry for entry in tree if isinstance(entry, RepoFile))
        named = {entry.path.removeprefix(f"{self._path}/"): entry for entry in files}
        return {name: entry for name, entry in named.items() if self._path or name != _THE_HUBS}

    def _must_ignore_nothing(self, head: str) -> None:
        if self._api.get_paths_info(self._name, [".gitignore"], revision=head, repo_type=_KIND):
            raise UsageError(
                f"{self._dest}: {self._name} has a .gitignore, by which the Hub leaves files out of commits. "
                "Remove it, or name another dataset."
            )

    def _must_fit(self, made: Mapping[str, Path]) -> None:
        if "" in made and not self._path:
            raise UsageError(f"{self._dest} is a whole dataset. Name a file in it, such as {self._dest}/images.jsonl.")
        folders = Counter(PurePosixPath(name).parent for name in made)
        entries = max(folders.values())
        if len(made) > _MOST_IN_A_COMMIT or entries >= MOST_ENTRIES:
            told = f"{len(made):,} files, {entries:,} of them in one folder"
            raise UsageError(
                f"{self._dest}: the export has {told}, and the Hub takes {_MOST_IN_A_COMMIT:,} in a commit and fewer "
                f"than {MOST_ENTRIES:,} in a folder. Export --to parquet or webdataset, which make few."
            )

    def _in_repository(self, name: str) -> str:
        return str(PurePosixPath(self._path) / name)

    def _something_else(self) -> UsageError:
        return UsageError(f"{self._dest} holds something else. Nothing was changed; name another place or remove it.")

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """What the Hub refuses, and what the network does, as a sentence without the token or a signed link."""
        errors = importlib.import_module("huggingface_hub.errors")
        try:
            with _without_bars():
                yield
        except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:
            cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
            said = without_signatures(" ".join(str(cause).split()).replace(self._token, "…"))[:_SHOWN].rstrip(".")
            if isinstance(cause, errors.HfHubHTTPError) and cause.response.status_code in (401, 403):
                raise AccountBlocked(
                    f"{self._dest}: the Hub does not take the token for this ({said}). Nothing of the export is to be "
                    "seen there; set HF_TOKEN to one that may write to it, and run the same command again."
                ) from error
            raise StorageFailed(
                f"{self._dest} cannot be written: {said}. Nothing of the export is to be seen there yet; mend that, "
                "and the same command goes on."
            ) from error


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """The progress is shown by who pushes."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _is_same(there: RepoFile, made: Path) -> bool:
    if there.size != made.stat().st_size:
        return False
    with made.open("rb") as file:
        if there.lfs is not None:
            return hashlib.file_digest(file, "sha256").hexdigest() == there.lfs.sha256
        return there.blob_id == hashlib.sha1(b"blob %d\0" % there.size + file.read(), usedforsecurity=False).hexdigest()
