"""How healthy the data are: what is filled in, what drifts, how much comes in, and how late.

Everything is as the as-of day sees it; nothing here decides a verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from icploop.domain.calendar import last_moment
from icploop.domain.findings import Finding
from icploop.domain.outcomes import of_motion
from icploop.domain.tables import Tables
from icploop.domain.understood import crowds
from icploop.modeling.accounts.coding import Texts
from icploop.modeling.accounts.features import Altered, AttributeHistory
from icploop.modeling.statistics.capacity import shares_pursued
from icploop.settings import Attribute, Kind

# Siddiqi (2006): below .1 nothing to mention, above .25 another population.
SOME_DRIFT, MUCH_DRIFT = 0.1, 0.25
DRIFT_ERROR = 0.01
# A field that adds less to expected NRR is not worth naming.
WORTH_FILLING = 0.0005
_MOST_NAMED = 5
_MOST_BINS = 8
_FEWEST_IN_BIN = 10
_MOST_MEMBERS = 20
_QUARTERS = 6
_MONTHS = 13
_ASKED = 1000
_DRAWS = 200
_FEWEST_FILLED = 30

# Expected NRR of the accounts of an attribute frame, as they are (None) and altered.
Expect = Callable[[pd.DataFrame, Sequence[Altered | None]], list[np.ndarray]]


@dataclass(frozen=True)
class Health:
    """What `icp health` shows.

    `fill` has a row for each attribute and the share filled in of deals created in each of the last
    quarters (columns named like `2024Q3`), and of prospects. `drift` compares customers that were
    learned from with prospects: attribute, psi, p (Holm over all attributes), drift (none, some,
    much), n. `volumes` counts by month, `lateness` says how old the newest row of each table is in
    days, `quarantine` counts rows and cells by rule, and `cost` says what an empty field costs:
    attribute, empty (prospects), gain, low, high (expected NRR of the pursued, as a ratio), n.
    """

    as_of: date
    prospects: int
    customers: int
    fill: pd.DataFrame
    drift: pd.DataFrame
    volumes: pd.DataFrame
    lateness: pd.DataFrame
    cost: pd.DataFrame
    quarantine: Mapping[str, int] = field(default_factory=dict)
    crowds: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is worth acting on.

        Fields to fill in, prospects unlike customers, values that crowds share, refused rows.
        """
        return (
            *_worth_filling(self.cost),
            *_drifted(self.drift),
            *self.crowds,
            *_refused(self.quarantine),
        )

    def metrics(self) -> dict[str, float]:
        """Numbers by name, as MLflow takes them; those that are not known are left out."""
        found = {f"fill.{name}": v for name, v in _pairs(self.fill, "attribute", "prospects")}
        found |= {f"psi.{name}": v for name, v in _pairs(self.drift, "attribute", "psi")}
        found |= {f"days_late.{name}": v for name, v in _pairs(self.lateness, "table", "days")}
        found |= {f"cost.{name}": v for name, v in _pairs(self.cost, "attribute", "gain")}
        found["drifted"] = float((self.drift["drift"] != "none").sum())
        found["quarantined"] = float(sum(self.quarantine.values()))
        # Attributes may be named as MLflow names no metric.
        return {
            "health." + re.sub(r"[^\w.\- ]", "_", name): value
            for name, value in found.items()
            if np.isfinite(value)
        }


def _worth_filling(cost: pd.DataFrame) -> Iterator[Finding]:
    sure = cost[(cost["gain"] >= WORTH_FILLING) & (cost["low"] > 0)].head(_MOST_NAMED)
    if not sure.empty:
        told = ", ".join(
            f"`{row['attribute']}` ({row['empty']:,} prospects, {row['gain']:+.3f})"
            for _, row in sure.iterrows()
        )
        yield Finding(
            "empty_field",
            "note",
            f"Empty fields cost expected NRR of the accounts that would be pursued: {told}. Fill "
            "in the first ones first.",
        )


def _drifted(drift: pd.DataFrame) -> Iterator[Finding]:
    apart = drift[drift["drift"] != "none"]
    if not apart.empty:
        told = ", ".join(
            f"`{row['attribute']}` (PSI {row['psi']:.2f})"
            for _, row in apart.head(_MOST_NAMED).iterrows()
        )
        yield Finding(
            "customers_drifted",
            "warning" if (apart["drift"] == "much").any() else "note",
            f"Prospects are unlike the customers that were learned from in {len(apart)} of "
            f"{len(drift)} attributes: {told}. What was learned says less of them.",
        )


def _refused(quarantine: Mapping[str, int]) -> Iterator[Finding]:
    if many := sum(quarantine.values()):
        yield Finding(
            "quarantined",
            "note",
            f"{many:,} rows and cells are in quarantine: `icp quarantine` lists them by rule.",
        )


def _pairs(table: pd.DataFrame, name: str, value: str) -> Iterator[tuple[str, float]]:
    numbers = table[value].astype("float64").to_numpy()
    yield from zip(table[name].astype("str"), numbers.tolist(), strict=True)


def health(
    seen: Tables,
    history: AttributeHistory,
    attributes: Sequence[Attribute],
    motion: str,
    as_of: date,
    *,
    customers: pd.DataFrame,
    market: pd.DataFrame,
    quarantine: Mapping[str, int],
    expect: Expect | None = None,
    capacity: float = 0.25,
    seed: int = 0,
) -> Health:
    """The health of what a day sees.

    `history` is that of its accounts, `customers` and `market` are attribute frames of who was
    learned from and of the prospects. `expect` gives expected NRR; without it costs are not known.
    """
    deals = seen.deals[of_motion(seen.deals, motion)]
    return Health(
        as_of=as_of,
        prospects=len(market),
        customers=len(customers),
        fill=_fill(history, deals, attributes, market),
        drift=_drift(customers, market, attributes),
        volumes=_volumes(seen, deals, as_of),
        lateness=_lateness(seen, deals, as_of),
        cost=_cost(market, attributes, expect, capacity, seed),
        quarantine=dict(quarantine),
        crowds=tuple(crowds(seen.accounts)),
    )


def _fill(
    history: AttributeHistory,
    deals: pd.DataFrame,
    attributes: Sequence[Attribute],
    market: pd.DataFrame,
) -> pd.DataFrame:
    named = deals.rename(columns={"created_at": "at"})[["account_id", "at"]]
    quarters = named["at"].dt.to_period("Q")
    newest = sorted(quarters.unique())[-_QUARTERS:]
    recent = named[quarters.isin(newest)]
    filled = history.at(recent, attributes).notna()
    by_quarter = filled.groupby(quarters[recent.index].astype("str").to_numpy()).mean().T
    by_quarter["prospects"] = market.notna().mean()
    return by_quarter.rename_axis("attribute").reset_index()


def psi(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The population stability index of two rows of counts; half a row is added to each bin."""
    a, b = (ours + 0.5) / (ours + 0.5).sum(), (theirs + 0.5) / (theirs + 0.5).sum()
    return float(((a - b) * np.log(a / b)).sum())


def _drift(
    customers: pd.DataFrame, market: pd.DataFrame, attributes: Sequence[Attribute]
) -> pd.DataFrame:
    rows = []
    for attribute in attributes:
        index, p = _apart(customers[attribute.name], market[attribute.name], attribute.kind)
        rows.append((attribute.name, index, p))
    found = pd.DataFrame(rows, columns=["attribute", "psi", "p"])
    found["p"] = holm(found["p"])
    sure = found["p"] < DRIFT_ERROR
    size = np.select([found["psi"] >= MUCH_DRIFT, found["psi"] >= SOME_DRIFT], ["much", "some"], "")
    found["drift"] = np.where(sure & (size != ""), size, "none")
    found["n"] = len(customers)
    return found.sort_values("psi", ascending=False, kind="stable", ignore_index=True)


def holm(p: pd.Series) -> pd.Series:
    """P values after looking at all of them (Holm 1979); unknown ones stay unknown."""
    known = p.dropna().sort_values(kind="stable")
    adjusted = (known * np.arange(len(known), 0, -1)).cummax().clip(upper=1.0)
    return adjusted.reindex(p.index)


def _apart(ours: pd.Series, theirs: pd.Series, kind: Kind) -> tuple[float, float]:
    """PSI and the chi-square test's p; of a set those of the member that differs most."""
    if ours.empty or theirs.empty:
        return float("nan"), float("nan")
    if kind != "set":
        return _of_counts(*_binned(ours, theirs, kind))
    have, have_too = (Texts.as_they_come(values).levels("set") for values in (ours, theirs))
    known, known_too = int(ours.notna().sum()), int(theirs.notna().sum())
    found = [
        _of_counts(_two(have[member], known), _two(have_too.get(member, 0), known_too))
        for member in sorted(have, key=lambda member: -have[member])[:_MOST_MEMBERS]
    ]
    empty, empty_too = len(ours) - known, len(theirs) - known_too
    found.append(_of_counts(_two(empty, len(ours)), _two(empty_too, len(theirs))))
    index, p = max(found, key=lambda pair: pair[0])
    return index, min(1.0, p * len(found))


def _two(those: int, of: int) -> np.ndarray:
    """How many accounts are so, and how many are not."""
    return np.array([float(those), float(of - those)])


def _binned(ours: pd.Series, theirs: pd.Series, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Counts in the same bins: quantiles or levels of ours, with rare ones together, and empty."""
    if kind in ("number", "date"):
        bins = int(np.clip(ours.notna().sum() // (2 * _FEWEST_IN_BIN), 2, _MOST_BINS))
        inner = ours.quantile(np.linspace(0, 1, bins + 1)[1:-1]).dropna().unique()
        labels = [
            pd.Series(np.searchsorted(inner, v), v.index).mask(v.isna(), -1) for v in (ours, theirs)
        ]
    else:
        counts = ours.value_counts()
        common = set(counts.index[counts >= _FEWEST_IN_BIN])
        labels = [
            values.astype("object")
            .where(values.isin(common) | values.isna(), "(other)")
            .where(values.notna(), "(empty)")
            for values in (ours, theirs)
        ]
    table = pd.concat([label.value_counts() for label in labels], axis=1).fillna(0.0)
    return table.iloc[:, 0].to_numpy(), table.iloc[:, 1].to_numpy()


def _of_counts(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    if ours.sum() == 0 or theirs.sum() == 0:
        return float("nan"), float("nan")
    there = (ours + theirs) > 0
    if there.sum() < 2:
        return 0.0, 1.0
    counts = np.array([ours[there], theirs[there]])
    return psi(*counts), float(chi2_contingency(counts, correction=False).pvalue)


def _volumes(seen: Tables, deals: pd.DataFrame, as_of: date) -> pd.DataFrame:
    last = pd.Timestamp(as_of).to_period("M")
    months = pd.period_range(end=last, periods=_MONTHS, freq="M")
    closed = deals["closed_at"].dt.to_period("M")
    columns = {
        "deals_created": deals["created_at"].dt.to_period("M").value_counts(),
        "won": closed[deals["outcome"] == "won"].value_counts(),
        "lost": closed[deals["outcome"] == "lost"].value_counts(),
        "accounts_billed": seen.revenue[seen.revenue["mrr"] > 0]["month"]
        .dt.to_period("M")
        .value_counts(),
        "mrr": seen.revenue.groupby(seen.revenue["month"].dt.to_period("M"))["mrr"].sum(),
        "account_rows": seen.accounts["observed_at"].dt.to_period("M").value_counts(),
        "signals": seen.signals["at"].dt.to_period("M").value_counts(),
    }
    table = pd.DataFrame({name: counts.reindex(months) for name, counts in columns.items()})
    return table.fillna(0.0).rename_axis("month").reset_index().astype({"month": "str"})


def _lateness(seen: Tables, deals: pd.DataFrame, as_of: date) -> pd.DataFrame:
    now = last_moment(as_of)
    month_ends = seen.revenue["month"].max() + pd.offsets.MonthEnd(0)
    newest = {
        "accounts": seen.accounts["observed_at"].max(),
        "deals": deals[["created_at", "closed_at"]].max().max(),
        "revenue": month_ends,
        "signals": seen.signals["at"].max(),
    }
    rows = [
        (name, day.date().isoformat() if pd.notna(day) else None, (now - day).days)
        for name, day in newest.items()
    ]
    return pd.DataFrame(rows, columns=["table", "newest", "days"])


def _cost(
    market: pd.DataFrame,
    attributes: Sequence[Attribute],
    expect: Expect | None,
    capacity: float,
    seed: int,
) -> pd.DataFrame:
    """What filling a field in would add to the expected NRR of the pursued.

    Measured where the field is known: hide it, pursue by what is left, and see how much less the
    accounts so chosen are expected to bring. Each empty cell costs as much. The interval is over
    accounts and trusts the model.
    """
    columns = ["attribute", "empty", "gain", "low", "high", "n"]
    if expect is None or market.empty:
        return pd.DataFrame(columns=columns)
    asked = market.iloc[:: max(1, -(-len(market) // _ASKED))]
    hidden = [
        _without(asked, attribute.name)
        for attribute in attributes
        if market[attribute.name].isna().any()
        and asked[attribute.name].notna().sum() >= _FEWEST_FILLED
    ]
    known, *answers = expect(asked, [None, *hidden])
    rng = np.random.default_rng(seed)
    rows = []
    for field_hidden, answer in zip(hidden, answers, strict=True):
        name, there = field_hidden.attribute, field_hidden.rows
        drawn = _lost(known[there], answer, capacity, rng)
        empty = int(market[name].isna().sum())
        share = empty / len(market)
        low, high = np.quantile(drawn[1:], [0.05, 0.95]) * share
        rows.append((name, empty, float(drawn[0]) * share, low, high, len(there)))
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("gain", ascending=False, kind="stable", ignore_index=True)


def _without(asked: pd.DataFrame, name: str) -> Altered:
    """The accounts that have an attribute, as if they had not."""
    there = np.flatnonzero(asked[name].notna())
    values = asked[name].iloc[there]
    return Altered(name, there, values.mask(values.notna()))


def _lost(
    known: np.ndarray, hidden: np.ndarray, capacity: float, rng: np.random.Generator
) -> np.ndarray:
    """Expected NRR that choosing by `hidden` loses: as seen, then in bootstrap draws."""
    n = len(known)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS)
    weights = np.vstack([np.ones(n), drawn])
    ours = weights * shares_pursued(known, weights, capacity)
    blind = weights * shares_pursued(hidden, weights, capacity)
    lost: np.ndarray = ours @ known / ours.sum(axis=1) - blind @ known / blind.sum(axis=1)
    return lost
