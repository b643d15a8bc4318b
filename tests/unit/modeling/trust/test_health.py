from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.calendar import seen_by
from icploop.domain.findings import of_code
from icploop.domain.tables import Tables
from icploop.modeling.accounts.features import Altered, AttributeHistory
from icploop.modeling.trust.health import Health, health, holm, psi
from tests.companies import AS_OF, SETTINGS, company, market

SEEN = seen_by(company(wins=120, prospects=40), AS_OF)


def measured(customers: pd.DataFrame, prospects: pd.DataFrame, **more) -> Health:
    return health(
        SEEN,
        AttributeHistory.of(SEEN.accounts),
        SETTINGS.attributes,
        "default",
        AS_OF,
        customers=customers,
        market=prospects,
        quarantine={"deals: acv >= 0": 3},
        **more,
    )


def features(seed: int, n: int = 400) -> pd.DataFrame:
    return market(n, seed=seed).features


@given(st.lists(st.integers(0, 500), min_size=2, max_size=9))
def test_the_index_is_never_negative_and_zero_for_equals(counts: list[int]) -> None:
    ours = np.array(counts, dtype=float)
    assert psi(ours, ours) == 0
    assert psi(ours, ours[::-1]) >= 0


def test_the_index_is_that_of_the_book() -> None:
    many = 1e6
    found = psi(np.array([0.5, 0.5]) * many, np.array([0.75, 0.25]) * many)
    assert found == pytest.approx(0.25 * np.log(1.5) - 0.25 * np.log(0.5), rel=1e-4)


def test_looking_often_makes_p_larger_and_unknown_stays_unknown() -> None:
    found = holm(pd.Series([0.04, 0.01, np.nan, 0.03]))
    assert found.tolist()[:2] == pytest.approx([0.06, 0.03])
    assert np.isnan(found[2])


def test_alike_populations_do_not_drift() -> None:
    alarms = 0
    for seed in range(20):
        found = measured(features(seed), features(1000 + seed)).drift
        alarms += (found["drift"] != "none").any()
    assert alarms <= 1


@pytest.mark.parametrize("name", ["employees", "industry", "tech", "funded_on", "has_sponsor"])
def test_the_one_attribute_that_differs_is_named(name: str) -> None:
    ours, theirs = features(1), features(2)
    shifted = {
        "employees": theirs["employees"] * 4,
        "industry": theirs["industry"].where(theirs["industry"] != "retail", "health"),
        "tech": theirs["tech"].str.replace("sso", "ldap"),
        "funded_on": theirs["funded_on"].mask(np.arange(400) % 2 == 0),
        "has_sponsor": theirs["has_sponsor"] * 0,
    }
    measures = measured(ours, theirs.assign(**{name: shifted[name]}))
    found = measures.drift
    (told,) = of_code(measures.findings, ["customers_drifted"])
    assert f"in 1 of 5 attributes: `{name}` (PSI" in told.message
    assert (told.severity == "warning") == ("much" in set(found["drift"]))
    assert found.loc[found["drift"] != "none", "attribute"].tolist() == [name]
    assert found["attribute"][0] == name


def test_fill_rates_are_those_of_the_deals_and_of_the_prospects() -> None:
    prospects = features(3)
    found = measured(features(1), prospects).fill.set_index("attribute")
    assert list(found.columns[-2:]) == ["2023Q4", "prospects"]
    assert found.loc["tech", "prospects"] == prospects["tech"].notna().mean()
    assert found.loc["industry", "2023Q4"] == 1.0
    assert found.loc["has_sponsor", "2023Q4"] < 0.9


def test_volumes_and_lateness_are_those_of_the_tables() -> None:
    found = measured(features(1), features(2))
    assert found.volumes["month"].tolist()[-1] == "2023-12"
    last_year = SEEN.deals["created_at"] >= "2022-12-01"
    assert found.volumes["deals_created"].sum() == last_year.sum()
    late = found.lateness.set_index("table")
    assert late.loc["revenue", "newest"] == "2023-12-31"
    assert late.loc["revenue", "days"] == 0
    assert late.loc["deals", "days"] >= 0


def test_an_empty_field_costs_what_hiding_it_loses() -> None:
    known = market(600, seed=4)
    complete = known.features.assign(
        industry=known.features["industry"].fillna("retail"), tech=known.features["tech"]
    )
    worth = {"health": 1.4, "retail": 1.0, "gaming": 0.6}

    def expect(frame: pd.DataFrame, altered: list[Altered | None]) -> list[np.ndarray]:
        asked = [frame if change is None else change.of(frame) for change in altered]
        found = [one["industry"].map(worth).astype("float64").fillna(1.0) for one in asked]
        return [one.to_numpy() for one in found]

    half = complete.assign(industry=complete["industry"].mask(np.arange(600) % 2 == 0))
    measures = measured(complete, half, expect=expect, capacity=0.25)
    (told,) = of_code(measures.findings, ["empty_field"])
    assert "`industry` (300 prospects, +0." in told.message
    found = measures.cost.set_index("attribute")
    of_everyone = complete["industry"][1::2].map(worth).mean()
    assert found.loc["industry", "empty"] == 300
    assert found.loc["industry", "gain"] == pytest.approx(0.5 * (1.4 - of_everyone), abs=0.01)
    row = found.loc["industry"]
    assert row["low"] < row["gain"] < row["high"]
    assert found.drop(index="industry")["gain"].abs().max() < 1e-9


def test_without_a_version_costs_are_not_known_and_metrics_are_plain_numbers() -> None:
    found = measured(features(1), features(2))
    assert found.cost.empty
    assert not of_code(found.findings, ["empty_field"])
    (refused,) = of_code(found.findings, ["quarantined"])
    assert refused.message.startswith("3 rows and cells")
    told = found.metrics()
    assert told["health.quarantined"] == 3.0
    assert told["health.days_late.revenue"] == 0.0
    assert all(np.isfinite(value) for value in told.values())


def test_a_company_without_anything_has_a_health_too() -> None:
    nobody = features(1).head(0)
    found = health(
        Tables(
            SEEN.accounts.head(0), SEEN.deals.head(0), SEEN.revenue.head(0), SEEN.signals.head(0)
        ),
        AttributeHistory.of(SEEN.accounts.head(0)),
        SETTINGS.attributes,
        "default",
        date(2000, 1, 1),
        customers=nobody,
        market=nobody,
        quarantine={},
    )
    assert found.drift["psi"].isna().all()
    assert found.lateness["newest"].isna().all()
