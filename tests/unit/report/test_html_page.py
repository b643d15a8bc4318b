import math
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import binomtest

from icploop.domain.findings import Finding
from icploop.domain.outcomes import kpis
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Evidence, Line, Profile, Refusal, StatedLine
from icploop.domain.tiers import percentile_against
from icploop.modeling.accounts.market import Sight
from icploop.modeling.judging.round import Round, run_round
from icploop.modeling.judging.trial import CHALLENGER
from icploop.modeling.learning import mixture
from icploop.report.html_page import html_page, svg
from icploop.report.icp_page import page as icp_page
from icploop.report.icp_page import profile_page
from icploop.report.icp_plots import (
    by_tier,
    line_figure,
    market_figure,
    pictures,
    tier_figure,
    wilson,
)
from icploop.settings import Attribute
from tests.companies import AS_OF, SETTINGS, Market, company
from tests.unit.report.test_insights_page import KNOWN
from tests.unit.report.test_insights_page import told as insights
from tests.unit.report.test_markdown import assert_plain

HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(1)> [x](http://evil.example) "
    "![y](http://evil.example/p.png) <http://evil.example> **b** *i* _j_ &lt;b&gt; $z_1$ "
    '" onload="alert(1)'
)
VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "_TREES_OF_FEW", 25)


@cache
def judged() -> Round:
    return run_round(Sight.of(company(), SETTINGS, "default", AS_OF))


def evidence(low: float, high: float, accounts: int = 40) -> Evidence:
    return Evidence(accounts, 123, 1.17, 0.93, 0.88, 0.71, low, high, 24.0)


UNKNOWN = Evidence(0, 123, *(math.nan,) * 7)
HEALTH = Predicate("industry", any_of=("health", "retail"))
LARGE = Predicate("employees", between=(260.0, None))
CRM = Predicate("tech", any_of=("crm",))
SPONSOR = Predicate("has_sponsor", is_true=True)
PROFILE = Profile(
    lines=(
        Line("firmographic", HEALTH, 3, evidence(0.05, 0.15)),
        Line("firmographic", LARGE, 1, evidence(-0.21, -0.01)),
        Line("technographic", CRM, -2, evidence(-0.3, 0.1), non_negotiable=True),
        Line("decision_authority", SPONSOR, 1, UNKNOWN),
    ),
    anti=(
        Refusal("firmographic", HEALTH, True, "", ("leave early",), 7, 0.13, evidence(-0.4, -0.2)),
    ),
    matured=123,
    cutoff=2,
    unit=0.031,
    fidelity=0.87,
    stated=(StatedLine("firmographic", LARGE, 2, evidence(-0.4, -0.2)),),
)


def markdown(profile: Profile = PROFILE, attributes: tuple[Attribute, ...] = ()) -> str:
    head = ["# ICP of Tiny", "", "As of today.", ""]
    return "\n".join(
        [*head, *profile_page(profile, attributes or SETTINGS.attributes, "nrr", "USD")]
    )


class Seen(HTMLParser):
    """What a browser would make of a page: its elements, and the text of each cell by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.labels: list[list[str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.labels.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self.labels[-1].append(dict(attrs).get("data-label"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip())[1:-1]]


def said(figure: Figure) -> list[str]:
    of_axes = [t.get_text() for axes in figure.axes for t in axes.texts]
    return of_axes + [t.get_text() for t in figure.texts]


def test_what_a_round_says_is_text_in_the_page() -> None:
    hostile = [
        Finding("no_skill", "warning", text) for text in (HOSTILE, "- [x](javascript:alert(1))")
    ]
    told = replace(judged(), notes=tuple(hostile))
    told = replace(told, ruling=replace(told.ruling, findings=tuple(hostile[:1])))
    settings = SETTINGS.model_copy(update={"company": HOSTILE, "currency": "<b>"})
    assert told.version is not None
    nothing = insights(Market(KNOWN.features[:0], KNOWN.outcomes[:0], KNOWN.truth[:0]))
    text = icp_page(replace(told.version, motion=HOSTILE), settings, told, nothing)
    assert_plain(text)
    assert text.count("onerror=alert(1)>") == 4
    seen = Seen(html_page("ICP", text, {}))
    assert not {"script", "img", "a"} & set(seen.elements)
    assert "<script>alert(1)</script>" in seen.text


def test_the_page_refers_to_nothing_outside_of_itself() -> None:
    page = html_page("ICP", markdown(), pictures(judged()))
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert "Content-Security-Policy" in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= set(re.findall(r"url\((#[^)]*)\)", page))
    seen = Seen(page)
    refer = {value for name, value in seen.attributes if name in {"src", "href", "xlink:href"}}
    assert all(value.startswith("#") for value in refer)
    assert not seen.elements.keys() & {"script", "link", "img", "iframe", "object", "image"}
    assert seen.elements["svg"] == 3


def test_what_customers_data_say_stays_text() -> None:
    named = [a.model_copy(update={"label": HOSTILE}) for a in SETTINGS.attributes]
    level = Predicate("industry", any_of=(HOSTILE,))
    profile = Profile((Line("firmographic", level, 1, UNKNOWN),), PROFILE.anti, 1)
    figures = {HOSTILE: line_figure(profile, named)}
    seen = Seen(html_page(HOSTILE, markdown(profile, tuple(named)), figures))
    assert not seen.elements.keys() & {"script", "img", "a", "em", "b"}
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert seen.elements["strong"] == 1  # the cutoff
    words = next(row for row in seen.rows if row[0] == "Who they are")[1]
    assert words.startswith(f"{HOSTILE} is {HOSTILE}")
    assert seen.elements["title"] == 1
    assert seen.text.count(HOSTILE) >= 5


def test_a_dollar_sign_starts_no_formula() -> None:
    labels = [a.model_copy(update={"label": r"ARR $\frac{"}) for a in SETTINGS.attributes]
    figure = line_figure(PROFILE, labels)
    assert r"ARR $\frac{" in svg(figure, "x")


def test_the_same_input_gives_the_same_bytes() -> None:
    first, again = (html_page("ICP", markdown(), pictures(judged())) for _ in range(2))
    assert first == again


def test_every_cell_of_the_markdown_is_in_the_page_under_its_head() -> None:
    text = markdown()
    wanted = [cells(row) for row in text.splitlines() if re.match(r"\|(?! ---)", row)]
    seen = Seen(html_page("ICP", text, {}))
    assert len(wanted) == len(seen.rows) > 8
    head: list[str] = []
    for ours, theirs, labels in zip(wanted, seen.rows, seen.labels, strict=True):
        # The condition has moved beneath the words, so words are compared whatever their order.
        plain = [Counter(re.findall(r"[\w%.+-]+", cell)) for cell in ours]
        assert [Counter(re.findall(r"[\w%.+-]+", cell)) for cell in theirs] == plain
        head = theirs if labels[0] is None else head
        assert labels in ([None] * len(head), head)


def test_the_condition_stands_beneath_the_words_and_their_support() -> None:
    page = html_page("ICP", markdown(), {})
    assert (
        'employees 260 or more <span class="mark contradicted">contradicted</span> '
        "<code>employees in 260..</code></td>"
    ) in page
    assert '<span class="mark must">must</span> -2</td>' in page
    assert "<strong>contradicted by customers</strong>" in page


def test_each_heading_opens_a_section() -> None:
    page = html_page("ICP", markdown(), {})
    assert len(re.findall(r"<section>\s*<h2>", page)) == page.count("<h2>") >= 3
    assert "In pictures" not in page


def test_shapes_of_one_figure_are_not_those_of_another() -> None:
    market = judged().market
    page = html_page("ICP", "", {"one": market_figure(market, 1), "two": market_figure(market, 1)})
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids)) > 0
    assert {ref[1:] for ref in re.findall(r"#[mp][0-9a-f]{10}", page)} <= set(ids)


def test_text_of_a_figure_stays_text() -> None:
    drawn = svg(market_figure(judged().market, 1), "x")
    assert drawn.startswith("<svg")
    assert ">points</text>" in drawn
    assert " width=" not in drawn[: drawn.index(">")]
    assert "<metadata" not in drawn


def test_tiers_are_those_of_scores_that_had_not_seen_the_customer() -> None:
    found, table = judged(), by_tier(judged())
    matured = found.trial.matured
    assert table["accounts"].sum() == len(matured)
    scores = found.trial.scores.loc[matured.index, CHALLENGER]
    percentile = percentile_against(found.version.reference, scores.to_numpy())
    features = found.trial.matured_features
    refused = found.version.profile.rules.is_anti(features)
    in_d = table.set_index("tier")["accounts"]["D"]
    assert in_d <= (percentile < 100 * 0.4).sum()
    assert table.set_index("tier")["accounts"].get("anti", 0) == refused.sum()
    rows = table.set_index("tier")
    tiers = found.version.tier(features, pd.Series(percentile, index=scores.index))
    for tier in rows.index:
        assert rows.loc[tier, "nrr"] == kpis(matured[tiers == tier]).nrr
    many = table[table["accounts"] >= 10]
    for kpi in ("nrr", "retention"):
        assert (many[f"{kpi}_low"] <= many[kpi]).all()
        assert (many[kpi] <= many[f"{kpi}_high"]).all()
        assert table.loc[table["accounts"] < 10, f"{kpi}_low"].isna().all()


def test_the_tier_figure_shows_the_table() -> None:
    table, figure = by_tier(judged()), tier_figure(judged())
    for axes, kpi in zip(figure.axes, ("nrr", "retention"), strict=True):
        drawn = sorted(x for line in axes.lines[1:] for x in line.get_xdata())
        assert drawn == pytest.approx(sorted(100 * table[kpi]))
        assert [t.get_text() for t in axes.texts] == [f"{v:.0f}%" for v in 100 * table[kpi]]
        reaches = [path.vertices[:, 0] for path in axes.collections[0].get_paths()]
        assert np.nanmax(reaches) == pytest.approx(100 * table[f"{kpi}_high"].max())
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert names[0].endswith(f"(n = {table['accounts'].iloc[0]})")


@pytest.mark.parametrize(("kept", "n"), [(0, 12), (7, 12), (12, 12)])
def test_the_interval_of_retention_is_that_of_wilson(kept: int, n: int) -> None:
    known = binomtest(kept, n).proportion_ci(0.9, method="wilson")
    assert wilson(kept / n, n) == pytest.approx((known.low, known.high), abs=1e-3)


def test_the_line_figure_shows_each_line_best_first() -> None:
    figure = line_figure(PROFILE, SETTINGS.attributes)
    drawn = [(line.get_xdata()[0], line.get_marker()) for line in figure.axes[0].lines[1:]]
    assert [x for x, _ in drawn] == pytest.approx([10.0, -10.0, -11.0])
    assert len({marker for _, marker in drawn}) == 3
    assert [t for t in said(figure) if t != "nothing known yet"] == [
        "+3 industry is health or retail",
        "-2 tech has crm",
        "+1 employees 260 or more",
        "+1 has sponsor",
    ]
    reaches = [c.get_paths()[0].vertices[:, 0].tolist() for c in figure.axes[0].collections]
    assert reaches[0] == pytest.approx([5.0, 15.0])
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == {"shown by customers", "hypothesis: not shown", "contradicted by customers"}


def test_lines_of_which_nothing_is_known_have_their_place() -> None:
    profile = Profile((Line("firmographic", LARGE, 1, UNKNOWN),), (), 3)
    figure = line_figure(profile, SETTINGS.attributes)
    assert "nothing known yet" in said(figure)
    assert "employees 260 or more" in svg(figure, "x")


def test_an_empty_profile_and_an_empty_market_say_so() -> None:
    assert said(line_figure(Profile((), (), 0), ())) == ["There are no lines yet."]
    empty = judged().market.head(0)
    assert said(market_figure(empty, 1)) == ["There are no prospects to show."]
    assert "There are no prospects" in html_page("ICP", "", {"none": market_figure(empty, 1)})


def test_a_round_without_a_version_has_no_pictures() -> None:
    early = run_round(Sight.of(company(), SETTINGS, "default", AS_OF.replace(year=2022)))
    assert early.version is None
    assert pictures(early) == {}
    assert said(tier_figure(early)) == ["No customers to show by tier yet."]


def test_the_market_figure_counts_every_prospect_once() -> None:
    market = pd.DataFrame(
        {
            "points": [-1, 0, 2, 2, 3, 3, 3, 5],
            "selected": [False, False, False, True, True, True, False, True],
        }
    )
    figure = market_figure(market, 2)
    bars = figure.axes[0].patches
    others, fitting = bars[: len(bars) // 2], bars[len(bars) // 2 :]
    assert [b.get_height() for b in others] == [1, 1, 0, 1, 1, 0, 0]
    assert [b.get_height() for b in fitting] == [0, 0, 0, 1, 2, 0, 1]
    assert [b.get_y() for b in fitting] == [1, 1, 0, 1, 1, 0, 0]
    assert figure.axes[0].lines[0].get_xdata()[0] == 1.5
    assert figure.axes[0].get_title("left") == "50% of 8 prospects fit: 2 points or more"
