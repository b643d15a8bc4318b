"""The four questions and the kinds of customers, as markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from icploop.modeling.insight.clusters import KpiCard, Measure
from icploop.modeling.insight.insights import Insights
from icploop.modeling.insight.segments import Answer, FourQuestions, Question
from icploop.report.markdown import plain
from icploop.settings import Attribute

_ASKED: dict[Question, str] = {
    "retention": "Who stays longest?",
    "expansion": "Who expands most (NRR per customer)?",
    "sales_cycle": "Who buys fastest (days to close)?",
    "gross_margin": "Who earns the highest gross margin?",
}
_FAMILIES = {
    "revenue_and_value": "Revenue and value",
    "product_fit": "Product fit",
    "problem_severity": "Problem severity",
    "operational_fit": "Operational fit",
}
_SHARES = {"nrr", "grr", "retention", "win_rate", "gross_margin"}


def insights_page(found: Insights, attributes: Sequence[Attribute]) -> str:
    """Both sections."""
    return "\n".join([*_questions(found.questions, attributes), *_kinds(found)])


def kpi_card_page(found: Insights) -> str:
    """The KPI cards of all clusters, one table each; why there are none otherwise."""
    if not found.cards:
        return f"No stable clusters: {plain(found.clusters.reason)}.\n"
    return "\n".join(line for card in found.cards for line in _card(card))


def _questions(found: FourQuestions, attributes: Sequence[Attribute]) -> list[str]:
    return [
        "## Four questions",
        "",
        "| asked | customers | n | best (90% interval) | everyone | how sure |",
        "| --- | --- | ---: | --- | ---: | --- |",
        *(_answer(answer, attributes) for answer in found.answers),
        "",
        _common(found, attributes),
        "",
    ]


def _answer(answer: Answer, attributes: Sequence[Attribute]) -> str:
    asked = _ASKED[answer.question]
    if answer.segment is None or answer.estimate is None:
        return f"| {asked} | not known: {plain(answer.remedy)} | | | | |"
    low, middle, high, everyone = (
        _said(answer.question, value)
        for value in (answer.low, answer.estimate, answer.high, answer.everyone)
    )
    strong = ", over 110%" if answer.is_strong_expansion else ""
    segment = plain(answer.segment.text(attributes))
    return (
        f"| {asked} | {segment} | {answer.n} | {middle} ({low} to {high}){strong} | {everyone} "
        f"| {answer.verdict} |"
    )


def _said(question: Question, value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.0f}" if question == "sales_cycle" else f"{value:.0%}"


def _common(found: FourQuestions, attributes: Sequence[Attribute]) -> str:
    if not found.common:
        return (
            "No kind of customer is clearly better on all four, nor on three of them; estimates of "
            "small groups are drawn towards everyone."
        )
    best = found.common[0]
    text = plain(best.segment.text(attributes))
    if best.missing is None:
        return f"**{text}** is clearly better on all four."
    left = _ASKED[best.missing].removesuffix("?").lower()
    return f"None is clearly better on all four. **{text}** is on three; it is not in: {left}."


def _kinds(found: Insights) -> list[str]:
    head = ["## Kinds of customers", ""]
    if not found.cards:
        return [*head, f"No stable clusters: {plain(found.clusters.reason)}.", ""]
    rows = []
    for card in found.cards:
        traits = "; ".join(trait.text for trait in card.traits) or "like all others"
        nrr, retention = (
            _measure(name, card.revenue_and_value.get(name)) for name in ("nrr", "retention")
        )
        rows.append(f"| {card.cluster} | {plain(traits)} | {card.accounts} | {nrr} | {retention} |")
    return [
        *head,
        "Clusters that come back when half of the customers are left out; kinds, not yet reasons "
        "to pursue. All their numbers stand with the run in MLflow: `kpi-cards.md`.",
        "",
        "| kind | in what it differs | customers | NRR (90%) | retention (90%) |",
        "| --- | --- | ---: | --- | --- |",
        *rows,
        "",
    ]


def _card(card: KpiCard) -> list[str]:
    families: Mapping[str, Mapping[str, Measure | None]] = {
        title: getattr(card, name) for name, title in _FAMILIES.items()
    }
    rows = [
        f"| {title} | {plain(name.replace('_', ' '))} | {_measure(name, found)} "
        f"| {found.n if found else ''} |"
        for title, measures in families.items()
        for name, found in measures.items()
    ]
    traits = "; ".join(trait.text for trait in card.traits)
    return [
        f"## Kind {card.cluster}: {card.accounts} customers",
        "",
        plain(traits),
        "",
        "| | | value (90% interval) | n |",
        "| --- | --- | --- | ---: |",
        *rows,
        "",
    ]


def _measure(name: str, found: Measure | None) -> str:
    if found is None:
        return "not known"
    form = ".0%" if name in _SHARES else ",.3g"
    if found.low is None or found.high is None:
        return f"{found.value:{form}}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"
