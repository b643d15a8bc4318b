"""The health of the data, as markdown."""

from __future__ import annotations

import pandas as pd

from icploop.modeling.trust.health import (
    DRIFT_ERROR,
    MUCH_DRIFT,
    SOME_DRIFT,
    WORTH_FILLING,
    Health,
)
from icploop.report.markdown import plain

_MOST_COSTS = 12


def health_page(found: Health, company: str) -> str:
    """Every part of `Health`, the one to act on first."""
    return "\n".join(
        [
            f"# Health of the data: {plain(company)}, {found.as_of}",
            "",
            f"{found.customers} customers were learned from; {found.prospects} prospects are "
            "ranked.",
            "",
            *_findings(found),
            *_cost(found),
            *_drift(found),
            *_fill(found),
            *_lateness(found),
            *_volumes(found),
            *_quarantine(found),
        ]
    )


def _findings(found: Health) -> list[str]:
    if not found.findings:
        return []
    return ["## What to act on", "", *(f"- {plain(told)}" for told in found.findings), ""]


def _cost(found: Health) -> list[str]:
    head = ["## What empty fields cost", ""]
    if found.cost.empty:
        why = "no version to ask, or no field that is empty for some prospects only"
        return [*head, f"Not known: {why}.", ""]
    shown = found.cost[found.cost["gain"] >= WORTH_FILLING].head(_MOST_COSTS)
    rest = len(found.cost) - len(shown)
    rows = [
        f"| fill {plain(row['attribute'])} for {row['empty']} accounts | {row['gain']:+.3f} "
        f"({row['low']:+.3f} to {row['high']:+.3f}) | {row['n']} |"
        for _, row in shown.iterrows()
    ]
    return [
        *head,
        "What the accounts that would be pursued are expected to bring more in NRR (.03 is three "
        "points). Measured on prospects whose field is known, by hiding it; the 90% interval is "
        "over accounts and trusts the model.",
        "",
        "| | expected NRR | measured on |",
        "| --- | ---: | ---: |",
        *rows,
        "",
        *([f"Filling any of {rest} others would bring less.", ""] if rest else []),
    ]


def _drift(found: Health) -> list[str]:
    drifted = found.drift[found.drift["drift"] != "none"]
    said = f"{len(drifted)} of {len(found.drift)} attributes differ"
    rows = [
        f"| {plain(row['attribute'])} | {_number(row['psi'], '.2f')} | {_number(row['p'], '.2g')} "
        f"| {row['drift']} |"
        for _, row in found.drift.iterrows()
    ]
    return [
        "## Customers against prospects",
        "",
        f"{said}: population stability index of at least {SOME_DRIFT} (some) or {MUCH_DRIFT} "
        f"(much), and chi-square p below {DRIFT_ERROR} after looking at all of them (Holm). What "
        "was learned from customers says less of prospects who differ.",
        "",
        "| attribute | PSI | p | drift |",
        "| --- | ---: | ---: | --- |",
        *rows,
        "",
    ]


def _fill(found: Health) -> list[str]:
    periods = [column for column in found.fill.columns if column != "attribute"]
    rows = [
        " | ".join(
            [f"| {plain(row['attribute'])}", *(_number(row[period], ".0%") for period in periods)]
        )
        + " |"
        for _, row in found.fill.iterrows()
    ]
    return [
        "## Filled in when the deal was created",
        "",
        f"| attribute | {' | '.join(periods)} |",
        f"| --- |{' ---: |' * len(periods)}",
        *rows,
        "",
    ]


def _lateness(found: Health) -> list[str]:
    rows = [
        f"| {row['table']} | {row['newest'] if pd.notna(row['newest']) else 'none'} "
        f"| {_number(row['days'], '.0f')} |"
        for _, row in found.lateness.iterrows()
    ]
    return [
        "## How old the newest row is",
        "",
        "| table | newest | days before the as-of day |",
        "| --- | --- | ---: |",
        *rows,
        "",
    ]


def _volumes(found: Health) -> list[str]:
    names = [column for column in found.volumes.columns if column != "month"]
    rows = [
        " | ".join([f"| {row['month']}", *(f"{row[name]:,.0f}" for name in names)]) + " |"
        for _, row in found.volumes.iterrows()
    ]
    return [
        "## What came in, by month",
        "",
        f"| month | {' | '.join(name.replace('_', ' ') for name in names)} |",
        f"| --- |{' ---: |' * len(names)}",
        *rows,
        "",
    ]


def _quarantine(found: Health) -> list[str]:
    head = ["## In quarantine", ""]
    if not found.quarantine:
        return [*head, "Nothing.", ""]
    rows = [f"| {plain(rule)} | {count} |" for rule, count in found.quarantine.items()]
    return [*head, "| rule | rows and cells |", "| --- | ---: |", *rows, ""]


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if pd.notna(value) else "not known"
