"""The readable ICP as one HTML file that looks nothing up: to mail, to print, to read on a phone.

What customers' data say in it is text: no raw HTML, no links, no pictures by address, no emphasis.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files

import matplotlib as mpl
from markdown_it import MarkdownIt
from markdown_it.token import Token
from matplotlib.figure import Figure

_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}{pictures}</main>
</body>
</html>
"""
# Each of these would make links, pictures or markup of what stands in a customer's record.
_NOT_READ = ["autolink", "html_block", "html_inline", "image", "link", "reference"]
_ROLES = {"table": "table", "tr": "row", "th": "columnheader", "td": "cell"}
_SUPPORT = re.compile(r"\s*\((hypothesis|contradicted)\)\s*")
_MUST = re.compile(r"must( [+-]\d+)")
# Characters of a value that stays on one line, and of one of which a phone shows three on a line.
_SHORT, _BRIEF = 24, 6
_TAG = re.compile(r"<[^>]*>")


def html_page(title: str, markdown: str, figures: Mapping[str, Figure]) -> str:
    """The page's markdown and its figures, by caption, as one file; the same bytes every time.

    A row of a table becomes a card on a phone, each value under the head of its column.
    """
    return _TEMPLATE.format(
        title=escape(title),
        style=files("icploop.report").joinpath("html_page.css").read_text(encoding="utf-8"),
        body=_body(markdown),
        pictures=_pictures(figures),
    )


def svg(figure: Figure, salt: str) -> str:
    """A figure as SVG to stand inside HTML: text stays text, the width is up to the page.

    Figures on one page need a `salt` each, so that none refers to a shape of another.
    """
    drawn = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        nobody = dict.fromkeys(["Date", "Creator", "Format", "Type"])
        figure.savefig(drawn, format="svg", metadata=nobody)
    whole = drawn.getvalue()
    plain = whole[whole.index("<svg") :].replace("\n", " ").rstrip()
    wanted = set(re.findall(r"#([\w-]+)", " ".join(_TAG.findall(plain))))
    return _TAG.sub(lambda tag: _inline(tag[0], wanted), plain)


def _inline(tag: str, wanted: set[str]) -> str:
    """A tag of an SVG file without what only a file of its own needs."""
    if tag.startswith("<svg"):
        # The names of namespaces look like addresses, and HTML knows them anyway.
        tag = re.sub(r' (?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", tag)
    return re.sub(r' id="([^"]*)"', lambda i: i[0] if i[1] in wanted else "", tag)


def _pictures(figures: Mapping[str, Figure]) -> str:
    if not figures:
        return ""
    shown = "".join(
        f'<figure role="group" aria-label="{escape(caption)}">\n{svg(figure, f"figure {i}")}\n'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>\n"
        for i, (caption, figure) in enumerate(figures.items())
    )
    return f'<section class="pictures">\n<h2>In pictures</h2>\n<div>\n{shown}</div>\n</section>\n'


def _body(markdown: str) -> str:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(_NOT_READ)
    tokens = reader.parse(markdown)
    for token in tokens:
        token.children = [_literal(t) if t.tag == "em" else t for t in token.children or []]
    for table in _spans(tokens, "table"):
        _dress_table(table)
    return str(reader.renderer.render(_in_sections(tokens), reader.options, {}))


def _in_sections(tokens: list[Token]) -> list[Token]:
    """The tokens, each heading of the second level in a section with what stands under it."""
    inside = False
    found = []
    for token in tokens:
        if token.type == "heading_open" and token.tag == "h2":
            found += [Token("section_close", "section", -1, block=True)] if inside else []
            found.append(Token("section_open", "section", 1, block=True))
            inside = True
        found.append(token)
    return [*found, *([Token("section_close", "section", -1, block=True)] if inside else [])]


def _spans(tokens: list[Token], kind: str) -> list[list[Token]]:
    """The tokens from each opening of a kind to its close; a kind never stands in itself."""
    opened = [i for i, token in enumerate(tokens) if token.type == f"{kind}_open"]
    closed = [i for i, token in enumerate(tokens) if token.type == f"{kind}_close"]
    return [tokens[a : b + 1] for a, b in zip(opened, closed, strict=True)]


def _dress_table(table: list[Token]) -> None:
    """Say what each cell is, for the stylesheet and for screen readers."""
    heads = [cell[1].content for cell in _spans(table, "th")]
    for token in table:
        if token.nesting == 1 and token.tag in _ROLES:
            # A table whose rows are laid out as cards is no table to a browser unless told.
            token.attrSet("role", _ROLES[token.tag])
    kinds = {"grouped": heads[0] == "", "pointed": "points" in heads}
    table[0].attrSet("class", " ".join(name for name, is_so in kinds.items() if is_so))
    for row in _spans(table, "tr"):
        for kind in ("th", "td"):
            for i, cell in enumerate(_spans(row, kind)):
                _dress_cell(cell, heads[i], i - (heads[0] == ""))
        if heads[0] == "" and row[1].type == "td_open" and row[2].content:
            row[0].attrSet("class", "starts")


def _dress_cell(cell: list[Token], head: str, position: int) -> None:
    """`position` is -1 for the group of a row, 0 for its name, and more for its values."""
    opening, inline = cell[0], cell[1]
    said = {-1: "group", 0: "name"}.get(position, "value")
    if opening.attrs.pop("style", None):
        said += " number"
    if opening.type == "td_open":
        said += " short" if len(inline.content) <= _SHORT else ""
        said += " brief" if len(inline.content) <= _BRIEF else ""
        if head == "points":
            said += f" points {_sign(inline.content)}"
        opening.attrSet("data-label", head)
        inline.children = _cell_children(inline)
    opening.attrSet("class", said)


def _sign(points: str) -> str:
    if "+0" in points:
        return "none"
    return "minus" if "-" in points else "plus"


def _cell_children(inline: Token) -> list[Token]:
    """The words, then whether customers support them, and beneath them the condition as code."""
    children = inline.children or []
    content = inline.content.strip()
    if not (content.count("**") == 2 and content.startswith("**") and content.endswith("**")):
        # The page stresses whole cells; any other stress comes from a name with stars in it.
        children = [_literal(t) if t.tag == "strong" else t for t in children]
    if found := _MUST.fullmatch(content):
        return [*_mark("must"), Token("text", "", 0, content=found[1])]
    codes = [i for i, token in enumerate(children) if token.type == "code_inline"]
    if len(codes) != 1:
        return children
    words, code, after = children[: codes[0]], children[codes[0]], children[codes[0] + 1 :]
    marks = [mark for token in after for mark in _marked(token)]
    return [*words, *marks, Token("text", "", 0, content=" "), code]


def _marked(token: Token) -> list[Token]:
    found = _SUPPORT.fullmatch(token.content)
    return _mark(found[1]) if found else [token]


def _mark(word: str) -> list[Token]:
    return [
        Token("span_open", "span", 1, attrs={"class": f"mark {word}"}),
        Token("text", "", 0, content=word),
        Token("span_close", "span", -1),
    ]


def _literal(token: Token) -> Token:
    return Token("text", "", 0, content=token.markup)
