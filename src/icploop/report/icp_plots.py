"""The figures of the readable ICP, narrow enough to be read on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icploop.domain.outcomes import kpis
from icploop.domain.profile import FEWEST_ACCOUNTS, Line, Profile, Support
from icploop.domain.tiers import percentile_against
from icploop.modeling.judging.round import Round
from icploop.modeling.judging.trial import CHALLENGER, Trial, for_version
from icploop.modeling.scoring.version import IcpVersion
from icploop.modeling.statistics.bootstrap import kpi_interval
from icploop.settings import Attribute

TIERS = {
    "A": "A",
    "B": "B",
    "C": "C",
    "D": "D",
    "unknown": "little known",
    "anti": "do not pursue",
}
_OF_TIERS = (
    "What customers of each tier did. Tiers go by scores of models that had not seen the customer; "
    "whom to refuse was learned from all of them. Bars: 90% intervals; hollow: too few customers "
    "for one. Dashed: all customers."
)
_OF_MARKET = (
    "Where the ICP sits in the market: the accounts that are no customers yet, by points. A "
    "refused account, or one that misses a must, does not fit whatever its points."
)
_OF_LINES = (
    "What each line of the ICP stands for among customers: how much more (or less) those under it "
    "grew than all others. Bars: 90% intervals. With fewer than "
    f"{FEWEST_ACCOUNTS} customers on a side a line stays a hypothesis."
)
_INK, _QUIET, _GRID = "#1b2733", "#56636f", "#dde3e8"
_BLUE, _GREY, _RED = "#1f5b99", "#b3bec8", "#a3341f"
_LOOKS: dict[Support, tuple[str, str, str]] = {
    "supported": ("o", _BLUE, "shown by customers"),
    "hypothesis": ("D", "#8a6d1f", "hypothesis: not shown"),
    "contradicted": ("X", _RED, "contradicted by customers"),
}
_WIDTH = 4.6  # inches: at the width of a phone the text keeps its size
_SMALL, _TEXT, _TITLE = 9.0, 9.5, 10.0
_Z_90 = 1.645
# An interval from fewer customers would promise a knowledge that nobody has.
_FEWEST_SHOWN = 10
_DRAWS = 1000
_LONGEST = 48


def pictures(judged: Round) -> dict[str, Figure]:
    """What can be drawn of a judged round, by caption; nothing without a version."""
    version = judged.version
    if version is None or judged.market is None:
        return {}
    return {
        _OF_TIERS: tier_figure(judged),
        _OF_MARKET: market_figure(judged.market, version.profile.cutoff),
        _OF_LINES: line_figure(version.profile, version.attributes),
    }


def by_tier(judged: Round) -> pd.DataFrame:
    """What matured customers did by the tier that they would have had, best tier first.

    The tier goes by the out-of-fold score, so by a model that had not seen the customer; the lines
    that refuse, and those that must hold, were learned from the same customers. Columns: tier,
    accounts, nrr, nrr_low, nrr_high, retention, retention_low, retention_high (ratios; intervals
    at 90%, nan for fewer than ten customers). Only tiers with customers have a row.
    """
    found = []
    if judged.trial is not None and judged.version is not None:
        matured = judged.trial.matured
        tiers = _tiers(judged.trial, judged.version)
        found = [_measured(matured[tiers == name], name) for name in TIERS if (tiers == name).any()]
    columns = [f"{kpi}{end}" for kpi in ("nrr", "retention") for end in ("", "_low", "_high")]
    return pd.DataFrame(found, columns=["tier", "accounts", *columns])


def tier_figure(judged: Round) -> Figure:
    """NRR and retention of matured customers by tier (see `by_tier`), with 90% intervals."""
    table = by_tier(judged)
    if judged.trial is None or table.empty:
        return _nothing("No customers to show by tier yet.")
    everyone = kpis(judged.trial.matured)
    figure = Figure(figsize=(_WIDTH, 0.42 * len(table) + 1.1), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kpi, title in zip(panels, ("nrr", "retention"), ("NRR", "Retention"), strict=True):
        values, rows = 100 * table[kpi], np.arange(len(table))
        axes.axvline(100 * getattr(everyone, kpi), color=_GREY, linestyle="--", linewidth=1)
        axes.hlines(rows, 100 * table[f"{kpi}_low"], 100 * table[f"{kpi}_high"], color=_BLUE)
        few = table["accounts"] < _FEWEST_SHOWN
        axes.plot(values[~few], rows[~few], "o", color=_BLUE, markersize=6)
        axes.plot(values[few], rows[few], "o", color=_BLUE, markersize=6, fillstyle="none")
        for value, row in zip(values, rows, strict=True):
            _say(axes, value, row - 0.18, _percent(value), ha="center", va="bottom")
        axes.set_title(title, fontsize=_TITLE, color=_INK)
        axes.set_xlabel("%", color=_QUIET, fontsize=_SMALL)
        axes.margins(x=0.15)
    counts = zip(table["tier"], table["accounts"], strict=True)
    panels[0].set_yticks(np.arange(len(table)), [f"{TIERS[t]}  (n = {n})" for t, n in counts])
    panels[0].set_ylim(len(table) - 0.4, -0.7)
    return _plain(figure)


def line_figure(profile: Profile, attributes: Sequence[Attribute]) -> Figure:
    """How each line's customers did against the others: difference in mean NRR, best line first.

    A line of which nothing is known has its place, at the end, and says so.
    """
    if not profile.lines:
        return _nothing("There are no lines yet.")
    labels = {a.name: a for a in attributes}
    lines = sorted(profile.lines, key=_lift_order)
    figure = Figure(figsize=(_WIDTH, 0.4 * len(lines) + 1.1), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=_QUIET, linewidth=1)
    shown: set[Support] = set()
    for row, line in enumerate(lines):
        text = f"{line.points:+d} {line.predicate.text(labels[line.predicate.attribute])}"
        # From the left edge of the axes, above what it names: no label is too long for a phone.
        place = axes.get_yaxis_transform()
        _say(axes, 0.0, row - 0.22, _short(text), ha="left", va="bottom", transform=place)
        if math.isnan(_lift(line)):
            _say(axes, 0.0, row, "nothing known yet", transform=place, color=_QUIET, va="center")
            continue
        marker, color, name = _LOOKS[line.support]
        low, high = 100 * line.evidence.low, 100 * line.evidence.high
        axes.hlines(row, low, high, color=color, linewidth=1.8)
        label = "_" if line.support in shown else name  # only what has a name is in the legend
        axes.plot(100 * _lift(line), row, marker, color=color, markersize=6, label=label)
        shown.add(line.support)
    axes.set_yticks([])
    axes.set_ylim(len(lines) - 0.5, -0.9)
    axes.set_xlabel("difference in mean NRR to the others, points", fontsize=_SMALL, color=_QUIET)
    if shown:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=_TEXT)
    return _plain(figure)


def market_figure(market: pd.DataFrame, cutoff: int) -> Figure:
    """How many prospects have how many points (rows of `Round.market`), and which of them fit."""
    if market.empty:
        return _nothing("There are no prospects to show.")
    fit = market["selected"].astype(bool)
    points = np.arange(int(market["points"].min()), int(market["points"].max()) + 1)
    fitting, others = (
        market.loc[of, "points"].value_counts().reindex(points, fill_value=0) for of in (fit, ~fit)
    )
    figure = Figure(figsize=(_WIDTH, 3.1), layout="constrained")
    axes = figure.subplots()
    axes.bar(points, others, width=0.86, color=_GREY, label="do not fit")
    axes.bar(points, fitting, bottom=others, width=0.86, color=_BLUE, label="fit")
    axes.axvline(cutoff - 0.5, color=_INK, linewidth=1, linestyle="--")
    axes.set_title(
        f"{fit.mean():.0%} of {len(market):,} prospects fit: {cutoff} points or more",
        fontsize=_TITLE,
        color=_INK,
        loc="left",
    )
    axes.set_xlabel("points", color=_QUIET, fontsize=_SMALL)
    axes.set_ylabel("prospects", color=_QUIET, fontsize=_SMALL)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend(frameon=False, fontsize=_SMALL)
    return _plain(figure)


def _tiers(trial: Trial, version: IcpVersion) -> pd.Series:
    scores = trial.scores.loc[trial.matured.index, CHALLENGER]
    percentile = percentile_against(version.reference, scores.to_numpy())
    known = for_version(trial.matured_features, version)
    return version.tier(known, pd.Series(percentile, index=scores.index))


def _measured(members: pd.DataFrame, tier: str) -> tuple[str | int | float, ...]:
    found = kpis(members)
    nrr = retention = (math.nan, math.nan)
    if len(members) >= _FEWEST_SHOWN:
        nrr = kpi_interval(members, 0.9, _DRAWS, 0)
        retention = wilson(found.retention, len(members))
    return (tier, len(members), found.nrr, *nrr, found.retention, *retention)


def wilson(share: float, n: int, z: float = _Z_90) -> tuple[float, float]:
    """The interval of a share seen among `n` (Wilson 1927), at 90% unless `z` says otherwise."""
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return middle - reach, middle + reach


def _lift(line: Line) -> float:
    """The estimate: its interval is as wide to either side."""
    return (line.evidence.low + line.evidence.high) / 2


def _lift_order(line: Line) -> tuple[float, str]:
    lift = _lift(line)
    return (math.inf if math.isnan(lift) else -lift, line.predicate.code())


def _say(axes: Axes, x: float, y: float, text: str, **how: object) -> None:
    """Text as it is: a dollar sign in a name starts no formula."""
    backed = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    style: dict[str, object] = {"fontsize": _TEXT, "color": _INK, "bbox": backed}
    axes.text(x, y, text, parse_math=False, **(style | how))  # type: ignore[arg-type]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1].rstrip()}…"


def _percent(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.0f}%"


def _nothing(text: str) -> Figure:
    figure = Figure(figsize=(_WIDTH, 0.6))
    figure.text(0, 0.5, text, fontsize=_TITLE, color=_QUIET, va="center")
    return figure


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(_GREY)
        axes.grid(axis="x" if not axes.patches else "y", color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelsize=_TEXT, labelcolor=_INK)
    return figure
