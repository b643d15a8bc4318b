"""What others wrote is text wherever it stands in a page; no page has a way around it."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

import icploop.report
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Profile, Refusal
from icploop.report.health_page import health_page
from icploop.report.icp_page import profile_page
from icploop.report.insights_page import insights_page, kpi_card_page
from icploop.report.markdown import notice, plain
from icploop.settings import Attribute
from tests.companies import SETTINGS
from tests.unit.report.test_health_page import COST, found
from tests.unit.report.test_icp_page import EVIDENCE, text_of
from tests.unit.report.test_insights_page import KNOWN, told

HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1)) "
    "![y](http://evil.example/p.png) <http://evil.example> **b** *i* _j_ ~~s~~ `c` &lt;b&gt; "
    "| cell | \\ \n\n# heading\n| a | b |\n| - | - |\n\n    code\n\n[z]: http://evil.example"
)
# As permissive as any reader of ours: raw HTML, tables, links, pictures.
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
MARKUP = {"html_inline", "html_block", "link_open", "image", "em_open", "s_open", "fence"}


def tokens(markdown: str) -> list[Token]:
    return [part for token in READER.parse(markdown) for part in (token, *(token.children or []))]


def shown(found: list[Token]) -> str:
    return "".join(token.content for token in found if token.type in {"text", "text_special"})


@given(st.text() | st.text(st.sampled_from("\\`*_{}[]()<>#+-=.!|~:&;/x1 \n\t\u200b\u2028")))
@example(HOSTILE)
@example("1. one")
@example("- \u200b- x")
@example("=")
@example("a_b _c_ d_")
@example("&#60;b>")
@example("AT&T R&D; <3")
@pytest.mark.parametrize(
    ("before", "after", "heads"),
    [
        ("", "", ("paragraph_open",)),
        ("Before ", " after.", ("paragraph_open",)),
        ("Line\n", "\nline", ("paragraph_open",)),
        ("# ", "", ("heading_open",)),
        ("- ", "", ("bullet_list_open",)),
        ("**", "**", ("paragraph_open",)),
        ("| a | b |\n| --- | --- |\n| ", " | 1 |", ("table_open",)),
    ],
)
def test_any_text_is_nothing_but_text_wherever_it_stands(before, after, heads, value):
    line = plain(value)
    assert "\n" not in line
    if not line:
        return
    read = tokens(before + line + after)
    assert not {token.type for token in read} & MARKUP
    assert read[0].type in heads
    opened = [token for token in read if token.block and token.level == 0 and token.nesting == 1]
    assert len(opened) == 1
    has_unseen = any(not (sign.isprintable() or sign.isspace()) for sign in value)
    if "table_open" in heads:
        assert len([token for token in read if token.type == "td_open"]) == 2
    if not has_unseen:
        assert " ".join(value.split()) in shown(read)


def assert_plain(page: str) -> None:
    read = tokens(page)
    assert not {token.type for token in read} & MARKUP
    titles = [after.content for token, after in pairwise(read) if token.type == "heading_open"]
    assert "heading" not in titles


ATTRIBUTES = tuple(
    attribute.model_copy(update={"label": f"{attribute.name} {HOSTILE}"})
    for attribute in SETTINGS.attributes
)


@given(EVIDENCE)
def test_the_icp_shows_labels_values_and_reasons_as_text(evidence):
    lines = Predicate("industry", any_of=(HOSTILE, "b`|"))
    refused = Refusal("firmographic", lines, False, HOSTILE, (HOSTILE,), 1, 0.1, evidence)
    profile = Profile((), (refused,), 100, cutoff=1)
    label = Attribute(name="industry", dimension="firmographic", kind="category", label=HOSTILE)
    assert_plain("\n".join(profile_page(profile, [label], "nrr", HOSTILE)))
    assert_plain(text_of(profile))


def test_health_shows_the_company_attributes_and_rules_as_text():
    health = found(COST.assign(attribute=HOSTILE))
    health.drift["attribute"] = HOSTILE
    health.fill["attribute"] = HOSTILE
    health.quarantine[HOSTILE] = 1
    page = health_page(health, HOSTILE)
    assert_plain(page)
    assert page.count("alert(1)&lt;/script>") == 7
    assert len([token for token in tokens(page) if token.type == "table_open"]) == 6


def test_insights_show_labels_and_values_as_text():
    features = KNOWN.features.assign(
        industry=KNOWN.features["industry"].map(lambda name: f"{name} {HOSTILE}").astype("str")
    )
    known = type(KNOWN)(features, KNOWN.outcomes, KNOWN.truth)
    page = insights_page(told(known), ATTRIBUTES) + kpi_card_page(told(known))
    assert_plain(page)
    assert "alert(1)&lt;/script>" in page


def test_a_notice_calls_nobody_and_links_nowhere():
    assert notice("<!channel> <http://evil.example|here> R&D") == (
        "&lt;!channel&gt; &lt;http://evil.example|here&gt; R&amp;D"
    )


@pytest.mark.parametrize("name", ["icp_page", "health_page", "insights_page"])
def test_no_page_defuses_by_itself(name):
    """One function does: a page with a rule of its own would be a way around it."""
    path = Path(icploop.report.__file__).with_name(f"{name}.py")
    replaced = [
        call.args[0].value
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "replace"
        and isinstance(call.args[0], ast.Constant)
    ]
    assert not {"|", "`", "<"} & set(replaced)
