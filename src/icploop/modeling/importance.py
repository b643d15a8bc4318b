"""Feature importances, in the three ways that people ask for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from icploop.modeling.fit_model import WINSORISED_AT, FitModel
from icploop.settings import Kind

_REPEATS = 3


def importances(
    model: FitModel, features: pd.DataFrame, outcomes: pd.DataFrame, seed: int
) -> pd.DataFrame:
    """One row for each attribute, most important first.

    gain: share of the boosters' total gain. permutation: how much the correlation of expected with
    realised NRR falls on accounts that the model did not see, when the attribute is shuffled
    (Breiman 2001). shap: mean absolute contribution to expected NRR (ratio) on all accounts.
    """
    table = pd.DataFrame(
        {
            "gain": model.gain(),
            "permutation": _permutation(model.kinds, features, outcomes, seed),
            "shap": model.contributions(features).abs().mean(),
        }
    )
    ordered = table.rename_axis("attribute").reset_index()
    return ordered.sort_values(["shap", "attribute"], ascending=[False, True], ignore_index=True)


def _permutation(
    kinds: Mapping[str, Kind], features: pd.DataFrame, outcomes: pd.DataFrame, seed: int
) -> pd.Series:
    ordered = features.sort_index(kind="stable")
    known = outcomes.loc[ordered.index]
    rng = np.random.default_rng(seed)
    halves = GroupKFold(n_splits=2, shuffle=True, random_state=seed)
    falls: dict[str, list[float]] = {name: [] for name in sorted(kinds)}
    for train, test in halves.split(ordered, groups=known["parent"]):
        model = FitModel(kinds, seed=seed).fit(ordered.iloc[train], known.iloc[train])
        seen, nrr = ordered.iloc[test], known["nrr"].iloc[test].clip(upper=WINSORISED_AT)
        whole = _correlation(model, seen, nrr)
        for name, list_of_falls in falls.items():
            for _ in range(_REPEATS):
                shuffled = seen[name].to_numpy()[rng.permutation(len(seen))]
                list_of_falls.append(
                    whole - _correlation(model, seen.assign(**{name: shuffled}), nrr)
                )
    return pd.Series({name: float(np.mean(list_)) for name, list_ in falls.items()})


def _correlation(model: FitModel, features: pd.DataFrame, nrr: pd.Series) -> float:
    expected = model.predict(features)["expected_nrr"]
    together = np.corrcoef(expected.to_numpy(), nrr.to_numpy())[0, 1]
    return float(np.nan_to_num(together))
