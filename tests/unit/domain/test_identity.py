import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.identity import (
    billing_by_customer,
    domain_key,
    duplicates,
    families,
    match,
    name_key,
)


def accounts(*rows: tuple[str, str | None, str | None, str | None]) -> pd.DataFrame:
    """Rows of id, parent, domain and name."""
    return pd.DataFrame(rows, columns=["account_id", "parent_id", "domain", "name"]).astype("str")


def billed(*rows: tuple[str, str | None, str | None, float]) -> pd.DataFrame:
    """Rows of id, domain, name and MRR."""
    return pd.DataFrame(rows, columns=["account_id", "domain", "name", "mrr"])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("https://www.Acme.example/de?x=1", "acme.example"),
        ("billing@acme.example", "acme.example"),
        (" ACME.example. ", "acme.example"),
        ("shop.acme.example:8080", "shop.acme.example"),
        ("jane@gmail.com", ""),
        ("acme", ""),
        ("", ""),
    ],
)
def test_a_domain_is_the_same_however_it_is_written(text: str, key: str) -> None:
    assert domain_key(text) == key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Ácme Systems, Inc.", "acmesystems"),
        ("ACME SYSTEMS", "acmesystems"),
        ("Müller & Söhne GmbH Co. KG", "mullerandsohne"),
        ("Foo S.A.", ""),
        ("Limited", "limited"),
    ],
)
def test_a_name_is_the_same_without_accents_marks_and_legal_form(text: str, key: str) -> None:
    assert name_key(text) == key


@given(st.text())
def test_keys_of_keys_are_themselves(text: str) -> None:
    for key in (domain_key, name_key):
        once = key(text)
        assert key(once) in (once, "")


CRM = accounts(
    ("a1", None, "acme.example", "Acme Inc"),
    ("a2", None, "bolt.example", "Bolt"),
    ("a3", None, "same.example", "Same North"),
    ("a4", None, "same.example", "Same South"),
    ("a5", None, None, "Twin Labs"),
    ("a6", None, None, "Twin Labs"),
)


@pytest.mark.parametrize(
    ("customer", "account", "rule"),
    [
        (("a1", None, None, 5.0), "a1", "id"),
        ((" A1", None, None, 5.0), "a1", "id"),
        (("cus_1", "https://bolt.example", "Other", 5.0), "a2", "domain"),
        (("cus_1", None, "ACME, inc.", 5.0), "a1", "name"),
        (("cus_1", "same.example", None, 5.0), None, "ambiguous"),
        (("cus_1", "same.example", "Same South Ltd", 5.0), "a4", "name"),
        (("cus_1", None, "Twin Labs", 5.0), None, "ambiguous"),
        (("cus_1", "gmail.com", "Nobody Knows", 5.0), None, "none"),
    ],
)
def test_a_customer_is_found_by_id_then_domain_then_name(customer, account, rule) -> None:
    (row,) = match(billed(customer), CRM).found.to_dict("records")
    assert (row["account_id"] if pd.notna(row["account_id"]) else None) == account
    assert row["rule"] == rule


def test_two_customers_never_become_one_account_by_a_key() -> None:
    two = billed(("c1", "bolt.example", None, 1.0), ("c2", "bolt.example", None, 2.0))
    assert match(two, CRM).account_of == {}


def test_an_account_that_is_billed_under_its_own_id_is_not_claimed_again() -> None:
    two = billed(("a2", None, None, 1.0), ("c2", "bolt.example", None, 2.0))
    found = match(two, CRM)
    assert found.account_of == {}
    assert found.found["rule"].tolist() == ["id", "ambiguous"]


def test_what_is_said_by_hand_counts_more_and_undoes_a_match() -> None:
    one = billed(("c1", "bolt.example", None, 1.0))
    assert match(one, CRM).account_of == {"c1": "a2"}
    assert match(one, CRM, {"c1": "a1"}).account_of == {"c1": "a1"}
    assert match(one, CRM, {"c1": "c1"}).account_of == {}


def test_the_money_on_both_sides_adds_up() -> None:
    told = match(
        billed(
            ("a1", None, None, 10.0),
            ("a1", None, None, 20.0),
            ("c1", "bolt.example", None, 5.0),
            ("c2", None, None, 7.0),
        ),
        CRM,
    ).as_dict()
    assert told["match_rate"] == pytest.approx(2 / 3)
    assert (told["money_matched"], told["money_unmatched"]) == (35.0, 7.0)
    assert told["by_rule"]["id"] == {"customers": 1, "money": 30.0}
    assert told["matched"] == [{"billed_as": "c1", "account_id": "a2", "rule": "domain"}]
    assert told["unmatched"] == ["c2"]


def test_families_go_up_to_the_top_and_across_domains() -> None:
    found = families(
        accounts(
            ("b", "a", None, None),
            ("c", "b", None, None),
            ("d", None, "www.x.example", None),
            ("e", None, "x.example", None),
            ("f", "gone", None, None),
            ("g", "gone", "gmail.com", None),
            ("h", None, "gmail.com", None),
            ("a", None, None, None),
        )
    )
    assert found.to_dict() == {
        **dict.fromkeys("abc", "a"),
        **dict.fromkeys("de", "d"),
        **dict.fromkeys("fg", "gone"),
        "h": "h",
    }


def test_a_circle_of_parents_and_a_platforms_domain_are_no_trouble() -> None:
    circle = families(accounts(("a", "b", None, None), ("b", "a", None, None)))
    assert set(circle) == {"a"}
    shop = accounts(*((f"s{i}", None, "platform.example", None) for i in range(30)))
    assert families(shop).nunique() == 30


def test_duplicates_are_listed_with_the_first() -> None:
    twice = accounts(
        ("b", None, "x.example", "Acme Inc"),
        ("a", None, "www.x.example", "ACME"),
        ("c", None, "x.example", "Acme Labs"),
    )
    assert duplicates(twice).to_dict("records") == [{"account_id": "b", "same_as": "a"}]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["c1", "c2", "a1", None]),
            st.sampled_from(["acme.example", "bolt.example", None]),
            st.sampled_from(["Bolt", "Same North", None]),
            st.floats(0, 1e9, allow_nan=False) | st.just(float("nan")),
        ),
        max_size=12,
    ),
    st.integers(1, 12),
)
def test_billing_in_parts_matches_as_the_whole_does_to_the_last_bit(
    rows: list[tuple[str, str | None, str | None, float]], size: int
) -> None:
    whole = billed(*rows).astype({"account_id": "str", "domain": "str", "name": "str"})
    parts = [whole.iloc[start : start + size] for start in range(0, len(whole), size)]
    found = match(billing_by_customer(parts), CRM).found
    pd.testing.assert_frame_equal(found, match(whole, CRM).found, check_exact=True)
