"""Simulated companies for benchmarks: customers to learn from, prospects to choose from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from icploop.demo.world import World, WorldSpec, simulate
from icploop.domain.calendar import last_moment, seen_by
from icploop.domain.follow_up import follow_up
from icploop.domain.outcomes import outcomes
from icploop.domain.tables import Tables, check_table
from icploop.modeling.accounts.features import attributes_at
from icploop.settings import TABLES, Attribute, Kind, Outcome

MATURED_SHARE = 0.6
_PROSPECTS = 6000
PURSUED = 0.25


@dataclass(frozen=True)
class Company:
    """What is known of a company's customers at the end, and the truth about its prospects.

    `features` and `sold` (rows of `outcomes` and `follow_up`) are indexed by account_id, and so are
    `market` (the prospects' attribute frame) and `truth`. `day` is the moment they are seen.
    """

    kinds: dict[str, Kind]
    features: pd.DataFrame
    sold: pd.DataFrame
    market: pd.DataFrame
    truth: pd.DataFrame
    day: pd.Timestamp
    outcome: Outcome | None = None

    @property
    def matured(self) -> Company:
        """The same company with its matured customers only."""
        ripe = self.sold["matured"].to_numpy(dtype=bool)
        return replace(self, features=self.features[ripe], sold=self.sold[ripe])

    def shuffled(self, seed: int) -> Company:
        """The same company with attributes dealt at random among its customers: pure noise."""
        order = np.random.default_rng(seed).permutation(len(self.features))
        dealt = self.features.iloc[order].set_axis(self.features.index)
        return replace(self, features=dealt)

    def share_of_oracle(self, scores: np.ndarray | pd.Series) -> float:
        """What pursuing the best quarter by `scores` gains, as a share of what the truth would.

        The gain is in ACV-weighted expected NRR over choosing at random. 1 is the oracle, 0 chance.
        """
        return self._gain(np.asarray(scores)) / self._gain(self.truth["expected_nrr"].to_numpy())

    def _gain(self, scores: np.ndarray) -> float:
        best = np.argsort(-scores, kind="stable")[: int(len(scores) * PURSUED)]
        acv, nrr = self.truth["expected_acv"].to_numpy(), self.truth["expected_nrr"].to_numpy()
        return float(np.average(nrr[best], weights=acv[best]) - np.average(nrr, weights=acv))


def company(seed: int, matured: int, unripe: bool = False, **spec: Any) -> Company:
    """A company with this many matured customers, drawn from those of a longer history.

    With `unripe` it also has the customers of that history that have not matured, as many as make
    the matured ones 60% of all. The market does not shift unless the spec says when.
    """
    stated = {"prospects": _PROSPECTS, "shift_month": None} | spec
    world = simulate(WorldSpec(seed=seed, wins=int(matured / MATURED_SHARE) + 50, **stated))
    day = (world.spec.end - pd.Timedelta(days=1)).date()
    tables, attributes = checked_tables(world), declared(world)
    sold = customers_seen(tables, day)
    rng = np.random.default_rng(seed)
    chosen = _drawn(sold.index[sold["matured"]], matured, rng)
    if unripe:
        missing = round(matured * (1 / MATURED_SHARE - 1))
        young = sold.index[~sold["matured"]]
        chosen = np.concatenate([chosen, _drawn(young, min(missing, len(young)), rng)])
    sold = sold.loc[np.sort(chosen)]
    market, truth = prospects_seen(world, tables, day)
    return Company(
        kinds={a.name: a.kind for a in attributes},
        features=attributes_at(seen_by(tables, day).accounts, sold, attributes),
        sold=sold,
        market=market,
        truth=truth,
        day=last_moment(day),
    )


def checked_tables(world: World) -> Tables:
    """The world's tables as ingest would store them."""
    return Tables(
        **{
            name: check_table(name, getattr(world, name), max_money=1e12, place="benchmark").rows
            for name in TABLES
        }
    )


def declared(world: World) -> tuple[Attribute, ...]:
    """Every attribute that the world has."""
    return tuple(
        Attribute(name=name, dimension=dimension, kind=kind, label=name)
        for dimension, kinds in world.attributes.items()
        for name, kind in kinds.items()
    )


def declared_kinds(kinds: dict[str, Kind]) -> tuple[Attribute, ...]:
    """Attributes by name and kind alone."""
    return tuple(
        Attribute(name=name, dimension="firmographic", kind=kind, label=name)
        for name, kind in kinds.items()
    )


def customers_seen(tables: Tables, day: date) -> pd.DataFrame:
    """What a day could know of each customer: rows of `outcomes` and `follow_up`, by account_id."""
    seen = seen_by(tables, day)
    sold = outcomes(seen, str(tables.deals["motion"].iloc[0]), Outcome())
    sold = sold.set_index("account_id", drop=False).rename_axis(None)
    return sold.join(follow_up(seen, sold, Outcome()))


def prospects_seen(world: World, tables: Tables, day: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The attribute frame of accounts that never had a deal, as of a day, and their truth."""
    without_deal = ~world.truth["account_id"].isin(tables.deals["account_id"])
    ids = world.truth.loc[without_deal, "account_id"].to_numpy()
    asked = pd.DataFrame({"account_id": ids, "at": last_moment(day)}, index=ids)
    market = attributes_at(seen_by(tables, day).accounts, asked, declared(world))
    return market, world.truth_at(ids, day).set_index("account_id").loc[ids]


def _drawn(ids: pd.Index, count: int, rng: np.random.Generator) -> np.ndarray:
    if len(ids) < count:
        raise ValueError(f"only {len(ids)} customers have matured, not {count}")
    return np.sort(rng.permutation(ids)[:count])
