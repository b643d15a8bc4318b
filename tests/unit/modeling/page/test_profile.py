from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from icploop.domain.outcomes import kpis
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Profile
from icploop.modeling.page.after_the_sale import after_the_sale
from icploop.modeling.page.profile import Customers, learn_profile
from icploop.modeling.page.scorecard import learn_scorecard
from icploop.settings import Settings
from tests.companies import SETTINGS, Market, market

KNOWN = market(300, seed=4)
AS_OF = date(2025, 1, 31)
NO_SIGNALS = pd.DataFrame({"account_id": [], "at": [], "kind": [], "value": []})


def learned(known: Market, settings: Settings = SETTINGS) -> Profile:
    card = learn_scorecard(known.features, known.truth, SETTINGS.attributes, 0.25)
    happened = after_the_sale(known.outcomes, NO_SIGNALS)
    customers = Customers(known.features, known.outcomes, happened, AS_OF)
    return learn_profile(
        customers, card, SETTINGS.attributes, known.features, known.truth, settings
    )


def stating(**more: Any) -> Settings:
    return Settings.model_validate(SETTINGS.model_dump() | more)


PAGE = learned(KNOWN)


def test_planted_traits_are_lines_that_customers_support() -> None:
    support = {line.predicate.code(): line.support for line in PAGE.lines}
    assert support["industry has any of health"] == "supported"
    assert {line.predicate.attribute for line in PAGE.lines} >= {"industry", "tech", "employees"}
    assert PAGE.matured == 300
    assert PAGE.fidelity > 0.9


def test_the_planted_bad_segment_is_refused_and_it_alone() -> None:
    (refused,) = PAGE.anti
    assert refused.predicate.any_of == ("gaming",)
    assert refused.learned
    gaming = KNOWN.features["industry"].eq("gaming")
    assert PAGE.rules.is_anti(KNOWN.features).tolist() == gaming.tolist()


def test_a_refusal_says_what_it_would_have_cost() -> None:
    (refused,) = PAGE.anti
    gaming = KNOWN.outcomes[KNOWN.features["industry"].eq("gaming")]
    assert refused.good_refused == (gaming["nrr"] >= 1).sum() > 0
    share = gaming["end_mrr"].sum() / KNOWN.outcomes["end_mrr"].sum()
    assert refused.revenue_refused == pytest.approx(share)


def test_it_says_what_went_wrong_with_the_refused() -> None:
    (refused,) = PAGE.anti
    assert any("leave within 6 months (others" in why for why in refused.why)


def test_a_bad_segment_that_is_most_of_the_market_is_not_refused() -> None:
    features = KNOWN.features.replace({"industry": {"retail": "gaming"}})
    known = Market(features, KNOWN.outcomes, KNOWN.truth)
    assert features["industry"].eq("gaming").mean() > 0.25
    assert [r for r in learned(known).anti if r.predicate.attribute == "industry"] == []


def test_evidence_is_what_the_accounts_did_inside_and_outside() -> None:
    for line in (*PAGE.lines, *PAGE.anti):
        inside = line.predicate.holds(KNOWN.features)
        here, elsewhere = kpis(KNOWN.outcomes[inside]), kpis(KNOWN.outcomes[~inside])
        seen = line.evidence
        assert (seen.accounts, seen.of) == (inside.sum(), 300)
        assert (seen.nrr, seen.retention) == (here.nrr, here.retention)
        assert (seen.nrr_outside, seen.retention_outside) == (elsewhere.nrr, elsewhere.retention)
        nrr = KNOWN.outcomes["nrr"].clip(upper=2)
        assert seen.low < nrr[inside].mean() - nrr[~inside].mean() < seen.high
        assert 15 < seen.age_months < 26


def test_what_people_require_is_non_negotiable_and_stands_once() -> None:
    page = learned(KNOWN, stating(required=[{"attribute": "industry", "any_of": ["health"]}]))
    must = [line for line in page.lines if line.non_negotiable]
    assert [line.predicate for line in must] == [Predicate("industry", any_of=("health",))]
    assert must[0].points > 0
    assert len(page.lines) == len(PAGE.lines)
    health = KNOWN.features["industry"].eq("health")
    assert page.rules.meets(KNOWN.features).tolist() == health.tolist()


def test_written_exclusions_stand_first_with_their_reason_and_cost() -> None:
    no_sponsor = {"attribute": "has_sponsor", "is_true": False, "reason": "nobody signs"}
    page = learned(KNOWN, stating(exclusions=[no_sponsor]))
    written, gaming = page.anti
    assert (written.reason, written.learned, gaming.learned) == ("nobody signs", False, True)
    assert written.good_refused > 0


def test_the_hypothesis_is_held_against_what_customers_did() -> None:
    page = learned(
        KNOWN,
        stating(
            hypothesis=[
                {"attribute": "industry", "any_of": ["health"], "points": 2},
                {"attribute": "industry", "any_of": ["gaming"], "points": 1},
                {"attribute": "has_sponsor", "is_true": True, "points": 1},
            ]
        ),
    )
    assert [line.support for line in page.stated] == ["supported", "contradicted", "hypothesis"]


def test_a_line_that_none_of_the_best_goes_without_is_non_negotiable() -> None:
    n = 400
    rng = np.random.default_rng(0)
    has = rng.random(n) < 0.5
    known = replace(
        market(n, seed=7, effect=0),
        features=market(n, seed=7).features.assign(has_sponsor=has.astype(float)),
    )
    nrr = np.where(has, 1.2, 0.7) + rng.normal(0, 0.2, n)
    known = Market(
        known.features,
        known.outcomes.assign(nrr=nrr, end_mrr=known.outcomes["start_mrr"] * nrr),
        pd.Series(np.where(has, 1.2, 0.7), known.features.index),
    )
    (must,) = [line for line in learned(known).lines if line.non_negotiable]
    assert must.predicate == Predicate("has_sponsor", is_true=True)


@pytest.mark.parametrize("n", [0, 2, 30])
def test_a_few_accounts_support_no_line(n: int) -> None:
    few = Market(KNOWN.features[:n], KNOWN.outcomes[:n], KNOWN.truth[:n])
    page = learned(few)
    assert page.anti == ()
    assert {line.support for line in page.lines} <= {"hypothesis"}


def test_the_order_of_rows_says_nothing() -> None:
    order = KNOWN.features.sample(frac=1, random_state=1).index
    shuffled = Market(KNOWN.features.loc[order], KNOWN.outcomes.loc[order], KNOWN.truth)
    assert learned(shuffled).rules == PAGE.rules


def test_where_nothing_is_planted_hardly_anybody_is_refused() -> None:
    refused = sum(bool(learned(market(150, seed=seed, effect=0)).anti) for seed in range(60))
    # One in twenty by chance.
    assert refused <= 7


def test_the_bad_segment_is_found_nearly_always() -> None:
    pages = [learned(market(400, seed=seed)) for seed in range(20)]
    found = sum(any(r.predicate.any_of == ("gaming",) for r in p.anti) for p in pages)
    assert found >= 18


def test_the_average_customer_stands_beside_it_in_the_same_attributes() -> None:
    told = {line.predicate.attribute for line in PAGE.lines}
    assert {trait.attribute for trait in PAGE.average} == told
    sizes = next(trait.between for trait in PAGE.average if trait.attribute == "employees")
    low, high = KNOWN.features["employees"].quantile([0.25, 0.75])
    assert sizes == (pytest.approx(low, rel=0.1), pytest.approx(high, rel=0.1))
    assert 0 < PAGE.likeness < 0.9
