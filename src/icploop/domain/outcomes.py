"""What became of a won account: NRR, GRR and logo retention at the horizon, once it has matured.

Revenue is read from the month of first billing: with a horizon of h months and a window of w, the
start is the mean MRR of months 0..w-1 and the end that of months h-w+1..h (a month without a row
bills nothing). An account has matured when month h has been billed, that is, when revenue of that
month or a later one has been seen for anybody; until then its outcome is right-censored. An account
that was never billed is given `onboarding_months` after the close before its horizon starts: else a
young cohort would show its failures before its successes.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from icploop.domain.calendar import month_number
from icploop.domain.tables import Tables
from icploop.settings import Outcome


@dataclass(frozen=True)
class Kpis:
    """NRR, GRR and logo retention of a set of accounts, as ratios; NaN where nothing was billed."""

    nrr: float
    grr: float
    retention: float
    accounts: int


def acquisitions(tables: Tables, motion: str) -> pd.DataFrame:
    """The deals that made an account a customer: the first won one of each account in `motion`.

    Columns: account_id, deal_id, parent (the parent account, or the account itself), at (the
    prediction point), closed_at, acv (money per year). An account that was billed before the
    month in which the deal was created was a customer already, so its deal is left out.
    """
    deals = tables.deals
    won = deals[(deals["outcome"] == "won") & of_motion(deals, motion)]
    won = won.sort_values(["created_at", "deal_id"], kind="stable")
    first = won.drop_duplicates("account_id")[
        ["account_id", "deal_id", "created_at", "closed_at", "acv"]
    ].rename(columns={"created_at": "at"})
    billed = tables.revenue[tables.revenue["mrr"] > 0]
    since = month_number(billed.groupby("account_id")["month"].min())
    customer_since = _number_of(first["account_id"], since)
    fresh = first[~(customer_since < month_number(first["at"]))]
    parents = fresh["account_id"].map(parent_of(tables.accounts)).astype("str")
    return (
        fresh.assign(parent=parents.fillna(fresh["account_id"]))
        .sort_values(["at", "account_id"], kind="stable", ignore_index=True)
        .loc[:, ["account_id", "deal_id", "parent", "at", "closed_at", "acv"]]
    )


def of_motion(deals: pd.DataFrame, motion: str) -> pd.Series:
    """Which deals belong to `motion`; deals without a motion belong to `default`."""
    return deals["motion"].fillna("default") == motion


def parent_of(accounts: pd.DataFrame) -> pd.Series:
    """The last known parent of each account that has one, by account_id."""
    known = accounts[accounts["parent_id"].notna()]
    return known.drop_duplicates("account_id", keep="last").set_index("account_id")["parent_id"]


def outcomes(tables: Tables, motion: str, outcome: Outcome) -> pd.DataFrame:
    """One row for each acquired account, with what has been seen of its outcome.

    `tables` are as seen by the as-of day. Adds to the columns of `acquisitions`: matured_month
    (number of the month whose billing completes the horizon), matured, start_mrr and end_mrr
    (money per month), nrr, grr (ratios), retained. Outcomes of immature accounts are missing.
    A won account that was never billed is lost revenue: start acv / 12, end 0; without an acv it
    counts in retention and carries no money.
    """
    won = acquisitions(tables, motion)
    revenue = _revenue_since_sale(tables.revenue, won)
    first_billed = _number_of(
        won["account_id"], revenue[revenue["mrr"] > 0].groupby("account_id")["number"].min()
    )
    never_billed = first_billed.isna()
    first = first_billed.fillna(month_number(won["closed_at"]) + outcome.onboarding_months)
    frontier = month_number(tables.revenue["month"]).max()
    matured_month = first + outcome.horizon_months
    matured = matured_month <= frontier
    age = revenue["number"] - _number_of(
        revenue["account_id"], pd.Series(first.to_numpy(), index=won["account_id"])
    )
    last_window = outcome.horizon_months - outcome.window_months + 1
    start = _mean_mrr(revenue[age.between(0, outcome.window_months - 1)], won, outcome)
    end = _mean_mrr(revenue[age.between(last_window, outcome.horizon_months)], won, outcome)
    start = start.mask(never_billed, won["acv"].fillna(0) / 12)
    end = end.mask(never_billed, 0.0)
    ratio = (end / start).where(start > 0, 0.0)
    return won.assign(
        matured_month=matured_month,
        matured=matured,
        start_mrr=start.where(matured),
        end_mrr=end.where(matured),
        nrr=ratio.where(matured),
        grr=ratio.clip(upper=1).where(matured),
        retained=(end > 0).astype("float64").where(matured),
    )


def kpis(judged: pd.DataFrame, share: pd.Series | float = 1.0) -> Kpis:
    """NRR, GRR and retention of matured accounts, each counted with its `share` (0..1)."""
    part = pd.Series(share, index=judged.index, dtype="float64")
    start = float((judged["start_mrr"] * part).sum())
    kept = judged[["start_mrr", "end_mrr"]].min(axis=1)
    count = float(part.sum())
    return Kpis(
        nrr=float((judged["end_mrr"] * part).sum()) / start if start > 0 else float("nan"),
        grr=float((kept * part).sum()) / start if start > 0 else float("nan"),
        retention=float((judged["retained"] * part).sum()) / count if count else float("nan"),
        accounts=len(judged),
    )


def _revenue_since_sale(revenue: pd.DataFrame, won: pd.DataFrame) -> pd.DataFrame:
    """Revenue rows of the acquired accounts from the month of the deal's creation on."""
    of_won = revenue[revenue["account_id"].isin(won["account_id"])]
    number = month_number(of_won["month"])
    created = _number_of(
        of_won["account_id"],
        pd.Series(month_number(won["at"]).to_numpy(), index=won["account_id"]),
    )
    return of_won.assign(number=number)[(number >= created).to_numpy(dtype=bool)]


def _mean_mrr(rows: pd.DataFrame, won: pd.DataFrame, outcome: Outcome) -> pd.Series:
    total = rows.groupby("account_id")["mrr"].sum()
    return _number_of(won["account_id"], total).fillna(0.0) / outcome.window_months


def _number_of(accounts: pd.Series, numbers: pd.Series) -> pd.Series:
    """The number of each account, missing where it has none; pandas types an empty look-up text."""
    return accounts.map(numbers).astype("float64")
