"""Scores while there are too few matured customers for a model: by what people believe, no more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from icploop.domain.predicate import Predicate
from icploop.domain.profile import Rules
from icploop.domain.tiers import percentile_against, tier_of
from icploop.modeling.accounts.coding import Coded, coded_frame
from icploop.modeling.accounts.features import coverage
from icploop.modeling.accounts.support import Support
from icploop.modeling.learning.rivals import HypothesisScore
from icploop.modeling.scoring.reasons import doubts
from icploop.modeling.scoring.version import SCORE_COLUMNS
from icploop.settings import Attribute, HypothesisLine, Tiers

HYPOTHESIS_VERSION = "hypothesis"


@dataclass(frozen=True)
class HypothesisIcp:
    """The stated hypothesis as something that scores accounts like an ICP version does.

    It claims nothing: what it cannot know, which is every expectation, is missing. `reference`
    holds the sorted points of the reference prospects, `rules` what people wrote down that nothing
    may outvote: non-negotiable lines and exclusions.
    """

    lines: tuple[HypothesisLine, ...]
    attributes: tuple[Attribute, ...]
    tiers: Tiers
    reference: np.ndarray
    rules: Rules

    @property
    def score_columns(self) -> list[str]:
        """The columns of its scores."""
        return SCORE_COLUMNS

    def score_features(
        self, account_ids: pd.Series, features: pd.DataFrame, at: date, version: str
    ) -> pd.DataFrame:
        """Scores as the contract's section 5 has them, from an attribute frame.

        Reasons are the lines that hold, with their points.
        """
        points = HypothesisScore(self.lines).predict(features)
        fit_score = pd.Series(
            percentile_against(self.reference, points.to_numpy()), index=features.index
        )
        known = coverage(features)
        scores = pd.DataFrame(
            {
                "account_id": account_ids.astype("str"),
                "icp_version": version,
                "fit_score": fit_score.round(2),
                "tier": tier_of(
                    fit_score,
                    known,
                    is_anti=self.rules.is_anti(features),
                    meets=self.rules.meets(features),
                    tiers=self.tiers,
                ),
                "reasons_for": self._reasons(features, 1),
                "reasons_against": self._reasons(features, -1),
                "coverage": known,
                "scored_at": at.isoformat(),
                "note": doubts(
                    coded_frame(features, self.attributes),
                    self.attributes,
                    Support({}, {}),
                    self.tiers.min_coverage,
                )
                .to_pandas()
                .to_numpy(),
            },
            index=features.index,
        )
        unknown = [column for column in SCORE_COLUMNS if column not in scores]
        return scores.assign(**dict.fromkeys(unknown, np.nan))[SCORE_COLUMNS]

    def score_coded(
        self,
        account_ids: pa.Array,
        coded: Coded,
        at: date,
        version: str,
        *,
        with_reasons: bool = True,
    ) -> pa.RecordBatch:
        """Like `score_features`, from codes; without reasons their columns are empty."""
        features = coded.frame([a.name for a in self.attributes])
        scores = self.score_features(account_ids.to_pandas(), features, at, version)
        if not with_reasons:
            scores = scores.assign(reasons_for="", reasons_against="")
        nothing = [column for column in scores if scores[column].isna().all()]
        return pa.RecordBatch.from_pandas(
            scores.astype(dict.fromkeys(nothing, "float64")), preserve_index=False
        ).replace_schema_metadata(None)

    def _reasons(self, features: pd.DataFrame, sign: int) -> pd.Series:
        attributes = {a.name: a for a in self.attributes}
        said = pd.Series("", index=features.index, dtype="object")
        for line in sorted(self.lines, key=lambda line: -sign * line.points):
            if sign * line.points > 0:
                predicate = Predicate.of_condition(line)
                words = f"{predicate.text(attributes[line.attribute])}: {line.points:+d} stated; "
                said += np.where(predicate.holds(features), words, "")
        return said.str.removesuffix("; ")
