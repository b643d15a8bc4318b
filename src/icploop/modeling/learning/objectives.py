"""What accounts are ranked by, and by what the ranking is judged.

The objective `value` is P(win) x ACV x margin x (1 + expected NRR) - cost of pursuit, in money a
deal: what its first two years earn, less what it costs to pursue it. Accounts with expected NRR
below a floor are not pursued at all, however easily they are won.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from icploop.errors import UsageError
from icploop.settings import Objective, Value

# The expectation that accounts are ranked by, for the objectives that are an expectation.
EXPECTED_OF: dict[Objective, str] = {
    "nrr": "expected_nrr",
    "grr": "expected_grr",
    "retention": "p_retained",
}


@dataclass(frozen=True)
class ValueTerms:
    """What a deal earns and costs.

    `gross_margin` is 0..1, `cost_of_pursuit` money a deal, `nrr_floor` the least expected NRR
    (ratio) worth pursuing, `mean_acv` money a year.
    """

    gross_margin: float
    cost_of_pursuit: float
    nrr_floor: float
    mean_acv: float

    @classmethod
    def of(cls, stated: Value, deals: pd.DataFrame) -> ValueTerms:
        """The terms that the settings state, or else those of `deals` (rows of `decided_deals`).

        Raises UsageError when neither knows one.
        """
        margin, cost = stated.gross_margin, stated.cost_of_pursuit
        return cls(
            _known(margin, deals["gross_margin"], "gross_margin"),
            _known(cost, deals["acquisition_cost"], "cost_of_pursuit", "acquisition_cost"),
            stated.nrr_floor,
            _known(None, deals["acv"], "acv"),
        )

    def expected(self, predicted: pd.DataFrame) -> pd.Series:
        """Expected value of a deal in money: columns p_win, expected_acv, expected_nrr."""
        earned = predicted["expected_acv"] * self.gross_margin * (1 + predicted["expected_nrr"])
        return predicted["p_win"] * earned - self.cost_of_pursuit

    def score(self, predicted: pd.DataFrame) -> pd.Series:
        """The expected value; accounts below the floor come after all others, worst NRR last."""
        below = predicted["expected_nrr"] - self.nrr_floor
        return self.expected(predicted).where(below >= 0, below - self.cost_of_pursuit)

    def realised(self, judged: pd.DataFrame) -> pd.Series:
        """What each deal earned less what it cost, in average ACVs.

        `judged` has won (0 or 1), nrr, acv, start_mrr, gross_margin and acquisition_cost; what a
        deal does not say is taken from the terms, and a missing ACV from its first bills.
        """
        acv = judged["acv"].fillna(12 * judged["start_mrr"]).fillna(0)
        margin = judged["gross_margin"].fillna(self.gross_margin)
        cost = judged["acquisition_cost"].fillna(self.cost_of_pursuit)
        earned = judged["won"] * acv * margin * (1 + judged["nrr"].fillna(0))
        return (earned - cost) / self.mean_acv


def objective_score(
    predicted: pd.DataFrame, objective: Objective, terms: ValueTerms | None
) -> pd.Series:
    """What accounts are ranked by, higher is better.

    `predicted` has the columns of `FitModel.predict`, and for `value` those of `DealModel.predict`.
    """
    if objective == "value":
        if terms is None:
            raise ValueError("the objective `value` needs its terms")
        return terms.score(predicted)
    return predicted[EXPECTED_OF[objective]]


def _known(stated: float | None, found: pd.Series, key: str, column: str = "") -> float:
    if stated is not None:
        return stated
    mean = float(found.mean())
    if not mean >= 0 or (key == "acv" and mean == 0):
        remedy = "" if key == "acv" else f"state value.{key} in conf/icp.yaml, or "
        raise UsageError(
            f"The objective `value` needs `{column or key}`, and no closed deal has one; {remedy}"
            f"map `{column or key}` of deals"
        )
    return mean
