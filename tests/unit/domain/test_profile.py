import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from icploop.domain.profile import Evidence, Line, Predicate, Profile, kinds_of
from icploop.settings import HypothesisLine
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
LABELS = {a.name: a for a in SETTINGS.attributes}
EVIDENCE = Evidence(30, 100, 1.2, 0.9, 0.95, 0.8, 0.1, 0.5)


def profile(*points_and_predicates: tuple[int, Predicate]) -> Profile:
    lines = [Line("firmographic", p, points, EVIDENCE) for points, p in points_and_predicates]
    return Profile(
        lines=tuple(line for line in lines if line.points > 0),
        anti=tuple(line for line in lines if line.points < 0),
        matured=100,
    )


@pytest.mark.parametrize(
    ("predicate", "who"),
    [
        (Predicate("employees", between=(10, 100)), "wx"),
        (Predicate("employees", between=(100.5, 200)), "y"),
        (Predicate("employees", between=(100.5, None)), "y"),
        (Predicate("employees", between=(None, 100)), "wx"),
        (Predicate("funded_on", between=(-10, 0)), "wx"),
        (Predicate("industry", any_of=("health",)), "w"),
        (Predicate("industry", any_of=("retail", "health")), "wx"),
        (Predicate("industry", any_of=("gaming",)), ""),
        (Predicate("industry", any_of=("R|D",)), "y"),
        (Predicate("tech", any_of=("erp",)), "xy"),
        (Predicate("tech", any_of=("sso", "crm")), "wxy"),
        (Predicate("tech", any_of=("er",)), ""),
        (Predicate("has_sponsor", is_true=True), "wy"),
        (Predicate("has_sponsor", is_true=False), "x"),
    ],
)
def test_a_predicate_holds_for_whom_it_says_and_never_for_a_missing_value(
    predicate: Predicate, who: str
) -> None:
    held = predicate.holds(FEATURES)
    assert held.dtype == bool
    assert "".join(held.index[held]) == who


@pytest.mark.parametrize("empty", [FEATURES[:0], FEATURES.astype("object")[3:], FEATURES[3:]])
@pytest.mark.parametrize(
    "predicate",
    [
        Predicate("employees", between=(0, 1)),
        Predicate("tech", any_of=("crm",)),
        Predicate("has_sponsor", is_true=False),
    ],
)
def test_where_nothing_is_known_nothing_holds(predicate: Predicate, empty: pd.DataFrame) -> None:
    assert not predicate.holds(empty).any()
    assert len(predicate.holds(empty)) == len(empty)


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (Predicate("employees", between=(100, 12500)), "employees 100 to 12,500"),
        (Predicate("employees", between=(100, None)), "employees 100 or more"),
        (Predicate("employees", between=(None, 100)), "employees up to 100"),
        (Predicate("funded_on", between=(0, 90)), "last funding 0 to 90 days ago"),
        (Predicate("industry", any_of=("health", "retail")), "industry is health or retail"),
        (Predicate("tech", any_of=("crm",)), "tech has crm"),
        (Predicate("has_sponsor", is_true=True), "has sponsor"),
        (Predicate("has_sponsor", is_true=False), "no has sponsor"),
    ],
)
def test_a_predicate_reads_as_words(predicate: Predicate, text: str) -> None:
    assert predicate.text(LABELS[predicate.attribute]) == text


@pytest.mark.parametrize(
    "condition", [{"between": (1.0, 2.0)}, {"any_of": ("a", "b")}, {"is_true": False}]
)
def test_a_line_of_the_hypothesis_becomes_the_same_condition(condition: dict[str, Any]) -> None:
    line = HypothesisLine(attribute="x", points=2, **condition)
    assert Predicate.of_hypothesis(line) == Predicate("x", **condition)


def test_points_of_the_lines_that_hold_are_added_up() -> None:
    found = profile(
        (3, Predicate("employees", between=(0, 100))),
        (1, Predicate("has_sponsor", is_true=True)),
        (-2, Predicate("tech", any_of=("sso",))),
    ).points(FEATURES)
    assert found.to_dict() == {"w": 4, "x": 3, "y": 1, "z": 0}


def test_an_account_is_refused_if_any_line_of_the_anti_icp_holds() -> None:
    found = profile(
        (-1, Predicate("employees", between=(0, 50))), (-3, Predicate("tech", any_of=("sso",)))
    ).is_anti(FEATURES)
    assert found.to_dict() == {"w": True, "x": False, "y": True, "z": False}


def test_an_empty_page_gives_no_points_and_refuses_nobody() -> None:
    assert profile().points(FEATURES).tolist() == [0, 0, 0, 0]
    assert not profile().is_anti(FEATURES).any()


def test_a_profile_survives_json() -> None:
    page = profile(
        (2, Predicate("employees", between=(0.1, 100))),
        (1, Predicate("tech", any_of=("crm", "erp"))),
        (-3, Predicate("has_sponsor", is_true=False)),
    )
    assert Profile.from_dict(json.loads(json.dumps(page.as_dict()))) == page


def test_kinds_are_by_name() -> None:
    assert kinds_of(SETTINGS.attributes) == KINDS
