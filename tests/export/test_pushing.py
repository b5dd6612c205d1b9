"""Exports into an object store: a server on this machine stands in for S3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.app.bucket import together
from batchgen.app.exporting import find_format
from batchgen.app.pushing import push
from batchgen.errors import StorageFailed, UsageError
from batchgen.export.destination import MARKER
from tests.export.batches import make_batch, odd_batch
from tests.export.exports import contents, exported

s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto")
#: A server of S3's API on a free port, which it prints; it ends with its standard input.
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


class Bucket:
    """A bucket called `shelf`, looked at by other means than an export's."""

    def __init__(self) -> None:
        self.files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
        self.files.mkdir("shelf")

    def fetch(self, name: str, place: Path) -> dict[str, str]:
        """Hashes of what lies under that name."""
        self.files.get(f"shelf/{name}", str(place), recursive=True)
        return contents(place)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with (
        pytest.MonkeyPatch.context() as environment,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdout is not None
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.stdout.readline().strip()}")
        environment.setenv("AWS_ACCESS_KEY_ID", "a")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "b")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield Bucket()
        server.communicate()


@given(st.lists(st.integers(0, 10**8), max_size=120))
def test_as_many_files_are_on_their_way_as_memory_bears(sizes: list[int]) -> None:
    named = {str(n): size for n, size in enumerate(sizes)}
    found = list(together(named))
    assert [name for some in found for name in some] == list(named)
    assert all(len(some) == 1 or sum(named[name] for name in some) <= 64 * 2**20 for some in found)
    assert max(map(len, found), default=0) <= 32


@pytest.mark.parametrize(
    ("to", "options"), [("webdataset", {"shard_count": 7}), ("imagefolder", {}), ("parquet", {}), ("csv", {})]
)
def test_what_lies_in_the_bucket_is_the_export_to_the_byte_and_nothing_else(
    batch: Path, bucket: Bucket, tmp_path: Path, to: str, options: dict[str, Any]
) -> None:
    here = exported(batch, tmp_path / f"here.{to}", to, **options)
    name = f"whole/{to}" if here.is_dir() else f"whole/rows.{to}"
    made = push(batch, f"s3://shelf/{name}", find_format(to, options))
    assert (made.place, made.there_already) == (f"s3://shelf/{name}", False)
    there, mine = bucket.fetch(name, tmp_path / "there"), contents(here)
    assert (MARKER in there) == here.is_dir()
    assert {**there, MARKER: ""} == {**mine, MARKER: ""}
    assert push(batch, f"s3://shelf/{name}", find_format(to, options)).there_already
    assert [path.name for path in batch.parent.iterdir() if path.name.endswith(".push")] == []


def test_a_push_that_was_interrupted_goes_on_and_is_whole_then(batch: Path, bucket: Bucket, tmp_path: Path) -> None:
    form = find_format("imagefolder", {})
    push(batch, "s3://shelf/cut", form)
    whole = bucket.fetch("cut", tmp_path / "whole")
    marker = (tmp_path / "whole" / MARKER).read_text()
    for lost in ("README.md", "train/metadata.parquet"):
        bucket.files.rm(f"shelf/cut/{lost}")
    bucket.files.pipe(f"shelf/cut/{MARKER}", (marker[: marker.index('"rows"')] + '"rows": {}}').encode())
    assert not push(batch, "s3://shelf/cut", form).there_already
    assert bucket.fetch("cut", tmp_path / "again") == whole


def test_a_push_killed_in_its_middle_goes_on_and_puts_nothing_twice(tmp_path: Path, bucket: Bucket) -> None:
    batch = make_batch(tmp_path / "batch", 300)
    bucket.files.mkdir("versions")
    versioning = {"Status": "Enabled"}
    bucket.files.call_s3("put_bucket_versioning", Bucket="versions", VersioningConfiguration=versioning)
    command = [sys.executable, "-W", "ignore", "-m", "batchgen", "export", str(batch), "s3://versions/cut"]
    command += ["--to", "imagefolder"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(there := bucket.files.find("versions/cut")) < 30:
            assert process.poll() is None
        process.kill()
    assert len(there) < 300
    assert json.loads(bucket.files.cat(f"versions/cut/{MARKER}"))["rows"] == {}  # not whole, as it says itself
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bucket.files.get("versions/cut", str(tmp_path / "there"), recursive=True)
    assert contents(tmp_path / "there") == contents(exported(batch, tmp_path / "here", "imagefolder"))
    versions = bucket.files.call_s3("list_object_versions", Bucket="versions", MaxKeys=1_000)["Versions"]
    put = Counter(version["Key"] for version in versions)
    assert put.pop(f"cut/{MARKER}") == 3  # twice that it has begun, and that it is whole
    assert sum(put.values()) <= len(put) + 32  # but for those that were on their way
    assert [path.name for path in tmp_path.iterdir() if ".push" in path.name] == []


def test_a_place_that_holds_something_else_is_refused_and_left_alone(
    batch: Path, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.files.pipe("shelf/mine/thesis.txt", b"years of work")
    for to, dest in (("imagefolder", "s3://shelf/mine"), ("csv", "s3://shelf/mine/thesis.txt")):
        with pytest.raises(UsageError, match=r"holds something else\. Nothing was changed"):
            push(batch, dest, find_format(to, {}))
    assert list(bucket.fetch("mine", tmp_path / "mine")) == ["thesis.txt"]
    push(batch, "s3://shelf/folder", find_format("imagefolder", {}))
    with pytest.raises(UsageError, match="holds something else"):
        push(batch, "s3://shelf/folder", find_format("csv", {}))
    assert [path.name for path in batch.parent.iterdir() if ".push" in path.name] == []


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_a_sentence_before_anything_is_made(tmp_path: Path) -> None:
    batch = odd_batch(tmp_path / "b", 3)
    with pytest.raises(StorageFailed, match="s3://no-such-shelf/a cannot be written"):
        push(batch, "s3://no-such-shelf/a", find_format("imagefolder", {}))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", 'Could not connect to the endpoint URL: "http://127.0.0.1:9'),
        ("AWS_ACCESS_KEY_ID", None, "Unable to locate credentials"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_store_that_cannot_be_reached_is_a_sentence_before_anything_is_made(
    tmp_path: Path, variable: str, value: str | None, words: str
) -> None:
    batch = odd_batch(tmp_path / "b", 3)
    changed = {name: told for name, told in os.environ.items() if name != variable} | {"AWS_EC2_METADATA_DISABLED": "1"}
    changed |= {"AWS_MAX_ATTEMPTS": "1", "HOME": str(tmp_path)} | ({} if value is None else {variable: value})
    command = [sys.executable, "-W", "ignore", "-m", "batchgen", "export", str(batch), "s3://shelf/a", "--to", "csv"]
    done = subprocess.run(command, env=changed, capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert f"s3://shelf/a cannot be written: {words}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.usefixtures("bucket")
def test_the_command_pushes_to_what_its_destination_names(batch: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "batchgen", "export", str(batch), "s3://shelf/rows.jsonl"]
    done = subprocess.run([*command, "--to", "jsonl"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "s3://shelf/rows.jsonl holds rows as jsonl" in done.stdout


@pytest.mark.parametrize(
    ("dest", "words"),
    [
        ("gs://shelf/animals", "there is no pushing to gs://, only to s3:// and hf://. Export to a folder"),
        ("s3://shelf", "is a whole bucket. Name a place in it, such as s3://shelf/animals"),
    ],
)
def test_places_that_are_not_pushed_to_are_refused(tmp_path: Path, dest: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        push(odd_batch(tmp_path / "b", 2), dest, find_format("csv", {}))
