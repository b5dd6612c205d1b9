"""Links as an index may publish them: without the parts that may be as good as a key. Pure."""

from __future__ import annotations

import json
import re
from functools import lru_cache

#: What stands for a part that is left out.
_LEFT_OUT = "…"
#: What may be a link, or a part of one, in a text or in JSON.
_WORD = re.compile(r"[^\s\"'<>]+")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_USER = re.compile(r"(?<=://)[^/?#@]*@")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\[\]-]{0,39}")
#: Values that only say which file is meant, by their names (seen at the classic API's image host), and their form.
_OF_FILES, _FILE = frozenset({"fileId"}), re.compile(r"[A-Za-z0-9_-]{1,200}")


def without_signatures(text: str) -> str:
    """The text with its links as they may be published: no user, no values in the query, nothing behind a #.

    A signature, a token or a password in a link opens the file to everybody who reads it.
    """
    return _WORD.sub(lambda word: _published(word[0]), text) if _may_hold_any(text) else text


@lru_cache(maxsize=8)  # the samples of a request share their answer
def without_signatures_in_json(text: str) -> str:
    """The JSON text with the links in its texts as they may be published; however deep they lie."""
    return _TEXT.sub(_in_text, text) if _may_hold_any(text) else text


def _may_hold_any(text: str) -> bool:
    return "?" in text or "#" in text or "@" in text


def _in_text(literal: re.Match[str]) -> str:
    text = json.loads(literal[0])
    cut = without_signatures(text)
    return literal[0] if cut == text else json.dumps(cut)


def _published(word: str) -> str:
    word = _USER.sub(f"{_LEFT_OUT}@", word)
    path, mark, rest = _split(word)
    if len(rest) < 2 or not path or not ("/" in path or "=" in rest):  # the end of a question, a colour
        return word
    query, _, fragment = rest.partition("#") if mark == "?" else ("", "#", rest)
    shown = "?" + "&".join(map(_part, query.split("&"))) if query else ""
    return path + shown + (f"#{_LEFT_OUT}" if fragment else "")


def _split(word: str) -> tuple[str, str, str]:
    first = re.search(r"[?#]", word)
    return (word, "", "") if first is None else (word[: first.start()], first[0], word[first.end() :])


def _part(part: str) -> str:
    """One `name=value` of a query."""
    name, _, value = part.partition("=")
    if name in _OF_FILES and _FILE.fullmatch(value):
        return part
    return f"{name}={_LEFT_OUT}" if value and _NAME.fullmatch(name) else _LEFT_OUT
