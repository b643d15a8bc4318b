"""What has been seen of customers so far, ripe or not: how long they stayed, how fast they grew.

An account that will mature next spring already tells something: it has survived seven months, or
has not, and has grown at some pace. This is the censored half of the outcome, in the form in which
survival analysis wants it: an event, and an exposure to it.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from icploop.domain.billing import billed
from icploop.domain.outcomes import first_billed_month, number_of, revenue_since_sale
from icploop.domain.tables import Tables
from icploop.settings import Outcome

# What a customer does after three years says little about whom to sell to today.
FOLLOW_UP_MONTHS = 36


def follow_up(tables: Tables, won: pd.DataFrame, outcome: Outcome) -> pd.DataFrame:
    """One row for each row of `won` (as `outcomes` returns it), on its index.

    `tables` are as seen by the as-of day. Columns: months_at_risk (months of exposure to churn
    since first billing, at most 36 or the horizon; 0 where nothing can have been seen yet), churned
    (1.0 if billing ended within them, which is when the last `window_months` months seen bill
    nothing), log_growth (of MRR, from the first `window_months` months billed to the last ones;
    missing where they overlap) and growth_months (over which it was seen). An account that was
    never billed churned in its first month, once its onboarding is over.
    """
    longest = max(FOLLOW_UP_MONTHS, outcome.horizon_months)
    revenue = revenue_since_sale(tables.revenue, won, outcome)
    first, never_billed = first_billed_month(revenue, won, outcome)
    last = billed(tables).last
    frontier = math.nan if last is None else float(last)
    months_seen = frontier - first

    by_account = pd.Series(first.to_numpy(), index=won["account_id"].to_numpy())
    paid = revenue[(revenue["mrr"] > 0) & (revenue["number"] <= frontier)]
    paid = paid.assign(age=paid["number"] - number_of(paid["account_id"], by_account))
    last_age = number_of(won["account_id"], paid.groupby("account_id")["age"].max())
    churned = last_age <= months_seen - outcome.window_months
    churned |= never_billed & (months_seen >= 0)
    at_risk = months_seen.where(~churned, last_age + 1).mask(never_billed & churned, 1.0)
    # Who leaves later than that has stayed all the while.
    churned &= at_risk <= longest

    paid = paid[paid["age"] <= longest]
    last_age = number_of(won["account_id"], paid.groupby("account_id")["age"].max())
    until = pd.Series(last_age.to_numpy(), index=won["account_id"].to_numpy())
    latest = paid["age"] > number_of(paid["account_id"], until) - outcome.window_months
    begun = paid["age"] < outcome.window_months
    growth = _log_sum(paid[latest], won) - _log_sum(paid[begun], won)
    months = last_age - outcome.window_months + 1
    apart = months >= outcome.window_months
    return pd.DataFrame(
        {
            "months_at_risk": at_risk.clip(lower=0, upper=longest).fillna(0.0),
            "churned": churned.astype("float64"),
            "log_growth": growth.where(apart),
            "growth_months": months.where(apart),
        },
        index=won.index,
    )


def _log_sum(rows: pd.DataFrame, won: pd.DataFrame) -> pd.Series:
    return np.log(number_of(won["account_id"], rows.groupby("account_id")["mrr"].sum()))
