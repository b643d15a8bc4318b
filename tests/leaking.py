"""Leaks planted into a company's accounts, each as a CRM would come to hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from icploop.domain.calendar import seen_by
from icploop.domain.outcomes import decided_deals, outcomes
from icploop.domain.tables import Tables
from icploop.modeling.accounts.features import AttributeHistory
from icploop.modeling.trust.leaks import Sales
from icploop.settings import Kind, Settings

Column = Callable[[Tables, pd.DataFrame, pd.DataFrame, np.random.Generator], pd.Series]


def sales_of(known: Tables, settings: Settings, motion: str, day: date) -> Sales:
    """What the detectors see of a company on a day."""
    seen = seen_by(known, day)
    sold = outcomes(seen, motion, settings.outcome).set_index("account_id", drop=False)
    matured = sold.rename_axis(None)[sold["matured"].to_numpy(dtype=bool)]
    deals = decided_deals(seen, motion)
    history = AttributeHistory.of(seen.accounts)
    return Sales(
        history.at(matured, settings.attributes),
        matured,
        history.at(deals, settings.attributes),
        deals,
        history,
    )


def _by_account(known: Tables, values: pd.Series) -> pd.Series:
    return known.accounts["account_id"].map(values)


def _often(accounts: pd.Index, share: float, rng: np.random.Generator) -> pd.Index:
    return accounts[rng.random(len(accounts)) < share]


def _filled(known: Tables, accounts: pd.Index, text: str) -> pd.Series:
    return _by_account(known, pd.Series(text, index=accounts))


def renewal_manager(
    known: Tables, sold: pd.DataFrame, deals: pd.DataFrame, rng: np.random.Generator
) -> pd.Series:
    """A category that customer success fills in for customers who are still there."""
    stayed = sold["retained"] > 0
    names = pd.concat(
        [
            pd.Series("", index=_often(sold.index[stayed], 0.95, rng)),
            pd.Series("", index=_often(sold.index[~stayed], 0.05, rng)),
        ]
    ).index
    return _by_account(known, pd.Series(rng.choice(["Ada", "Bo", "Cy"], len(names)), names))


def onboarding_lead(
    known: Tables, sold: pd.DataFrame, deals: pd.DataFrame, rng: np.random.Generator
) -> pd.Series:
    """A category that is filled in once a deal is won."""
    won = pd.Index(deals.loc[deals["won"] > 0, "account_id"].unique())
    won = _often(won, 0.95, rng)
    return _by_account(known, pd.Series(rng.choice(["north", "south"], len(won)), won))


def churn_interview(
    known: Tables, sold: pd.DataFrame, deals: pd.DataFrame, rng: np.random.Generator
) -> pd.Series:
    """A flag that is often filled in for others, and always for those who left."""
    left = sold.index[~(sold["retained"] > 0)]
    everybody = pd.Index(known.accounts["account_id"].unique())
    asked = _often(everybody, 0.3, rng).union(left)
    return _filled(known, asked, "yes")


def health_score(
    known: Tables, sold: pd.DataFrame, deals: pd.DataFrame, rng: np.random.Generator
) -> pd.Series:
    """A number from 0 to 100 that customer success keeps, whose last value is in the export."""
    accounts = pd.Index(known.accounts["account_id"].unique())
    score = pd.Series(60 + 10 * rng.normal(size=len(accounts)), index=accounts)
    score[sold.index[~(sold["retained"] > 0)]] -= 25
    return _by_account(known, score.round())


def current_mrr(
    known: Tables, sold: pd.DataFrame, deals: pd.DataFrame, rng: np.random.Generator
) -> pd.Series:
    """A number: what the account pays on the day of the export."""
    last = sold["end_mrr"] * rng.lognormal(0, 0.05, len(sold))
    return _by_account(known, last.round(2))


def record_number(
    known: Tables, sold: pd.DataFrame, deals: pd.DataFrame, rng: np.random.Generator
) -> pd.Series:
    """A number that the CRM counts up."""
    ids = pd.Index(sorted(known.accounts["account_id"].unique()))
    counted = 1000 + np.cumsum(rng.integers(1, 4, len(ids)))
    return _by_account(known, pd.Series(counted.astype(float), index=ids))


def vat_code(
    known: Tables, sold: pd.DataFrame, deals: pd.DataFrame, rng: np.random.Generator
) -> pd.Series:
    """A category with one value for each account."""
    return "VAT" + known.accounts["account_id"]


def cohort(
    known: Tables, sold: pd.DataFrame, deals: pd.DataFrame, rng: np.random.Generator
) -> pd.Series:
    """A category: the month in which the account came in."""
    came = deals.drop_duplicates("account_id").set_index("account_id")["at"]
    return _by_account(known, came.dt.strftime("%Y-%m"))


# Each column with its kind.
PLANTS: dict[str, tuple[Kind, Column]] = {
    "renewal_manager": ("category", renewal_manager),
    "onboarding_lead": ("category", onboarding_lead),
    "churn_interview": ("flag", churn_interview),
    "health_score": ("number", health_score),
    "current_mrr": ("number", current_mrr),
    "record_number": ("number", record_number),
    "vat_code": ("category", vat_code),
    "cohort": ("category", cohort),
}


def planted(
    known: Tables,
    settings: Settings,
    motion: str,
    day: date,
    names: Iterable[str] = (),
    seed: int = 0,
) -> tuple[Tables, Settings]:
    """The company with leaks in its accounts, as an export of `day` overwrote them, and declared.

    The values stand in every row of an account, with the date of the row: the history is false.
    """
    seen = seen_by(known, day)
    sold = outcomes(seen, motion, settings.outcome).set_index("account_id", drop=False)
    sold = sold.rename_axis(None)[sold["matured"].to_numpy(dtype=bool)]
    deals = decided_deals(seen, motion)
    accounts = known.accounts.copy()
    for place, name in enumerate(names):
        rng = np.random.default_rng([seed, place])
        accounts[name] = PLANTS[name][1](known, sold, deals, rng)
    kinds = {name: PLANTS[name][0] for name in names}
    return replace(known, accounts=accounts), declaring(settings, kinds)


def declaring(settings: Settings, kinds: Mapping[str, Kind]) -> Settings:
    """The settings with more attributes."""
    stated = settings.model_dump()
    own = stated["dimensions"].setdefault("pain_proof", {})
    own |= {name: {"kind": kind} for name, kind in kinds.items()}
    return Settings(**stated)


def with_late_fills(
    known: Tables, name: str, undated: bool, seed: int = 0, share_before: float = 0.1
) -> Tables:
    """A category `name` that gets its value two months after an account's first deal closed.

    A few have it before. With `undated` the first rows of accounts have no date: an export of
    today that stands for what was always known.
    """
    rng = np.random.default_rng(seed)
    closed = known.deals[known.deals["closed_at"].notna()].drop_duplicates("account_id")
    accounts = known.accounts.copy()
    early = _often(pd.Index(accounts["account_id"].unique()), share_before, rng)
    accounts[name] = np.where(accounts["account_id"].isin(early), "partner", None)
    rows = closed[["account_id"]].assign(
        observed_at=closed["closed_at"] + pd.Timedelta(days=60), **{name: "partner"}
    )
    if undated:
        first = ~accounts["account_id"].duplicated()
        accounts.loc[first, "observed_at"] = pd.NaT
    whole = pd.concat([accounts, rows], ignore_index=True)
    return replace(known, accounts=whole.astype({"observed_at": "datetime64[us]"}))


def with_changed_status(known: Tables, name: str, undated: bool) -> Tables:
    """A category `name`: `lead` or `target` before the deal, and `customer` once it is won."""
    closed = known.deals[known.deals["closed_at"].notna()].drop_duplicates("account_id")
    accounts = known.accounts.copy()
    number = pd.util.hash_pandas_object(accounts["account_id"].astype("str"), index=False)
    accounts[name] = np.where(number % 2 == 0, "lead", "target")
    before = accounts.drop_duplicates("account_id").set_index("account_id")[name]
    later = closed["account_id"].map(before).where(closed["outcome"] != "won", "customer")
    rows = closed[["account_id"]].assign(
        observed_at=closed["closed_at"] + pd.Timedelta(days=60), **{name: later}
    )
    if undated:
        first = ~accounts["account_id"].duplicated()
        accounts.loc[first, "observed_at"] = pd.NaT
    whole = pd.concat([accounts, rows], ignore_index=True)
    return replace(known, accounts=whole.astype({"observed_at": "datetime64[us]"}))
