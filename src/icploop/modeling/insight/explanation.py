"""One account, explained: what counts for and against it, who is like it, what is worth asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xgboost as xgb

from icploop.modeling.accounts.coding import coded_frame
from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.scoring.version import IcpVersion

# So many values stand for all that a field could turn out to hold.
_FILLINGS = 60
_FEWEST_FILLINGS = 20


@dataclass(frozen=True)
class FieldWorth:
    """What a field adds to expected NRR against the average customer, in points of NRR.

    `if_deleted` is by how many points expected NRR would change if the field were not known.
    """

    field: str
    points: float
    if_deleted: float | None


@dataclass(frozen=True)
class EmptyField:
    """What filling an empty field would tell, going by the values that other accounts have.

    `spread` is the standard deviation of expected NRR over those values, in points: by so much the
    answer is expected to move. `low` and `high` hold four fifths of the expectations (ratios), and
    `other_tier` is the chance (0..1) that the account changes its tier.
    """

    field: str
    spread: float
    low: float
    high: float
    other_tier: float


def worth_of_fields(version: IcpVersion, account: pd.DataFrame) -> list[FieldWorth]:
    """Every field of one account (an attribute frame of one row), the weightiest first."""
    scorer = version.scorer
    said = scorer.predict(coded_frame(account, version.attributes))
    points = 100 * scorer.contributions(said)[:, 0]
    expected = said.columns["expected_nrr"][0]
    found = []
    for name, worth in zip(scorer.attributes, points.tolist(), strict=True):
        change = None
        if name in account and account[name].notna().iloc[0]:
            without = _filled(account, name, pd.Series([None]))
            change = 100 * float(_expected(version, without)[0] - expected)
        found.append(FieldWorth(name, worth, change))
    return sorted(found, key=lambda field: (-abs(field.points), field.field))


def worth_asking(
    version: IcpVersion, account: pd.DataFrame, others: pd.DataFrame
) -> list[EmptyField]:
    """What each empty field of one account would tell, the most telling first.

    `others` are the accounts that have such values; fields that hardly any of them has are left
    out.
    """
    found = []
    tier = _tiers(version, account)[0]
    for attribute in version.attributes:
        name = attribute.name
        known = others[name].dropna().sort_values(kind="stable", ignore_index=True)
        if account[name].notna().iloc[0] or len(known) < _FEWEST_FILLINGS:
            continue
        # Evenly through all values in order, so that common ones come as often as they are.
        at = np.linspace(0, len(known) - 1, min(_FILLINGS, len(known))).round().astype("int64")
        filled = _filled(account, name, known.iloc[at].reset_index(drop=True))
        expected = _expected(version, filled)
        low, high = np.quantile(expected, [0.1, 0.9])
        changed = float(np.mean(_tiers(version, filled) != tier))
        spread = 100 * float(expected.std())
        found.append(EmptyField(name, spread, float(low), float(high), changed))
    return sorted(found, key=lambda field: (-field.spread, field.field))


def likeness(model: FitModel, account: pd.DataFrame, customers: pd.DataFrame) -> pd.Series:
    """How alike each customer is to one account, 0 to 1: the share of trees that cannot tell them.

    So fields count as much as the model makes of them. Without any tree everybody is alike.
    """
    both = pd.concat([account, customers])
    matrix = model.encoded(both).tree
    boosters: Sequence[xgb.Booster] = [b for m in model.mixtures_.values() for b in m.boosters]
    same = [
        leaves[1:] == leaves[:1]
        for leaves in (
            booster.predict(xgb.DMatrix(matrix, nthread=1), pred_leaf=True).reshape(len(both), -1)
            for booster in boosters
        )
    ]
    alike = np.concatenate(same, axis=1).mean(axis=1) if same else np.ones(len(customers))
    return pd.Series(alike, index=customers.index)


def _filled(account: pd.DataFrame, name: str, values: pd.Series) -> pd.DataFrame:
    """The account once for each value of a field."""
    many = account.loc[account.index.repeat(len(values))].reset_index(drop=True)
    return many.assign(**{name: values.astype(account[name].dtype)})


def _expected(version: IcpVersion, accounts: pd.DataFrame) -> np.ndarray:
    coded = coded_frame(accounts, version.attributes)
    return version.scorer.predict(coded).columns["expected_nrr"]


def _tiers(version: IcpVersion, accounts: pd.DataFrame) -> np.ndarray:
    ids = pd.Series("", index=accounts.index)
    scores = version.score_features(ids, accounts, version.as_of, "")
    return scores["tier"].to_numpy()
