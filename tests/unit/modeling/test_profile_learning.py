import numpy as np
import pandas as pd
import pytest

from icploop.domain.outcomes import kpis
from icploop.domain.profile import Profile
from icploop.modeling.profile_learning import learn_profile
from icploop.settings import Attribute
from tests.companies import SETTINGS, Market, market

KNOWN = market(300, seed=4)


def learned(known: Market) -> Profile:
    return learn_profile(known.features, known.outcomes, SETTINGS.attributes)


PAGE = learned(KNOWN)


def flag(name: str, dimension: str = "use_case") -> Attribute:
    return Attribute(name=name, dimension=dimension, kind="flag", label=name)


def test_the_planted_traits_stand_first_on_the_page() -> None:
    first = PAGE.lines[0]
    assert (first.dimension, first.predicate.any_of) == ("firmographic", ("health",))
    assert first.points == 3
    assert {line.predicate.attribute for line in PAGE.lines} >= {"industry", "tech", "employees"}
    assert PAGE.matured == 300


def test_the_planted_bad_segment_is_refused_and_it_alone() -> None:
    (refused,) = PAGE.anti
    assert refused.predicate.any_of == ("gaming",)
    assert refused.points < 0
    gaming = KNOWN.features["industry"].eq("gaming")
    assert PAGE.is_anti(KNOWN.features).equals(gaming.rename(None))


def test_the_page_ranks_accounts_as_the_truth_does() -> None:
    unseen = market(300, seed=5)
    assert PAGE.points(unseen.features).corr(unseen.truth, method="spearman") > 0.5


def test_a_bad_segment_that_is_most_of_the_market_is_not_refused() -> None:
    features = KNOWN.features.replace({"industry": {"retail": "gaming"}})
    known = Market(features, KNOWN.outcomes, KNOWN.truth)
    assert features["industry"].eq("gaming").mean() > 0.25
    assert [line for line in learned(known).anti if line.predicate.attribute == "industry"] == []


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


def test_good_lines_have_one_to_three_points_and_enough_accounts_on_both_sides() -> None:
    for line in (*PAGE.lines, *PAGE.anti):
        assert 1 <= abs(line.points) <= 3
        assert 20 <= line.evidence.accounts <= 280
    assert all(line.points > 0 and line.evidence.high > 0 for line in PAGE.lines)


def test_a_dimension_has_two_lines_at_most_and_an_attribute_one() -> None:
    n = 120
    strong = pd.Series([1.0, 0.0] * (n // 2))
    features = pd.DataFrame({f"f{i}": strong for i in range(5)})
    outcomes = KNOWN.outcomes[:n].reset_index(drop=True).assign(nrr=strong + 0.01 * features.index)
    page = learn_profile(
        features,
        outcomes,
        [flag("f0"), flag("f1"), flag("f2"), flag("f3", "pain_proof"), flag("f4", "pain_proof")],
    )
    assert [line.dimension for line in page.lines] == ["use_case"] * 2 + ["pain_proof"] * 2
    assert len({line.predicate.attribute for line in page.lines}) == 4


def test_a_trait_of_too_few_accounts_is_not_written_however_good_they_were() -> None:
    best = KNOWN.outcomes["nrr"].nlargest(19).index
    features = pd.DataFrame({"rare": KNOWN.outcomes.index.isin(best) * 1.0}, KNOWN.outcomes.index)
    assert learn_profile(features, KNOWN.outcomes, [flag("rare")]) == Profile((), (), 300)


@pytest.mark.parametrize("n", [0, 2, 30])
def test_a_few_accounts_support_no_line(n: int) -> None:
    few = Market(KNOWN.features[:n], KNOWN.outcomes[:n], KNOWN.truth[:n])
    assert learned(few) == Profile((), (), n)


def test_an_attribute_that_nobody_has_and_one_that_all_share_are_no_lines() -> None:
    features = KNOWN.features.assign(employees=np.nan, has_sponsor=1.0, tech=pd.NA)
    page = learned(Market(features.astype({"tech": "str"}), KNOWN.outcomes, KNOWN.truth))
    assert {line.predicate.attribute for line in page.lines} <= {"industry", "funded_on"}


def test_the_order_of_rows_says_nothing() -> None:
    order = KNOWN.features.sample(frac=1, random_state=1).index
    shuffled = Market(KNOWN.features.loc[order], KNOWN.outcomes.loc[order], KNOWN.truth)
    one, other = PAGE, learned(shuffled)
    assert [line.predicate for line in other.lines] == [line.predicate for line in one.lines]
    assert [line.predicate for line in other.anti] == [line.predicate for line in one.anti]


def test_where_nothing_is_planted_hardly_anybody_is_refused() -> None:
    refused = sum(bool(learned(market(150, seed=seed, effect=0)).anti) for seed in range(40))
    assert refused <= 4


def test_the_bad_segment_is_found_nearly_always() -> None:
    pages = [learned(market(300, seed=seed)) for seed in range(12)]
    found = sum(any(line.predicate.any_of == ("gaming",) for line in p.anti) for p in pages)
    assert found >= 10
