from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from icploop.domain.calendar import last_moment, seen_by
from icploop.domain.outcomes import decided_deals, outcomes
from icploop.modeling.accounts.features import AttributeHistory, attributes_at
from icploop.modeling.accounts.market import Sight
from icploop.settings import Settings
from tests.companies import AS_OF, DECLARED, SETTINGS, bills, company, deal, tables

COMPANY = company(wins=40, prospects=20)


def sight(**stated: Any) -> Sight:
    """Four accounts that nobody has sold to."""
    known = tables(accounts=[{"account_id": a} for a in "abcd"])
    return Sight.of(known, Settings(**(DECLARED | stated)), "default", AS_OF)


def test_prospects_were_neither_won_in_the_motion_nor_ever_billed() -> None:
    known = tables(
        accounts=[{"account_id": a} for a in ("won", "billed", "lost", "plg", "new")],
        deals=[
            deal("won", "2023-01-01", "2023-01-02"),
            deal("lost", "2023-01-01", "2023-01-02", outcome="lost"),
            deal("plg", "2023-01-01", "2023-01-02", motion="plg"),
        ],
        revenue=[*bills("billed", "2023-01", 5), *bills("new", "2023-01", 0)],
    )
    of_motion = {m: Sight.of(known, SETTINGS, m, AS_OF).prospects for m in ("default", "plg")}
    assert set(of_motion["default"]) == {"lost", "plg", "new"}
    assert set(of_motion["plg"]) == {"won", "lost", "new"}


@pytest.mark.parametrize(
    ("capacity", "share"),
    [({"share": 0.1}, 0.1), ({"accounts": 1}, 0.25), ({"accounts": 9}, 0.99)],
)
def test_capacity_is_a_share_or_a_number_against_the_prospects(
    capacity: dict[str, Any], share: float
) -> None:
    assert sight(capacity=capacity).capacity == share


def test_it_sees_what_the_day_could_see_and_works_out_what_the_rules_say() -> None:
    found = Sight.of(COMPANY, SETTINGS, "default", AS_OF)
    known = seen_by(COMPANY, AS_OF)
    pd.testing.assert_frame_equal(found.seen.deals, known.deals)
    sold = outcomes(known, "default", SETTINGS.outcome)
    pd.testing.assert_frame_equal(found.sold.reset_index(drop=True), sold)
    assert found.sold.index.tolist() == sold["account_id"].tolist()
    pd.testing.assert_frame_equal(found.decided, decided_deals(known, "default"))


def test_everybody_is_as_they_are_known_at_the_days_end_and_the_market_is_the_prospects() -> None:
    found = Sight.of(COMPANY, SETTINGS, "default", AS_OF)
    moments = pd.DataFrame({"account_id": found.accounts, "at": last_moment(AS_OF)})
    known = attributes_at(found.seen.accounts, moments, SETTINGS.attributes)
    everybody = found.everybody(SETTINGS.attributes)
    assert everybody.index.tolist() == found.seen.accounts["account_id"].unique().tolist()
    pd.testing.assert_frame_equal(everybody.reset_index(drop=True), known)
    of_market = found.market(SETTINGS.attributes)
    assert 0 < len(of_market) < len(everybody)
    pd.testing.assert_frame_equal(of_market, everybody.loc[found.prospects])


def test_the_frame_of_the_same_attributes_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    at = AttributeHistory.at

    def counted(*words: Any) -> pd.DataFrame:
        made.append(len(words[2]))
        return at(*words)

    monkeypatch.setattr(AttributeHistory, "at", counted)
    found = Sight.of(COMPANY, SETTINGS, "default", AS_OF)
    found.everybody(SETTINGS.attributes)
    found.market(list(SETTINGS.attributes))
    found.everybody(SETTINGS.attributes[:2])
    assert made == [5, 2]
    assert replace(found, as_of=AS_OF).everybody(SETTINGS.attributes[:2]).shape[1] == 2
    assert made == [5, 2, 2]
