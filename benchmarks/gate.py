"""Which rule promotes what is truly better? The gate against what others do instead.

Run as `python -m benchmarks.gate [DRAWS] [COMPANIES]` (500 and 16). Two measurements on simulated
companies, whose truth is known:

1. Pairs of models of known worth are compared on holdouts of 60, 150 and 400 matured customers (and
   the younger ones that such a company would have): how often does each rule promote a challenger
   that is no better, truly better by 3.5 to 7 points of NRR, or truly worse by 2 to 5?
2. Companies live through four years in which a challenger is trained every quarter: by how much is
   the NRR of what is pursued higher than with the first version for ever, when all rounds are clean
   and when a fifth of them learn from outcomes that were mixed up?
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.worlds import (
    PURSUED,
    checked_tables,
    company,
    customers_seen,
    declared,
    prospects_seen,
)
from icploop.demo.world import World, WorldSpec, simulate
from icploop.domain.gate import Comparison, decide
from icploop.domain.looks import Looks, required_probability
from icploop.domain.outcomes import WINSORISED_AT
from icploop.modeling.accounts.features import attributes_at
from icploop.modeling.judging.advantage import Advantage, advantage
from icploop.modeling.judging.comparison import compare
from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.statistics.capacity import at_capacity
from icploop.modeling.statistics.cross_fit import newest_matured, out_of_fold
from icploop.settings import GatePolicy, Kind, Outcome

RESULTS = Path(__file__).parent / "results"
FIRST_SEED = 3000
_LEARNED = ["months_at_risk", "churned", "log_growth", "growth_months", "nrr", "grr", "retained"]
_POLICIES = {name: GatePolicy(preset=name) for name in ("strict", "balanced", "fresh")} | {
    f"at {asked:.0%}": GatePolicy(probability_better=asked) for asked in (0.6, 0.7, 0.8, 0.9)
}


@dataclass(frozen=True)
class Look:
    """What a rule may look at: matured customers, all recent ones, two scores, and the past.

    `elsewhere` is what the champion's NRR was on the holdout of its own round.
    """

    judged: pd.DataFrame
    recent: pd.DataFrame
    ours: pd.Series
    theirs: pd.Series
    elsewhere: float
    looks: Looks

    @property
    def nrr(self) -> tuple[float, float]:
        """NRR of what challenger and champion would have pursued."""
        return tuple(
            at_capacity(self.judged, scores, PURSUED).nrr for scores in (self.ours, self.theirs)
        )

    @cached_property
    def advantage(self) -> Advantage:
        """Whether customers, ripe or not, do better where the challenger rates them higher."""
        return advantage(self.recent, self.ours, self.theirs, "nrr", Outcome())

    @cached_property
    def comparison(self) -> Comparison:
        """The gate's own comparison."""
        return self._compared(self.advantage)

    @cached_property
    def bootstrapped(self) -> Comparison:
        """The comparison by the NRR of the pursued alone."""
        return self._compared(None)

    def _compared(self, evidence: Advantage | None) -> Comparison:
        return compare(
            self.judged,
            self.ours,
            self.theirs,
            rival="the champion",
            evidence=evidence,
            capacity=PURSUED,
            interval=0.9,
            draws=400,
            seed=0,
        )


def always(_look: Look) -> bool:
    return True


def never(_look: Look) -> bool:
    return False


def ahead(look: Look, by: float = 0.0) -> bool:
    ours, theirs = look.nrr
    return ours > theirs + by


def nearly_as_good(look: Look) -> bool:
    ours, theirs = look.nrr
    return ours > 0.95 * theirs


def stored_metric(look: Look) -> bool:
    return look.nrr[0] > look.elsewhere


def bootstrap(look: Look, level: float) -> bool:
    return look.bootstrapped.nrr.probability_better >= 1 - level


def correlation(look: Look, z: float) -> bool:
    """The t-statistic of score difference x outcome, as in the literature on paired uplift."""
    ours, theirs = (
        (s - s.mean()) / s.std(ddof=0)
        for s in (look.ours[look.judged.index], look.theirs[look.judged.index])
    )
    nrr = look.judged["nrr"].clip(upper=WINSORISED_AT)
    product = (ours - theirs) * (nrr - nrr.mean())
    spread = float(product.std())
    return spread > 0 and float(product.mean()) / spread * np.sqrt(len(product)) > z


def gate(look: Look, policy: GatePolicy) -> bool:
    required = required_probability(policy, look.looks)
    return decide(look.comparison, policy, required=required).verdict == "PROMOTE"


def unless_worse(look: Look) -> bool:
    """What the policies' own evidence would say without the demand to be ahead on NRR."""
    return look.advantage.z > -0.5


Rule = Callable[[Look], bool]
RULES: dict[str, Rule] = {
    "always promote (calendar)": always,
    "ahead on the holdout": ahead,
    "ahead by 2 points": partial(ahead, by=0.02),
    "95% of the champion is enough": nearly_as_good,
    "ahead of the champion's stored metric": stored_metric,
    "paired bootstrap, 5%": partial(bootstrap, level=0.05),
    "correlation z, 5%": partial(correlation, z=1.645),
    "correlation z, 20%": partial(correlation, z=0.842),
    **{f"icploop, {name}": partial(gate, policy=policy) for name, policy in _POLICIES.items()},
    "icploop's evidence z > -0.5 alone": unless_worse,
}


# --- pairs of models of known worth ---------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Customers that no model saw, the scores of several models, and what each is truly worth."""

    customers: pd.DataFrame
    scores: pd.DataFrame
    worth: dict[str, float]


def pairs(seed: int) -> Pairs:
    """Models from 120 to 1,000 customers, two of them from outcomes half mixed up."""
    drawn = company(seed, 4500, unripe=True, prospects=4000)
    rng = np.random.default_rng(seed)
    ids = rng.permutation(drawn.sold.index.to_numpy())
    teachers, pool = ids[:2400], ids[2400:]
    models: dict[str, FitModel] = {}
    with threadpool_limits(1):
        for size in (120, 250, 500, 1000):
            for number in range(2):
                taught = drawn.sold.loc[rng.permutation(teachers)[:size]]
                models[f"{size} {number}"] = FitModel(drawn.kinds).fit(
                    drawn.features.loc[taught.index], taught
                )
        for size in (250, 1000):
            taught = mixed_up(drawn.sold.loc[rng.permutation(teachers)[:size]], rng)
            models[f"{size} mixed up"] = FitModel(drawn.kinds).fit(
                drawn.features.loc[taught.index], taught
            )
        asked = drawn.features.loc[pool]
        scores = {n: m.predict(asked)["expected_nrr"] for n, m in models.items()}
        worth = {
            n: _worth(m.predict(drawn.market)["expected_nrr"], drawn.truth)
            for n, m in models.items()
        }
    return Pairs(drawn.sold.loc[pool], pd.DataFrame(scores), worth)


def mixed_up(customers: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The customers with the outcomes of half of them dealt at random."""
    chosen = np.flatnonzero(rng.random(len(customers)) < 0.5)
    dealt = customers.copy()
    outcome = customers[_LEARNED].to_numpy(dtype="float64")
    outcome[chosen] = outcome[rng.permutation(chosen)]
    dealt[_LEARNED] = outcome
    return dealt


def _worth(scores: pd.Series, truth: pd.DataFrame) -> float:
    """ACV-weighted true NRR of the best quarter, in points."""
    best = np.argsort(-scores.to_numpy(), kind="stable")[: int(len(scores) * PURSUED)]
    acv, nrr = truth["expected_acv"].to_numpy(), truth["expected_nrr"].to_numpy()
    return float(100 * np.average(nrr[best], weights=acv[best]))


def _kind(difference: float) -> str | None:
    if abs(difference) < 0.25:
        return "no difference"
    if 3.5 <= difference <= 7:
        return "better by 3.5 to 7"
    return "worse by 2 to 5" if -5 <= difference <= -2 else None


def passes(draws: int, companies: int) -> pd.DataFrame:
    """One row for each rule, size and kind of challenger: how often it is promoted, and n."""
    with Pool(os.cpu_count()) as pool:
        known = pool.map(pairs, range(FIRST_SEED, FIRST_SEED + companies), chunksize=1)
    contests: dict[str, list[tuple[Pairs, str, str]]] = {}
    for each in known:
        for ours, one in each.worth.items():
            for theirs, other in each.worth.items():
                kind = _kind(one - other)
                if ours != theirs and kind:
                    contests.setdefault(kind, []).append((each, ours, theirs))
    jobs = [
        (kind, size, [found[i] for i in _chosen(len(found), draws, size)])
        for kind, found in contests.items()
        for size in (60, 150, 400)
    ]
    with Pool(os.cpu_count()) as pool:
        rows = [row for part in pool.imap(_drawn, jobs) for row in part]
    table = pd.DataFrame(rows, columns=["challenger", "matured", "rule", "promoted", "covered"])
    grouped = table.groupby(["rule", "challenger", "matured"], sort=False)
    return grouped.agg(
        promoted=("promoted", "mean"), covered=("covered", "mean"), draws=("promoted", "size")
    ).reset_index()


def _chosen(count: int, draws: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(count, size=draws)


def _drawn(
    job: tuple[str, int, list[tuple[Pairs, str, str]]],
) -> list[tuple[str, int, str, bool, float]]:
    kind, size, contests = job
    rng = np.random.default_rng(size)
    rows = []
    with threadpool_limits(1):
        for each, ours, theirs in contests:
            ripe = each.customers["matured"].to_numpy(dtype=bool)
            drawn = rng.permutation(np.flatnonzero(ripe))
            young = rng.permutation(np.flatnonzero(~ripe))[: round(size * 2 / 3)]
            judged, other = each.customers.iloc[drawn[:size]], each.customers.iloc[drawn[-size:]]
            look = Look(
                judged,
                pd.concat([judged, each.customers.iloc[young]]),
                each.scores[ours],
                each.scores[theirs],
                at_capacity(other, each.scores[theirs], PURSUED).nrr,
                Looks(),
            )
            everyone = each.customers[ripe]
            truly = (
                at_capacity(everyone, each.scores[ours], PURSUED).nrr
                - at_capacity(everyone, each.scores[theirs], PURSUED).nrr
            )
            found = look.comparison.nrr
            covered = float(found.low <= truly <= found.high)
            rows += [(kind, size, name, rule(look), covered) for name, rule in RULES.items()]
    return rows


# --- four years -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quarter:
    """One round: its customers, the challenger's scores, and what each version is worth then."""

    customers: pd.DataFrame
    market: pd.DataFrame
    truth: pd.DataFrame


@dataclass(frozen=True)
class Version:
    """A trained challenger: its model, and its out-of-fold scores of what it learned from."""

    model: FitModel
    archived: pd.Series
    elsewhere: float

    def scores(self, features: pd.DataFrame) -> pd.Series:
        """Fair scores of customers."""
        fresh = self.model.predict(features)["expected_nrr"]
        return self.archived.reindex(features.index).fillna(fresh)


def four_years(companies: int) -> pd.DataFrame:
    """One row for each rule and kind of history: points gained over the first version, and more."""
    jobs = [
        (FIRST_SEED + 500 + number, share) for number in range(companies) for share in (0.0, 0.2)
    ]
    with Pool(os.cpu_count()) as pool:
        rows = [row for part in pool.imap(_history, jobs) for row in part]
    columns = ["rounds", "rule", "gained", "promotions", "harmful", "list_churn"]
    table = pd.DataFrame(rows, columns=columns)
    grouped = table.groupby(["rule", "rounds"], sort=False)
    return grouped.agg(
        gained=("gained", "mean"),
        sem=("gained", "sem"),
        promotions=("promotions", "mean"),
        harmful=("harmful", "mean"),
        list_churn=("list_churn", "mean"),
        companies=("gained", "size"),
    ).reset_index()


def _history(job: tuple[int, float]) -> list[tuple[str, str, float, int, int, float]]:
    seed, corrupted = job
    world = simulate(WorldSpec(seed=seed, wins=1200, prospects=2500))
    rng = np.random.default_rng(seed)
    with threadpool_limits(1):
        quarters, kinds, features = _quarters(world)
        versions = [
            _trained(q.customers, features, kinds, rng, mix_up=bool(i and rng.random() < corrupted))
            for i, q in enumerate(quarters)
        ]
        markets = [[v.model.predict(q.market)["expected_nrr"] for q in quarters] for v in versions]
        worth = np.array(
            [[_worth(s, q.truth) for s, q in zip(row, quarters, strict=True)] for row in markets]
        )
        lists = [[_listed(scores) for scores in row] for row in markets]
        said = [v.scores(features) for v in versions]
        rows = []
        rules = {"never retrain": never, **RULES, "an oracle": None}
        for name, rule in rules.items():
            champion, looks, in_force, harmful, promotions = 0, Looks(), [], 0, 0
            for number, quarter in enumerate(quarters[1:], start=1):
                ripe = quarter.customers[quarter.customers["matured"]]
                judged = newest_matured(ripe, 300)
                recent = quarter.customers[quarter.customers["at"] >= judged["at"].min()]
                better = worth[number, number] - worth[champion, number]
                if rule is None:
                    promoted = better > 0
                else:
                    ours, theirs = versions[number].archived, said[champion]
                    look = Look(judged, recent, ours, theirs, versions[champion].elsewhere, looks)
                    promoted = rule(look)
                looks = looks.after(judged.index, promoted)
                if promoted:
                    champion, promotions = number, promotions + 1
                    harmful += int(better < -0.5)
                in_force.append(champion)
            gained = [worth[v, n] - worth[0, n] for n, v in enumerate(in_force, start=1)]
            churn = [
                1 - len(lists[one][n] & lists[other][n]) / len(lists[one][n])
                for n, (one, other) in enumerate(zip([0, *in_force], in_force, strict=False), 1)
            ]
            kind = "a fifth mixed up" if corrupted else "clean"
            rows.append(
                (kind, name, float(np.mean(gained)), promotions, harmful, float(np.mean(churn)))
            )
    return rows


def _quarters(world: World) -> tuple[list[Quarter], dict[str, Kind], pd.DataFrame]:
    """The rounds from 60 matured customers on, and the features of all customers at their sale."""
    tables = checked_tables(world)
    quarters = []
    for start in pd.date_range(world.spec.first_day, world.spec.end, freq="QS")[1:]:
        day = (start - pd.Timedelta(days=1)).date()
        customers = customers_seen(tables, day)
        customers = customers[customers["months_at_risk"] >= 1]
        if customers["matured"].sum() >= 60:
            quarters.append(Quarter(customers, *prospects_seen(world, tables, day)))
    attributes = declared(world)
    features = attributes_at(tables.accounts, quarters[-1].customers, attributes)
    return quarters, {a.name: a.kind for a in attributes}, features


def _trained(
    customers: pd.DataFrame,
    features: pd.DataFrame,
    kinds: dict[str, Kind],
    rng: np.random.Generator,
    mix_up: bool,
) -> Version:
    taught = mixed_up(customers, rng) if mix_up else customers
    known = features.loc[taught.index]
    archived = out_of_fold(lambda: FitModel(kinds), known, taught, seed=0)["expected_nrr"]
    model = FitModel(kinds).fit(known, taught)
    judged = newest_matured(customers[customers["matured"]], 300)
    return Version(model, archived, at_capacity(judged, archived, PURSUED).nrr)


def _listed(scores: pd.Series) -> frozenset[str]:
    best = np.argsort(-scores.to_numpy(), kind="stable")[: int(len(scores) * PURSUED)]
    return frozenset(scores.index[best])


def main(draws: int = 500, companies: int = 16) -> None:
    """Measure, print, and keep the tables."""
    years = four_years(companies)
    years.round(3).to_csv(RESULTS / "gate-years.csv", index=False)
    wide = years.pivot_table(
        ["gained", "sem", "promotions", "harmful", "list_churn"], "rule", "rounds", sort=False
    )
    print(wide.round(2).to_string(), end="\n\n", flush=True)
    table = passes(draws, companies)
    table.round(3).to_csv(RESULTS / "gate.csv", index=False)
    wide = table.pivot_table("promoted", "rule", ["challenger", "matured"], sort=False)
    print(wide.round(2).to_string(), end="\n\n")
    covered = table[table["rule"] == "ahead on the holdout"]
    print("90% intervals cover", covered.groupby("matured")["covered"].mean().round(3).to_dict())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
