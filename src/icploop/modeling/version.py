"""One ICP version as a value: the fit model, its tiers, the profile, and how it scores accounts."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb

from icploop.domain.calendar import last_moment
from icploop.domain.predicate import in_words
from icploop.domain.profile import Profile, kinds_of
from icploop.domain.tiers import percentile_against, tier_of
from icploop.errors import DataError
from icploop.modeling.comparison import kpi_interval
from icploop.modeling.deal_model import DealModel
from icploop.modeling.features import attributes_in, coverage
from icploop.modeling.fit_model import STATED, FitModel
from icploop.modeling.objectives import ValueTerms, objective_score
from icploop.modeling.rivals import HypothesisScore
from icploop.settings import Attribute, Objective, Outcome, Tiers, lineage_of

SCORE_COLUMNS = [
    "account_id",
    "icp_version",
    "fit_score",
    "expected_nrr",
    "expected_nrr_low",
    "expected_nrr_high",
    "p_retained",
    "p_win",
    "tier",
    "reasons_for",
    "reasons_against",
    "coverage",
    "scored_at",
]
_BANDS = 5
_REASONS = 3
# Less than a twentieth of a point of NRR is no reason.
_SMALLEST_REASON = 0.0005


@dataclass(frozen=True)
class Bands:
    """What accounts that were scored alike turned out to be worth, by fifths of the score.

    `edges` are the inner limits of the fifths (expected NRR); `below` and `above` say how far the
    90% interval of a fifth's NRR reaches below and above its estimate (ratios). They speak of
    groups: no interval for a single account is promised.
    """

    edges: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]

    @classmethod
    def measure(cls, expected: pd.Series, matured: pd.DataFrame, draws: int, seed: int) -> Bands:
        """The bands of out-of-fold scores against what the accounts did."""
        edges = np.quantile(expected, np.arange(1, _BANDS) / _BANDS)
        band = np.searchsorted(edges, expected.to_numpy(), side="right")
        below, above = [], []
        for i in range(_BANDS):
            members = matured.loc[expected.index[band == i]]
            start = members["start_mrr"].sum()
            if start <= 0:
                below.append(float("nan"))
                above.append(float("nan"))
                continue
            middle = members["end_mrr"].sum() / start
            low, high = kpi_interval(members, 0.9, draws, seed)
            below.append(float(middle - low))
            above.append(float(high - middle))
        return cls(tuple(map(float, edges)), tuple(below), tuple(above))

    def interval(self, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high expected NRR of accounts by the band they fall into."""
        band = np.searchsorted(np.array(self.edges), expected, side="right")
        low = expected - np.array(self.below)[band]
        return np.maximum(low, 0), expected + np.array(self.above)[band]


@dataclass(frozen=True)
class IcpVersion:
    """A fit model, its tiers and the readable profile, with what they rest on.

    Accounts are ranked by `objective`; `terms` are those of the objective `value`, None for the
    others. `reference` is what the reference prospects are ranked by, sorted: fit scores are
    percentiles against it. `archived` holds, for each account that the model learned from, the
    score that a model which never saw it gave it: no account is ever judged by a model whose
    training saw it.
    """

    motion: str
    as_of: date
    objective: Objective
    terms: ValueTerms | None
    attributes: tuple[Attribute, ...]
    fit_model: FitModel
    deal_model: DealModel
    profile: Profile
    tiers: Tiers
    outcome: Outcome
    bands: Bands
    reference: np.ndarray
    archived: pd.Series
    snapshot_hash: str
    policy_hash: str

    @property
    def score_columns(self) -> list[str]:
        """The columns of its scores; for the objective `value` also expected_value (money)."""
        return SCORE_COLUMNS + (["expected_value"] if self.terms else [])

    @property
    def lineage(self) -> str:
        """The name under which the version is registered."""
        return lineage_of(self.motion, self.objective)

    def judged_score(self, features: pd.DataFrame) -> pd.Series:
        """A fair score of each account: the archived one where training saw it, else a new one."""
        fresh = self.ranked(features)
        archived = self.archived.reindex(features.index)
        # By position: an account that had several deals stands there several times.
        return fresh.where(archived.isna().to_numpy(), archived.to_numpy())

    def ranked(self, features: pd.DataFrame) -> pd.Series:
        """What each account of an attribute frame is ranked by, higher is better."""
        return objective_score(self._predicted(features), self.objective, self.terms)

    def score(self, accounts: pd.DataFrame, at: date, version: str) -> pd.DataFrame:
        """Scores as the contract's section 5 has them, one row for each row of `accounts`.

        `accounts` has account_id and raw attribute columns; dates are aged at the end of `at`.
        """
        features = attributes_in(accounts, last_moment(at), self.attributes)
        return self.score_features(accounts["account_id"], features, at, version)

    def score_features(
        self, account_ids: pd.Series, features: pd.DataFrame, at: date, version: str
    ) -> pd.DataFrame:
        """Like `score`, from a ready attribute frame with the same index as `account_ids`."""
        predicted = self._predicted(features)
        expected = predicted["expected_nrr"].to_numpy()
        ranked = objective_score(predicted, self.objective, self.terms).to_numpy()
        low, high = self.bands.interval(expected)
        fit_score = pd.Series(percentile_against(self.reference, ranked), index=features.index)
        reasons_for, reasons_against = self._reasons(features)
        scores = pd.DataFrame(
            {
                "account_id": account_ids.astype("str"),
                "icp_version": version,
                "fit_score": fit_score.round(2),
                "expected_nrr": expected,
                "expected_nrr_low": low,
                "expected_nrr_high": high,
                "p_retained": predicted["p_retained"],
                "p_win": predicted["p_win"],
                "expected_value": self.terms.expected(predicted) if self.terms else np.nan,
                "tier": self.tier(features, fit_score),
                "reasons_for": reasons_for,
                "reasons_against": reasons_against,
                "coverage": coverage(features),
                "scored_at": at.isoformat(),
            },
            index=features.index,
        )
        return scores[self.score_columns]

    def tier(self, features: pd.DataFrame, fit_score: pd.Series) -> pd.Series:
        """The tier of each account of an attribute frame, given its fit score (0..100)."""
        rules = self.profile.rules
        return tier_of(
            fit_score,
            coverage(features),
            is_anti=rules.is_anti(features),
            meets=rules.meets(features),
            tiers=self.tiers,
        )

    def parts(self) -> dict[str, bytes]:
        """The version as named pieces without code, the same bytes for the same version."""
        document = {
            "motion": self.motion,
            "as_of": self.as_of.isoformat(),
            "objective": self.objective,
            "terms": asdict(self.terms) if self.terms else None,
            "attributes": [a.model_dump() for a in self.attributes],
            "tiers": self.tiers.model_dump(),
            "outcome": self.outcome.model_dump(),
            "bands": asdict(self.bands),
            "snapshot_hash": self.snapshot_hash,
            "policy_hash": self.policy_hash,
        }
        return {
            "version.json": json.dumps(document, indent=1).encode(),
            "profile.json": json.dumps(self.profile.as_dict(), indent=1).encode(),
            "reference.npy": _npy(self.reference),
            "archived.json": json.dumps(self.archived.to_dict()).encode(),
            **self.fit_model.parts(),
            **self.deal_model.parts(),
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, bytes]) -> IcpVersion:
        """The inverse of `parts`; runs no code that came with them.

        Raises DataError when a piece is missing or is not what `parts` writes.
        """
        try:
            return cls._read(parts)
        except (
            AttributeError,
            EOFError,
            KeyError,
            TypeError,
            ValueError,
            xgb.core.XGBoostError,
        ) as error:
            raise DataError(f"This is no ICP version, or it was altered: {error!r}") from error

    @classmethod
    def _read(cls, parts: Mapping[str, bytes]) -> IcpVersion:
        document: dict[str, Any] = json.loads(parts["version.json"])
        archived = {a: float(score) for a, score in json.loads(parts["archived.json"]).items()}
        bands = {name: tuple(values) for name, values in document["bands"].items()}
        return cls(
            motion=document["motion"],
            as_of=date.fromisoformat(document["as_of"]),
            objective=document["objective"],
            terms=ValueTerms(**document["terms"]) if document["terms"] else None,
            attributes=tuple(Attribute(**a) for a in document["attributes"]),
            fit_model=FitModel.from_parts(parts),
            deal_model=DealModel.from_parts(parts),
            profile=Profile.from_dict(json.loads(parts["profile.json"])),
            tiers=Tiers(**document["tiers"]),
            outcome=Outcome(**document["outcome"]),
            bands=Bands(**bands),
            reference=np.load(io.BytesIO(parts["reference.npy"]), allow_pickle=False),
            archived=pd.Series(archived, dtype="float64"),
            snapshot_hash=document["snapshot_hash"],
            policy_hash=document["policy_hash"],
        )

    def _predicted(self, features: pd.DataFrame) -> pd.DataFrame:
        of_deals = self.deal_model.predict(features)
        columns = {str(name): of_deals[name].to_numpy() for name in of_deals}
        return self.fit_model.predict(features).assign(**columns)

    def _reasons(self, features: pd.DataFrame) -> tuple[list[str], list[str]]:
        contributions = self.fit_model.contributions(features)
        kinds = kinds_of(self.attributes)
        shown = features.reindex(columns=contributions.columns)
        for name in contributions.columns.intersection(list(kinds)):
            shown[name] = _shown(features[name], kinds[name])
        if STATED in shown:
            stated = HypothesisScore(self.fit_model.hypothesis).predict(features)
            shown[STATED] = stated.map("{:+g} points".format)
        points, values = contributions.to_numpy(), shown.to_numpy()
        names = contributions.columns.to_numpy()
        order = np.argsort(points, axis=1, kind="stable")
        worst, best = order[:, :_REASONS], order[:, ::-1][:, :_REASONS]
        favour = [
            _sentence(names, v, p, o, 1) for v, p, o in zip(values, points, best, strict=True)
        ]
        against = [
            _sentence(names, v, p, o, -1) for v, p, o in zip(values, points, worst, strict=True)
        ]
        return favour, against


def content_hash(parts: Mapping[str, bytes]) -> str:
    """The SHA-256 of a version's pieces: what an approval binds to."""
    total = hashlib.sha256()
    for name in sorted(parts):
        total.update(name.encode() + b"\0" + hashlib.sha256(parts[name]).digest())
    return total.hexdigest()


def _sentence(
    names: np.ndarray, values: np.ndarray, points: np.ndarray, order: np.ndarray, sign: int
) -> str:
    return "; ".join(
        f"{names[i]} = {values[i]}: {100 * points[i]:+.1f}"
        for i in order
        if sign * points[i] >= _SMALLEST_REASON
    )


def _shown(values: pd.Series, kind: str) -> pd.Series:
    """Feature values as a person would write them; a missing one as `unknown`."""
    if kind == "flag":
        return values.map({1.0: "yes", 0.0: "no"}).astype("object").fillna("unknown")
    if kind == "number":
        return values.map(lambda v: "unknown" if pd.isna(v) else in_words(v)).astype("object")
    if kind == "date":
        return values.map(lambda v: "unknown" if pd.isna(v) else f"{v:.0f} days ago").astype(
            "object"
        )
    return values.astype("object").fillna("unknown")


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()
