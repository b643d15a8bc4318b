from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from icploop.modeling.page.scorecard import (
    Scorecard,
    learn_scorecard,
    share_kept,
    worth_asking_about,
)
from icploop.settings import Attribute
from tests.companies import SETTINGS, market

KNOWN = market(3000, seed=3)


def learned(said: pd.Series, capacity: float = 0.25) -> Scorecard:
    return learn_scorecard(KNOWN.features, said, SETTINGS.attributes, capacity)


CARD = learned(KNOWN.truth)


def test_it_keeps_most_of_what_the_model_expects_also_of_accounts_it_never_saw() -> None:
    unseen = market(3000, seed=8)
    points = CARD.points(unseen.features)
    assert share_kept(points, unseen.truth, unseen.truth, 0.25) > 0.9
    assert CARD.fidelity == pytest.approx(
        share_kept(CARD.points(KNOWN.features), KNOWN.truth, KNOWN.truth, 0.25), abs=0.03
    )


def test_planted_traits_get_points_of_their_sign_and_the_others_none() -> None:
    points = {line.predicate.code(): line.points for line in CARD.lines}
    assert points["industry has any of health"] > 0 > points["industry has any of gaming"]
    assert points["tech has any of sso"] > 0
    sizes = [line for line in CARD.lines if line.attribute.name == "employees"]
    assert all((line.points > 0) == (line.predicate.between[0] is not None) for line in sizes)
    assert {line.attribute.name for line in CARD.lines} == {"industry", "tech", "employees"}


def test_points_are_whole_from_minus_three_to_three() -> None:
    assert all(line.points in (-3, -2, -1, 1, 2, 3) for line in CARD.lines)
    assert len(CARD.lines) <= 20


def test_a_point_is_worth_what_the_unit_says() -> None:
    points = CARD.points(KNOWN.features)
    by_points = KNOWN.truth.groupby(points).agg(["mean", "size"])
    often = by_points[by_points["size"] > 100]["mean"]
    for (less, low), (more, high) in pairwise(often.items()):
        assert (high - low) / (more - less) == pytest.approx(CARD.unit, abs=CARD.unit)


def test_about_as_many_fit_as_can_be_pursued() -> None:
    for capacity in (0.1, 0.25, 0.5):
        card = learned(KNOWN.truth, capacity)
        fit = (card.points(KNOWN.features) >= card.cutoff).mean()
        assert abs(fit - capacity) < 0.1


def test_the_order_of_rows_says_nothing() -> None:
    order = np.random.default_rng(0).permutation(len(KNOWN.features))
    shuffled = learn_scorecard(
        KNOWN.features.iloc[order], KNOWN.truth.iloc[order], SETTINGS.attributes, 0.25
    )
    assert shuffled == CARD


def test_who_says_the_same_of_everybody_needs_no_lines() -> None:
    assert learned(KNOWN.truth * 0 + 1).lines == ()
    nobody = learn_scorecard(KNOWN.features[:0], KNOWN.truth[:0], SETTINGS.attributes, 0.25)
    assert nobody.lines == ()


def test_an_attribute_that_nobody_has_or_all_share_is_no_line() -> None:
    features = KNOWN.features.assign(employees=np.nan, has_sponsor=1.0, tech=pd.NA)
    card = learn_scorecard(features.astype({"tech": "str"}), KNOWN.truth, SETTINGS.attributes, 0.25)
    assert {line.attribute.name for line in card.lines} <= {"industry", "funded_on"}


@pytest.mark.parametrize("scale", [1, 10_000, 0.125], ids=["counts", "sums", "shares"])
def test_ranges_do_not_overlap_and_leave_nobody_between_them(scale: float) -> None:
    """Also for whoever has just the value in which two ranges meet."""
    size = Attribute(name="size", dimension="firmographic", kind="number", label="size")
    # Of two digits, as people state sums: many have just a value that makes an end.
    drawn = pd.Series(np.random.default_rng(0).integers(1, 100, 4000), dtype="float64")
    said = np.sin(drawn / 16)
    frame = (drawn * scale).to_frame("size")
    card = learn_scorecard(frame, said, [size], 0.25)
    held = np.column_stack([line.predicate.holds(frame) for line in card.lines])
    assert len(card.lines) >= 3
    assert held.sum(axis=1).max() == 1
    ends = [line.predicate.between for line in card.lines]
    met = {low for low, _ in ends} & {high for _, high in ends} - {None}
    assert scale == 1 or (met and frame["size"].isin(met).any())


def test_of_a_market_that_is_known_by_name_only_the_model_is_not_asked() -> None:
    customers = market(60, seed=1).features
    known = market(40, seed=2).features.fillna({"employees": 50.0, "funded_on": 9.0})
    known = known.fillna({"industry": "retail", "tech": "crm", "has_sponsor": 1.0})
    by_name = market(50, seed=5).features.assign(employees=np.nan, funded_on=np.nan)
    by_name[["industry", "tech"]] = pd.NA
    asked = worth_asking_about(pd.concat([known, by_name]), customers)
    assert set(asked.index) == {*known.index, *customers.index}
    # A customer that the market holds too is asked about once.
    assert worth_asking_about(pd.concat([known, customers]), customers).index.is_unique
