from dataclasses import replace

import numpy as np
import pandas as pd

from icploop.domain.predicate import Predicate
from icploop.domain.profile import Rules
from icploop.modeling.scoring.hypothesis import HypothesisIcp
from icploop.modeling.scoring.version import SCORE_COLUMNS
from icploop.settings import HypothesisLine, Tiers
from tests.companies import AS_OF, SETTINGS

LINES = (
    HypothesisLine(attribute="industry", any_of=("health",), points=3),
    HypothesisLine(attribute="employees", between=(100, 500), points=1),
    HypothesisLine(attribute="tech", any_of=("sso",), points=-2),
)
FEATURES = pd.DataFrame(
    {
        "employees": [200.0, 200.0, 9.0, np.nan],
        "industry": ["health", "retail", "retail", None],
        "tech": ["crm", "sso|crm", "sso", None],
        "funded_on": [10.0, 20.0, np.nan, np.nan],
        "has_sponsor": [1.0, 0.0, 1.0, np.nan],
    }
).astype({"industry": "str", "tech": "str"})
RULES = Rules((), (), cutoff=0)
ICP = HypothesisIcp(LINES, SETTINGS.attributes, Tiers(), np.array([-2.0, 0, 0, 0, 1]), RULES)
SCORES = ICP.score_features(pd.Series(list("abcd")), FEATURES, AS_OF, "hypothesis")


def test_the_points_rank_and_nothing_is_claimed() -> None:
    assert list(SCORES.columns) == ICP.score_columns == SCORE_COLUMNS
    assert SCORES["fit_score"].tolist() == [100, 20, 10, 50]
    claims = ["expected_nrr", "expected_nrr_low", "expected_nrr_high", "p_retained", "p_win"]
    assert SCORES[claims].isna().all(axis=None)
    assert SCORES["icp_version"].eq("hypothesis").all()


def test_reasons_are_the_lines_that_hold_the_weightiest_first() -> None:
    assert SCORES["reasons_for"][0] == (
        "industry is health: +3 stated; employees 100 to 500: +1 stated"
    )
    assert SCORES["reasons_against"].tolist() == ["", *["tech has sso: -2 stated"] * 2, ""]


def test_an_account_of_which_nothing_is_known_is_unknown() -> None:
    assert SCORES["tier"].tolist() == ["A", "D", "D", "unknown"]


def test_what_people_wrote_down_is_not_outvoted_by_points() -> None:
    predicate = Predicate(LINES[0].attribute, LINES[0].between, LINES[0].any_of, LINES[0].is_true)
    held = predicate.holds(FEATURES).to_numpy()
    refusing = replace(ICP, rules=Rules((), (predicate,), cutoff=0))
    tiers = refusing.score_features(pd.Series(list("abcd")), FEATURES, AS_OF, "hypothesis")["tier"]
    assert (tiers == "anti").tolist() == held.tolist()
    strict = replace(ICP, rules=Rules(((predicate, 0, True),), (), cutoff=0))
    tiers = strict.score_features(pd.Series(list("abcd")), FEATURES, AS_OF, "hypothesis")["tier"]
    assert "A" not in tiers[~held].tolist()
