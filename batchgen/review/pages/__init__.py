"""The pages that people open: templates, and what they are filled by. Whatever is filled in is text, never markup."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

#: Where a page may get things from, besides itself. A page of one file reads image files beside it and nothing else.
_IMAGES = "img-src 'self' file: data:"
_BESIDE = " 'self' file:"


def render(name: str, *, script: str | None = None, beside: bool = False, **filled: Any) -> bytes:
    """A page of one file: styles and script are inside it, and its policy forbids every request to elsewhere.

    Args:
        name: of the template.
        script: file of the script that it runs.
        beside: whether it loads scripts that lie beside it.
        filled: what the template names.
    """
    style, code = _source("page.css"), _source(script) if script else ""
    policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; {_IMAGES}; style-src {_hash(style)}"
    if code:
        policy += f"; script-src {_hash(code)}" + (_BESIDE if beside else "")
    # Both files are ours, and their hashes are in the policy: they are the only markup that is not escaped.
    own = {"style": Markup(style), "script": Markup(code)}
    return _environment().get_template(name).render(policy=policy, **own, **filled).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("batchgen.review", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["size"] = _size
    return environment


@cache
def _source(name: str) -> str:
    return files("batchgen.review.pages").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"
