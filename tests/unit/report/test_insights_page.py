import numpy as np
import pandas as pd
import pytest

from icploop.domain.tables import Tables
from icploop.modeling.insight.insights import Insights, insights_of
from icploop.report.insights_page import insights_page, kpi_card_page
from tests.companies import SETTINGS, Market, market

NO_TABLES = Tables(
    accounts=pd.DataFrame(),
    deals=pd.DataFrame(),
    revenue=pd.DataFrame({"account_id": [], "month": pd.to_datetime([]), "mrr": []}),
    signals=pd.DataFrame({"account_id": [], "at": pd.to_datetime([]), "kind": [], "value": []}),
)


def deals(known: Market, margin: bool) -> pd.DataFrame:
    ids = known.features.index
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "account_id": ids,
            "deal_id": [f"d-{i}" for i in ids],
            "parent": known.outcomes["parent"].to_numpy(),
            "at": known.outcomes["at"].to_numpy(),
            "won": 1.0,
            "cycle_days": rng.lognormal(4, 0.3, len(ids)),
            "acv": 1000.0,
            "gross_margin": rng.normal(0.7, 0.05, len(ids)) if margin else np.nan,
            "acquisition_cost": np.nan,
        },
        index=[f"d-{i}" for i in ids],
    )


def told(known: Market, margin: bool = True) -> Insights:
    return insights_of(
        known.features,
        known.outcomes,
        deals(known, margin),
        NO_TABLES,
        SETTINGS.attributes,
        seed=0,
    )


KNOWN = market(400, seed=4)


def test_a_planted_winner_is_named_with_its_numbers() -> None:
    text = insights_page(told(KNOWN), SETTINGS.attributes)
    (stays,) = [row for row in text.splitlines() if row.startswith("| Who stays longest?")]
    assert stays.endswith("| significant |")
    (fast,) = [row for row in text.splitlines() if row.startswith("| Who buys fastest")]
    assert fast.endswith("| best so far, not told from chance |")


def test_what_the_data_do_not_have_is_not_known_and_says_what_to_map() -> None:
    text = insights_page(told(KNOWN, margin=False), SETTINGS.attributes)
    assert "highest gross margin? | not known: no won deal has a gross margin" in text


@pytest.mark.parametrize("n", [0, 30])
def test_few_customers_are_no_fault(n: int) -> None:
    few = Market(KNOWN.features[:n], KNOWN.outcomes[:n], KNOWN.truth[:n])
    found = told(few)
    assert "No stable clusters: " in insights_page(found, SETTINGS.attributes)
    assert kpi_card_page(found).startswith("No stable clusters")


def test_two_kinds_of_customers_get_a_card_each() -> None:
    rng = np.random.default_rng(1)
    kind = rng.random(400) < 0.5
    features = KNOWN.features.assign(
        employees=np.where(kind, rng.normal(20, 3, 400), rng.normal(900, 50, 400)),
        industry=pd.Series(np.where(kind, "health", "retail"), KNOWN.features.index, dtype="str"),
        tech=pd.Series(np.where(kind, "crm", "erp|sso"), KNOWN.features.index, dtype="str"),
    )
    found = told(Market(features, KNOWN.outcomes, KNOWN.truth))
    assert len(found.cards) == 2
    text = insights_page(found, SETTINGS.attributes)
    assert "| 1 | " in text
    assert "| 2 | " in text
    card = kpi_card_page(found)
    assert card.count("## Kind") == 2
    for family in ("Revenue and value", "Product fit", "Problem severity", "Operational fit"):
        assert family in card
    assert "not known" in card
