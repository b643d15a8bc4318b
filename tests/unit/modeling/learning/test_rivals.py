from typing import Any

import numpy as np
import pandas as pd
import pytest

from icploop.modeling.learning.rivals import AverageCustomer, HypothesisScore, RandomChoice
from icploop.settings import HypothesisLine
from tests.companies import KINDS, market

WON = pd.DataFrame(
    {
        "employees": [10.0, 20, 30, 40, np.nan],
        "industry": ["health", "health", "retail", None, None],
        "tech": ["crm|erp", "erp", "sso", None, None],
        "funded_on": [np.nan] * 5,
        "has_sponsor": [0.0, 0.0, 1.0, np.nan, np.nan],
    }
)
ASKED = pd.DataFrame(
    {
        "employees": [25.0, 17.5, 32.6, np.nan],
        "industry": ["health", "retail", "new", None],
        "tech": ["erp|sso", "crm", "erp", None],
        "funded_on": [10.0, 20, np.nan, np.nan],
        "has_sponsor": [0.0, 1.0, 0.0, np.nan],
    },
    index=list("wxyz"),
)


def test_the_average_customer_gets_a_point_for_each_of_the_commonest_traits() -> None:
    # 17.5 to 32.5 employees, health, erp, no sponsor; of funding nothing is known.
    average = AverageCustomer(KINDS).fit(WON, pd.DataFrame())
    assert average.predict(ASKED).to_dict() == {"w": 4, "x": 1, "y": 2, "z": 0}


def test_of_equally_common_levels_the_first_in_the_alphabet_is_taken() -> None:
    features = pd.DataFrame({"c": ["b", "a", "b", "a", "c"]})
    average = AverageCustomer({"c": "category"}).fit(features, pd.DataFrame())
    assert average.predict(features).tolist() == [0, 1, 0, 1, 0]


def test_the_average_customer_does_not_look_at_outcomes_or_order() -> None:
    known = market(60)
    one = AverageCustomer(KINDS).fit(known.features, known.outcomes)
    shuffled = known.features.sample(frac=1, random_state=1)
    other = AverageCustomer(KINDS).fit(shuffled, known.outcomes.assign(nrr=0.0))
    pd.testing.assert_series_equal(one.predict(known.features), other.predict(known.features))


@pytest.mark.parametrize(
    ("conditions", "points"),
    [
        ([], [0, 0, 0, 0]),
        ([{"attribute": "employees", "between": (0, 20), "points": 2}], [0, 2, 0, 0]),
        (
            [
                {"attribute": "tech", "any_of": ("erp",), "points": 3},
                {"attribute": "has_sponsor", "is_true": True, "points": 1},
                {"attribute": "industry", "any_of": ("new", "retail"), "points": -2},
            ],
            [3, -1, 1, 0],
        ),
    ],
)
def test_the_hypothesis_adds_up_the_points_of_the_lines_that_hold(
    conditions: list[dict[str, Any]], points: list[int]
) -> None:
    lines = [HypothesisLine(**condition) for condition in conditions]
    score = HypothesisScore(lines).fit(WON, pd.DataFrame()).predict(ASKED)
    assert score.tolist() == points
    assert score.index.equals(ASKED.index)


def test_choosing_at_random_prefers_nobody() -> None:
    score = RandomChoice().fit(WON, pd.DataFrame()).predict(ASKED)
    assert len(set(score)) == 1
    assert score.index.equals(ASKED.index)
