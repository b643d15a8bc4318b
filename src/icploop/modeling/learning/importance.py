"""Feature importances, in the three ways that people ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from icploop.domain.outcomes import WINSORISED_AT
from icploop.modeling.accounts.features import Altered
from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.statistics.folds import folds_by_parent

_REPEATS = 3
# Many small predictions are slow, and one large one takes too much memory.
_ROWS_AT_ONCE = 50_000
# A mean over so many accounts is steady to a percent or two.
MOST_ACCOUNTS = 1_000


def importances(
    model: FitModel,
    features: pd.DataFrame,
    outcomes: pd.DataFrame,
    seed: int,
    among: int = MOST_ACCOUNTS,
) -> pd.DataFrame:
    """One row for each attribute, and for the stated hypothesis, most important first.

    `outcomes` are those of matured accounts, with what `FitModel.fit` learns from.

    gain: share of the boosters' total gain. permutation: how much the correlation of expected with
    realised NRR falls on accounts that the model did not see, when the attribute is shuffled
    (Breiman 2001); the hypothesis has none, for it follows its attributes. shap: mean absolute
    contribution to expected NRR (ratio). The last two are measured `among` at most so many
    accounts, at random, of each half and of all.
    """
    # On matrices of this size BLAS threads cost more than they bring.
    with threadpool_limits(1):
        table = pd.DataFrame(
            {
                "gain": model.gain(),
                "permutation": _permutation(model, features, outcomes, seed, among),
                "shap": model.contributions(_some(features, among, seed)).abs().mean(),
            }
        )
    ordered = table.rename_axis("attribute").reset_index()
    return ordered.sort_values(["shap", "attribute"], ascending=[False, True], ignore_index=True)


def _permutation(
    model: FitModel, features: pd.DataFrame, outcomes: pd.DataFrame, seed: int, among: int
) -> pd.Series:
    ordered = features.sort_index(kind="stable")
    known = outcomes.loc[ordered.index]
    rng = np.random.default_rng(seed)
    half_of = folds_by_parent(known["parent"], seed, folds=2)
    falls: dict[str, list[float]] = {name: [] for name in sorted(model.kinds)}
    for number in range(2):
        train, test = half_of != number, half_of == number
        half = clone(model).fit(ordered[train], known[train])
        seen = half.encoded(_some(ordered[test], among, seed))
        nrr = known["nrr"][seen.features.index].clip(upper=WINSORISED_AT)
        (whole,) = _correlations(half.expected_if(seen, [None]), nrr)
        at_once = max(_ROWS_AT_ONCE // (len(nrr) * _REPEATS), 1)
        for names in _batched(falls, at_once):
            shuffled = [_shuffled(name, seen.features, rng) for name in names]
            for name, expected in zip(names, half.expected_if(seen, shuffled), strict=True):
                found = _correlations(np.split(expected, _REPEATS), nrr)
                falls[name] += (whole - np.array(found)).tolist()
    return pd.Series({name: float(np.mean(list_)) for name, list_ in falls.items()})


def _some(features: pd.DataFrame, among: int, seed: int) -> pd.DataFrame:
    """At most so many accounts as a mean needs, in the order of their ids."""
    if len(features) <= among:
        return features
    by_id = features.sort_index(kind="stable")
    drawn = np.random.default_rng(seed).choice(len(by_id), among, replace=False)
    return by_id.iloc[np.sort(drawn)]


def _shuffled(name: str, features: pd.DataFrame, rng: np.random.Generator) -> Altered:
    """All accounts several times, each time with an attribute dealt among them anew."""
    orders = np.concatenate([rng.permutation(len(features)) for _ in range(_REPEATS)])
    everybody = np.tile(np.arange(len(features)), _REPEATS)
    return Altered(name, everybody, features[name].iloc[orders])


def _correlations(expected: Sequence[np.ndarray], nrr: pd.Series) -> list[float]:
    """The correlation of each expectation of NRR with the realised one."""
    return [float(np.nan_to_num(np.corrcoef(part, nrr.to_numpy())[0, 1])) for part in expected]


def _batched(names: Iterable[str], size: int) -> Iterator[list[str]]:
    """The names in lists of `size` (itertools has it from Python 3.12 on)."""
    left = list(names)
    for start in range(0, len(left), size):
        yield left[start : start + size]
