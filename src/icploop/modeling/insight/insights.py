"""What customers tell beside the ICP: the four questions by segment, and kinds of customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from icploop.domain.tables import Tables
from icploop.modeling.insight.clusters import Clusters, KpiCard, find_clusters, kpi_cards
from icploop.modeling.insight.segments import FourQuestions, four_questions
from icploop.settings import Attribute


@dataclass(frozen=True)
class Insights:
    """The answers to the four questions, and the stable clusters (if any) with their KPI cards."""

    questions: FourQuestions
    clusters: Clusters
    cards: tuple[KpiCard, ...]


def insights_of(
    features: pd.DataFrame,
    matured: pd.DataFrame,
    deals: pd.DataFrame,
    seen: Tables,
    attributes: Sequence[Attribute],
    seed: int,
) -> Insights:
    """Of matured customers (attribute frame and rows of `outcomes`) and `decided_deals`."""
    found = find_clusters(features, matured["parent"], attributes, seed=seed)
    cards: tuple[KpiCard, ...] = ()
    if found.labels is not None:
        cards = kpi_cards(
            found.labels,
            features,
            matured,
            attributes,
            revenue=seen.revenue,
            signals=seen.signals,
            deals=deals,
        )
    return Insights(four_questions(features, matured, deals, attributes, seed=seed), found, cards)
