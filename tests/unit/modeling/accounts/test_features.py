from typing import Any

import numpy as np
import pandas as pd
import pytest

from icploop.errors import DataError
from icploop.modeling.accounts.features import attributes_at, attributes_in, coverage
from icploop.settings import Attribute
from tests.companies import KINDS, SETTINGS, tables

ATTRIBUTES = SETTINGS.attributes
HISTORY = tables(
    accounts=[
        {"account_id": "a", "observed_at": "", "employees": "5", "industry": "retail"},
        {
            "account_id": "a",
            "observed_at": "2024-01-10",
            "employees": "10",
            "tech": "crm|erp",
            "funded_on": "2024-01-01",
            "has_sponsor": "no",
        },
        {
            "account_id": "a",
            "observed_at": "2024-02-10",
            "employees": "20",
            "industry": "health",
            "tech": "",
            "has_sponsor": "yes",
        },
        {"account_id": "b", "observed_at": "2024-03-01", "industry": "gaming"},
    ]
).accounts


def asked(*questions: tuple[str, str]) -> pd.DataFrame:
    """Moments to look at, as (account, moment)."""
    frame = pd.DataFrame(questions, columns=["account_id", "at"], dtype="str")
    return frame.assign(at=pd.to_datetime(frame["at"]).astype("datetime64[us]"))


def known(account: str, moment: str) -> dict[str, Any]:
    """What was known of an account at a moment; missing values are left out."""
    found = attributes_at(HISTORY, asked((account, moment)), ATTRIBUTES)
    return found.iloc[0].dropna().to_dict()


def named(name: str) -> Attribute:
    return Attribute(name=name, dimension="use_case", kind="number", label=name)


def test_of_nobody_nothing_is_known() -> None:
    nobody = pd.DataFrame({"account_id": np.array([], dtype="object"), "at": []})
    found = attributes_at(HISTORY, nobody, ATTRIBUTES)
    assert found.columns.tolist() == [attribute.name for attribute in ATTRIBUTES]
    assert len(found) == 0


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        # A row without a date counts as always known.
        ("1999-01-01", {"employees": 5, "industry": "retail"}),
        ("2024-01-09T23:59:59", {"employees": 5, "industry": "retail"}),
        (
            "2024-01-10",
            {
                "employees": 10,
                "industry": "retail",
                "tech": "crm|erp",
                "funded_on": 9,
                "has_sponsor": 0,
            },
        ),
        (
            "2024-01-21T12:00",
            {
                "employees": 10,
                "industry": "retail",
                "tech": "crm|erp",
                "funded_on": 20.5,
                "has_sponsor": 0,
            },
        ),
        # The empty cells of the later row say nothing: tech and funding stay as they were.
        (
            "2024-02-10",
            {
                "employees": 20,
                "industry": "health",
                "tech": "crm|erp",
                "funded_on": 40,
                "has_sponsor": 1,
            },
        ),
    ],
)
def test_an_attribute_is_the_last_value_recorded_by_the_moment(
    moment: str, expected: dict[str, Any]
) -> None:
    assert known("a", moment) == expected


@pytest.mark.parametrize(("account", "moment"), [("b", "2024-02-29"), ("ghost", "2024-05-01")])
def test_of_an_account_that_was_not_yet_observed_nothing_is_known(
    account: str, moment: str
) -> None:
    assert known(account, moment) == {}


def test_the_same_account_may_be_asked_about_at_several_moments_in_any_order() -> None:
    moments = asked(("a", "2024-03-01"), ("b", "2024-03-01"), ("a", "2024-01-15"))
    moments.index = ["x", "y", "z"]
    found = attributes_at(HISTORY, moments, ATTRIBUTES)
    assert found.index.tolist() == ["x", "y", "z"]
    assert found["employees"].tolist()[::2] == [20, 10]
    assert list(found.columns) == list(KINDS)[:2] + [a.name for a in ATTRIBUTES[2:]]


def test_the_order_of_rows_says_nothing() -> None:
    moments = asked(("a", "2024-01-20"), ("a", "2024-06-01"), ("b", "2024-06-01"))
    shuffled = HISTORY.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(
        attributes_at(shuffled, moments, ATTRIBUTES), attributes_at(HISTORY, moments, ATTRIBUTES)
    )


def test_rows_observed_later_are_invisible() -> None:
    moments = asked(("a", "2024-01-20"), ("b", "2024-01-20"))
    by_then = HISTORY[~(HISTORY["observed_at"] > pd.Timestamp(2024, 1, 20))]
    pd.testing.assert_frame_equal(
        attributes_at(by_then, moments, ATTRIBUTES),
        attributes_at(HISTORY, moments, ATTRIBUTES),
        check_categorical=False,
    )


@pytest.mark.parametrize("rows", [0, 4])
def test_every_attribute_has_the_type_of_its_kind_even_where_nothing_is_known(rows: int) -> None:
    nothing = attributes_at(HISTORY[:rows], asked(("ghost", "2024-01-01")), ATTRIBUTES)
    nobody = attributes_at(HISTORY[:rows], asked(), ATTRIBUTES)
    for found in (nothing, nobody):
        assert found.isna().all(axis=None)
        assert [str(found[name].dtype) for name in ("industry", "tech")] == ["category", "category"]
        for name in ("employees", "funded_on", "has_sponsor"):
            assert found[name].dtype == "float64"


def test_an_attribute_that_no_account_carries_is_refused_with_the_remedy() -> None:
    with pytest.raises(DataError) as refused:
        attributes_at(HISTORY, asked(("a", "2024-01-01")), [*ATTRIBUTES, named("seats")])
    message = str(refused.value)
    assert "conf/icp.yaml declares `seats`" in message
    assert "employees" in message
    assert "take it out of dimensions" in message


@pytest.mark.parametrize("name", ["seen", "at", "position", "key", "index"])
def test_an_attribute_may_have_any_name(name: str) -> None:
    accounts = HISTORY.rename(columns={"employees": name})
    found = attributes_at(accounts, asked(("a", "2024-01-20"), ("b", "2024-01-20")), [named(name)])
    assert found[name].tolist()[0] == 10


def test_the_accounts_themselves_are_left_alone() -> None:
    before = HISTORY.copy()
    attributes_at(HISTORY, asked(("a", "2024-01-20")), ATTRIBUTES)
    pd.testing.assert_frame_equal(HISTORY, before)


def test_raw_accounts_are_typed_and_aged_like_those_of_the_warehouse() -> None:
    raw = pd.DataFrame(
        {
            "account_id": ["a", "b"],
            "employees": ["10", "many"],
            "industry": [" health ", ""],
            "tech": [["erp", "crm"], None],
            "funded_on": ["2024-01-01", "soon"],
            "has_sponsor": ["No", "?"],
        },
        index=[7, 9],
    )
    found = attributes_in(raw, pd.Timestamp(2024, 1, 10), ATTRIBUTES)
    assert found.index.tolist() == [7, 9]
    assert found.loc[7].to_dict() == {
        "employees": 10,
        "industry": "health",
        "tech": "crm|erp",
        "funded_on": 9,
        "has_sponsor": 0,
    }
    assert found.loc[9].isna().all()


def test_a_declared_attribute_that_raw_accounts_lack_is_missing_for_all() -> None:
    found = attributes_in(pd.DataFrame({"account_id": ["a"]}), pd.Timestamp(2024, 1, 1), ATTRIBUTES)
    assert list(found.columns) == [a.name for a in ATTRIBUTES]
    assert found.isna().all(axis=None)


def test_raw_accounts_and_the_history_lead_to_the_same_features() -> None:
    moment = "2024-02-15"
    now = HISTORY.groupby("account_id")[list(KINDS)].last().reset_index()
    from_history = attributes_at(HISTORY, asked(("a", moment)), ATTRIBUTES)
    from_raw = attributes_in(now[:1], pd.Timestamp(moment), ATTRIBUTES)
    pd.testing.assert_frame_equal(from_raw, from_history, check_categorical=False)


def test_coverage_is_the_share_of_attributes_that_are_known() -> None:
    features = pd.DataFrame({"x": [1.0, np.nan, np.nan], "y": ["a", "b", None]})
    assert coverage(features).tolist() == [1, 0.5, 0]
