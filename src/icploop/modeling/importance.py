"""Feature importances, in the three ways that people ask for."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import clone

from icploop.domain.outcomes import WINSORISED_AT
from icploop.modeling.fit_model import FitModel
from icploop.modeling.folds import folds_by_parent

_REPEATS = 3


def importances(
    model: FitModel, features: pd.DataFrame, outcomes: pd.DataFrame, seed: int
) -> pd.DataFrame:
    """One row for each attribute, and for the stated hypothesis, most important first.

    `outcomes` are those of matured accounts, with what `FitModel.fit` learns from.

    gain: share of the boosters' total gain. permutation: how much the correlation of expected with
    realised NRR falls on accounts that the model did not see, when the attribute is shuffled
    (Breiman 2001); the hypothesis has none, for it follows its attributes. shap: mean absolute
    contribution to expected NRR (ratio) on all accounts.
    """
    table = pd.DataFrame(
        {
            "gain": model.gain(),
            "permutation": _permutation(model, features, outcomes, seed),
            "shap": model.contributions(features).abs().mean(),
        }
    )
    ordered = table.rename_axis("attribute").reset_index()
    return ordered.sort_values(["shap", "attribute"], ascending=[False, True], ignore_index=True)


def _permutation(
    model: FitModel, features: pd.DataFrame, outcomes: pd.DataFrame, seed: int
) -> pd.Series:
    ordered = features.sort_index(kind="stable")
    known = outcomes.loc[ordered.index]
    rng = np.random.default_rng(seed)
    half_of = folds_by_parent(known["parent"], seed, folds=2)
    falls: dict[str, list[float]] = {name: [] for name in sorted(model.kinds)}
    for number in range(2):
        train, test = half_of != number, half_of == number
        half = clone(model).fit(ordered[train], known[train])
        seen, nrr = ordered[test], known["nrr"][test].clip(upper=WINSORISED_AT)
        whole = _correlation(half, seen, nrr)
        for name, list_of_falls in falls.items():
            for _ in range(_REPEATS):
                shuffled = seen[name].to_numpy()[rng.permutation(len(seen))]
                list_of_falls.append(
                    whole - _correlation(half, seen.assign(**{name: shuffled}), nrr)
                )
    return pd.Series({name: float(np.mean(list_)) for name, list_ in falls.items()})


def _correlation(model: FitModel, features: pd.DataFrame, nrr: pd.Series) -> float:
    expected = model.predict(features)["expected_nrr"]
    together = np.corrcoef(expected.to_numpy(), nrr.to_numpy())[0, 1]
    return float(np.nan_to_num(together))
