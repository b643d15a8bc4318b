"""What a round learns from, and the fair scores of every rival that it is judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import pandas as pd

from icploop.domain.outcomes import Kpis, kpis
from icploop.domain.profile import kinds_of
from icploop.errors import DataError
from icploop.modeling.accounts.market import Sight
from icploop.modeling.judging.comparison import Skill, skill
from icploop.modeling.learning.deal_model import DealModel
from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.learning.objectives import EXPECTED_OF, ValueTerms, objective_score
from icploop.modeling.learning.rivals import AverageCustomer, HypothesisScore, RandomChoice
from icploop.modeling.page.scorecard import learn_scorecard, worth_asking_about
from icploop.modeling.scoring.version import IcpVersion
from icploop.modeling.statistics.calibration import Calibration, calibration
from icploop.modeling.statistics.capacity import at_capacity
from icploop.modeling.statistics.cross_fit import newest_matured, out_of_fold
from icploop.settings import Attribute, Kind, Settings

AVERAGE, HYPOTHESIS, RANDOM, CHAMPION, CHALLENGER, CONTROL, PAGE = (
    "average customer profile",
    "hypothesis",
    "random",
    "champion",
    "challenger",
    "the champion's recipe, refitted",
    "the page's points",
)
# Which outcome each expectation is of.
EXPECTATIONS = {"expected_nrr": "nrr", "expected_grr": "grr", "p_retained": "retained"}
# Without a champion all matured customers are judged, up to so many: draws of more take gigabytes.
_MOST_JUDGED = 5000
# How many prospects each fold's model is asked about to learn its scorecard.
_ASKED = 1000


@dataclass(frozen=True)
class Trial:
    """What a round learned from and judged on, each frame indexed by account_id.

    `customers` (rows of `outcomes` and `follow_up`) are all that were learned from, with their
    attribute frame `features`. `judged` holds the matured ones, and for the objective `value` also
    accounts that were lost; `scores` has a column for each rival with its fair score of all of
    them; `expected` holds the challenger's out-of-fold expectations (columns of `FitModel.predict`)
    of the customers; `holdout` names the accounts that decide, and `is_first` says that there is no
    champion yet.
    """

    features: pd.DataFrame
    customers: pd.DataFrame
    judged: pd.DataFrame
    scores: pd.DataFrame
    expected: pd.DataFrame
    holdout: pd.Index
    capacity: float
    is_first: bool = False

    @property
    def telling(self) -> pd.DataFrame:
        """The customers whose doings count: recent ones, and without a champion all."""
        return self.customers if self.is_first else self.recent

    @cached_property
    def recent(self) -> pd.DataFrame:
        """The customers won since the oldest of the holdout was, matured or not."""
        since = self.judged.loc[self.holdout, "at"].min()
        return self.customers[self.customers["at"] >= since]

    @cached_property
    def matured(self) -> pd.DataFrame:
        """The customers whose horizon is over."""
        return self.customers[self.customers["matured"]]

    @cached_property
    def matured_features(self) -> pd.DataFrame:
        """The attribute frame of the matured customers."""
        return self.features.loc[self.matured.index]

    @cached_property
    def skill(self) -> Skill:
        """How far the challenger's expectations go with the NRR of all matured customers."""
        return skill(self.matured, self.expected["expected_nrr"])

    @cached_property
    def calibrations(self) -> dict[str, Calibration]:
        """The calibration of each expectation on the matured customers."""
        return {
            name: calibration(self.expected.loc[self.matured.index, name], self.matured[outcome])
            for name, outcome in EXPECTATIONS.items()
        }

    @cached_property
    def rivals(self) -> dict[str, Kpis]:
        """NRR, GRR and retention at capacity of each rival, on the same holdout accounts."""
        judged = self.judged.loc[self.holdout]
        return {
            name: at_capacity(judged, self.scores.loc[self.holdout, name], self.capacity)
            for name in self.scores.columns
        }

    @property
    def everyone(self) -> Kpis:
        """NRR, GRR and retention of the whole holdout."""
        return kpis(self.judged.loc[self.holdout])


@dataclass(frozen=True)
class ClosedDeals:
    """Closed deals (rows of `decided_deals`), their attribute frame, and the terms of their value.

    `lost` holds the lost accounts that are judged beside matured customers: the first lost deal of
    each that never became a customer, as old as theirs. Only the objective `value` judges them.
    """

    rows: pd.DataFrame
    features: pd.DataFrame
    lost: pd.DataFrame
    terms: ValueTerms | None

    @classmethod
    def of(cls, sight: Sight, customers: pd.DataFrame) -> ClosedDeals:
        """The closed deals that a day sees.

        Raises DataError when the objective needs lost deals and there are none.
        """
        rows, settings = sight.decided, sight.settings
        features = sight.history.at(rows, settings.attributes)
        if settings.objective != "value":
            return cls(rows, features, rows.head(0), None)
        newest = customers.loc[customers["matured"], "at"].max()
        won = set(rows.loc[rows["won"] > 0, "account_id"]) | set(customers["account_id"])
        lost = rows[~rows["account_id"].isin(won) & (rows["at"] <= newest)]
        lost = lost.drop_duplicates("account_id")
        if lost.empty:
            raise DataError(
                "The objective `value` needs lost deals to learn P(win) from, and "
                f"{sight.motion} has none; map the outcome `lost` of deals, or take another "
                "objective in conf/icp.yaml"
            )
        return cls(rows, features, lost, ValueTerms.of(settings.value, rows))


@dataclass(frozen=True)
class ChallengerSpec:
    """How the challenger is made: unfitted models of the usable attributes."""

    attributes: tuple[Attribute, ...]
    settings: Settings

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each usable attribute."""
        return kinds_of(self.attributes)

    def fit_model(self) -> FitModel:
        """An unfitted fit model, with what the hypothesis says of usable attributes."""
        stated = tuple(h for h in self.settings.hypothesis if h.attribute in self.kinds)
        return FitModel(self.kinds, self.settings.outcome, stated, self.settings.seed)

    def with_page(self, market: pd.DataFrame, capacity: float) -> FitWithPage:
        """An unfitted fit model that learns its scorecard too, on a sample of the market."""
        step = -(-len(market) // _ASKED) or 1
        ranked_by = EXPECTED_OF.get(self.settings.objective, "expected_nrr")
        return FitWithPage(
            self.fit_model(), self.attributes, market.iloc[::step], ranked_by, capacity
        )

    def deal_model(self) -> DealModel:
        """An unfitted deal model."""
        return DealModel(self.kinds, self.settings.seed)


@dataclass(frozen=True)
class Control:
    """The control arm: the champion's recipe, learned again from today's customers.

    `features` and `customers` are as that recipe sees them, `market` is the attribute frame of the
    reference prospects.
    """

    spec: ChallengerSpec
    features: pd.DataFrame
    customers: pd.DataFrame
    market: pd.DataFrame

    def fair_scores(self) -> pd.Series:
        """What it ranks the customers by, each by a model that never saw it."""
        said = out_of_fold(
            self.spec.fit_model, self.features, self.customers, self.spec.settings.seed
        )
        return objective_score(said, self.spec.settings.objective, None)

    def ranked(self) -> pd.Series:
        """What it ranks the reference prospects by."""
        said = self.spec.fit_model().fit(self.features, self.customers).predict(self.market)
        return objective_score(said, self.spec.settings.objective, None)


class FitWithPage:
    """A fit model and the scorecard that explains it, which are cross-fitted together.

    `model` is unfitted; `market` is the attribute frame of accounts that it is asked about for its
    scorecard, and `ranked_by` the expectation that accounts are ranked by.
    """

    def __init__(
        self,
        model: FitModel,
        attributes: tuple[Attribute, ...],
        market: pd.DataFrame,
        ranked_by: str,
        capacity: float,
    ) -> None:
        self.model = model
        self.attributes = attributes
        self.market = market
        self.ranked_by = ranked_by
        self.capacity = capacity

    def fit(self, features: pd.DataFrame, customers: pd.DataFrame) -> Self:
        """Learn both from customers (see `FitModel.fit`)."""
        self.model.fit(features, customers)
        asked = worth_asking_about(self.market, features)
        said = self.model.predict(asked)[self.ranked_by]
        self.card_ = learn_scorecard(asked, said, self.attributes, self.capacity)
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """The columns of `FitModel.predict`, and `points`."""
        return self.model.predict(features).assign(points=self.card_.points(features))


def gather(
    challenger: ChallengerSpec,
    market: pd.DataFrame,
    features: pd.DataFrame,
    customers: pd.DataFrame,
    deals: ClosedDeals,
    champion: IcpVersion | None,
    earlier_champions: Mapping[str, IcpVersion],
    capacity: float,
    control: Control | None = None,
) -> Trial:
    """Cross-fit the challenger and every rival, and give each a fair score of the same accounts.

    `market` is the attribute frame of the reference prospects.
    """
    settings = challenger.settings
    judged, asked, known = _accounts(features, customers, deals)
    expected = out_of_fold(
        lambda: challenger.with_page(market, capacity), known, asked, settings.seed
    )
    points = expected.pop("points")
    predicted = expected
    if deals.terms is not None:
        of_deals = out_of_fold(challenger.deal_model, deals.features, deals.rows, settings.seed)
        predicted = expected.join(of_deals.reindex(asked["deal_id"]).set_axis(asked.index))
    ranked = objective_score(predicted, settings.objective, deals.terms)
    scores = {CHALLENGER: ranked}
    if champion is not None:
        scores[CHAMPION] = champion.judged_score(for_version(known, champion))
    if control is not None:
        scores[CONTROL] = control.fair_scores()
    scores[AVERAGE] = out_of_fold(
        lambda: AverageCustomer(challenger.kinds), known, asked, settings.seed
    )
    if settings.objective != "value":
        # The page knows nothing of the chance to win.
        scores[PAGE] = points
    if settings.hypothesis:
        scores[HYPOTHESIS] = HypothesisScore(settings.hypothesis).predict(known)
    for name, earlier in earlier_champions.items():
        scores[name] = earlier.judged_score(for_version(known, earlier))
    scores[RANDOM] = RandomChoice().predict(known)
    newest = settings.policy.newest
    if champion is None:
        newest = max(newest, _MOST_JUDGED)
    return Trial(
        features=features,
        customers=customers,
        judged=judged,
        scores=pd.DataFrame(scores),
        expected=expected.loc[customers.index],
        holdout=newest_matured(judged, newest).index,
        capacity=capacity,
        is_first=champion is None,
    )


def _accounts(
    features: pd.DataFrame, customers: pd.DataFrame, deals: ClosedDeals
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The accounts that are judged, all that get a score, and the attribute frame of these."""
    matured = customers[customers["matured"]]
    if deals.terms is None:
        return matured, customers, features
    lost = deals.lost.set_index("account_id", drop=False).rename_axis(None)
    nothing = {"matured": False, "start_mrr": 0.0, "end_mrr": 0.0, "retained": 0.0}
    lost = lost.assign(**nothing, months_at_risk=0.0)
    money = deals.rows.reindex(matured["deal_id"]).set_axis(matured.index)
    won = matured.assign(won=1.0, **money[["gross_margin", "acquisition_cost"]])
    judged = pd.concat([won, lost])
    judged["value"] = deals.terms.realised(judged)
    of_lost = deals.features.loc[deals.lost.index].set_axis(lost.index)
    asked = pd.concat([customers.assign(won=1.0), lost])
    return judged, asked, pd.concat([features, of_lost])


def for_version(features: pd.DataFrame, version: IcpVersion) -> pd.DataFrame:
    """An attribute that has left the settings since is missing for an older version."""
    return features.reindex(columns=[a.name for a in version.attributes])
