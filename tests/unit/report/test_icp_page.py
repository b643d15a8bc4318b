import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.predicate import Predicate
from icploop.domain.profile import Evidence, Line, Profile, Refusal
from icploop.errors import DataError
from icploop.report.icp_page import profile_page, rules_of
from icploop.settings import DIMENSIONS, Attribute, Objective
from tests.companies import SETTINGS, market
from tests.unit.domain.test_predicate import PREDICATES
from tests.unit.modeling.page.test_profile import PAGE, learned, stating

FEATURES = market(400, seed=12).features
RATIOS = st.floats(0, 3) | st.just(math.nan)
EVIDENCE = st.builds(
    Evidence,
    accounts=st.integers(0, 50),
    of=st.just(100),
    nrr=RATIOS,
    nrr_outside=RATIOS,
    retention=RATIOS,
    retention_outside=RATIOS,
    low=RATIOS,
    high=RATIOS,
    age_months=RATIOS,
)
KNOWN_PREDICATES = st.one_of(
    st.builds(
        lambda low, high: Predicate("employees", between=(low, high)),
        st.integers(0, 300).map(float),
        st.none() | st.floats(0, 500),
    ),
    st.builds(
        lambda levels: Predicate("industry", any_of=tuple(levels)),
        st.lists(st.sampled_from(["health", "retail", "gaming"]), min_size=1, unique=True),
    ),
    st.builds(
        lambda levels: Predicate("tech", any_of=tuple(levels)),
        st.lists(st.sampled_from(["crm", "erp", "sso"]), min_size=1, unique=True),
    ),
    st.builds(lambda yes: Predicate("has_sponsor", is_true=yes), st.booleans()),
)


def profiles(predicates: st.SearchStrategy[Predicate]) -> st.SearchStrategy[Profile]:
    dimensions = st.sampled_from(DIMENSIONS)
    lines = st.builds(Line, dimensions, predicates, st.integers(-3, 3), EVIDENCE, st.booleans())
    refusals = st.builds(
        Refusal,
        dimensions,
        predicates,
        learned=st.booleans(),
        reason=st.text(max_size=30),
        why=st.lists(st.text(max_size=10), max_size=2).map(tuple),
        good_refused=st.integers(0, 99),
        revenue_refused=st.floats(0, 1),
        evidence=EVIDENCE,
    )
    return st.builds(
        Profile,
        lines=st.lists(lines, max_size=6).map(tuple),
        anti=st.lists(refusals, max_size=3).map(tuple),
        matured=st.just(100),
        cutoff=st.integers(-9, 9),
    )


def text_of(profile: Profile) -> str:
    names = {line.predicate.attribute for line in (*profile.lines, *profile.anti)}
    labels = [
        Attribute(name=name, dimension="firmographic", kind="category", label=f"{name} | `x` ")
        for name in names
    ]
    return "\n".join(profile_page(profile, labels, "nrr", "USD"))


@given(profiles(PREDICATES))
def test_the_page_reads_back_as_the_rules_that_it_states(profile: Profile) -> None:
    rules = rules_of(text_of(profile))
    assert Counter(rules.lines) == Counter(profile.rules.lines)
    assert rules.anti == profile.rules.anti
    assert not profile.lines or rules.cutoff == profile.cutoff


@given(profiles(KNOWN_PREDICATES).filter(lambda p: len(p.lines) > 0))
def test_the_page_selects_the_same_accounts(profile: Profile) -> None:
    rules = rules_of(text_of(profile))
    assert rules.selects(FEATURES).equals(profile.rules.selects(FEATURES))
    assert rules.points(FEATURES).equals(profile.rules.points(FEATURES))


def test_the_planted_page_is_readable_and_marks_what_is_not_shown() -> None:
    text = "\n".join(profile_page(PAGE, SETTINGS.attributes, "nrr", "USD"))
    assert "## Pursue" in text
    assert "industry is health `industry has any of health`" in text
    assert "a point is worth about" in text
    assert "| learned | industry is gaming" in text
    assert "leave within 6 months" in text
    assert "customers who did not shrink" in text
    assert rules_of(text).selects(FEATURES).sum() > 0


def test_a_contradicted_hypothesis_is_told() -> None:
    stated = learned(
        market(300, seed=4),
        stating(hypothesis=[{"attribute": "industry", "any_of": ["gaming"], "points": 1}]),
    )
    text = "\n".join(profile_page(stated, SETTINGS.attributes, "nrr", "USD"))
    assert "| industry is gaming | +1 | **contradicted by customers** |" in text


def test_a_must_is_marked_and_executes() -> None:
    page = learned(
        market(300, seed=4),
        stating(required=[{"attribute": "has_sponsor", "is_true": True}]),
    )
    text = "\n".join(profile_page(page, SETTINGS.attributes, "nrr", "USD"))
    assert "| must " in text
    met = rules_of(text).meets(FEATURES)
    assert met.tolist() == FEATURES["has_sponsor"].eq(1.0).tolist()


def test_a_line_that_cannot_be_run_is_refused() -> None:
    text = "\n".join(profile_page(PAGE, SETTINGS.attributes, "nrr", "USD"))
    with pytest.raises(DataError, match="has a line that cannot be run"):
        rules_of(text.replace("industry has any of health", "industry like health"))


def test_a_page_without_lines_says_so() -> None:
    text = "\n".join(profile_page(Profile((), (), 12), SETTINGS.attributes, "nrr", "USD"))
    assert "do not tell one kind of account from another" in text
    assert "No group of customers is clearly bad enough" in text
    assert not rules_of(text).lines
    assert rules_of(text).selects(pd.DataFrame(index=["a"])).tolist() == [True]
    assert np.isfinite(rules_of(text).cutoff)


@pytest.mark.parametrize(
    ("objective", "worth"),
    [
        ("nrr", "3.0 points of NRR"),
        ("grr", "3.0 points of GRR"),
        ("retention", "3.0 points of retention"),
        ("value", "2,400 EUR a deal"),
    ],
)
def test_a_point_is_worth_something_in_what_accounts_are_ranked_by(
    objective: Objective, worth: str
) -> None:
    page = replace(PAGE, unit=2400.0 if objective == "value" else 0.03)
    text = "\n".join(profile_page(page, SETTINGS.attributes, objective, "EUR"))
    assert f"a point is worth about {worth}." in text
