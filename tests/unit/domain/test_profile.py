import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from icploop.domain.predicate import Predicate
from icploop.domain.profile import Evidence, Line, Profile, Refusal, StatedLine, kinds_of
from tests.companies import KINDS, SETTINGS

FEATURES = pd.DataFrame(
    {
        "employees": [10.0, 100.0, 101.0, np.nan],
        "industry": ["health", "retail", "R|D", None],
        "tech": ["crm", "crm|erp", "erp|sso", None],
        "funded_on": [0.0, -5.0, 365.0, np.nan],
        "has_sponsor": [1.0, 0.0, 1.0, np.nan],
    },
    index=["w", "x", "y", "z"],
)
EVIDENCE = Evidence(30, 100, 1.2, 0.9, 0.95, 0.8, 0.1, 0.5, 14.0)
SMALL, SSO = Predicate("employees", between=(0, 50)), Predicate("tech", any_of=("sso",))


def profile(*lines: tuple[int, Predicate, bool], anti: tuple[Predicate, ...] = ()) -> Profile:
    return Profile(
        tuple(Line("firmographic", p, points, EVIDENCE, must) for points, p, must in lines),
        tuple(Refusal("firmographic", p, True, "", (), 0, 0.0, EVIDENCE) for p in anti),
        matured=100,
        cutoff=2,
        unit=0.03,
        fidelity=0.9,
    )


PAGE = profile(
    (3, Predicate("employees", between=(0, 100)), False),
    (1, Predicate("has_sponsor", is_true=True), False),
    (-2, SSO, False),
)


def test_points_of_the_lines_that_hold_are_added_up() -> None:
    assert PAGE.rules.points(FEATURES).to_dict() == {"w": 4, "x": 3, "y": -1, "z": 0}
    assert PAGE.rules.selects(FEATURES).to_dict() == {"w": True, "x": True, "y": False, "z": False}


def test_an_account_is_refused_if_any_line_of_the_anti_icp_holds() -> None:
    refusing = profile((3, Predicate("employees", between=(0, 100)), False), anti=(SMALL, SSO))
    assert refusing.rules.is_anti(FEATURES).to_dict() == {
        "w": True,
        "x": False,
        "y": True,
        "z": False,
    }
    assert refusing.rules.selects(FEATURES).to_dict() == {
        "w": False,
        "x": True,
        "y": False,
        "z": False,
    }


def test_a_non_negotiable_line_cannot_be_outvoted_and_unknown_does_not_meet_it() -> None:
    strict = profile((3, Predicate("employees", between=(0, 100)), False), (0, SSO, True))
    assert strict.rules.meets(FEATURES).to_dict() == {"w": False, "x": False, "y": True, "z": False}
    assert not strict.rules.selects(FEATURES).any()


def test_an_empty_page_gives_no_points_and_refuses_nobody() -> None:
    empty = Profile((), (), 100)
    assert empty.rules.points(FEATURES).tolist() == [0, 0, 0, 0]
    assert not empty.rules.is_anti(FEATURES).any()


@pytest.mark.parametrize(
    ("points", "change", "support"),
    [
        (2, {}, "supported"),
        (-2, {}, "contradicted"),
        (2, {"low": -0.1}, "hypothesis"),
        (2, {"low": -0.5, "high": -0.1}, "contradicted"),
        (-2, {"low": -0.5, "high": -0.1}, "supported"),
        (2, {"accounts": 19}, "hypothesis"),
        (2, {"accounts": 81}, "hypothesis"),
        (2, {"low": math.nan, "high": math.nan}, "hypothesis"),
    ],
)
def test_a_line_is_supported_where_customers_show_it(
    points: int, change: dict[str, Any], support: str
) -> None:
    evidence = Evidence(**(EVIDENCE.__dict__ | change))
    assert Line("firmographic", SMALL, points, evidence).support == support
    assert StatedLine("firmographic", SMALL, points, evidence).support == support


def test_the_weight_of_a_line_follows_from_its_points() -> None:
    weights = [Line("firmographic", SMALL, p, EVIDENCE).weight for p in (-3, -1, 1, 2)]
    assert weights == ["strong", "nice to have", "nice to have", "strong"]
    assert Line("firmographic", SMALL, 1, EVIDENCE, True).weight == "non-negotiable"


def test_a_profile_survives_json() -> None:
    stated = (StatedLine("firmographic", SMALL, 2, EVIDENCE),)
    page = Profile(PAGE.lines, PAGE.anti, 100, 2, 0.03, 0.9, stated)
    assert Profile.from_dict(json.loads(json.dumps(page.as_dict()))) == page


def test_json_has_no_number_that_is_none() -> None:
    unknown = Evidence(**(EVIDENCE.__dict__ | {"nrr": math.nan}))
    page = Profile((Line("firmographic", SMALL, 2, unknown),), (), 100)
    text = json.dumps(page.as_dict(), allow_nan=False)
    assert math.isnan(Profile.from_dict(json.loads(text)).lines[0].evidence.nrr)


def test_kinds_are_by_name() -> None:
    assert kinds_of(SETTINGS.attributes) == KINDS
