"""Secrets of the environment: checked before they are used, and in no text that anybody reads.

Every secret that the program takes out of the environment, or lets a library take, comes through
here. A token with a line break in it would be refused by whoever sends it, with the token in the
refusal; so what no token can be is told first, by the name of its variable and what is wrong with
it, never by its value.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, unquote

from icploop.errors import UsageError

_HIDDEN = "***"
PROXIES = ("HTTPS_PROXY", "ALL_PROXY")
_LINE_BREAK = (r"[\r\n]", "a line break")
_CONTROL = (r"[\x00-\x1f\x7f]", "a control character")
_NEVER_IN_A_TOKEN = (
    _LINE_BREAK,
    (r"\s", "a blank"),
    _CONTROL,
    (r"[^\x21-\x7e]", "a character that is not ASCII, such as an accent"),
)
_NEVER_IN_A_PASSWORD = (_LINE_BREAK, _CONTROL, (r"^\s|\s$", "a blank"))


@dataclass(frozen=True)
class Secret:
    """What the environment variable `name` holds; it shows itself only to who asks by `reveal`."""

    name: str
    _text: str = field(repr=False)
    _hides: tuple[str, ...] = field(default=(), repr=False)

    def reveal(self) -> str:
        """The secret itself, for the header or the address that needs it."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """The text with the secret made unreadable, however it is spelled there."""
        spellings = {spelling for part in self._hides for spelling in _spellings(part)}
        # The longest first: one spelling may hold another.
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, _HIDDEN)
        return text


def secret(name: str, place: str, use: str) -> Secret:
    """The secret that an environment variable must hold.

    `place` names the settings that ask for it and `use` says what to set it to. Raises UsageError
    where it is not set, empty, or not of printable ASCII characters without blanks.
    """
    if name not in os.environ:
        raise UsageError(f"{place}: the environment variable {name} is not set; set it to {use}")
    text = os.environ[name]
    _check(name, text, place, use)
    # Who tells the path of a webhook tells the secret.
    path = re.match(r"https?://[^/]*(/[^?#]+)", text)
    return Secret(name, text, (text, path[1]) if path else (text,))


def address(name: str, place: str, use: str) -> Secret:
    """As `secret`, for an address that may carry a user and a password.

    Only these two must be plain, and only they are hidden: the path of a file may have blanks and
    accents, and whoever looks for a server must be told which.
    """
    text = os.environ.get(name, "")
    if not text or re.search(r"[\x00-\x1f\x7f]", text):
        return secret(name, place, use)
    user = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0].rpartition("@")[0]
    if not user:
        return Secret(name, text)
    _check(name, user, place, f"{use}, percent-encoded")
    password = user.partition(":")[2] or user
    return Secret(name, text, (text, user, password, unquote(password)))


def optional(name: str, place: str, use: str) -> Secret | None:
    """As `secret`; None where the variable is not set, or empty."""
    return secret(name, place, use) if os.environ.get(name) else None


def stated(names: Iterable[str], place: str) -> list[Secret]:
    """Those of the variables that hold something: secrets which a library reads by itself.

    Raises UsageError as `secret` does.
    """
    use = "what the server asks for, or unset it"
    return [found for name in names if (found := optional(name, place, use))]


def passwords(names: Iterable[str], place: str) -> list[Secret]:
    """As `stated`, for names and passwords that are sent encoded (RFC 7617): these may have blanks.

    Raises UsageError for what could only be a mistake: a line break, another control character, or
    a blank at an end.
    """
    found = [Secret(name, text, (text,)) for name in names if (text := os.environ.get(name, ""))]
    for one in found:
        if fault := _fault(one.reveal(), _NEVER_IN_A_PASSWORD):
            raise UsageError(
                f"{place}: the environment variable {one.name} {fault}; set it to what the server "
                "asks for, or unset it"
            )
    return found


def proxies(place: str) -> list[Secret]:
    """The proxies that the environment names for calls to other machines. Raises as `address`."""
    names = [name for upper in PROXIES for name in (upper, upper.lower())]
    use = "the proxy's address, or unset it"
    return [address(name, place, use) for name in names if os.environ.get(name)]


def _check(name: str, text: str, place: str, use: str) -> None:
    if fault := _fault(text):
        raise UsageError(
            f"{place}: the environment variable {name} {fault}; set it to {use} "
            "(printable ASCII characters, no blanks)"
        )


def _fault(text: str, never: tuple[tuple[str, str], ...] = _NEVER_IN_A_TOKEN) -> str:
    """What is wrong with a secret, without a character of it; empty where nothing is."""
    if not text:
        return "is empty"
    for pattern, what in never:
        if found := re.search(pattern, text):
            where = f"as character {found.start() + 1}"
            return f"has {what} {where if found.end() < len(text) else 'at its end'}"
    return ""


def _spellings(part: str) -> Iterable[str]:
    """How a server, a library or a log may write a text when it repeats it."""
    as_json = json.dumps(part)[1:-1]
    return (
        part,
        quote(part),
        quote(part, safe=""),
        quote_plus(part),
        as_json,
        as_json.replace("/", "\\/"),
        re.sub(r"[&<>=+'/]", lambda found: f"\\u{ord(found[0]):04x}", as_json),
        html.escape(part),
        repr(part)[1:-1],
    )
