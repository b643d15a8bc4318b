"""Whether better tiers did better: what matured customers did, by the tier they would have had."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from icploop.domain.findings import Finding
from icploop.domain.tiers import TIERS
from icploop.modeling.statistics.bootstrap import kpi_interval

# Fewer customers in a tier say nothing about it.
_FEWEST = 15


def out_of_order(tier: pd.Series, matured: pd.DataFrame, draws: int, seed: int) -> list[Finding]:
    """A warning for each tier that did worse than the next one down, by NRR.

    `tier` is what scores by models that did not see them would have given the matured customers,
    `matured` has their start_mrr and end_mrr.
    """
    found = []
    known = []
    for name in TIERS:
        members = matured.loc[tier.index[tier == name]]
        if len(members) >= _FEWEST and members["start_mrr"].sum() > 0:
            nrr = members["end_mrr"].sum() / members["start_mrr"].sum()
            known.append((name, float(nrr), len(members), kpi_interval(members, 0.9, draws, seed)))
    for (better, high, n, above), (worse, low, m, below) in pairwise(known):
        if low > high:
            clear = below[0] > above[1]
            found.append(
                Finding(
                    "tiers_out_of_order",
                    "warning" if clear else "note",
                    f"Mind that customers of tier {worse} (NRR {low:.0%}, {m} of them) did better "
                    f"than those of tier {better} ({high:.0%}, {n}), "
                    + ("by more than chance." if clear else "which may be chance."),
                )
            )
    return found
