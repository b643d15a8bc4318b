from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from icploop.settings import (
    DIMENSIONS,
    Attribute,
    Settings,
    parse_settings,
)
from tests.unit.settings.stated import PLACE, line, parsed, refusal

SHIPPED = Path(__file__).parents[3] / "conf"


def test_attributes_come_in_the_order_of_the_file_with_a_label_for_people() -> None:
    attributes = parsed().attributes
    assert [a.name for a in attributes] == [
        "employees",
        "industry",
        "tech",
        "funded_on",
        "has_sponsor",
    ]
    assert attributes[3] == Attribute(
        name="funded_on", dimension="trigger_event", kind="date", label="last funding"
    )
    assert attributes[4].label == "has sponsor"
    assert [a.name for a in attributes if a.is_number_like] == ["employees", "funded_on"]


def test_the_six_dimensions_are_those_of_the_contract() -> None:
    assert DIMENSIONS == (
        "firmographic",
        "technographic",
        "use_case",
        "trigger_event",
        "decision_authority",
        "pain_proof",
    )


def test_the_shipped_settings_state_the_defaults() -> None:
    shipped = parse_settings((SHIPPED / "icp.yaml").read_text(), PLACE)
    stated = Settings(company=shipped.company, dimensions=shipped.dimensions)
    assert shipped == stated


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dimensions": {"use_case": {"a": "numbr"}}}, "`dimensions.use_case.a.kind`"),
        ({"dimensions": {"use_case": {"a": {"label": "A"}}}}, "`dimensions.use_case.a.kind`"),
        ({"dimensions": {"use_case": {}}}, "declare at least one attribute"),
        (
            {"dimensions": {"use_case": {"a": "flag"}, "pain_proof": {"a": "set"}}},
            "a is declared under two dimensions",
        ),
        ({"dimensions": {"use_case": {"account_id": "category"}}}, "`account_id` is a key"),
        ({"motions": []}, "name at least one motion"),
        ({"tiers": {"A": 0.5, "B": 0.3, "C": 0.2}}, "must be less than 1"),
        ({"outcome": {"horizon_months": 4, "window_months": 3}}, "overlap"),
        ({"capacity": {"share": 1}}, "`capacity.share`"),
        ({"capacity": {"accounts": 0}}, "`capacity.accounts`"),
        ({"policy": {"probability_better": float("nan")}}, "`policy.probability_better`"),
        ({"policy": {"min_uplift": float("nan")}}, "`policy.min_uplift`"),
        ({"policy": {"min_matured": 5}}, "(given: 5)"),
        ({"ingest": {"max_bad_share": 2}}, "(given: 2)"),
        (line(between=[1, 2], points=4), "`hypothesis.0.points`"),
        (line(between=[1, 2], points=0.5), "`hypothesis.0.points`"),
        (line(between=[500, 100]), "low not above high"),
        (line(between=[float("nan"), 100]), "low not above high"),
        (line(), "exactly one of"),
        (line(between=[1, 2], is_true=True), "exactly one of"),
        (line(any_of=["x"]), "`employees` is a number; give `between`"),
        (line(attribute="funded_on", is_true=True), "`funded_on` is a date; give `between`"),
        (line(attribute="has_sponsor", any_of=["yes"]), "is a flag; give `is_true`"),
        (line(attribute="industry", is_true=True), "is a category; give `any_of`"),
        (line(attribute="tech", between=[0, 1]), "is a set; give `any_of`"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_place(change: dict[str, Any], said: str) -> None:
    message = refusal(**change)
    assert message.startswith(f"{PLACE}: ")
    assert said in message


@pytest.mark.parametrize("window", [1, 2, 3, 6])
def test_windows_may_touch_but_not_overlap(window: int) -> None:
    shortest = 2 * window - 1
    assert parsed(outcome={"horizon_months": shortest, "window_months": window})
    if shortest > 1:
        assert "overlap" in refusal(
            outcome={"horizon_months": shortest - 1, "window_months": window}
        )


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValidationError):
        parsed().policy.min_matured = 1


def test_each_objective_is_a_lineage_of_its_own() -> None:
    names = [parsed(objective=o).lineage("plg") for o in ("nrr", "grr", "retention", "value")]
    assert names == ["plg", "plg.grr", "plg.retention", "plg.value"]


def test_a_motion_may_not_be_named_like_another_lineage() -> None:
    assert "'default.value' reads like the lineage" in refusal(motions=["default.value"])


def test_an_objective_that_nobody_knows_is_refused() -> None:
    assert "objective" in refusal(objective="profit")
