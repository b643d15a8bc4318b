"""What went wrong with customers after the sale: cancelled early, cost support, did not pay or use.

Signals come after the sale, so they judge customers and explain refusals; they are never a feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

EARLY_MONTHS = 6
# Clearly worse, one-sided 1%: what is told to people as a reason must not be noise.
_CLEAR_Z = 2.33


@dataclass(frozen=True)
class _Trouble:
    """A number by customer, how to say it, and whether more of it is worse."""

    text: str
    worse_if_more: bool


_TROUBLES: Mapping[str, _Trouble] = {
    "cancels_early": _Trouble(f"{{:.0%}} leave within {EARLY_MONTHS} months", True),
    "tickets": _Trouble("{:.1f} tickets a month for each 1,000 of MRR", True),
    "payment_failures": _Trouble("{:.2f} failed payments a month", True),
    "usage": _Trouble("usage of {:.3g}", False),
}


def after_the_sale(customers: pd.DataFrame, signals: pd.DataFrame) -> pd.DataFrame:
    """One row a customer (rows of `outcomes` and `follow_up`, index account_id) with what happened.

    Columns: cancels_early (0/1), tickets (a month for each 1,000 of starting MRR),
    payment_failures (a month), usage (mean value). A kind that no customer ever signalled is
    missing for all; of a kind that is recorded, no ticket and no failed payment count as none.
    """
    months = customers["months_at_risk"].clip(lower=1)
    early = (customers["churned"] > 0) & (customers["months_at_risk"] <= EARLY_MONTHS)
    found = pd.DataFrame({"cancels_early": early.astype("float64")}, index=customers.index)
    ours = signals[signals["account_id"].isin(customers.index)]
    thousands = (customers["start_mrr"] / 1000).where(customers["start_mrr"] > 0)
    for column, kind, each in (
        ("tickets", "ticket", months * thousands),
        ("payment_failures", "payment_failure", months),
    ):
        counts = ours.loc[ours["kind"] == kind, "account_id"].value_counts()
        found[column] = (
            np.nan if counts.empty else counts.reindex(customers.index, fill_value=0) / each
        )
    usage = ours[ours["kind"] == "usage"].groupby("account_id")["value"].mean()
    found["usage"] = usage.reindex(customers.index)
    return found


def what_went_wrong(found: pd.DataFrame, inside: np.ndarray) -> tuple[str, ...]:
    """In which columns of `after_the_sale` those inside are clearly worse than others, in words."""
    said = []
    for column, trouble in _TROUBLES.items():
        values = found[column].to_numpy(dtype="float64")
        here, there = (values[who & np.isfinite(values)] for who in (inside, ~inside))
        if min(len(here), len(there)) < 2:
            continue
        error = np.sqrt(here.var(ddof=1) / len(here) + there.var(ddof=1) / len(there))
        gap = here.mean() - there.mean()
        if error > 0 and (gap if trouble.worse_if_more else -gap) / error > _CLEAR_Z:
            others = trouble.text.format(there.mean()).split(" ")[0 if column != "usage" else 2]
            said.append(f"{trouble.text.format(here.mean())} (others {others})")
    return tuple(said)
