"""What became of a won account: NRR, GRR and logo retention at the horizon, once it has matured.

Revenue is read from the month of first billing: with a horizon of h months and a window of w, the
start is the mean MRR of months 0..w-1 and the end that of months h-w+1..h (a month without a row
bills nothing). An account has matured when month h has been billed, that is, when it is not later
than the last complete month (`domain/billing.py`); until then its outcome is right-censored. An
account that was never billed is given `onboarding_months` after the close before its horizon
starts: else a young cohort would show its failures before its successes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from icploop.domain.billing import billed
from icploop.domain.calendar import month_number
from icploop.domain.identity import families
from icploop.domain.tables import Tables
from icploop.settings import Outcome

# An account that grew tenfold says little about the next one, so means of NRR stop counting here.
WINSORISED_AT = 2.0
# More months than any company is old.
_FAR = 100_000


@dataclass(frozen=True)
class Kpis:
    """NRR, GRR and logo retention of a set of accounts, as ratios; NaN where nothing was billed.

    `value` is what a deal earned less what it cost, in average ACVs; None where it is not judged.
    """

    nrr: float
    grr: float
    retention: float
    accounts: int
    value: float | None = None


def acquisitions(tables: Tables, motion: str, outcome: Outcome) -> pd.DataFrame:
    """The deals that made an account a customer: the first of each account in `motion`.

    Columns: account_id, deal_id, parent (its family, or the account itself), at (the
    prediction point), closed_at, acv (money per year). A won deal acquires an account that was no
    customer: it paid nothing in the `acquired_again_after_months` before, but for the
    `billed_before_deal_months` right before the month in which its deal was logged.
    """
    deals = tables.deals
    won = deals[(deals["outcome"] == "won") & of_motion(deals, motion)]
    won = won.sort_values(["created_at", "deal_id"], kind="stable")
    fresh = _of_strangers(won, tables, outcome).drop_duplicates("account_id")
    fresh = _with_parents(fresh, tables)
    return fresh.sort_values(["at", "account_id"], kind="stable", ignore_index=True)[
        ["account_id", "deal_id", "parent", "at", "closed_at", "acv"]
    ]


@dataclass(frozen=True)
class LeftOut:
    """Whose outcome is judged in a motion, and who is left out why.

    Of the `customers` (accounts that paid or were won in any motion) `counted` were acquired in it.
    `reasons` counts the others: who paid without a won deal (`no_won_deal`), was won in other
    motions only (`other_motion`), or was a customer already when it was won (`already_customer`).
    """

    customers: int
    counted: int
    reasons: Mapping[str, int]

    @property
    def share(self) -> float:
        """The share of customers who are left out."""
        return 1 - self.counted / self.customers if self.customers else 0.0

    def __str__(self) -> str:
        told = ", ".join(
            f"{count:,} {_WHY[reason]}" for reason, count in self.reasons.items() if count
        )
        left = self.customers - self.counted
        said = f"{self.counted:,} of {self.customers:,} customers count"
        return f"{said}; {left:,} are left out: {told}." if left else f"{said}."


_WHY = {
    "already_customer": "paid already when they were won",
    "other_motion": "were won in other motions",
    "no_won_deal": "pay without a won deal",
}


def left_out(tables: Tables, motion: str, outcome: Outcome) -> LeftOut:
    """Who does not count in the outcomes of a motion, by reason."""
    won = tables.deals[tables.deals["outcome"] == "won"]
    paid = set(tables.revenue.loc[tables.revenue["mrr"] > 0, "account_id"].unique())
    in_any = set(won["account_id"])
    of_this = won[of_motion(won, motion)]
    in_this = set(of_this["account_id"])
    counted = set(_of_strangers(of_this, tables, outcome)["account_id"])
    return LeftOut(
        customers=len(paid | in_any),
        counted=len(counted),
        reasons={
            "already_customer": len(in_this - counted),
            "other_motion": len(in_any - in_this),
            "no_won_deal": len(paid - in_any),
        },
    )


def decided_deals(tables: Tables, motion: str, outcome: Outcome) -> pd.DataFrame:
    """The won and lost deals of `motion` with accounts that were not customers yet, by deal_id.

    Columns: account_id, deal_id, parent, at, won (0 or 1), acv (money a year), gross_margin (0..1),
    acquisition_cost (money), cycle_days (from creation to close), in the order of their creation.
    """
    deals = tables.deals[of_motion(tables.deals, motion)]
    decided = deals[deals["outcome"].isin(["won", "lost"])]
    fresh = _with_parents(_of_strangers(decided, tables, outcome), tables)
    fresh["won"] = (fresh["outcome"] == "won").astype("float64")
    days = (fresh["closed_at"] - fresh["at"]).dt.total_seconds() / 86_400
    # A close that is known to the day counts from its midnight, which may be before the creation.
    fresh["cycle_days"] = days.clip(lower=0)
    columns = ["account_id", "deal_id", "parent", "at", "won", "cycle_days"]
    ordered = fresh.sort_values(["at", "deal_id"], kind="stable")
    money = ["acv", "gross_margin", "acquisition_cost"]
    return ordered[columns + money].set_index("deal_id", drop=False).rename_axis(None)


def of_motion(deals: pd.DataFrame, motion: str) -> pd.Series:
    """Which deals belong to `motion`; deals without a motion belong to `default`."""
    return deals["motion"].fillna("default") == motion


def outcomes(tables: Tables, motion: str, outcome: Outcome) -> pd.DataFrame:
    """One row for each acquired account, with what has been seen of its outcome.

    `tables` are as seen by the as-of day. Adds to the columns of `acquisitions`: matured_month
    (number of the month whose billing completes the horizon), matured, start_mrr and end_mrr
    (money per month), nrr, grr (ratios), retained. Outcomes of immature accounts are missing.
    A won account that was never billed is lost revenue: start acv / 12, end 0; without an acv it
    counts in retention and carries no money.
    """
    won = acquisitions(tables, motion, outcome)
    revenue = revenue_since_sale(tables.revenue, won, outcome)
    first, never_billed = first_billed_month(revenue, won, outcome)
    matured_month = first + outcome.horizon_months
    last = billed(tables).last
    matured = matured_month <= (math.nan if last is None else last)
    age = revenue["number"] - number_of(
        revenue["account_id"], pd.Series(first.to_numpy(), index=won["account_id"])
    )
    last_window = outcome.retained_by
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


def recurring_revenue(tables: Tables, motion: str, outcome: Outcome) -> float:
    """ARR: twelve times what the customers of `motion` pay a month (money a year).

    Read over the last `window_months` that are complete, as the ends of NRR are: revenue that is
    usage-like would else be that of one good or bad month.
    """
    revenue = tables.revenue[
        tables.revenue["account_id"].isin(acquisitions(tables, motion, outcome)["account_id"])
    ]
    last = billed(tables).last
    if last is None:
        return 0.0
    read = month_number(revenue["month"]).between(last - outcome.window_months + 1, last)
    return 12 * float(revenue.loc[read, "mrr"].sum()) / outcome.window_months


def kpis(judged: pd.DataFrame, share: pd.Series | float = 1.0) -> Kpis:
    """NRR, GRR and retention of matured accounts, each counted with its `share` (0..1).

    Where lost deals are judged too, `judged` has the columns won (0 or 1) and value.
    """
    part = pd.Series(share, index=judged.index, dtype="float64")
    start = float((judged["start_mrr"] * part).sum())
    kept = judged[["start_mrr", "end_mrr"]].min(axis=1)
    count = float((part * judged["won"]).sum() if "won" in judged else part.sum())
    value = float((judged["value"] * part).sum() / part.sum()) if "value" in judged else None
    return Kpis(
        nrr=float((judged["end_mrr"] * part).sum()) / start if start > 0 else float("nan"),
        grr=float((kept * part).sum()) / start if start > 0 else float("nan"),
        retention=float((judged["retained"] * part).sum()) / count if count else float("nan"),
        accounts=len(judged),
        value=value,
    )


def _of_strangers(deals: pd.DataFrame, tables: Tables, outcome: Outcome) -> pd.DataFrame:
    """The deals whose account was no customer when they were created, which is `at`.

    Bills right before a won deal are its own, unless another deal was won shortly before: who just
    became a customer buys more.
    """
    named = deals.rename(columns={"created_at": "at"})
    created, again = month_number(named["at"]), outcome.acquired_again_after_months
    tolerated = created - outcome.billed_before_deal_months
    before = _last_before(_won_months(tables.deals), named["account_id"], created)
    is_first = (named["outcome"] == "won") & ~(before >= tolerated - again)
    begins = tolerated.where(is_first, created)
    paid = tables.revenue.loc[tables.revenue["mrr"] > 0, ["account_id", "month"]]
    # Most were not billed before their deal, and revenue is long.
    since = month_number(paid.groupby("account_id", observed=True)["month"].min())
    early = (number_of(named["account_id"], since) < begins).to_numpy()
    of_few = paid[paid["account_id"].isin(named["account_id"][early])]
    months = pd.DataFrame(
        {"account_id": of_few["account_id"].astype("str"), "month": month_number(of_few["month"])}
    )
    last = _last_before(months, named["account_id"], begins)
    return named[~(last >= begins - again)]


def _with_parents(deals: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """The deals with the family of their account, or the account itself, as `parent`."""
    parents = deals["account_id"].map(families(tables.accounts)).astype("str")
    return deals.assign(parent=parents.fillna(deals["account_id"]))


def _won_months(deals: pd.DataFrame) -> pd.DataFrame:
    """In which months deals were created that were won: account_id, month (number)."""
    won = deals[deals["outcome"] == "won"]
    return pd.DataFrame({"account_id": won["account_id"], "month": month_number(won["created_at"])})


def _last_before(months: pd.DataFrame, accounts: pd.Series, limit: pd.Series) -> pd.Series:
    """The last of an account's months before a limit, for each account; missing where none is."""
    names = pd.Index(months["account_id"].unique())
    # Accounts and months as one number, in order: what stands before a limit is its last month.
    places = np.sort(names.get_indexer(months["account_id"]) * _FAR + months["month"].to_numpy())
    own = names.get_indexer(accounts)
    before = np.searchsorted(places, own * _FAR + limit.to_numpy()) - 1
    found = np.where(before >= 0, places[before] if len(places) else np.nan, np.nan)
    same = (own >= 0) & (found // _FAR == own)
    return pd.Series(np.where(same, found % _FAR, np.nan), index=accounts.index)


def revenue_since_sale(revenue: pd.DataFrame, won: pd.DataFrame, outcome: Outcome) -> pd.DataFrame:
    """Revenue rows of the acquired accounts from the month of the deal's creation on.

    Or from `billed_before_deal_months` before on. Adds `number`, the number of the month.
    """
    of_won = revenue[revenue["account_id"].isin(won["account_id"])]
    number = month_number(of_won["month"])
    begins = month_number(won["at"]) - outcome.billed_before_deal_months
    since = number_of(of_won["account_id"], pd.Series(begins.to_numpy(), index=won["account_id"]))
    return of_won.assign(number=number)[(number >= since).to_numpy(dtype=bool)]


def first_billed_month(
    revenue: pd.DataFrame, won: pd.DataFrame, outcome: Outcome
) -> tuple[pd.Series, pd.Series]:
    """The number of the month in which each row of `won` starts, and which were never billed.

    `revenue` is what `revenue_since_sale` returns. One that was never billed starts when its
    onboarding would have been over.
    """
    billed = revenue[revenue["mrr"] > 0].groupby("account_id")["number"].min()
    first = number_of(won["account_id"], billed)
    onboarded = month_number(won["closed_at"]) + outcome.onboarding_months
    return first.fillna(onboarded), first.isna()


def number_of(accounts: pd.Series, numbers: pd.Series) -> pd.Series:
    """The number of each account, missing where it has none; pandas types an empty look-up text."""
    return accounts.map(numbers).astype("float64")


def _mean_mrr(rows: pd.DataFrame, won: pd.DataFrame, outcome: Outcome) -> pd.Series:
    total = rows.groupby("account_id")["mrr"].sum()
    return number_of(won["account_id"], total).fillna(0.0) / outcome.window_months
