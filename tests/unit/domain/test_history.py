from datetime import date
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.history import CHANGE_COLUMNS, HistoryReach, reach, states, undone

DAY = pd.Timestamp(2024, 1, 1)


def at(n: int) -> pd.Timestamp:
    return DAY + pd.Timedelta(days=n)


def changes(*rows: tuple[Any, ...], columns: list[str] = CHANGE_COLUMNS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns)


def plain(frame: pd.DataFrame) -> list[list[Any]]:
    return frame.astype("object").where(frame.notna(), None).to_numpy().tolist()


def test_each_moment_shows_all_that_was_known_by_then() -> None:
    found = states(
        changes(
            ("b", at(1), "size", "7"),
            ("a", at(5), "size", "20"),
            ("a", at(1), "size", "10"),
            ("a", at(3), "industry", "retail"),
        )
    )
    assert list(found.columns) == ["id", "observed_at", "industry", "size"]
    assert plain(found) == [
        ["a", at(1), None, "10"],
        ["a", at(3), "retail", "10"],
        ["a", at(5), "retail", "20"],
        ["b", at(1), None, "7"],
    ]


def test_what_was_emptied_is_empty_from_then_on() -> None:
    found = states(changes(("a", at(1), "size", "10"), ("a", at(2), "size", None)))
    assert found["size"].isna().tolist() == [False, True]


def test_of_two_values_at_one_moment_the_later_line_holds() -> None:
    found = states(changes(("a", at(1), "size", "10"), ("a", at(1), "size", "11")))
    assert found["size"].tolist() == ["11"]


@settings(max_examples=20)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(0, 9), st.sampled_from("xy"), st.sampled_from("123")
        ),
        min_size=1,
        unique_by=lambda row: row[:3],
    ),
    order=st.randoms(use_true_random=False),
    later=st.integers(0, 9),
)
def test_history_knows_no_order_and_no_future(rows, order, later) -> None:
    told = [(id_, at(n), field, value) for id_, n, field, value in rows]
    found = states(changes(*told))
    pd.testing.assert_frame_equal(found, states(changes(*order.sample(told, len(told)))))
    by_then = [row for row in told if row[1] <= at(later)]
    if by_then:
        known = states(changes(*by_then))
        seen = found[found["observed_at"] <= at(later)].reset_index(drop=True)
        pd.testing.assert_frame_equal(seen[known.columns], known)


def test_a_tracked_field_is_followed_back_to_the_creation() -> None:
    current = pd.DataFrame({"id": ["a"], "created_at": [at(0)], "size": ["30"], "tier": ["gold"]})
    made = changes(
        ("a", at(9), "size", "30", "20"),
        ("a", at(4), "size", "20", None),
        ("a", at(5), "owner", "ada", "bob"),
        columns=[*CHANGE_COLUMNS, "old"],
    )
    found = states(undone(current, made, ["size", "tier"], at(-99)))
    assert plain(found) == [
        ["a", at(0), None, "gold"],
        ["a", at(4), "20", "gold"],
        ["a", at(9), "30", "gold"],
    ]


def test_nothing_is_claimed_of_the_time_before_tracking() -> None:
    current = pd.DataFrame({"id": ["a"], "created_at": [at(0)], "size": ["30"]})
    made = changes(
        ("a", at(2), "size", "20", "10"),
        ("a", at(9), "size", "30", "20"),
        columns=[*CHANGE_COLUMNS, "old"],
    )
    found = states(undone(current, made, ["size"], at(5)))
    assert plain(found) == [["a", at(5), "20"], ["a", at(9), "30"]]


def deals(*created: int, account: str = "a{n}") -> pd.DataFrame:
    ids = [account.format(n=n) for n in range(len(created))]
    return pd.DataFrame({"account_id": ids, "created_at": [at(n) for n in created]})


def accounts(*observed: int | None) -> pd.DataFrame:
    ids = [f"a{n}" for n in range(len(observed))]
    moments = [pd.NaT if n is None else at(n) for n in observed]
    return pd.DataFrame({"account_id": ids, "observed_at": pd.to_datetime(moments)})


@pytest.mark.parametrize(
    ("created", "observed", "expected"),
    [
        ((1, 2, 3), (0, 0, 0), HistoryReach(date(2024, 1, 2), 3, 0, 0)),
        ((1, 2, 30), (10, 10, 10), HistoryReach(date(2024, 1, 31), 1, 2, 0)),
        ((1, 2), (10, 10), HistoryReach(None, 0, 2, 0)),
        ((1, 2), (None, None), HistoryReach(None, 0, 0, 2)),
        ((1, 2), (None, 0), HistoryReach(date(2024, 1, 3), 1, 0, 1)),
        ((), (), HistoryReach(None, 0, 0, 0)),
    ],
)
def test_history_reaches_back_to_the_first_deals_that_found_their_account(
    created, observed, expected
) -> None:
    found = deals(*created).astype({"created_at": "datetime64[us]"})
    known = accounts(*observed).astype({"observed_at": "datetime64[us]"})
    assert reach(found, known) == expected


def test_one_deal_in_ten_may_lack_its_account() -> None:
    created, late = list(range(1, 41)), [0] * 40
    late[20] = 99
    assert reach(deals(*created), accounts(*late)).since == date(2024, 1, 2)
    for n in range(20, 26):
        late[n] = 99
    assert reach(deals(*created), accounts(*late)).since == date(2024, 1, 28)
