"""Rounds of simulated companies, fitted once and kept, so that a rule of the gate costs seconds.

A company lives through four years, and every quarter from 60 matured customers on a challenger is
learned in several ways: `clean`; `corrupted`, from outcomes half of which were dealt at random;
`poor`, by a recipe that knows half of the attributes; and now and then `noise`, from attributes
that were dealt at random. What each version says of every customer (fairly: out of fold where it
learned from it) and of every prospect is kept, with the truth.

Run as `python -m benchmarks.rounds LEARNER COMPANIES`. The learner is `product`, the fit model, or
`ridge`, which takes a fiftieth of the time and lets more companies live.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.families import FAMILIES
from benchmarks.worlds import PURSUED, checked_tables, customers_seen, declared, prospects_seen
from icploop.demo.world import WorldSpec
from icploop.domain.outcomes import WINSORISED_AT
from icploop.modeling.accounts.encoding import Encoding
from icploop.modeling.accounts.features import attributes_at
from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.learning.rivals import AverageCustomer
from icploop.modeling.statistics.cross_fit import out_of_fold
from icploop.settings import Kind

CACHE = Path(__file__).parent / "cache"
FIRST_SEED = 7000
WINS, PROSPECTS = 800, 1500
CLEAN, CORRUPTED, POOR, NOISE, AVERAGE = "clean", "corrupted", "poor", "noise", "average"
LEARNED = ["months_at_risk", "churned", "log_growth", "growth_months", "nrr", "grr", "retained"]
DEALT = [*LEARNED, "end_mrr"]
_FRAMES = ("customers", "said", "market")


class RidgeOnNrr:
    """A ridge regression of the winsorised NRR of matured customers, on encoded attributes."""

    def fit(self, features: pd.DataFrame, customers: pd.DataFrame) -> Self:
        """Learn from the matured ones."""
        ripe = customers["matured"].to_numpy(dtype=bool)
        known = features.to_numpy()[ripe]
        self.scale_ = StandardScaler().fit(known)
        nrr = customers.loc[ripe, "nrr"].clip(upper=WINSORISED_AT)
        self.ridge_ = RidgeCV(np.geomspace(30, 30_000, 7)).fit(self.scale_.transform(known), nrr)
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """The column expected_nrr."""
        said = self.ridge_.predict(self.scale_.transform(features.to_numpy()))
        return pd.DataFrame({"expected_nrr": said}, index=features.index)


@dataclass(frozen=True)
class Recipe:
    """How a version is learned: the frames that it sees of customers and of each round's market."""

    new_model: Callable[[], RidgeOnNrr | FitModel]
    features: pd.DataFrame
    markets: list[pd.DataFrame]

    @classmethod
    def of(
        cls,
        learner: str,
        kinds: Mapping[str, Kind],
        features: pd.DataFrame,
        markets: list[pd.DataFrame],
    ) -> Recipe:
        """The recipe of a learner that knows some attributes; a ridge sees them encoded once."""
        own, theirs = features[list(kinds)], [market[list(kinds)] for market in markets]
        if learner == "product":
            return cls(partial(FitModel, kinds), own, theirs)
        encoding = Encoding.learn(own, kinds)
        encoded = [pd.DataFrame(encoding.linear(frame)) for frame in (own, *theirs)]
        return cls(RidgeOnNrr, encoded[0].set_axis(own.index), encoded[1:])

    def dealt_at_random(self, rng: np.random.Generator) -> Recipe:
        """The same with attributes that were dealt at random among the customers."""
        order = rng.permutation(len(self.features))
        dealt = self.features.iloc[order].set_axis(self.features.index)
        return Recipe(self.new_model, dealt, self.markets)


@dataclass(frozen=True)
class Archive:
    """The rounds of one company.

    `customers` has a row for each round and customer (what could be known then), with the columns
    of `outcomes` and `follow_up`, and those of the corrupted outcomes after `mixed `; `said` what
    each version ("3 clean") says of every customer, by account_id; `market` a row for each round
    and prospect: the true nrr and acv, and what each version says.
    """

    learner: str
    family: str
    seed: int
    shifts: bool
    customers: pd.DataFrame
    said: pd.DataFrame
    market: pd.DataFrame

    @property
    def rounds(self) -> int:
        """How many rounds there are; the first has number 0."""
        return int(self.customers["round"].max()) + 1

    @cached_property
    def of_round(self) -> Mapping[int, pd.DataFrame]:
        """The customers of each round, by account_id."""
        return {
            int(str(number)): rows.set_index("account_id", drop=False).rename_axis(None)
            for number, rows in self.customers.groupby("round")
        }

    def mixed(self, number: int) -> pd.DataFrame:
        """The customers of a round with the outcomes that a corrupted round saw."""
        rows = self.of_round[number].copy()
        for name in DEALT:
            rows[name] = rows[f"mixed {name}"]
        return rows

    @cached_property
    def market_of_round(self) -> Mapping[int, pd.DataFrame]:
        """The prospects of each round."""
        return {int(str(number)): rows for number, rows in self.market.groupby("round")}

    def listed(self, version: str, number: int) -> frozenset[int]:
        """The best quarter of the prospects of a round, by a version."""
        scores = self.market_of_round[number][version].to_numpy()
        return frozenset(np.argsort(-scores, kind="stable")[: int(len(scores) * PURSUED)].tolist())

    def worth(self, version: str, number: int) -> float:
        """ACV-weighted true NRR of what a version would pursue in a round, in points."""
        market = self.market_of_round[number]
        best = list(self.listed(version, number))
        nrr, acv = market["nrr"].to_numpy(), market["acv"].to_numpy()
        return float(100 * np.average(nrr[best], weights=acv[best]))


def archives(learner: str, companies: int, *, only_kept: bool = False) -> Iterator[Archive]:
    """The rounds of so many companies a family, still and shifting; fitted where they are not kept.

    With `only_kept` those that are not kept are left out.
    """
    for number in range(companies):
        for family in FAMILIES:
            for shifts in (False, True):
                if not only_kept or _is_kept(_folder(learner, family, FIRST_SEED + number, shifts)):
                    yield archived(learner, family, FIRST_SEED + number, shifts)


def archived(learner: str, family: str, seed: int, shifts: bool) -> Archive:
    """The rounds of one company, from the cache where they are there."""
    folder = _folder(learner, family, seed, shifts)
    if not _is_kept(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with threadpool_limits(1):
            lived = _lived(learner, family, seed, shifts)
        for name in _FRAMES:
            getattr(lived, name).to_parquet(folder / f"{name}.parquet")
    frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _FRAMES}
    return Archive(learner, family, seed, shifts, **frames)


def _folder(learner: str, family: str, seed: int, shifts: bool) -> Path:
    return CACHE / learner / f"{family}-{seed}{'-shift' if shifts else ''}"


def _is_kept(folder: Path) -> bool:
    return (folder / f"{_FRAMES[-1]}.parquet").exists()


def _lived(learner: str, family: str, seed: int, shifts: bool) -> Archive:
    spec = WorldSpec(seed=seed, wins=WINS, prospects=PROSPECTS, shift_month=30 if shifts else None)
    world = FAMILIES[family](spec)
    tables, rng = checked_tables(world), np.random.default_rng(seed)
    quarters = []
    for start in pd.date_range(spec.first_day, spec.end, freq="QS")[1:]:
        day = (start - pd.Timedelta(days=1)).date()
        customers = customers_seen(tables, day)
        if len(customers) == 0:
            continue
        customers = customers[customers["months_at_risk"] >= 1]
        if customers["matured"].sum() >= 60:
            quarters.append((customers, *prospects_seen(world, tables, day)))
    attributes = declared(world)
    features = attributes_at(tables.accounts, quarters[-1][0], attributes)
    kinds = {a.name: a.kind for a in attributes}
    known = [market for _, market, _ in quarters]
    full = Recipe.of(learner, kinds, features, known)
    half = sorted(rng.permutation(list(kinds))[: len(kinds) // 2].tolist())
    poor = Recipe.of(learner, {name: kinds[name] for name in half}, features, known)
    said: dict[str, pd.Series] = {}
    markets = [
        pd.DataFrame(
            {
                "round": number,
                "nrr": truth["expected_nrr"].to_numpy(),
                "acv": truth["expected_acv"].to_numpy(),
            }
        )
        for number, (_, _, truth) in enumerate(quarters)
    ]
    seen = []
    for number, (customers, _, _) in enumerate(quarters):
        mixed = mixed_up(customers, rng)
        added = mixed[DEALT].add_prefix("mixed ")
        seen.append(customers.join(added).assign(round=number))
        ways = {CLEAN: (customers, full)}
        if not shifts:
            ways |= {
                CORRUPTED: (mixed, full),
                POOR: (customers, poor),
            }
            if number % 4 == 1:
                ways[NOISE] = (customers, full.dealt_at_random(rng))
        for way, (taught, recipe) in ways.items():
            name = f"{number} {way}"
            own = recipe.features.loc[taught.index]
            fair = out_of_fold(recipe.new_model, own, taught, seed=0)["expected_nrr"]
            model = recipe.new_model().fit(own, taught)
            fresh = model.predict(recipe.features)["expected_nrr"]
            said[name] = fair.reindex(fresh.index).fillna(fresh)
            for later in range(number, len(quarters)):
                scores = model.predict(recipe.markets[later])["expected_nrr"]
                markets[later][name] = scores.to_numpy()
        fair = out_of_fold(
            lambda: AverageCustomer(kinds), features.loc[customers.index], customers, seed=0
        )
        average = AverageCustomer(kinds).fit(features.loc[customers.index], customers)
        name = f"{number} {AVERAGE}"
        said[name] = fair.reindex(features.index).fillna(average.predict(features))
        markets[number][name] = average.predict(quarters[number][1]).to_numpy()
    return Archive(
        learner,
        family,
        seed,
        shifts,
        pd.concat(seen, ignore_index=True),
        pd.DataFrame(said),
        pd.concat(markets, ignore_index=True),
    )


def mixed_up(customers: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The customers with the outcomes of half of them dealt at random."""
    chosen = rng.random(len(customers)) < 0.5
    dealt = customers.copy()
    # Ripe outcomes are dealt among the ripe, so that each stays what it is: known or not.
    for ripe in (True, False):
        rows = np.flatnonzero(chosen & (customers["matured"].to_numpy(dtype=bool) == ripe))
        other = rng.permutation(rows)
        for name in LEARNED:
            values = dealt[name].to_numpy(dtype="float64").copy()
            values[rows] = customers[name].to_numpy(dtype="float64")[other]
            dealt[name] = values
    dealt["end_mrr"] = dealt["nrr"] * dealt["start_mrr"]
    return dealt


def main(learner: str = "ridge", companies: str = "4") -> None:
    """Fit the rounds of so many companies a family."""
    for found in archives(learner, int(companies)):
        print(found.family, found.seed, found.shifts, found.rounds, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
