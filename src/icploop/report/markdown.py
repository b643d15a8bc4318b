"""Text that stays text: what customers, companies and people wrote, inside Markdown and notices.

Every page in Markdown puts what it did not write itself through `plain`, in a line, in a cell of a
table or at the start of a line; a test holds each page to it.
"""

from __future__ import annotations

import re

# Each could begin code, emphasis, a link, a picture or a cell; a backslash in front ends that.
_SIGNS = re.compile(r"[\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
# Each begins a heading, a list, a quotation or a line under a heading where a line starts with it.
_STARTS = re.compile(r"^(?:([#=>]|[+-](?=[\s+-]|$))|(\d+)([.)])(?=\s|$))")
# At the end of a heading these would be left out.
_ENDS = re.compile(r"(?<=\s)#(?=#*$)")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def plain(value: object) -> str:
    """The value on one line of Markdown, where it reads as it is and is nothing but text.

    A tag, a picture or an address in it is shown with all its signs. Characters that cannot be seen
    become blanks, and several blanks one.
    """
    line = " ".join(_UNSEEN.sub(" ", str(value)).split())
    line = _SIGNS.sub(r"\\\g<0>", line)
    # Entities, because not every reader of Markdown takes a backslash before these.
    line = _ENDS.sub(r"\\#", _ENTITY.sub("&amp;", line).replace("<", "&lt;"))
    return _STARTS.sub(_behind_a_backslash, line)


def notice(value: object) -> str:
    """The value in a notice: Slack takes these three signs for links and for calls to everyone."""
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _behind_a_backslash(found: re.Match[str]) -> str:
    sign, number, after = found.groups()
    return f"\\{sign}" if sign else f"{number}\\{after}"
