"""The fit model: what NRR and retention to expect of an account, from what is known before a sale.

It learns NRR itself (winsorised, because one account that grew tenfold says little about the next)
and not churn: an account that stays and shrinks is not a good customer. Each target is the average
of a ridge regression and a few bagged, shallow boosters, which err differently on few accounts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.base import BaseEstimator
from sklearn.linear_model import RidgeCV

from icploop.errors import DataError
from icploop.modeling.encoding import Encoding
from icploop.settings import Kind

WINSORISED_AT = 2.0
_ALPHAS = np.geomspace(3, 3000, 10)
_TREES = 150
_BOOSTER = {
    "objective": "reg:squarederror",
    "max_depth": 3,
    "eta": 0.05,
    "subsample": 0.7,
    "colsample_bytree": 0.5,
    "lambda": 5.0,
    # One thread: on few rows it is the fastest, and the same bytes come out on every machine.
    "nthread": 1,
}


@dataclass(frozen=True)
class Blend:
    """The average of a linear model and bagged boosters for one target."""

    intercept: float
    weights: dict[str, float]
    boosters: tuple[xgb.Booster, ...]

    @classmethod
    def learn(
        cls, linear: pd.DataFrame, tree: pd.DataFrame, target: np.ndarray, bags: int, seed: int
    ) -> Blend:
        """Fit both halves; bag i subsamples with seed + i."""
        ridge = RidgeCV(alphas=_ALPHAS).fit(linear.to_numpy(), target)
        # Without feature names: checking them in every boosting round costs more than the round.
        table = xgb.DMatrix(tree.to_numpy(), label=target, nthread=1)
        start = {"base_score": float(target.mean())}
        boosters = tuple(
            xgb.train(_BOOSTER | start | {"seed": seed + bag}, table, num_boost_round=_TREES)
            for bag in range(bags)
        )
        weights = dict(zip(linear.columns, map(float, ridge.coef_), strict=True))
        return cls(float(ridge.intercept_), weights, boosters)

    def predict(self, linear: pd.DataFrame, tree: pd.DataFrame) -> np.ndarray:
        """The expected target of each row."""
        straight = self.intercept + linear.to_numpy() @ np.array(list(self.weights.values()))
        table = xgb.DMatrix(tree.to_numpy(), nthread=1)
        # Some versions of XGBoost answer no rows with a matrix.
        answers = [booster.predict(table).reshape(len(tree)) for booster in self.boosters]
        return (straight + np.mean(answers, axis=0).astype("float64")) / 2

    def contributions(self, linear: pd.DataFrame, tree: pd.DataFrame) -> pd.DataFrame:
        """What each encoded column adds to the prediction of each row.

        The linear half against the average account is given by the caller's centring; the trees
        give exact Shapley values (Lundberg et al. 2018, as built into XGBoost).
        """
        straight = linear * pd.Series(self.weights)
        table = xgb.DMatrix(tree.to_numpy(), nthread=1)
        shapley = np.mean([b.predict(table, pred_contribs=True) for b in self.boosters], axis=0)
        # XGBoost answers no rows with no columns. The last column is the bias that all rows share.
        by_row = shapley.reshape(len(tree), tree.shape[1] + 1)[:, :-1]
        boosted = pd.DataFrame(by_row, index=tree.index, columns=tree.columns)
        return straight.add(boosted, fill_value=0.0) / 2

    def gain(self, columns: Sequence[str]) -> pd.Series:
        """The mean total gain of each encoded column over the boosters."""
        total = dict.fromkeys(columns, 0.0)
        for booster in self.boosters:
            for number, gain in booster.get_score(importance_type="total_gain").items():
                total[columns[int(number.removeprefix("f"))]] += float(np.mean(gain))
        return pd.Series(total) / len(self.boosters)


class FitModel(BaseEstimator):
    """Expected NRR and probability of retention of accounts, as one fitted object.

    `kinds` maps each declared attribute to its kind. `fit` takes the attribute frame (index:
    account_id) and the outcomes of the same accounts (columns nrr and retained); `predict` takes
    any attribute frame. Follows scikit-learn's conventions: fitted state ends in an underscore.
    """

    def __init__(self, kinds: Mapping[str, Kind], bags: int = 4, seed: int = 0) -> None:
        self.kinds = kinds
        self.bags = bags
        self.seed = seed

    def fit(self, features: pd.DataFrame, outcomes: pd.DataFrame) -> Self:
        """Learn from matured accounts. Raises DataError when there are fewer than two."""
        if len(features) < 2:
            raise DataError(f"A fit model needs at least two matured accounts; got {len(features)}")
        # Subsampling depends on the order of rows, and the result must not.
        ordered = features.sort_index(kind="stable")
        known = outcomes.loc[ordered.index]
        self.encoding_ = Encoding.learn(ordered, self.kinds)
        linear, tree = self.encoding_.linear(ordered), self.encoding_.tree(ordered)
        nrr = known["nrr"].clip(upper=WINSORISED_AT).to_numpy(dtype="float64")
        retained = known["retained"].to_numpy(dtype="float64")
        self.nrr_ = Blend.learn(linear, tree, nrr, self.bags, self.seed)
        self.retained_ = Blend.learn(linear, tree, retained, self.bags, self.seed)
        self.average_ = linear.mean().to_dict()
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """expected_nrr (ratio) and p_retained (0..1) of each account, indexed like `features`."""
        linear, tree = self.encoding_.linear(features), self.encoding_.tree(features)
        return pd.DataFrame(
            {
                "expected_nrr": np.clip(self.nrr_.predict(linear, tree), 0, WINSORISED_AT),
                "p_retained": np.clip(self.retained_.predict(linear, tree), 0.01, 0.99),
            },
            index=features.index,
        )

    def contributions(self, features: pd.DataFrame) -> pd.DataFrame:
        """What each attribute adds to expected NRR (ratio) against the average training account."""
        linear, tree = self.encoding_.linear(features), self.encoding_.tree(features)
        by_column = self.nrr_.contributions(linear - pd.Series(self.average_), tree)
        by_attribute = by_column.T.groupby(self.encoding_.attribute_of).sum().T
        return by_attribute[list(self.encoding_.kinds)]

    def gain(self) -> pd.Series:
        """The boosters' total gain by attribute, as shares of their sum."""
        by_attribute = (
            self.nrr_.gain(self.encoding_.tree_columns()).groupby(self.encoding_.attribute_of).sum()
        )
        complete = by_attribute.reindex(list(self.encoding_.kinds), fill_value=0.0)
        return complete / (complete.sum() or 1.0)

    def get_feature_names_out(self) -> np.ndarray:
        """The encoded columns of the linear half."""
        return np.array(list(self.nrr_.weights), dtype=object)

    def parts(self) -> dict[str, bytes]:
        """The fitted model as named pieces without code: JSON, and XGBoost's own UBJ."""
        boosters = {
            f"{name}-{i}.ubj": bytes(booster.save_raw("ubj"))
            for name, blend in self._blends().items()
            for i, booster in enumerate(blend.boosters)
        }
        document = {
            "bags": self.bags,
            "seed": self.seed,
            "encoding": self.encoding_.as_dict(),
            "average": self.average_,
            "targets": {
                name: {"intercept": blend.intercept, "weights": blend.weights}
                for name, blend in self._blends().items()
            },
            "checksums": {name: sha256(raw).hexdigest() for name, raw in boosters.items()},
        }
        return {"fit_model.json": json.dumps(document, indent=1).encode(), **boosters}

    @classmethod
    def from_parts(cls, parts: Mapping[str, bytes]) -> FitModel:
        """The inverse of `parts`; runs no code that came with them."""
        document: dict[str, Any] = json.loads(parts["fit_model.json"])
        for name, checksum in document["checksums"].items():
            # XGBoost ends the whole process over some altered files.
            if sha256(parts[name]).hexdigest() != checksum:
                raise ValueError(f"{name} is not what was written")
        encoding = Encoding.from_dict(document["encoding"])
        model = cls(kinds=encoding.kinds, bags=document["bags"], seed=document["seed"])
        model.encoding_ = encoding
        model.average_ = document["average"]
        for name, target in document["targets"].items():
            boosters = tuple(_booster(parts[f"{name}-{i}.ubj"]) for i in range(model.bags))
            blend = Blend(target["intercept"], target["weights"], boosters)
            setattr(model, f"{name}_", blend)
        return model

    def _blends(self) -> dict[str, Blend]:
        return {"nrr": self.nrr_, "retained": self.retained_}


def _booster(raw: bytes) -> xgb.Booster:
    booster = xgb.Booster()
    booster.load_model(bytearray(raw))
    return booster
