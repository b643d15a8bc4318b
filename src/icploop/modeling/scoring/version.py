"""One ICP version as a value: the fit model, its tiers, the profile, and how it scores accounts."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost as xgb

from icploop.domain.calendar import last_moment
from icploop.domain.profile import Profile
from icploop.domain.tiers import percentile_against, tier_of
from icploop.errors import DataError
from icploop.modeling.accounts.coding import Coded, coded_frame
from icploop.modeling.accounts.features import attributes_in
from icploop.modeling.learning.deal_model import DealModel
from icploop.modeling.learning.fit_model import STATED, FitModel
from icploop.modeling.learning.objectives import ValueTerms, objective_score
from icploop.modeling.scoring.learned import Learned
from icploop.modeling.scoring.reasons import doubts, reasons
from icploop.modeling.scoring.scorer import Scorer
from icploop.modeling.statistics.bootstrap import kpi_interval
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
    "note",
]
_BANDS = 5


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
    training saw it. `learned` says what it was learned from and how; None for versions that were
    registered before that was kept.
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
    learned: Learned | None = None

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

    def score(
        self, accounts: pd.DataFrame, at: date, version: str, *, with_reasons: bool = True
    ) -> pd.DataFrame:
        """Scores as the contract's section 5 has them, one row for each row of `accounts`.

        `accounts` has account_id and raw attribute columns; dates are aged at the end of `at`.
        """
        features = attributes_in(accounts, last_moment(at), self.attributes)
        ids = accounts["account_id"]
        return self.score_features(ids, features, at, version, with_reasons=with_reasons)

    def score_features(
        self,
        account_ids: pd.Series,
        features: pd.DataFrame,
        at: date,
        version: str,
        *,
        with_reasons: bool = True,
    ) -> pd.DataFrame:
        """Like `score`, from a ready attribute frame with the same index as `account_ids`."""
        coded = coded_frame(features, self.attributes)
        ids = pa.array(account_ids.astype("str"), pa.string(), from_pandas=True)
        scores = self.score_coded(ids, coded, at, version, with_reasons=with_reasons)
        frame = pa.Table.from_batches([scores]).to_pandas()
        return frame.set_index(features.index)

    def score_coded(
        self,
        account_ids: pa.Array,
        coded: Coded,
        at: date,
        version: str,
        *,
        with_reasons: bool = True,
    ) -> pa.RecordBatch:
        """Like `score`, from codes; without reasons their columns are empty, and it is faster.

        Any thread may call it, and an account's scores are the same bytes whatever is scored with
        it.
        """
        scorer = self.scorer
        said = scorer.predict(coded)
        predicted = pd.DataFrame(said.columns)
        expected = said.columns["expected_nrr"]
        ranked = objective_score(predicted, self.objective, self.terms).to_numpy()
        low, high = self.bands.interval(expected)
        fit_score = percentile_against(self.reference, ranked)
        favour = against = pa.nulls(coded.rows, pa.string())
        if with_reasons:
            stated = {STATED: scorer.stated(coded)} if self.fit_model.hypothesis else {}
            points = scorer.contributions(said)
            favour, against = reasons(points, scorer.attributes, coded, self.attributes, stated)
        columns: dict[str, Any] = {
            "account_id": account_ids,
            "icp_version": pa.repeat(version, coded.rows),
            "fit_score": np.round(fit_score, 2),
            "expected_nrr": expected,
            "expected_nrr_low": low,
            "expected_nrr_high": high,
            "p_retained": said.columns["p_retained"],
            "p_win": said.columns["p_win"],
            "tier": pa.array(self._tier(coded, fit_score), pa.string()),
            "reasons_for": favour,
            "reasons_against": against,
            "coverage": coded.known(self._names) / max(len(self._names), 1),
            "scored_at": pa.repeat(at.isoformat(), coded.rows),
            "note": doubts(
                coded, self.attributes, self.fit_model.support_, self.tiers.min_coverage
            ),
        }
        if self.terms:
            columns["expected_value"] = self.terms.expected(predicted).to_numpy()
        return pa.record_batch(
            {
                name: pa.array(column, from_pandas=True)
                if isinstance(column, np.ndarray)
                else column
                for name, column in columns.items()
            }
        )

    @cached_property
    def scorer(self) -> Scorer:
        """The models, ready to score."""
        return Scorer(self.fit_model, self.deal_model)

    @property
    def _names(self) -> list[str]:
        return [a.name for a in self.attributes]

    def tier(self, features: pd.DataFrame, fit_score: pd.Series) -> pd.Series:
        """The tier of each account of an attribute frame, given its fit score (0..100)."""
        coded = coded_frame(features, self.attributes)
        return self._tier(coded, fit_score.to_numpy()).set_axis(fit_score.index)

    def _tier(self, coded: Coded, fit_score: np.ndarray) -> pd.Series:
        rules = self.profile.rules
        predicates = [*(predicate for predicate, _, _ in rules.lines), *rules.anti]
        features = coded.frame(list(dict.fromkeys(p.attribute for p in predicates)))
        return tier_of(
            pd.Series(fit_score),
            pd.Series(coded.known(self._names) / max(len(self._names), 1)),
            is_anti=rules.is_anti(features),
            meets=rules.meets(features),
            tiers=self.tiers,
            supported=self.fit_model.support_.holds(coded),
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
            **({"learned.json": self.learned.as_bytes()} if self.learned else {}),
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
            learned=Learned.from_bytes(parts["learned.json"]) if "learned.json" in parts else None,
        )

    def _predicted(self, features: pd.DataFrame) -> pd.DataFrame:
        of_deals = self.deal_model.predict(features)
        columns = {str(name): of_deals[name].to_numpy() for name in of_deals}
        return self.fit_model.predict(features).assign(**columns)


def content_hash(parts: Mapping[str, bytes]) -> str:
    """The SHA-256 of a version's pieces: what an approval binds to."""
    total = hashlib.sha256()
    for name in sorted(parts):
        total.update(name.encode() + b"\0" + hashlib.sha256(parts[name]).digest())
    return total.hexdigest()


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()
