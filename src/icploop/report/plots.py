"""The figures of a round, for the MLflow run's artifacts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from icploop.domain.outcomes import kpis
from icploop.modeling.judging.trial import CHALLENGER, Trial
from icploop.modeling.statistics.calibration import Calibration

_TITLES = {"expected_nrr": "NRR", "expected_grr": "GRR", "p_retained": "logo retention"}
_BLUE, _GREY, _ORANGE = "#2f6db3", "#9aa5b1", "#d9822b"


def deciles(trial: Trial, groups: int = 10) -> pd.DataFrame:
    """What accounts did by tenth of the out-of-fold score, best tenth first.

    Columns: decile, accounts, expected_nrr, nrr, grr, retention, p_retained (ratios).
    """
    of_matured = trial.scores.loc[trial.matured.index, CHALLENGER]
    scores = of_matured.sort_values(ascending=False, kind="stable")
    rows = []
    for number, position in enumerate(np.array_split(np.arange(len(scores)), groups), start=1):
        names = scores.index[position]
        found = kpis(trial.matured.loc[names])
        rows.append(
            {
                "decile": number,
                "accounts": found.accounts,
                "expected_nrr": float(trial.expected.loc[names, "expected_nrr"].mean()),
                "nrr": found.nrr,
                "grr": found.grr,
                "retention": found.retention,
                "p_retained": float(trial.expected.loc[names, "p_retained"].mean()),
            }
        )
    return pd.DataFrame(rows)


def decile_figure(table: pd.DataFrame) -> Figure:
    """NRR and retention by score decile, with the level of all accounts."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    for axes, metric, title in zip(
        panels, ("nrr", "retention"), ("NRR", "Logo retention"), strict=True
    ):
        axes.bar(table["decile"], 100 * table[metric], color=_BLUE)
        weights = table["accounts"] / table["accounts"].sum()
        axes.axhline(100 * (table[metric] * weights).sum(), color=_GREY, linestyle="--")
        axes.set(title=f"{title} by score decile", xlabel="decile (1 = best fit)", ylabel="%")
        axes.set_xticks(table["decile"])
    return _plain(figure)


def calibration_figure(found: Mapping[str, Calibration]) -> Figure:
    """Expected against realised, by tenth of what was expected, with 90% intervals.

    Points on the diagonal are well calibrated.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, (name, title) in zip(panels, _TITLES.items(), strict=True):
        table = 100 * found[name].table[["expected", "realised", "low", "high"]]
        reach = [table["realised"] - table["low"], table["high"] - table["realised"]]
        axes.errorbar(table["expected"], table["realised"], yerr=reach, fmt="o", color=_BLUE)
        ends = [table.to_numpy().min(), table.to_numpy().max()]
        axes.plot(ends, ends, color=_GREY, linestyle="--")
        axes.set(title=f"Calibration of {title}", xlabel="expected, %", ylabel="realised, %")
    return _plain(figure)


def importance_figure(table: pd.DataFrame, shown: int = 15) -> Figure:
    """The attributes that move expected NRR most, in three readings side by side."""
    top = table.head(shown).iloc[::-1]
    figure = Figure(figsize=(11, 0.32 * len(top) + 1.4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    readings = (
        ("shap", 100, "mean |SHAP|, points of NRR", _BLUE),
        ("permutation", 1, "fall in correlation when shuffled", _ORANGE),
        ("gain", 100, "share of boosters' gain, %", _GREY),
    )
    for axes, (column, factor, title, color) in zip(panels, readings, strict=True):
        axes.barh(top["attribute"], factor * top[column], color=color)
        axes.set_title(title, fontsize=10)
    return _plain(figure)


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    return figure
