"""A user's own profile, in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

import batchgen
from batchgen import Settings
from batchgen.adapters.profiles import find_profile
from batchgen.app.preview import read
from batchgen.errors import ManifestError, UsageError
from batchgen.profile import States
from tests.factories import a_profile

OWN = """\
extends: sd3
base_url: https://images.example.org/v2
submit_path: /make
status_path: /jobs/{id}
key: {header: X-Token}
parameters:
  samples: {maximum: 8}
  webhook: null
webhook_parameter: null
states: {working: [waiting], completed: [done], failed: [broken]}
fields: {job_id: [job], urls: [pictures]}
concurrency: 3
price_per_image: 0.02
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(OWN)
    return tmp_path


@pytest.mark.parametrize(
    ("lines", "provider"),
    [
        ("base_url: https://images.example.org", "images.example.org"),
        ("base_url: https://images.example.org\nprovider: imagepipeline.io", "imagepipeline.io"),
        ("base_url: http://127.0.0.1:8080", "imagepipeline.io"),
        ("concurrency: 3", "imagepipeline.io"),
    ],
)
def test_what_another_host_makes_is_not_what_was_made_before(folder: Path, lines: str, provider: str) -> None:
    (folder / "other.yaml").write_text(f"extends: sd3\n{lines}\n")
    assert find_profile("other.yaml").endpoint == f"{provider}{find_profile('sd3').submit_path}"


def test_a_file_changes_what_it_names_and_keeps_the_rest(folder: Path) -> None:
    profile, base = find_profile("mine.yaml"), find_profile("sd3")
    assert (profile.name, profile.base_url) == ("mine", "https://images.example.org/v2")
    assert (profile.submit_path, profile.status_path) == ("/make", "/jobs/{id}")
    assert (profile.key.header, profile.key.variable) == ("X-Token", "IMAGEPIPELINE_API_KEY")
    assert profile.parameters["samples"].maximum == 8
    assert "webhook" not in profile.parameters
    assert profile.states.completed == ("done",)
    assert (profile.fields.job_id, profile.fields.urls, profile.fields.state) == (("job",), ("pictures",), ("status",))
    assert (profile.concurrency, profile.price_per_image) == (3, 0.02)
    assert profile.model == base.model


def test_a_profile_may_stand_alone(folder: Path) -> None:
    (folder / "alone.yml").write_text(
        "title: Mine\nprovider: me\nmodel: m\nbase_url: https://example.org\nsubmit_path: /a\nstatus_path: /a/{id}\n"
        "key: {header: K, variable: MY_KEY}\nparameters: {prompt: {type: text, required: true}}\n"
        "states: {working: [w], completed: [c], failed: [f]}\nfields: {job_id: [i], state: [s], urls: [u]}\n"
    )
    assert find_profile("alone.yml").endpoint == "me/a"


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        ("concurency: 3", 14, "concurency: unknown key. Did you mean concurrency?"),
        ("parameters: {samples: {maximum: four}}", None, "stands twice"),
        ("price_per_image: free", None, "stands twice"),
        ("image_hosts: cdn.test", 14, "image_hosts: should be a valid tuple, not 'cdn.test'"),
        ("job_deadline: 0", 14, "job_deadline: should be greater than 0, not 0"),
        ("simulated: perhaps", 14, "simulated: should be a valid boolean"),
        ("job_deadline: .inf", 14, "job_deadline: should be a finite number"),
        ("early_urls_parameter: nosuch", 1, "early_urls_parameter: must be null or a parameter with the role delivery"),
        ("a: [", None, "not valid YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line_and_key(
    folder: Path, change: str, line: int | None, words: str
) -> None:
    (folder / "mine.yaml").write_text(f"{OWN}{change}\n")
    with pytest.raises(UsageError) as caught:
        find_profile("mine.yaml")
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"mine.yaml:{line or ''}")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("maximum: 8", "maximum: lots", "mine.yaml:7: parameters.samples.maximum: should be a valid number"),
        ("maximum: 8", "maximun: 8", "parameters.samples.maximun: unknown key. Did you mean maximum?"),
        ("working:", "workin:", "states.workin: unknown key. Did you mean working?"),
        ("header: X-Token", "header: X Token", "mine.yaml:5: key.header: must be the name of a header, not 'X Token'"),
        ("/jobs/{id}", "/jobs", "status_path: must hold {id}"),
        ("/make", "make", "submit_path: must be a path that begins with /, percent-encoded"),
        ("extends: sd3", "extends: sd4", "mine.yaml:1: extends: There is no profile 'sd4'. Did you mean 'sd3'?"),
        ("extends: sd3", "extends: p.yaml", "extends: only a profile that comes with batchgen can be extended"),
        ("maximum: 8", "minimum: .nan", "parameters.samples.minimum: should be a finite number"),
        ("/make", "/{model}/make", "submit_path: must be a path that begins with /, percent-encoded"),
        ("/jobs/{id}", "/jobs/{id}#now", "status_path: must be a path that begins with /, percent-encoded"),
        ("/make", "/für", "submit_path: must be a path that begins with /, percent-encoded"),
        ("example.org", "example.org:70000", "base_url: 'https://images.example.org:70000/v2' is not a URL"),
        ("images.example", "ex／ample", "is not a URL"),
        ("X-Token", "Content-Length", "key.header: must be a header that can carry a key"),
        (
            "  webhook: null\n",
            "  a: {type: integer, role: fan_out}\n  b: {type: integer, role: fan_out}\n",
            "only one may",
        ),
        ("extends: sd3", "extends: [sd3]", "extends: must be a profile's name, not a list"),
        ("extends: sd3\n", "", "title: is missing. Give it, or begin with extends:"),
        (OWN, "- a\n", "a profile is a mapping"),
    ],
)
def test_a_wrong_value_is_told_with_its_key(folder: Path, old: str, new: str, words: str) -> None:
    (folder / "mine.yaml").write_text(OWN.replace(old, new))
    with pytest.raises(UsageError) as caught:
        find_profile("mine.yaml")
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_where_it_was_looked_for(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no profile their\.yaml or sub/their\.yaml.*batchgen profiles"):
        find_profile("their.yaml", folders=(Path(), Path("sub")))


# --- Named by a manifest, which may come from elsewhere


def manifest_with(folder: Path, profile: str) -> Path:
    folder.mkdir(exist_ok=True)
    manifest = folder / "m.yaml"
    manifest.write_text(f"profile: {profile}\nprompts: [A fox]\n")
    return manifest


def test_a_manifest_finds_its_profile_beside_itself_and_then_where_the_user_stands(folder: Path) -> None:
    manifest = manifest_with(folder / "sub", "mine.yaml")
    (folder / "mine.yaml").write_text(OWN.replace("images.example.org", "api.imagepipeline.io"))
    assert read(manifest, Settings()).profile.concurrency == 3
    (folder / "sub/mine.yaml").write_text("extends: sd3\nconcurrency: 5\n")
    assert read(manifest, Settings()).profile.concurrency == 5
    assert read(manifest, Settings(profile="mine.yaml")).profile.concurrency == 3


def test_a_manifest_names_no_profile_outside_of_its_folder(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    manifest = manifest_with(inner / "sub", "../../mine.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inner)
        with pytest.raises(ManifestError, match=r"m\.yaml:1: profile: .*outside of the manifest's folder"):
            read(manifest, Settings())


@pytest.mark.parametrize(
    "key", ["{header: X}", "{header: X, variable: AWS_SECRET_ACCESS_KEY}", "{header: X, variable: BATCHGEN_KEY_OTHER}"]
)
def test_a_manifests_profile_sends_no_key_to_a_host_that_it_is_not_for(folder: Path, key: str) -> None:
    (folder / "mine.yaml").write_text(OWN.replace("{header: X-Token}", key))
    manifest = manifest_with(folder, "mine.yaml")
    with pytest.raises(
        ManifestError,
        match=r"mine\.yaml:5: key\.variable: .*to images\.example\.org.*in BATCHGEN_KEY_IMAGES_EXAMPLE_ORG",
    ):
        read(manifest, Settings())
    assert read(manifest, Settings(profile="mine.yaml")).profile.key.header == "X"


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("https://images.example.org", "{header: X, variable: BATCHGEN_KEY_IMAGES_EXAMPLE_ORG}"),
        ("https://my-images.example.org", "{header: X, variable: BATCHGEN_KEY_MY__IMAGES_EXAMPLE_ORG}"),
        ("https://eu.imagepipeline.io", "{header: X}"),
        ("http://127.0.0.1:8000", "{header: X}"),
    ],
)
def test_a_manifests_profile_may_send_a_key_home_and_that_of_a_host_to_that_host(
    folder: Path, base_url: str, key: str
) -> None:
    (folder / "mine.yaml").write_text(f"extends: sd3\nbase_url: {base_url}\nkey: {key}\n")
    assert read(manifest_with(folder, "mine.yaml"), Settings()).profile.base_url == base_url


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.imagepipeline.io",
        "https://imagepipeline.io.evil.test",
        "https://[::1].evil.test",
        r"https://evil.test\.imagepipeline.io",
        "https://evil.test%2f.imagepipeline.io",
        "https://imagepipeline.io@evil.test",
        "https://127.1",
    ],
)
def test_a_manifests_profile_sends_no_key_in_the_clear_or_to_a_look_alike(folder: Path, base_url: str) -> None:
    (folder / "mine.yaml").write_text(f"extends: sd3\nbase_url: {base_url}\n")
    with pytest.raises(ManifestError, match=r"key|base_url"):
        read(manifest_with(folder, "mine.yaml"), Settings())


def test_a_parameter_that_another_api_has_is_refused_with_the_name_of_that_api(folder: Path) -> None:
    manifest = folder / "m.yaml"
    manifest.write_text("prompts: [{prompt: A fox, params: {seed: 1}}]\n")
    with pytest.raises(ManifestError, match=r"sd3 has no seed.*flux, image-v1, sd15 and sdxl have one"):
        batchgen.plan(manifest)


def test_a_plan_is_made_with_a_profile_of_ones_own(folder: Path) -> None:
    manifest = folder / "m.yaml"
    manifest.write_text("prompts: [{prompt: A fox, params: {samples: 8}}]\n")
    summary = batchgen.plan(manifest, settings=Settings(profile="mine.yaml")).summary
    assert (summary.samples, summary.cost) == (8, 0.16)


@pytest.mark.parametrize("host", ["https://cdn.test", "cdn.test:8443", "cdn.test/path", "*", "", "a*.test"])
def test_a_pattern_that_no_image_host_can_match_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="the name of a host"):
        a_profile(image_hosts=(host,))


@pytest.mark.parametrize("host", ["cdn.test", "*.cdn.test", "127.0.0.1", "::1", "bücher.test"])
def test_hosts_and_what_lies_below_them_are_taken(host: str) -> None:
    assert a_profile(image_hosts=(host,)).image_hosts == (host,)


def test_white_space_around_a_state_is_none_of_the_word() -> None:
    assert States(working=(), completed=(" SUCCESS ",), failed=()).completed == ("SUCCESS",)
