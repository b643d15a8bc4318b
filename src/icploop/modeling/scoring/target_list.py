"""Who stands on the target list: the best, a few at random, and with which chance each."""

from __future__ import annotations

import numpy as np
import pandas as pd

from icploop.settings import Targets, digest

BY_SCORE, AT_RANDOM = "fit score", "exploration"
HELD_BACK, BEYOND = "held back at random", "beyond capacity"
OVERRIDDEN = "override"


def draw_up(
    candidates: pd.DataFrame, size: int, targets: Targets, drawn_for: list[object]
) -> pd.DataFrame:
    """The candidates with `listed`, `chosen_by` and `propensity`, the chance to be listed.

    `candidates` come best first, with the column account_id. Of `size` places the share
    `targets.explore` goes to accounts drawn at random from those beyond the others, and of those
    others the share `targets.hold_back` is left off at random. `drawn_for` names the list: the same
    list is drawn in the same way.
    """
    explored = round(targets.explore * size) if len(candidates) > size else 0
    best = np.arange(len(candidates)) < size - explored
    rng = np.random.default_rng(int(digest(drawn_for)[:16], 16))
    # In the order of their ids, so that the order of equal scores changes nothing.
    by_id = candidates["account_id"].argsort(kind="stable").to_numpy()
    inside, outside = by_id[best[by_id]], by_id[~best[by_id]]
    held = rng.choice(inside, round(targets.hold_back * len(inside)), replace=False)
    random = rng.choice(outside, explored, replace=False)
    chosen_by = np.where(best, BY_SCORE, BEYOND).astype(object)
    chosen_by[held], chosen_by[random] = HELD_BACK, AT_RANDOM
    chance_inside = 1 - len(held) / max(len(inside), 1)
    chance_outside = explored / max(len(outside), 1)
    return candidates.assign(
        chosen_by=pd.Series(chosen_by, index=candidates.index, dtype="str"),
        propensity=np.where(best, chance_inside, chance_outside),
        listed=np.isin(chosen_by, [BY_SCORE, AT_RANDOM]),
    )


def by_decision(accounts: pd.DataFrame, included: pd.Series) -> pd.DataFrame:
    """Accounts on which people decided, with the columns of `draw_up`: on the list, or not."""
    on_it = included[accounts.index]
    return accounts.assign(
        chosen_by=pd.Series(OVERRIDDEN, index=accounts.index, dtype="str"),
        propensity=on_it.astype("float64"),
        listed=on_it.astype("bool"),
    )
