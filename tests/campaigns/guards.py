"""Does each test of docs/security.md fail when its guard is removed?

    python -m tests.campaigns.guards [WORD]

Takes one guard after the other out of a copy of the code and runs the tests that are to notice it; with a word, only
the guards of files whose names hold it. Ends with 0 if each was noticed; a guard whose text is no longer found is told,
so that this list keeps up with the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Guard:
    """A line that stops somebody, what is left without it, and the tests that must notice."""

    file: str  #: in `batchgen/`
    line: str
    without: str
    tests: str  #: as pytest takes them


GUARDS = (
    Guard(
        "manifest/document.py",
        '_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)',
        "_LOADER: Any = yaml.UnsafeLoader",
        "tests/test_manifest.py -k stands_beside_it",
    ),
    Guard(
        "manifest/source.py",
        "if not any(resolved.is_relative_to(root) for root in self._roots):",
        "if False:",
        "tests/test_row_files.py -k outside_of_the_manifests_folder",
    ),
    Guard(
        "manifest/source.py",
        "        resolved = path.resolve()\n        if not any",
        "        resolved = path.absolute()\n        if not any",
        "tests/test_row_files.py -k link_out_of",
    ),
    Guard(
        "manifest/names.py",
        'return _cleaned(text) or _cleaned(fallback) or "batch"',
        'return text or fallback or "batch"',
        "tests/test_manifest.py -k safe_name",
    ),
    Guard(
        "adapters/file_store.py",
        "            name = checked_name(file_stem, image.format)\n",
        '            name = f"{file_stem}.{image.format}"\n',
        "tests/contracts/test_store_contract.py -k leave_the_folder",
    ),
    Guard(
        "export/lines.py",
        "if isinstance(value, str) and text.startswith(_FORMULA) else text",
        "if False else text",
        "tests/test_disputes.py -k spreadsheet",
    ),
    Guard(
        "app/hub.py",
        '.replace(self._token, "…")',
        "",
        "tests/export/test_hub.py -k neither_the_token",
    ),
    Guard(
        "app/hub.py",
        "said = without_signatures(",
        "said = str(",
        "tests/export/test_hub.py -k neither_the_token",
    ),
    Guard(
        "review/pages/__init__.py",
        "autoescape=True,",
        "autoescape=False,",
        "tests/review/test_report.py -k figures",
    ),
    Guard(
        "review/pages/__init__.py",
        "default-src 'none'; ",
        "",
        "tests/review/test_report.py -k policy",
    ),
    Guard(
        "review/thumbnails.py",
        'return None if relative.is_absolute() or ".." in relative.parts else folder / relative',
        "return folder / relative",
        "tests/review/test_report.py -k outside_of_the_batch_folder",
    ),
    Guard(
        "adapters/http_api/wording.py",
        "def without_secret(self, text: str) -> str:\n",
        "def without_secret(self, text: str) -> str:\n        return text\n\n    def _was(self, text: str) -> str:\n",
        "tests/test_http_answers.py -k the_key_is_in_nothing",
    ),
    Guard(
        "adapters/http_api/client.py",
        "allow_redirects=False,",
        "allow_redirects=True,",
        "tests/test_http_api.py -k redirected_submission",
    ),
    Guard(
        "adapters/http_api/client.py",
        "            _must_not_be_in_clear(self._base, self._host)\n",
        "            pass\n",
        "tests/test_security.py -k in_clear",
    ),
    Guard(
        "adapters/http_api/client.py",
        "connector=_Connector(",
        "connector=_Connector(ssl=False, ",
        "tests/test_security.py -k certificate",
    ),
    Guard(
        "adapters/http_api/transport.py",
        "        if length > limit:\n            raise TooLarge\n",
        "",
        "tests/test_http_api.py -k more_bytes_than_are_taken",
    ),
    Guard(
        "adapters/http_api/image_hosts.py",
        "for _ in range(_MOST_REDIRECTS + 1):",
        "while True:",
        "tests/test_http_api.py -k in_a_circle",
    ),
    Guard(
        "adapters/http_api/image_hosts.py",
        'headers={"User-Agent": USER_AGENT,',
        'headers={"API-Key": "a-secret-key", "User-Agent": USER_AGENT,',
        "tests/test_http_api.py -k sent_to_an_image_host",
    ),
    Guard(
        "adapters/http_api/image_hosts.py",
        "            self._rule.check(url, came_from=came_from)\n",
        "            pass\n",
        "tests/test_http_api.py -k only_tls_or",
    ),
    Guard(
        "adapters/profiles/own.py",
        "if not (variable == own_variable or (variable == _KNOWN_KEY and at_home)):",
        "if False:",
        "tests/test_own_profiles.py -k sends_no_key",
    ),
    Guard(
        "adapters/image_process/fetching.py",
        "if not any(part in name.upper() for part in _SECRET)}",
        "}",
        "tests/test_image_processes.py -k no_key_is_in",
    ),
    Guard(
        "adapters/image_process/fetching.py",
        "self._clean(told.begins)[:_QUOTED]",
        "told.begins[:_QUOTED]",
        "tests/test_image_processes.py -k secret_is_not_quoted",
    ),
    Guard(
        "adapters/image_check.py",
        "if width * height > self._max_pixels or max(width, height) > _LONGEST_SIDE:",
        "if False:",
        "tests/test_image_check.py -k bomb_is_refused",
    ),
    Guard(
        "adapters/image_check.py",
        "if isinstance(image, JpegImageFile) and _ends_before_its_picture(image, content):",
        "if False:",
        "tests/test_image_check.py -k given_an_end",
    ),
    Guard(
        "adapters/http_api/addresses.py",
        "if is_oddly_spelled(host):",
        "if False:",
        "tests/test_addresses.py -k read_alike",
    ),
    Guard(
        "adapters/http_api/answers.py",
        "if answer.status == 401 or (answer.status == 403 and not said.has_policy_code):",
        "if answer.status == 401 or (answer.status == 403 and not said.is_policy):",
        "tests/test_http_answers.py -k only_speaks_of_policy",
    ),
    Guard(
        "runner/loop.py",
        "if record.job_id is not None and await self._polls.knows(record.job_id):",
        "if False:",
        "tests/test_named_jobs.py -k is_collected",
    ),
    Guard(
        "index/tables.py",
        "yield row | {name: cut(text) for name, cut in _CUT.items() if isinstance(text := row.get(name), str)}",
        "yield row",
        "tests/test_links_in_the_index.py -k where_it_is_published",
    ),
    Guard(
        "index/tables.py",
        "return without_signatures(value) if isinstance(value, str) and value.startswith(_LINK) else value",
        "return value",
        "tests/test_links_in_the_index.py -k where_it_is_published",
    ),
    Guard(
        "app/settings.py",
        'if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):',
        "if False:",
        "tests/test_cli.py -k only_its_owner",
    ),
    Guard(
        "adapters/folder_lock.py",
        "self._lock.acquire(timeout=_PATIENCE, poll_interval=_PATIENCE / 4)",
        "pass",
        "tests/test_folder_lock.py -k second_run",
    ),
    Guard(
        "soundness.py",
        "if found.sha256 != stored.image.sha256:",
        "if False:",
        "tests/test_check.py -k gone_or_damaged",
    ),
    Guard(
        "manifest/document.py",
        "DEEPEST = ",
        "DEEPEST = 10**9 + ",
        "tests/test_manifest.py -k stands_beside_it",
    ),
    Guard(
        "manifest/document.py",
        "        if self._aliased > MOST_ALIASED:\n",
        "        if False:\n",
        "tests/test_manifest.py -k stands_beside_it",
    ),
    Guard(
        "manifest/template.py",
        "        if depth > DEEPEST:\n",
        "        if False:\n",
        "tests/test_template.py -k hundred_thousand_braces",
    ),
    Guard(
        "manifest/template.py",
        '        if not (name[0].isalpha() and name.replace(".", "_").isidentifier()):\n',
        "        if False:\n",
        "tests/test_template.py",
    ),
    Guard(
        "manifest/source.py",
        "        if path.is_file():\n            return\n        if path.is_dir():",
        "        if True:\n            return\n        if path.is_dir():",
        "tests/test_manifest.py -k pipe_is_refused",
    ),
    Guard(
        "manifest/source.py",
        "path.stat().st_size > LARGEST_DOCUMENT:",
        "False:",
        "tests/test_manifest.py -k too_large_for_memory",
    ),
    Guard(
        "planning.py",
        "    for name in (key[:_NAMED], key):\n",
        "    for name in (key[:_NAMED],):\n",
        "tests/test_planning.py -k begin_alike",
    ),
    Guard(
        "adapters/profiles/own.py",
        "if trusted or any(path.resolve().is_relative_to(one.resolve()) for one in folders):",
        "if True:",
        "tests/test_own_profiles.py -k outside_of_its_folder",
    ),
    Guard(
        "runner/recording.py",
        "record.job_failures + 1 < JOB_FAILURES)",
        "record.job_failures < JOB_FAILURES)",
        "tests/test_runner.py -k three_times",
    ),
    Guard(
        "policy.py",
        "        if self._doubts < DOUBTS_IN_A_ROW:\n",
        "        if True:\n",
        "tests/test_runner.py -k lost_in_a_row",
    ),
    Guard(
        "intake.py",
        '        stem = f"{request.file_stem}-{request.sample + self.link.sample}"\n',
        '        stem = "images/" + self.link.url.rpartition("/")[2]\n',
        "tests/test_security.py -k names_that_a_server_gives",
    ),
    Guard(
        "adapters/http_api/client.py",
        "        return await read_at_most(response, _LARGEST_ANSWER, into=pieces)\n",
        "        return await response.read()\n",
        "tests/test_http_api.py -k too_large_to_be_one",
    ),
    Guard(
        "png.py",
        "    if inflating.crc32(memoryview(content)[start + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):\n",
        "    if False:\n",
        "tests/test_image_check.py -k wrong_checksum",
    ),
    Guard(
        "adapters/image_check.py",
        "            self._check_size(content, *_webp_size(content))  #",
        "            pass  #",
        "tests/test_image_check.py -k webp_of_absurd",
    ),
    Guard(
        "adapters/http_api/addresses.py",
        '                self._rule.check_address(host, result["host"])\n',
        "                pass\n",
        "tests/test_addresses.py",
    ),
    Guard(
        "adapters/http_api/addresses.py",
        "        if near and came_from is not None and",
        "        if False and",
        "tests/test_addresses.py -k where_an_image_may",
    ),
    Guard(
        "adapters/http_api/addresses.py",
        "        if is_oddly_spelled(host):\n",
        "        if False:\n",
        "tests/test_addresses.py -k where_an_image_may",
    ),
    Guard(
        "app/running.py",
        'noted = {"version": version("batchgen"), ',
        'noted = {"version": version("batchgen"), "key": find_key(batch.manifest.profile), ',
        "tests/test_security.py -k in_no_file",
    ),
    Guard(
        "cli/running.py",
        're.sub(r"//[^/@]*@", "//", word)',
        "word",
        "tests/test_cli.py -k meant_for_one_time",
    ),
    Guard(
        "adapters/folder_lock.py",
        "        if (other := _other_run(self._folder, now=part.stat().st_mtime)) is not None:\n",
        "        if (other := None) is not None:\n",
        "tests/test_folder_lock.py -k another_machine",
    ),
    Guard(
        "app/wholeness.py",
        "    if (what := forgotten(folder, journal)) is not None:\n",
        "    if (what := None) is not None:\n",
        "tests/test_wholeness.py",
    ),
    Guard(
        "adapters/webhook.py",
        'not hmac.compare_digest(secret.encode("utf-8", "replace"), self.secret.encode()) or ',
        "",
        "tests/test_webhook.py -k any_other_path",
    ),
    Guard(
        "adapters/webhook.py",
        "            auto_decompress=False,\n",
        "            auto_decompress=True,\n",
        "tests/test_webhook.py -k not_unpacked",
    ),
    Guard(
        "adapters/webhook.py",
        "            auto_decompress=False,\n",
        "            auto_decompress=False,\n            max_field_size=10**9,\n",
        "tests/test_webhook.py -k headers_without_end",
    ),
    Guard(
        "adapters/webhook.py",
        "        answer = web.Response(",
        "        await request.read()\n        answer = web.Response(",
        "tests/test_webhook.py -k never_comes",
    ),
    Guard(
        "adapters/webhook.py",
        "        if len(open_now) > _MOST_CONNECTIONS:",
        "        if False:",
        "tests/test_webhook.py -k flood_of_connections",
    ),
    Guard(
        "adapters/webhook.py",
        "        self._end = asyncio.get_running_loop().call_later(_LONGEST, transport.abort)\n",
        "        self._end = asyncio.get_running_loop().call_later(1e6, transport.abort)\n",
        "tests/test_webhook.py -k says_nothing",
    ),
    Guard(
        "adapters/webhook.py",
        "        if not self._limiter.has_capacity():\n            return 429\n",
        "",
        "tests/test_webhook.py -k beyond_the_rate",
    ),
    Guard(
        "adapters/webhook.py",
        "        if len(self._waiting) < _MOST_WAITING:\n",
        "        if True:\n",
        "tests/test_webhook.py -k pile_up",
    ),
    Guard(
        "adapters/webhook.py",
        "            logger=_silent(),\n            access_log=_silent(),\n",
        "            logger=logging.getLogger(),\n            access_log=logging.getLogger(),\n",
        "tests/test_webhook.py -k logged_or_shown",
    ),
    Guard(
        "adapters/webhook.py",
        "self.secret = secrets.token_urlsafe(24)",
        'self.secret = "hook"',
        "tests/test_webhook.py -k cannot_be_guessed",
    ),
    Guard(
        "app/announcing.py",
        'if url.scheme != "https" and not is_this_machine(host):',
        "if False:",
        "tests/test_announcing.py -k give_its_secret_away",
    ),
    Guard(
        "app/announcing.py",
        "if url.user is not None or url.password is not None:",
        "if False:",
        "tests/test_announcing.py -k give_its_secret_away",
    ),
    Guard(
        "app/announcing.py",
        "    except ValueError:  # its text holds the URL\n",
        "    except KeyError:\n",
        "tests/test_announcing.py -k give_its_secret_away",
    ),
    Guard(
        "app/announcing.py",
        'headers[SIGNATURE] = f"sha256={hmac.new(key.encode(), content, hashlib.sha256).hexdigest()}"',
        "headers[SIGNATURE] = f\"sha256={hmac.new(key.encode(), b'', hashlib.sha256).hexdigest()}\"",
        "tests/test_announcing.py -k signed_and_no_prompt",
    ),
    Guard(
        "app/announcing.py",
        'f"{url.scheme}://{url.host}/… was not told',
        'f"{url} was not told',
        "tests/test_announcing.py -k out_of_order",
    ),
    Guard(
        "adapters/announcing.py",
        "allow_redirects=False)",
        "allow_redirects=True)",
        "tests/test_announcing.py -k repeated_while",
    ),
    Guard(
        "adapters/announcing.py",
        'trouble = f"cannot be reached ({type(error).__name__})"',
        'trouble = f"cannot be reached ({url})"',
        "tests/test_announcing.py -k without_its_url",
    ),
    Guard(
        "cli/running.py",
        '    "--notify": 1,\n    "--healthcheck": 1,\n',
        "",
        "tests/test_announcing.py -k command_to_go_on_with",
    ),
    Guard(
        "app/settings.py",
        "notify: str | None = field(default=None, repr=False)",
        "notify: str | None = field(default=None)",
        "tests/test_announcing.py -k command_to_go_on_with",
    ),
)


def ends(copy: Path, tests: str) -> int:
    """What pytest ends with: 0 if all pass, 1 if some fail, 5 if there are none; 1 also for a test that hangs."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, check=False, timeout=120
        ).returncode
    except subprocess.TimeoutExpired:
        return 1


def verdict(guard: Guard, copy: Path) -> str:
    """Whether its tests pass with the guard and fail without it."""
    path = copy / "batchgen" / guard.file
    text = path.read_text()
    if guard.line not in text:
        return "NOT FOUND"
    if ends(copy, guard.tests) != 0:
        return "FAILS ANYWAY"
    path.write_text(text.replace(guard.line, guard.without))
    noticed = ends(copy, guard.tests) == 1
    path.write_text(text)
    return "noticed" if noticed else "NOT NOTICED"


def main() -> None:
    """Take each guard out in turn."""
    wanted = [guard for guard in GUARDS if "".join(sys.argv[1:]) in guard.file]
    noticed = 0
    with tempfile.TemporaryDirectory(prefix="batchgen-guards-") as folder:
        copy = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", "outputs")
        shutil.copytree(ROOT, copy, ignore=ignored, symlinks=True)
        for guard in wanted:
            found = verdict(guard, copy)
            noticed += found == "noticed"
            print(f"{found}: {guard.file}: {' '.join(guard.line.split())} [{guard.tests}]", flush=True)
    print(f"{noticed} of {len(wanted)} guards noticed")
    sys.exit(noticed < len(wanted))


if __name__ == "__main__":
    main()
