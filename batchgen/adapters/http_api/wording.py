"""What an answer says: its JSON, its message and its code, fit for a terminal and a journal. Pure.

Messages are short, on one line, printable, and free of the API key in every spelling that a server may give back.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

#: Characters of a message that are kept.
MESSAGE_LENGTH = 500
#: Characters of an answer that are kept with its request.
_RESPONSE_LENGTH = 4_000
#: Bytes of a body without JSON that are looked at for a message.
_PLAIN_LENGTH = 8_000
_CODE_FIELDS = ("code", "error_code", "errorCode")
_NESTING_FIELDS = ("error", "detail")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{3,99}")
_KNOWN_CODE = re.compile(
    r"\b(INSUFFICIENT_[A-Z_]+|CREDIT_CHARGE_FAILED|INPUT_INVALID|RATE_LIMIT_EXCEEDED|CONCURRENT_JOBS_EXCEEDED"
    r"|MODEL_ERROR|MODEL_UNAVAILABLE|STORAGE_ERROR|INTERNAL_ERROR)\b"
)
#: Failures of the API's own that pass (documented); such an answer is not about what was asked for.
_PASSING_CODES = frozenset(
    {
        "RATE_LIMIT_EXCEEDED",
        "CONCURRENT_JOBS_EXCEEDED",
        "MODEL_ERROR",
        "MODEL_UNAVAILABLE",
        "STORAGE_ERROR",
        "TIMEOUT",
        "INTERNAL_ERROR",
    }
)
#: What may stand before a code that stops the run: anywhere else it may be a word of the prompt.
_BEFORE_A_CODE = re.compile(r"\W*(error\W+)?", re.IGNORECASE)
#: How an answer begins that says INSUFFICIENT_CREDITS in words. Not documented; to stop for nothing costs nothing.
_NO_CREDIT = re.compile(
    r"\W*(error\W+)?(you have )?(insufficient|not enough) (credits?|balance|funds?)\b", re.IGNORECASE
)
_POLICY = re.compile(
    r"content[ _-]?polic|\bnsfw\b|\b(safety|moderation)[ -](system|filter|check|polic|guideline)"
    r"|\b(block|flag|reject|refus|violat|unsafe|disallow|not allowed)\w*\b.{0,60}\b(safety|moderation)\b"
    r"|\b(safety|moderation)\b.{0,60}\b(block|flag|reject|refus|violat)",
    re.IGNORECASE,
)
#: What passes, whatever words stand beside it: a prompt may be repeated, and a service that looks at prompts be down.
_PASSING = re.compile(r"timed?[ -]?out|try again|temporar|unavailable|out of memory", re.IGNORECASE)
_POLICY_CODE = re.compile(r"CONTENT_POLICY|SAFETY|NSFW|MODERATION")
_INVISIBLE = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer's content, parsed once."""

    content: Mapping[str, Any] | None  #: its JSON object; None if it is none
    message: str  #: in the API's words; empty if it gave none
    code: str | None  #: in capitals, parts joined by underscores
    names_code: bool = False  #: whether a field of its own holds the code, and not only the message

    @property
    def is_policy(self) -> bool:
        """Whether the API will not draw this, ever. The pages of gateways do not count."""
        if self.content is None or self.code in _PASSING_CODES:
            return False
        return self.has_policy_code or bool(_POLICY.search(self.message) and not _PASSING.search(self.message))

    @property
    def has_policy_code(self) -> bool:
        """Whether its code says that, which words alone may not mean: an account is banned over content policy too."""
        return self.content is not None and bool(_POLICY_CODE.search(self.code or ""))


class Wording:
    """Reads bodies, and keeps secrets out of what it gives.

    Args:
        secret: the API key.
    """

    def __init__(self, secret: str) -> None:
        self._spellings: set[str] = set()
        self.keep(secret)

    def keep(self, secret: str) -> None:
        """Keep one more secret out of what it gives."""
        for text in filter(None, (secret, " ".join(secret.split()))):
            self._spellings.add("".join(map(_spellings, text)))
        longest_first = sorted(self._spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(longest_first), re.IGNORECASE) if longest_first else None

    def __repr__(self) -> str:
        return "Wording(secret=…)"

    def without_secret(self, text: str) -> str:
        """The text with every secret, however it is spelled, replaced."""
        return text if self._pattern is None else self._pattern.sub("…", text)

    def line(self, text: str) -> str:
        """The text as a message."""
        shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        clean = self.without_secret(shown)
        return clean if len(clean) <= MESSAGE_LENGTH else clean[: MESSAGE_LENGTH - 1] + "…"

    def said(self, body: bytes, *, fields: Iterable[str]) -> Said:
        """What the body says.

        Args:
            fields: where its message may be; the first one that holds anything counts.
        """
        value = read_json(body)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = value[0]
        if not isinstance(value, dict):
            text = self._plain(body) if value is None else _words(value)
            return Said(content=None, message=self.line(text), code=None)
        found = (_words(holder.get(name)) for holder in holders(value) for name in fields)
        text = next(filter(None, found), "")
        named = self._named_code(value)
        code = self._as_code(named or _code_in(text))
        return Said(content=value, message=self.line(text), code=code, names_code=bool(named))

    def _plain(self, body: bytes) -> str:
        """A text or HTML body as text."""
        # Cleaned before it is cut, and cut far behind what is looked at: no half of a key may be left.
        text = self.without_secret(body[: 4 * _PLAIN_LENGTH].decode("utf-8", "replace"))[:_PLAIN_LENGTH]
        if "<" in text:
            text = html.unescape(_TAG.sub(" ", _INVISIBLE.sub(" ", text)))
        return text

    def _named_code(self, content: Mapping[str, Any]) -> str:
        places = (holder.get(name) for holder in with_nested(content) for name in _CODE_FIELDS)
        return next((code for code in places if code and isinstance(code, str)), "")

    def _as_code(self, code: str) -> str | None:
        return re.sub(r"[^A-Z0-9]+", "_", self.line(code).upper())[:100].strip("_") or None if code else None

    def response(self, content: Mapping[str, Any]) -> str | None:
        """The answer as JSON text, to be kept with its request; None where it cannot be kept.

        One that is too long is kept as a JSON string of its beginning.
        """
        try:
            told = json.dumps(content)
            text = self.without_secret(told)
            if text != told:
                json.loads(text)  # a key of digits may have been part of a number
        except (ValueError, RecursionError):
            return None
        return text if len(text) <= _RESPONSE_LENGTH else json.dumps(text[:_RESPONSE_LENGTH])

    def kept(self, body: bytes) -> str | None:
        """Any body as JSON text, to be kept with its request; text that is no JSON object as a JSON string."""
        value = read_json(body)
        if isinstance(value, dict):
            return self.response(value)
        # Cut far behind what is kept: half a key at the cut must not move into it.
        text = self.without_secret(body[: 25 * _RESPONSE_LENGTH].decode("utf-8", "replace")).replace("\0", " ").strip()
        return json.dumps(text[:_RESPONSE_LENGTH], ensure_ascii=False) if text else None


def holders(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Where an answer's fields may be: in the answer, and in the envelope `data` that some gateways put around it."""
    inner = content.get("data")
    return [content, inner] if isinstance(inner, dict) else [content]


def with_nested(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The same, and what each says of an error where that is an object."""
    named = [[holder, *(holder.get(name) for name in _NESTING_FIELDS)] for holder in holders(content)]
    return [part for parts in named for part in parts if isinstance(part, dict)]


def read_json(body: bytes) -> object:
    """The body's JSON value; None if it has none.

    As lenient as can be: an answer that names a paid job counts even with NaN or broken characters in it.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _words(value: object) -> str:
    """Any JSON value as text; validation errors as `samples: must be <= 4; width: …`."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(part, dict) and "msg" in part for part in value):
        return "; ".join(map(_problem, value))
    if isinstance(value, dict):
        for name in ("message", "msg", "detail", "error"):
            if isinstance(value.get(name), str) and value[name]:
                return str(value[name])
    try:
        return json.dumps(value, ensure_ascii=False) if value else ""
    except RecursionError:
        return "an error nested too deeply to show"


def _problem(part: Mapping[str, Any]) -> str:
    place = part.get("loc")
    names = [str(name) for name in place if isinstance(name, str | int)] if isinstance(place, list) else []
    field = ".".join(names[1:] if names[:1] == ["body"] else names)
    return f"{field}: {part['msg']}" if field else str(part["msg"])


def _spellings(character: str) -> str:
    """A pattern for the character as it is, in a URL, in JSON within JSON, and in HTML."""
    code = ord(character)
    url = quote(character, safe="") if character.isascii() and not character.isalnum() else quote(character)
    plain = [character, f"%{code:02x}", url, f"&#{code};", f"&#x{code:x};", f"\\u{code:04x}"]
    named = [html.escape(character), json.dumps(character)[1:-1], *("+" if character == " " else "")]
    zeros = rf"&#0*{code};|&#x0*{code:x};|\\+u{code:04x}|\\+{re.escape(character)}"
    return f"(?:{'|'.join(map(re.escape, dict.fromkeys((*plain, *named))))}|{zeros})"


def _code_in(text: str) -> str:
    """The code that a message holds, or says in words; empty if none."""
    known = _KNOWN_CODE.search(text)
    if known and known[0].startswith("INSUFFICIENT_") and not _BEFORE_A_CODE.fullmatch(text, 0, known.start()):
        return ""
    if known or _CODE.fullmatch(text):
        return known[0] if known else text
    return "INSUFFICIENT_CREDITS" if _NO_CREDIT.match(text) else ""
