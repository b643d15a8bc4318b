"""The simulated company: its tables as a real one would export them, and the truth behind them."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from icploop.demo.draw_world import draw_nature
from icploop.demo.history import (
    bill_customers,
    draw_created,
    draw_deals,
    draw_signals,
    revenue_table,
)
from icploop.demo.market import (
    ATTRIBUTES,
    account_ids,
    company_names,
    draw_market,
    later_values,
    recorded,
)
from icploop.demo.truth import Nature
from icploop.demo.world_spec import Structure, WorldSpec

__all__ = ["Day", "Structure", "World", "WorldSpec", "simulate"]

Day = date | pd.Timestamp | pd.DatetimeIndex

_SEEN_BEFORE_DEAL_DAYS = (5, 200)
_SEEN_AFTER_DEAL = 0.25  # share of accounts with deals that are recorded again after the last one
_SEEN_AFTER_DEAL_DAYS = (30, 500)
_HAS_PARENT = 0.04


@dataclass(frozen=True)
class World:
    """A simulated company with known truth.

    Attributes:
        spec: What the world was made from.
        accounts: One row per account and day on which its values were recorded, with gaps.
            Prospects are recorded once a year; some others again after their last deal closed.
        deals: Won, lost and open deals; `acv` in money a year, `acquisition_cost` in money.
        revenue: `mrr` in money a month, for each month billed, and a zero after the last.
        signals: Tickets, usage, failed payments, referrals and reviews after the sale.
        truth: One row per account: `account_id`, `expected_nrr`, `p_retained`, `expected_grr`,
            `p_win` (ratios) and `expected_acv` (money a year) at its prediction point, which is
            the creation of its last deal, or the end of the period where it has none.
            Expectations know the true attribute values, those of gaps included, and average over
            the hidden friction and all chance.
        attributes: The declared attributes by dimension, with their kinds.
        nature: What decides the fate of accounts, before and after the shift of the market.
        market: The true attribute values without gaps, one row per row of `accounts`.
    """

    spec: WorldSpec
    accounts: pd.DataFrame
    deals: pd.DataFrame
    revenue: pd.DataFrame
    signals: pd.DataFrame
    truth: pd.DataFrame
    attributes: dict[str, dict[str, str]]
    nature: Nature
    market: pd.DataFrame

    def truth_at(self, account_ids: npt.ArrayLike, day: Day) -> pd.DataFrame:
        """The truth of any accounts, were their deal created on a day; one day, or one for each.

        The day decides what is true then, which recorded values are the last ones (the first ever
        recorded, where none are so old), and how old a date is. Columns are those of `truth`.
        """
        return _truth(self.nature, self.market, account_ids, day)


def simulate(spec: WorldSpec) -> World:
    """Let the company of a spec live through its period. The same spec, the same bytes."""
    nature = draw_nature(spec)
    rng = spec.stream("accounts")
    created = draw_created(rng, spec)
    first_seen = _first_seen(rng, spec, created)
    first_values = draw_market(rng, first_seen)
    # Friction shows in those who bought; nothing of a prospect can hint at it.
    friction = np.append(rng.normal(size=len(created)), np.zeros(spec.prospects))

    history = spec.stream("history")
    deals = draw_deals(history, spec, nature, first_values, created)
    customers = bill_customers(history, spec, nature, first_values, deals, friction)

    again, seen_again = _seen_again(spec, deals, first_seen)
    market = _in_order(
        _known_from(np.arange(len(first_seen)), first_seen, first_values),
        _known_from(
            again,
            seen_again,
            later_values(
                rng, first_values.iloc[again], friction[again], first_seen[again], seen_again
            ),
        ),
    )
    deals.insert(1, "account_id", account_ids(deals.pop("account")))
    return World(
        spec=spec,
        accounts=_accounts(spec, market, deals["account_id"]),
        deals=deals,
        revenue=revenue_table(spec, customers),
        signals=draw_signals(spec.stream("signals"), spec, customers),
        truth=_truth_at_prediction_points(spec, nature, market, deals),
        attributes={name: dict(kinds) for name, kinds in ATTRIBUTES.items()},
        nature=nature,
        market=market,
    )


def _first_seen(
    rng: np.random.Generator, spec: WorldSpec, created: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    """When each account was first recorded: some time before its deal, prospects at any time."""
    before = rng.integers(*_SEEN_BEFORE_DEAL_DAYS, len(created))
    prospects = rng.integers(0, spec.days, spec.prospects)
    return pd.DatetimeIndex(
        (created - pd.to_timedelta(before, unit="D")).append(
            spec.first_day + pd.to_timedelta(prospects, unit="D")
        )
    )


def _seen_again(
    spec: WorldSpec, deals: pd.DataFrame, first_seen: pd.DatetimeIndex
) -> tuple[npt.NDArray[np.int_], pd.DatetimeIndex]:
    """Which accounts were recorded again, and when: never between first sight and last deal."""
    rng = spec.stream("seen again")
    closed = deals.drop_duplicates("account", keep="last").set_index("account")["closed_at"]
    closed = closed.dropna()[lambda known: rng.random(len(known)) < _SEEN_AFTER_DEAL]
    pause = rng.integers(*_SEEN_AFTER_DEAL_DAYS, len(closed))
    prospects = pd.Series(first_seen).drop(deals["account"])
    yearly = [prospects + pd.DateOffset(years=n) for n in range(1, spec.months // 12 + 1)]
    again = pd.concat([closed + pd.to_timedelta(pause, unit="D"), *yearly])
    again = again[again < spec.end]
    return again.index.to_numpy(), pd.DatetimeIndex(again)


def _known_from(
    account: npt.NDArray[np.int_], day: pd.DatetimeIndex, values: pd.DataFrame
) -> pd.DataFrame:
    identity = pd.DataFrame({"account_id": account_ids(account), "observed_at": day})
    return pd.concat([identity, values.reset_index(drop=True)], axis=1)


def _in_order(*records: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(records).sort_values(["account_id", "observed_at"], ignore_index=True)


def _accounts(spec: WorldSpec, market: pd.DataFrame, had_deal: pd.Series) -> pd.DataFrame:
    """The canonical table: identity, which never changes, and the values recorded, with gaps."""
    rng = spec.stream("records")
    place, ids = pd.factorize(market["account_id"])
    names, domains = company_names(rng, len(ids))
    # Parents come earlier in the table, so that no company owns itself in a circle.
    parents = pd.Series(ids[np.floor(rng.random(len(ids)) * np.arange(len(ids))).astype(int)])
    has_parent = (rng.random(len(ids)) < _HAS_PARENT) & (np.arange(len(ids)) > 0)
    identity = pd.DataFrame(
        {"parent_id": parents.where(has_parent), "name": names, "domain": domains}
    )
    # Whoever was talked to is recorded with more care than a name on a list.
    is_after_deal = market["account_id"].duplicated() & market["account_id"].isin(had_deal)
    values = recorded(rng, market, np.where(is_after_deal, spec.missing / 2, spec.missing))
    return pd.concat(
        [
            market[["account_id", "observed_at"]],
            identity.iloc[place].reset_index(drop=True),
            values,
        ],
        axis=1,
    )


def _truth_at_prediction_points(
    spec: WorldSpec, nature: Nature, market: pd.DataFrame, deals: pd.DataFrame
) -> pd.DataFrame:
    ids = market["account_id"].unique()
    last_deal = deals.groupby("account_id")["created_at"].max()
    return _truth(nature, market, ids, pd.DatetimeIndex(last_deal.reindex(ids).fillna(spec.end)))


def _truth(
    nature: Nature, market: pd.DataFrame, account_ids: npt.ArrayLike, day: Day
) -> pd.DataFrame:
    asked = pd.DataFrame({"account_id": pd.Series(np.asarray(account_ids), dtype="str")})
    asked["day"] = day if isinstance(day, pd.DatetimeIndex) else pd.Timestamp(day)
    values = _last_values(market, asked)
    expected = nature.expectations(values, pd.DatetimeIndex(asked["day"]))
    return pd.concat([asked[["account_id"]], expected], axis=1)


def _last_values(market: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """The last values recorded by the day asked for, or the first ever where there are none."""
    records = market[["account_id", "observed_at"]].reset_index(names="row")
    records["is_first"] = ~records["account_id"].duplicated()
    found = asked.reset_index(names="place").merge(records, on="account_id")
    known = found[(found["observed_at"] <= found["day"]) | found["is_first"]]
    row = known.groupby("place")["row"].max().reindex(range(len(asked)))
    if row.isna().any():
        raise KeyError(f"no account {asked['account_id'][row.isna()].iloc[0]!r} in this world")
    return market.iloc[row.astype(int)].reset_index(drop=True)
