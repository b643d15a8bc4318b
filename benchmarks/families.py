"""Two more kinds of simulated companies, so that nothing is tuned to the law of one.

The built-in company (`icploop.demo`) adds up effects of traits. These two do not:

- **Usage**: attributes share two hidden factors and half of them are irrelevant; what matters does
  so by thresholds, a plateau and one sweet spot. Small firms hide their size, early ones their
  stage. Every bill moves: seasons with a phase of their own, reverting noise, lasting heavy-tailed
  shocks. Most renew by the year and leave only then.
- **Segments**: worth is set by four to six conjunctions and nothing adds up; one category has 60
  levels in hidden families; some attributes are near-copies of others. Half of the customers never
  leave; growth comes by rare large steps up to a cap; contracts are Pareto; whoever is easiest to
  win is worst to keep.

The correlation of what an attribute does to churn and to growth is drawn for each seed, from -.7 to
+.4. A world of a family has what `icploop.demo.world.World` has, as far as benchmarks go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from icploop.demo.market import account_ids
from icploop.demo.world import World, WorldSpec, simulate

Floats = npt.NDArray[np.float64]
_HORIZON = 12
_SHIFTED_SHARE = 1 / 3


@dataclass(frozen=True)
class Fates:
    """What awaits each account of a market, in rows.

    `p_retained` and `expected_nrr` are those of the horizon, `p_win` of a deal; `churn` and
    `growth` are what the billing of its family goes by.
    """

    p_retained: Floats
    expected_nrr: Floats
    p_win: Floats
    churn: Floats
    growth: Floats

    def where(self, chosen: npt.NDArray[np.bool_], other: Fates) -> Fates:
        """These fates where `chosen`, else the other ones."""
        return Fates(
            *(
                np.where(chosen, getattr(self, name), getattr(other, name))
                for name in self.__dataclass_fields__
            )
        )


@dataclass(frozen=True)
class Market:
    """Attribute values as recorded (with gaps), the law before and after a shift, and contracts."""

    recorded: pd.DataFrame
    kinds: dict[str, str]
    before: Fates
    after: Fates
    acv: Floats


@dataclass(frozen=True)
class FamilyWorld:
    """A company of a family, with the tables, attributes and truth of a simulated `World`."""

    spec: WorldSpec
    accounts: pd.DataFrame
    deals: pd.DataFrame
    revenue: pd.DataFrame
    signals: pd.DataFrame
    truth: pd.DataFrame
    attributes: dict[str, dict[str, str]]
    fates: Market

    def truth_at(self, account_ids: npt.ArrayLike, day: object) -> pd.DataFrame:
        """The truth of any accounts, were their deal created on a day."""
        ids = pd.Index(np.asarray(account_ids))
        place = pd.Index(self.truth["account_id"]).get_indexer(ids)
        after = np.full(len(self.truth), pd.Timestamp(day) >= self.spec.shift_day)
        return _truth(self.fates, after).iloc[place].reset_index(drop=True)


def _truth(market: Market, after: npt.NDArray[np.bool_]) -> pd.DataFrame:
    fates = market.after.where(after, market.before)
    return pd.DataFrame(
        {
            "account_id": account_ids(np.arange(len(after))),
            "expected_nrr": fates.expected_nrr,
            "p_retained": fates.p_retained,
            "p_win": fates.p_win,
            "expected_acv": market.acv,
        }
    )


# What a living customer pays in each month after the first bill, (customers, months), and the month
# in which each leaves.
Billing = Callable[[np.random.Generator, Floats, Floats, int], tuple[Floats, npt.NDArray[np.int_]]]


def usage(spec: WorldSpec) -> FamilyWorld:
    """A company that bills by usage."""
    return _world(spec, _usage_market, _usage_bills)


def segments(spec: WorldSpec) -> FamilyWorld:
    """A company whose customers come in segments."""
    return _world(spec, _segments_market, _segments_bills)


FAMILIES: dict[str, Callable[[WorldSpec], World | FamilyWorld]] = {
    "built-in": simulate,
    "usage": usage,
    "segments": segments,
}


def _world(
    spec: WorldSpec,
    draw_market: Callable[[WorldSpec, int], Market],
    bill: Billing,
) -> FamilyWorld:
    rate = 0.25
    deals = round(spec.wins / rate)
    market = draw_market(spec, deals + spec.prospects)
    rng = spec.stream("deals")
    # Sales grow: twice as many deals at the end as at the start.
    day = np.sort(spec.days * (np.sqrt(1 + 3 * rng.random(deals)) - 1))
    created = spec.first_day + pd.to_timedelta(day.round(4), unit="D")
    closed = created + pd.to_timedelta(rng.integers(15, 90, deals), unit="D")
    after = np.r_[created >= spec.shift_day, np.ones(spec.prospects, dtype=bool)]
    fates = market.after.where(after, market.before)
    won = rng.random(deals) < fates.p_win[:deals] * rate / fates.p_win[:deals].mean()
    outcome = np.where(closed >= spec.end, "open", np.where(won, "won", "lost"))
    acv = market.acv[:deals] * rng.choice([0.8, 0.9, 1.0, 1.0], deals)
    deal_table = pd.DataFrame(
        {
            "deal_id": [f"D{number:06d}" for number in range(deals)],
            "account_id": account_ids(np.arange(deals)),
            "created_at": created,
            "closed_at": pd.Series(closed).where(closed < spec.end),
            "outcome": outcome,
            "motion": "default",
            "acv": acv.round(2),
        }
    )
    seen = np.r_[
        created - pd.to_timedelta(rng.integers(5, 100, deals), unit="D"),
        spec.first_day + pd.to_timedelta(rng.integers(0, spec.days, spec.prospects), unit="D"),
    ]
    accounts = market.recorded.assign(
        account_id=account_ids(np.arange(len(seen))), observed_at=pd.DatetimeIndex(seen)
    )
    kinds = market.kinds
    return FamilyWorld(
        spec=spec,
        accounts=accounts,
        deals=deal_table,
        revenue=_revenue(spec, deal_table, fates, acv, bill),
        signals=pd.DataFrame({"account_id": [], "at": [], "kind": [], "value": []}),
        truth=_truth(market, after),
        attributes={"firmographic": kinds},
        fates=market,
    )


def _revenue(
    spec: WorldSpec, deals: pd.DataFrame, fates: Fates, acv: Floats, bill: Billing
) -> pd.DataFrame:
    """Rows for each month billed, and a zero after the last."""
    rng = spec.stream("billing")
    place = np.flatnonzero((deals["outcome"] == "won").to_numpy())
    paid, leaves = bill(rng, fates.churn[place], fates.growth[place], spec.months)
    first = (
        deals["closed_at"].iloc[place].dt.to_period("M") + 1 - pd.Period(spec.first_day, "M")
    ).map(lambda offset: offset.n)
    age = np.arange(spec.months + 1)
    month = first.to_numpy(dtype=int)[:, None] + age
    there = (month < spec.months) & (age <= leaves[:, None])
    mrr = np.where(age < leaves[:, None], acv[place, None] / 12 * paid, 0.0)
    who, when = np.nonzero(there)
    months = spec.first_day.to_period("M") + month[who, when]
    return pd.DataFrame(
        {
            "account_id": deals["account_id"].to_numpy()[place][who],
            "month": pd.PeriodIndex(months).to_timestamp(),
            "mrr": mrr[who, when].round(2),
        }
    )


def _effects(rng: np.random.Generator, count: int) -> Floats:
    """What each of some causes does to churn, growth and win, (count, 3)."""
    r = rng.uniform(-0.7, 0.4)
    together = np.array([[1, r, 0.4], [r, 1, -0.2], [0.4, -0.2, 1]])
    return rng.multivariate_normal(np.zeros(3), together, size=count)


def _shifted(rng: np.random.Generator, effects: Floats, redrawn: Floats) -> Floats:
    """The effects after a shift of the market: some are those of another draw."""
    count = max(1, round(len(effects) * _SHIFTED_SHARE))
    shifted = effects.copy()
    chosen = rng.permutation(len(effects))[:count]
    shifted[chosen] = redrawn[chosen]
    return shifted


def _chance(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9))


# --- usage ------------------------------------------------------------------------------------

_USAGE_NUMBERS, _USAGE_FLAGS, _USAGE_CATEGORIES = 8, 4, 4
_LEAVES_EARLY = 0.003


def _usage_market(spec: WorldSpec, count: int) -> Market:
    rng, values = spec.stream("nature"), spec.stream("accounts")
    total = _USAGE_NUMBERS + _USAGE_FLAGS + _USAGE_CATEGORIES
    loading = rng.normal(size=(2, total)) * 0.7
    hidden = values.normal(size=(count, 2))
    under = hidden @ loading + values.normal(size=(count, total))
    under /= np.sqrt(1 + (loading**2).sum(axis=0))
    cuts = rng.uniform(-0.5, 0.5, total)
    causes = np.empty((count, total))
    for column in range(total):
        u, shape = under[:, column], column % 3
        if column >= _USAGE_NUMBERS or shape == 0:
            causes[:, column] = u > cuts[column]
        elif shape == 1:
            causes[:, column] = np.clip(u, cuts[column] - 0.6, cuts[column] + 0.6)
        else:
            causes[:, column] = np.exp(-2 * (u - cuts[column]) ** 2)
    matters = rng.permutation(total)[: total // 2]
    causes = _standard(causes[:, matters])
    weight = 0.85 ** np.arange(len(matters))
    one, other = _effects(rng, len(matters)), _effects(rng, len(matters))
    drawn = [
        _usage_fates(_standard(causes @ (weight[:, None] * effects)))
        for effects in (one, _shifted(rng, one, other))
    ]
    recorded, kinds = _usage_records(values, under, cuts)
    acv = np.exp(9.5 + 0.6 * under[:, 0] + 0.5 * values.normal(size=count))
    return Market(recorded, kinds, drawn[0], drawn[1], acv)


def _usage_fates(score: Floats) -> Fates:
    leaves = _chance(-1.75 + 1.0 * score[:, 0])
    growth = 0.02 + 0.13 * score[:, 1]
    stays = (1 - leaves) * (1 - _LEAVES_EARLY) ** _HORIZON
    return Fates(stays, stays * np.exp(growth), _chance(-1.1 + 0.6 * score[:, 2]), leaves, growth)


def _usage_records(
    rng: np.random.Generator, under: Floats, cuts: Floats
) -> tuple[pd.DataFrame, dict[str, str]]:
    columns: dict[str, object] = {}
    kinds: dict[str, str] = {}
    count = len(under)
    missing = rng.random(under.shape) < 0.1
    # Small firms hide their size, early ones their stage.
    missing[:, 0] = rng.random(count) < np.where(under[:, 0] < -0.3, 0.5, 0.05)
    missing[:, 1] = rng.random(count) < np.where(under[:, 1] < -0.3, 0.5, 0.05)
    for column in range(under.shape[1]):
        u = under[:, column]
        value: pd.Series
        if column < _USAGE_NUMBERS:
            name, kind = ("size" if column == 0 else f"number_{column}"), "number"
            value = pd.Series(
                np.exp(4 + 1.2 * u).round(1) if column == 0 else (50 + 20 * u).round(1)
            )
        elif column < _USAGE_NUMBERS + _USAGE_FLAGS:
            name, kind = f"flag_{column}", "flag"
            value = pd.Series(u > cuts[column]).astype("object")
        else:
            name, kind = f"category_{column}", "category"
            # Two levels on either side of what matters.
            level = np.digitize(u, [cuts[column] - 0.7, cuts[column], cuts[column] + 0.7])
            value = pd.Series(np.array(["alder", "birch", "cedar", "dogwood"])[level])
        columns[name] = value.astype("object").where(~missing[:, column])
        kinds[name] = kind
    return pd.DataFrame(columns), kinds


def _usage_bills(
    rng: np.random.Generator, churn: Floats, growth: Floats, months: int
) -> tuple[Floats, npt.NDArray[np.int_]]:
    count, age = len(churn), np.arange(months + 1)
    season = rng.uniform(0, 0.25, count)[:, None] * np.sin(
        2 * np.pi * (age / 12 + rng.random(count)[:, None])
    )
    noise = np.zeros((count, months + 1))
    drawn = rng.normal(size=noise.shape) * 0.12
    noise[:, 0] = drawn[:, 0]
    for month in age[1:]:
        noise[:, month] = 0.7 * noise[:, month - 1] + 0.71 * drawn[:, month]
    hit = rng.random(noise.shape) < 0.02
    shocks = np.where(hit, np.clip(0.2 * rng.standard_t(2.5, noise.shape), -1, 1), 0)
    shocks[:, 0] = 0
    level = growth[:, None] * age / 12 + season + noise + np.cumsum(shocks, axis=1)
    paid = np.exp(level - level[:, :1])
    renews = rng.random((count, months // 12 + 1)) >= churn[:, None]
    years = np.where(renews.all(axis=1), months + 1, 12 * (1 + np.argmin(renews, axis=1)))
    early = rng.geometric(_LEAVES_EARLY, count)
    return paid, np.minimum(years, early).astype(int)


# --- segments -----------------------------------------------------------------------------------

_LEVELS, _KINDRED = 60, 6
_HAZARD = 0.045
_STEP, _DOWN = 1.6, 0.85
_DOWN_RATE = 0.25


def _segments_market(spec: WorldSpec, count: int) -> Market:
    rng, values = spec.stream("nature"), spec.stream("accounts")
    kin_of = rng.permutation(np.arange(_LEVELS) % _KINDRED)
    level = values.choice(_LEVELS, count, p=_popular(rng, _LEVELS))
    base: dict[str, np.ndarray] = {"branch": level}
    for number in range(4):
        levels = 3 + number % 3
        base[f"category_{number}"] = values.choice(levels, count, p=_popular(rng, levels))
    for number in range(4):
        base[f"number_{number}"] = np.exp(values.normal(3, 1, count)).round(1)
    for number in range(4):
        base[f"flag_{number}"] = values.random(count) < rng.uniform(0.25, 0.75)
    held = _conjunctions(rng, base, kin_of)
    one, other = _effects(rng, len(held) + 1), _effects(rng, len(held) + 1)
    # The first that holds decides, and the last row is everybody else.
    first = np.argmax(np.vstack([*held, np.ones(count, dtype=bool)]), axis=0)
    drawn = [
        _segments_fates(_standard(effects[first])) for effects in (one, _shifted(rng, one, other))
    ]
    acv = np.minimum(5000 * (1 + values.pareto(1.6, count)), 1e6)
    recorded, kinds = _segments_records(values, base)
    return Market(recorded, kinds, drawn[0], drawn[1], acv)


def _popular(rng: np.random.Generator, levels: int) -> Floats:
    share = rng.gamma(2.0, size=levels)
    return np.asarray(share / share.sum())


def _conjunctions(
    rng: np.random.Generator, base: dict[str, np.ndarray], kin_of: np.ndarray
) -> list[npt.NDArray[np.bool_]]:
    """Four to six sets of accounts, each the meeting of two or three conditions."""
    wanted = int(rng.integers(4, 7))
    found: list[npt.NDArray[np.bool_]] = []
    names = list(base)
    while len(found) < wanted:
        inside = np.ones(len(base["branch"]), dtype=bool)
        for name in rng.choice(names, int(rng.integers(2, 4)), replace=False):
            value = base[name]
            if name == "branch":
                inside &= np.isin(kin_of[value], rng.permutation(_KINDRED)[:3])
            elif name.startswith("category"):
                inside &= np.isin(value, rng.permutation(int(value.max()) + 1)[:2])
            elif name.startswith("number"):
                over = value > np.exp(3 + rng.uniform(-0.5, 0.5))
                inside &= over if rng.random() < 0.5 else ~over
            else:
                inside &= value if rng.random() < 0.5 else ~value
        if 0.1 < inside.mean() < 0.4:
            found.append(inside)
    return found


def _segments_fates(score: Floats) -> Fates:
    cured = _chance(0.2 - 1.6 * score[:, 0])
    stays = cured + (1 - cured) * np.exp(-_HAZARD * _HORIZON)
    steps = 0.22 * np.exp(0.8 * score[:, 1])
    grown = np.exp(-steps) * (1 + steps * _STEP) + (1 - np.exp(-steps) * (1 + steps)) * (_STEP**2)
    grown *= np.exp(_DOWN_RATE * (_DOWN - 1))
    return Fates(stays, stays * grown, _chance(-1.1 + 0.7 * score[:, 0]), cured, steps)


def _segments_records(
    rng: np.random.Generator, base: dict[str, np.ndarray]
) -> tuple[pd.DataFrame, dict[str, str]]:
    columns: dict[str, pd.Series] = {}
    kinds: dict[str, str] = {}
    for name, value in base.items():
        kind = "category" if name == "branch" else name.split("_")[0]
        text = pd.Series(value).map(lambda v: f"level {v}") if kind == "category" else value
        columns[name], kinds[name] = pd.Series(text).astype("object"), kind
    for name in ("category_0", "number_0", "flag_0"):
        copy = columns[name].copy()
        other = rng.random(len(copy)) < 0.05
        copy[other] = rng.permutation(copy[other].to_numpy())
        columns[f"{name}_too"], kinds[f"{name}_too"] = copy, kinds[name]
    frame = pd.DataFrame(columns)
    return frame.where(rng.random(frame.shape) >= 0.12), kinds


def _segments_bills(
    rng: np.random.Generator, churn: Floats, growth: Floats, months: int
) -> tuple[Floats, npt.NDArray[np.int_]]:
    count = len(churn)
    ups = rng.poisson(growth[:, None] / 12, (count, months + 1))
    downs = rng.poisson(_DOWN_RATE / 12, (count, months + 1))
    ups[:, 0] = downs[:, 0] = 0
    # Two steps reach the cap.
    paid = _STEP ** np.minimum(np.cumsum(ups, axis=1), 2) * _DOWN ** np.cumsum(downs, axis=1)
    leaves = np.where(rng.random(count) < churn, months + 1, rng.geometric(_HAZARD, count))
    return paid, leaves.astype(int)
