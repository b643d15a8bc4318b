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
from datetime import date

import pandas as pd

from icploop.domain.calendar import last_ended_month, month_number
from icploop.domain.identity import families
from icploop.domain.tables import Tables
from icploop.settings import Outcome

# An account that grew tenfold says little about the next one, so means of NRR stop counting here.
WINSORISED_AT = 2.0


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


def acquisitions(tables: Tables, motion: str) -> pd.DataFrame:
    """The deals that made an account a customer: the first won one of each account in `motion`.

    Columns: account_id, deal_id, parent (its family, or the account itself), at (the
    prediction point), closed_at, acv (money per year). An account that was billed before the
    month in which the deal was created was a customer already, so its deal is left out.
    """
    deals = tables.deals
    won = deals[(deals["outcome"] == "won") & of_motion(deals, motion)]
    won = won.sort_values(["created_at", "deal_id"], kind="stable")
    fresh = _of_strangers(won.drop_duplicates("account_id"), tables)
    return fresh.sort_values(["at", "account_id"], kind="stable", ignore_index=True)[
        ["account_id", "deal_id", "parent", "at", "closed_at", "acv"]
    ]


def decided_deals(tables: Tables, motion: str) -> pd.DataFrame:
    """The won and lost deals of `motion` with accounts that were not customers yet, by deal_id.

    Columns: account_id, deal_id, parent, at, won (0 or 1), acv (money a year), gross_margin (0..1),
    acquisition_cost (money), cycle_days (from creation to close), in the order of their creation.
    """
    deals = tables.deals[of_motion(tables.deals, motion)]
    fresh = _of_strangers(deals[deals["outcome"].isin(["won", "lost"])], tables)
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
    won = acquisitions(tables, motion)
    revenue = revenue_since_sale(tables.revenue, won)
    first, never_billed = first_billed_month(revenue, won, outcome)
    frontier = month_number(tables.revenue["month"]).max()
    matured_month = first + outcome.horizon_months
    matured = matured_month <= frontier
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


def recurring_revenue(tables: Tables, motion: str, as_of: date, outcome: Outcome) -> float:
    """ARR: twelve times what the customers of `motion` pay a month (money a year).

    Read over the last `window_months` that have ended by `as_of`, as the ends of NRR are: revenue
    that is usage-like would else be that of one good or bad month.
    """
    revenue = tables.revenue[
        tables.revenue["account_id"].isin(acquisitions(tables, motion)["account_id"])
    ]
    last = last_ended_month(as_of)
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


def _of_strangers(deals: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """The deals whose account was not billed before the month of their creation, with `parent`."""
    billed = tables.revenue.loc[tables.revenue["mrr"] > 0, ["account_id", "month"]]
    since = month_number(billed.groupby("account_id")["month"].min())
    named = deals.rename(columns={"created_at": "at"})
    fresh = named[~(number_of(named["account_id"], since) < month_number(named["at"]))]
    parents = fresh["account_id"].map(families(tables.accounts)).astype("str")
    return fresh.assign(parent=parents.fillna(fresh["account_id"]))


def revenue_since_sale(revenue: pd.DataFrame, won: pd.DataFrame) -> pd.DataFrame:
    """Revenue rows of the acquired accounts from the month of the deal's creation on.

    Adds `number`, the number of the month.
    """
    of_won = revenue[revenue["account_id"].isin(won["account_id"])]
    number = month_number(of_won["month"])
    created = number_of(
        of_won["account_id"],
        pd.Series(month_number(won["at"]).to_numpy(), index=won["account_id"]),
    )
    return of_won.assign(number=number)[(number >= created).to_numpy(dtype=bool)]


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
