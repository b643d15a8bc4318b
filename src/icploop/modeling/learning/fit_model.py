"""The fit model: what NRR, GRR and retention to expect of an account, from before the sale.

It learns from every customer, ripe or not: the churn hazard from how long each was at risk, growth
from how its revenue moved while it stayed. Expected NRR is the chance to be there at the horizon
times the growth of those who are. Each of the two is a partially pooled linear model mixed with
small boosters, which err differently on few accounts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Self

import numpy as np
import pandas as pd
import xgboost as xgb
from scipy.special import ndtr
from sklearn.base import BaseEstimator

from icploop.errors import DataError
from icploop.modeling.accounts.encoding import Encoding
from icploop.modeling.accounts.features import Altered
from icploop.modeling.accounts.support import Support
from icploop.modeling.learning.mixture import Mixture, Quantity, mix
from icploop.modeling.learning.partial_pooling import LinearPredictor, Task, pooled_lines
from icploop.modeling.learning.rivals import HypothesisScore
from icploop.modeling.learning.targets import MOST_LOG_GROWTH, churn_of, growth_of
from icploop.modeling.learning.trees import Change, Margins
from icploop.modeling.statistics.folds import folds_by_parent
from icploop.settings import HypothesisLine, Kind, Outcome

# Counts up whenever the same customers would give another model: the gate then does not take a
# challenger for a refit of its champion.
REVISION = 1
# The encoded column, and the "attribute" in reasons, of what people believed beforehand.
STATED = "stated hypothesis"
HAZARD: Quantity = "hazard"
GROWTH: Quantity = "growth"
# A column of an attribute that the pooled line found nothing in is still tried now and then.
_LEAST_LIKELY = 0.15
_LEVEL_WINSORISED_AT = 3.0
# How far growth until the horizon may be believed to differ from growth over all months seen.
_PACE_SPREAD = 0.25
# How far the realised level may be believed to differ from the model's own.
_LEVEL_SPREAD = 0.15
# Nodes and weights that integrate along the way from the average account to another.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(5)


@dataclass(frozen=True)
class Level:
    """What turns log hazard ratio and log growth into expected NRR, GRR and retention.

    `hazard` is the average customer's cumulative hazard over the horizon, `years` the horizon,
    `variance` that of an account's log growth over it, `pace` how much of the growth a year of all
    months seen comes within the horizon, `nrr` and `grr` the factors that bring expectations to the
    level that matured customers had.
    """

    hazard: float
    years: float
    variance: float
    pace: float = 1.0
    nrr: float = 1.0
    grr: float = 1.0

    def p_retained(self, log_ratio: np.ndarray) -> np.ndarray:
        """The chance to be billed at the horizon."""
        return np.exp(-np.exp(log_ratio) * self.hazard)

    def expected_nrr(self, log_ratio: np.ndarray, log_growth: np.ndarray) -> np.ndarray:
        """Expected NRR, a ratio."""
        return self.nrr * self.p_retained(log_ratio) * np.exp(self.pace * log_growth * self.years)

    def expected_grr(self, log_ratio: np.ndarray, log_growth: np.ndarray) -> np.ndarray:
        """Expected GRR, a ratio: the mean of min(factor, 1) of a log-normal factor, if there."""
        mean, spread = self.pace * log_growth * self.years, max(np.sqrt(self.variance), 1e-9)
        shrunk = np.exp(mean + spread**2 / 2) * ndtr(-mean / spread - spread)
        kept = np.minimum(self.grr * (shrunk + ndtr(mean / spread)), 1)
        return self.p_retained(log_ratio) * kept


@dataclass(frozen=True)
class Encoded:
    """Accounts as a fit model sees them, encoded once for all that is asked of them.

    `features` is their attribute frame, `linear` what its line sees and `tree` its boosters
    (accounts x columns).
    """

    features: pd.DataFrame
    linear: np.ndarray
    tree: np.ndarray


@dataclass(frozen=True)
class _EncodedIf(Change):
    """Altered accounts as a fit model sees them: `linear` is (columns, accounts)."""

    linear: np.ndarray


class FitModel(BaseEstimator):
    """Expected NRR, GRR and probability of retention of accounts, as one fitted object.

    `kinds` maps each attribute to its kind, `outcome` says which horizon is meant, `hypothesis`
    holds what people believe beforehand, which enters as one column that is hardly shrunk. `fit`
    takes the attribute frame (index: account_id) and the same accounts' outcomes and follow-up;
    `predict` takes any attribute frame. Follows scikit-learn's conventions: fitted state ends in
    an underscore.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        outcome: Outcome | None = None,
        hypothesis: Sequence[HypothesisLine] = (),
        seed: int = 0,
    ) -> None:
        self.kinds = kinds
        self.outcome = outcome
        self.hypothesis = hypothesis
        self.seed = seed

    def fit(self, features: pd.DataFrame, customers: pd.DataFrame) -> Self:
        """Learn from customers, matured or not.

        `customers` has the columns of `follow_up`, and of `outcomes` parent, nrr and grr (missing
        where an account has not matured); it may have `weight`, which says how much each counts (1
        without it). Customers of whom nothing has been seen yet teach nothing. Raises DataError
        when fewer than two are left.
        """
        known = customers.loc[features.index]
        known = known[known["months_at_risk"] >= 1].sort_index(kind="stable")
        if len(known) < 2:
            raise DataError(
                "A fit model needs at least two customers that have been billed for a month; got "
                f"{len(known)}"
            )
        # Subsampling depends on the order of rows, and the result must not.
        ordered = features.loc[known.index]
        self.encoding_ = Encoding.learn(ordered, self.kinds)
        self.support_ = Support.learn(ordered, self.kinds)
        accounts = self.encoded(ordered)
        self.center_ = pd.DataFrame(accounts.linear, columns=self._linear_names, copy=False).mean()
        weight = known.get("weight", pd.Series(1.0, known.index)).to_numpy(dtype="float64")
        outcome = self.outcome or Outcome()
        churn = churn_of(known, weight, outcome.retained_by)
        growth = growth_of(known, weight, outcome.horizon_months)
        tasks = {HAZARD: churn.task} | ({GROWTH: growth.task} if growth else {})
        self.mixtures_, unseen = self._mixed(accounts, tasks, known["parent"])
        variance = growth.variance if growth else 0.0
        level = Level(churn.at_horizon, outcome.horizon_months / 12, variance)
        self.level_ = _levelled(level, unseen[HAZARD], unseen[GROWTH], known)
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """expected_nrr, expected_grr (ratios) and p_retained (0..1), indexed like `features`."""
        accounts = self.encoded(features)
        log_ratio, log_growth = (
            self.mixtures_[quantity].predict(accounts.linear, accounts.tree)
            for quantity in (HAZARD, GROWTH)
        )
        return pd.DataFrame(
            {
                "expected_nrr": self.level_.expected_nrr(log_ratio, log_growth),
                "expected_grr": self.level_.expected_grr(log_ratio, log_growth),
                "p_retained": self.level_.p_retained(log_ratio),
            },
            index=features.index,
        )

    def expected_if(self, accounts: Encoded, altered: Sequence[Altered | None]) -> list[np.ndarray]:
        """Expected NRR of accounts if one attribute had other values; as they are for None.

        The same numbers as `predict` of all of them in one frame, for less.
        """
        changes = [None if c is None else self._encoded_if(accounts, c) for c in altered]
        # Sums depend on how a matrix lies in memory: column after column.
        linear = np.hstack([accounts.linear.T if c is None else c.linear for c in changes]).T
        said = {}
        for quantity, mixture in self.mixtures_.items():
            of_each = []
            for booster in mixture.boosters:
                margins = Margins(booster, accounts.tree)
                of_each.append(
                    np.concatenate(
                        [margins.all() if c is None else margins.altered(c) for c in changes]
                    )
                )
            said[quantity] = mixture.of_margins(linear, np.array(of_each, dtype="float64"))
        expected = self.level_.expected_nrr(said[HAZARD], said[GROWTH])
        ends = np.cumsum([len(accounts.tree if c is None else c.rows) for c in changes])
        return np.split(expected, ends[:-1])

    def contributions(self, features: pd.DataFrame) -> pd.DataFrame:
        """What each attribute adds to expected NRR (ratio) against the average training account.

        Log hazard and log growth are sums over attributes, NRR is not. So what an attribute adds is
        collected along the straight way from the average account to this one (integrated gradients,
        Sundararajan et al. 2017), and the sum over attributes is exact.
        """
        accounts = self.encoded(features)
        added, paths = {}, {}
        for name, mixture in self.mixtures_.items():
            added[name] = self._added(mixture, accounts)
            end = mixture.predict(accounts.linear, accounts.tree)
            total = added[name].to_numpy().sum(axis=1)
            paths[name] = (end - total)[:, None] + np.outer(total, (NODES + 1) / 2)
        nrr = self.level_.expected_nrr(paths[HAZARD], paths[GROWTH])
        slope_of_hazard = -self.level_.hazard * (np.exp(paths[HAZARD]) * nrr) @ (WEIGHTS / 2)
        slope_of_growth = self.level_.pace * self.level_.years * nrr @ (WEIGHTS / 2)
        return added[HAZARD].mul(slope_of_hazard, axis=0) + added[GROWTH].mul(
            slope_of_growth, axis=0
        )

    def gain(self) -> pd.Series:
        """The boosters' total gain by attribute, the mean of the shares for hazard and growth."""
        names = self._tree_names
        shares = []
        for mixture in self.mixtures_.values():
            of_column = pd.Series(mixture.gain(len(names)), index=names)
            of_attribute = of_column.groupby(self.encoding_.attribute_of).sum()
            shares.append(of_attribute / (of_attribute.sum() or 1.0))
        mean = pd.concat(shares, axis=1).mean(axis=1)
        complete = mean.reindex(self._attributes(), fill_value=0.0)
        return complete / (complete.sum() or 1.0)

    def get_feature_names_out(self) -> np.ndarray:
        """The encoded columns of the linear half."""
        return np.array(self.center_.index, dtype=object)

    def parts(self) -> dict[str, bytes]:
        """The fitted model as named pieces without code: JSON, and XGBoost's own UBJ."""
        boosters = {
            f"{name}-{i}.ubj": bytes(booster.save_raw("ubj"))
            for name, mixture in self.mixtures_.items()
            for i, booster in enumerate(mixture.boosters)
        }
        columns = list(self.center_.index)
        document = {
            "seed": self.seed,
            "outcome": (self.outcome or Outcome()).model_dump(),
            "hypothesis": [line.model_dump() for line in self.hypothesis],
            "encoding": self.encoding_.as_dict(),
            "support": self.support_.as_dict(),
            "center": self.center_.to_dict(),
            "level": asdict(self.level_),
            "mixtures": {
                name: {
                    "intercept": mixture.line.intercept,
                    "weights": dict(zip(columns, mixture.line.weights.tolist(), strict=True)),
                    "boosted": mixture.boosted,
                    "boosters": len(mixture.boosters),
                }
                for name, mixture in self.mixtures_.items()
            },
            "checksums": {name: sha256(raw).hexdigest() for name, raw in boosters.items()},
        }
        return {"fit_model.json": json.dumps(document, indent=1).encode(), **boosters}

    @classmethod
    def from_parts(cls, parts: Mapping[str, bytes]) -> FitModel:
        """The inverse of `parts`; runs no code that came with them.

        Raises ValueError, KeyError or TypeError when they are not what `parts` writes.
        """
        document: dict[str, Any] = json.loads(parts["fit_model.json"])
        for name, checksum in document["checksums"].items():
            # XGBoost ends the whole process over some altered files.
            if sha256(parts[name]).hexdigest() != checksum:
                raise ValueError(f"{name} is not what was written")
        encoding = Encoding.from_dict(document["encoding"])
        model = cls(
            kinds=encoding.kinds,
            outcome=Outcome(**document["outcome"]),
            hypothesis=tuple(HypothesisLine(**line) for line in document["hypothesis"]),
            seed=document["seed"],
        )
        model.encoding_ = encoding
        model.support_ = Support.from_dict(document["support"])
        model.center_ = pd.Series(document["center"], dtype="float64")
        model.level_ = Level(**document["level"])
        model.mixtures_ = {
            name: Mixture(
                LinearPredictor(
                    raw["intercept"], np.array([raw["weights"][c] for c in model.center_.index])
                ),
                raw["boosted"],
                tuple(_booster(parts[f"{name}-{i}.ubj"]) for i in range(raw["boosters"])),
            )
            for name, raw in document["mixtures"].items()
        }
        return model

    def encoded(self, features: pd.DataFrame) -> Encoded:
        """Accounts of an attribute frame as the line and the boosters see them."""
        linear, tree = self.encoding_.linear(features), self.encoding_.tree(features)
        if not self.hypothesis:
            return Encoded(features, linear.to_numpy(), tree.to_numpy())
        points = self._points(features)
        return Encoded(
            features,
            np.vstack([linear.to_numpy().T, points]).T,
            np.vstack([tree.to_numpy().T, points.astype("float32")]).T,
        )

    def _points(self, features: pd.DataFrame) -> np.ndarray:
        """The points of the stated hypothesis."""
        return HypothesisScore(self.hypothesis).predict(features).to_numpy(dtype="float64")

    def _mixed(
        self, accounts: Encoded, tasks: Mapping[Quantity, Task], parents: pd.Series
    ) -> tuple[dict[Quantity, Mixture], dict[Quantity, np.ndarray]]:
        """The mixture of each task, and its prediction of each account without its fold."""
        linear, tree = accounts.linear, accounts.tree
        fold = folds_by_parent(parents, self.seed)
        columns = self._linear_names
        firm = np.array([column == STATED for column in columns])
        pooled = pooled_lines(linear, self._groups(columns), list(tasks.values()), fold, firm)

        nothing = Mixture.constant(0.0, linear.shape[1])
        mixtures = dict.fromkeys((HAZARD, GROWTH), nothing)
        predicted = dict.fromkeys((HAZARD, GROWTH), np.zeros(len(linear)))
        learned = zip(pooled.lines, pooled.out_of_fold, pooled.relevance, strict=True)
        for (quantity, task), (line, unseen, relevance) in zip(tasks.items(), learned, strict=True):
            said = np.where(np.isnan(unseen), line.predict(linear), unseen)
            likely = _LEAST_LIKELY + (relevance / relevance.mean())[self._tree_groups]
            mixtures[quantity], predicted[quantity] = mix(
                quantity, task, line, said, tree, likely, fold, self.seed * 100
            )
        return mixtures, predicted

    def _encoded_if(self, accounts: Encoded, altered: Altered) -> _EncodedIf:
        """Altered accounts as the line and the boosters see them."""
        name, columns = altered.attribute, {}
        # Taken and not indexed, which would turn the matrix over in memory.
        linear = accounts.linear.T.take(altered.rows, axis=1)
        if name in self.encoding_.kinds:
            number = self._attributes().index(name)
            places = self._groups(self._linear_names) == number
            linear[places] = self.encoding_.linear_of(name, altered.values)
            block = self.encoding_.tree_of(name, altered.values).astype("float32")
            places = np.flatnonzero(self._tree_groups == number)
            columns = dict(zip(places.tolist(), block, strict=True))
        if any(line.attribute == name for line in self.hypothesis):
            linear[-1] = self._points(altered.of(accounts.features))
            columns[accounts.tree.shape[1] - 1] = linear[-1].astype("float32")
        return _EncodedIf(altered.rows, columns, linear)

    def _added(self, mixture: Mixture, accounts: Encoded) -> pd.DataFrame:
        """What each attribute adds to what the mixture predicts of each account."""
        about = accounts.linear - self.center_.to_numpy()
        straight, boosted = mixture.contributions(about, accounts.tree)
        names = self._attributes()
        total = np.zeros((len(about), len(names)))
        columns = self._linear_names, self._tree_names
        for part, columns_of_part in zip((straight, boosted), columns, strict=True):
            for values, column in zip(part.T, columns_of_part, strict=True):
                attribute = self.encoding_.attribute_of(column)
                if attribute:
                    total[:, names.index(attribute)] += values
        return pd.DataFrame(total, index=accounts.features.index, columns=names)

    def _groups(self, columns: Sequence[str]) -> np.ndarray:
        """The number of each column's attribute."""
        names = self._attributes()
        return np.array([names.index(self.encoding_.attribute_of(c) or names[0]) for c in columns])

    @property
    def _linear_names(self) -> list[str]:
        return [*self.encoding_.linear_columns(), *self._stated()]

    @property
    def _tree_names(self) -> list[str]:
        return [*self.encoding_.tree_columns(), *self._stated()]

    @property
    def _tree_groups(self) -> np.ndarray:
        return self._groups(self._tree_names)

    def _attributes(self) -> list[str]:
        return [*self.encoding_.kinds, *self._stated()]

    def _stated(self) -> list[str]:
        return [STATED] if self.hypothesis else []


def _levelled(
    level: Level, log_ratio: np.ndarray, log_growth: np.ndarray, known: pd.DataFrame
) -> Level:
    """The level with the factors that matured customers ask for, shrunk towards 1.

    The arguments are predictions of each customer by parts that did not see it.
    """
    ripe = known["nrr"].notna().to_numpy()
    level = replace(level, pace=_pace(level, log_growth, known))

    def factor(realised: pd.Series, expected: np.ndarray) -> float:
        seen, said = realised[ripe].to_numpy(dtype="float64"), expected[ripe]
        if len(seen) < 2 or said.mean() <= 0:
            return 1.0
        ratio = seen.mean() / said.mean()
        error = seen.var() / len(seen) / said.mean() ** 2
        return float(1 + (ratio - 1) * _LEVEL_SPREAD**2 / (_LEVEL_SPREAD**2 + error))

    return replace(
        level,
        nrr=factor(
            known["nrr"].clip(upper=_LEVEL_WINSORISED_AT), level.expected_nrr(log_ratio, log_growth)
        ),
        grr=factor(known["grr"], level.expected_grr(log_ratio, log_growth)),
    )


def _pace(level: Level, log_growth: np.ndarray, known: pd.DataFrame) -> float:
    """How log growth until the horizon goes with what is predicted, shrunk towards one to one.

    Customers who grow fast in their first year and then stand still look slow over three years.
    """
    stayed = (known["nrr"] > 0).to_numpy()
    if stayed.sum() < 2 or level.variance <= 0:
        return 1.0
    grown = np.log(known.loc[stayed, "nrr"].to_numpy(dtype="float64")).clip(
        -MOST_LOG_GROWTH, MOST_LOG_GROWTH
    )
    said = log_growth[stayed] * level.years
    said, grown = said - said.mean(), grown - grown.mean()
    certain = float(said @ said) / max(float(grown.var()), 1e-12)
    prior = _PACE_SPREAD**-2
    slope = float(said @ grown) / max(float(grown.var()), 1e-12)
    return float(max((slope + prior) / (certain + prior), 0.0))


def _booster(raw: bytes) -> xgb.Booster:
    booster = xgb.Booster()
    booster.load_model(bytearray(raw))
    return booster
