from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.calendar import seen_by
from icploop.domain.identity import (
    billing_by_customer,
    companies_seen_by,
    domain_key,
    duplicates,
    families,
    id_key,
    match,
    name_key,
    one_account_of,
    under_one_account,
)
from icploop.domain.tables import Tables
from icploop.settings import TABLES, Identity
from tests.companies import AS_OF, bills, company, deal, tables


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
        *[(free, "") for free in ("yahoo.co.uk", "info@hotmail.fr", "GMX.at", "libero.it")],
        ("https://de-de.facebook.com/pages/acme", ""),
        ("linkedin.com/company/acme", ""),
        ("uk.linkedin.com/in/acme", ""),
        ("sites.google.com/view/acme", ""),
        ("tripadvisor.co.uk/acme", ""),
        ("x.com/acme", ""),
        ("netflix.com", "netflix.com"),
        ("acme.github.io", "acme.github.io"),
        ("acme.business.site", "acme.business.site"),
        ("m\u00fcnchen.example", "m\u00fcnchen.example"),
        ("n.a.", ""),
        ("10.0.0.1", ""),
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
    (row,) = match(billed(customer), CRM, Identity()).found.to_dict("records")
    assert (row["account_id"] if pd.notna(row["account_id"]) else None) == account
    assert row["rule"] == rule


def test_two_customers_never_become_one_account_by_a_key() -> None:
    two = billed(("c1", "bolt.example", None, 1.0), ("c2", "bolt.example", None, 2.0))
    assert match(two, CRM, Identity()).account_of == {}


def test_an_account_that_is_billed_under_its_own_id_is_not_claimed_again() -> None:
    two = billed(("a2", None, None, 1.0), ("c2", "bolt.example", None, 2.0))
    found = match(two, CRM, Identity())
    assert found.account_of == {}
    assert found.found["rule"].tolist() == ["id", "ambiguous"]


def test_what_is_said_by_hand_counts_more_and_undoes_a_match() -> None:
    one = billed(("c1", "bolt.example", None, 1.0))
    assert match(one, CRM, Identity()).account_of == {"c1": "a2"}
    assert match(one, CRM, Identity(aliases={"c1": "a1"})).account_of == {"c1": "a1"}
    assert match(one, CRM, Identity(aliases={"c1": "c1"})).account_of == {}


def test_the_money_on_both_sides_adds_up() -> None:
    told = match(
        billed(
            ("a1", None, None, 10.0),
            ("a1", None, None, 20.0),
            ("c1", "bolt.example", None, 5.0),
            ("c2", None, None, 7.0),
        ),
        CRM,
        Identity(),
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
    found = {"account_id": "b", "same_as": "a", "rule": "domain and name"}
    assert duplicates(twice, Identity()).to_dict("records") == [found]
    assert duplicates(twice, Identity(aliases={"b": "b"})).empty


@pytest.mark.parametrize(
    ("aliases", "same_as"),
    [
        ({"c": "b"}, {"b": "a", "c": "a"}),
        ({"c": "b", "b": "b"}, {"c": "b"}),
        ({"c": "stranger"}, {"b": "a"}),
        ({"a": "c"}, {"a": "c"}),
        ({"a": "c", "c": "a"}, {}),
    ],
)
def test_aliases_say_which_account_an_account_is(
    aliases: dict[str, str], same_as: dict[str, str]
) -> None:
    known = accounts(
        ("a", None, "x.example", "Acme"),
        ("b", None, "x.example", "Acme"),
        ("c", None, None, "Other"),
    )
    identity = Identity(aliases=aliases)
    assert one_account_of(duplicates(known, identity), identity) == same_as
    apart = Identity(aliases=aliases, merge_duplicates=False)
    # What is not merged leads nowhere.
    by_hand = {old: aliases[old] for old in same_as if old in aliases}
    assert one_account_of(duplicates(known, apart), apart) == by_hand


def test_the_shops_of_a_chain_are_not_one_company() -> None:
    shops = accounts(*((f"s{i}", None, "chain.example", "Chain Cafe") for i in range(21)))
    assert duplicates(shops, Identity()).empty
    assert len(duplicates(shops.head(20), Identity())) == 19


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
    found = match(billing_by_customer(parts), CRM, Identity()).found
    pd.testing.assert_frame_equal(found, match(whole, CRM, Identity()).found, check_exact=True)


def split(whole: Tables, seed: int) -> Tables:
    """A company in whose CRM a third of the accounts was entered twice, under `id copy` too.

    Each row of such an account bears one of the two ids, and some months are billed to both.
    """
    rng = np.random.default_rng(seed)
    ids = whole.accounts["account_id"].unique()
    twice = set(rng.choice(ids, len(ids) // 3, replace=False))

    def dealt(table: pd.DataFrame) -> pd.DataFrame:
        plain = table.astype({"account_id": "str"})
        moved = plain["account_id"].isin(twice) & (rng.random(len(plain)) < 0.5)
        return plain.assign(
            account_id=plain["account_id"].where(~moved, plain["account_id"] + " copy")
        )

    halves = whole.revenue["account_id"].isin(twice) & (rng.random(len(whole.revenue)) < 0.2)
    half = whole.revenue.astype({"account_id": "str"})
    half["mrr"] = half["mrr"].where(~halves, half["mrr"] / 2)
    again = half[halves].assign(account_id=half["account_id"] + " copy")
    names = pd.DataFrame({"account_id": [*ids, *(f"{name} copy" for name in sorted(twice))]})
    called = names["account_id"].str.removesuffix(" copy")
    names = names.assign(domain=called + ".example", name="Company " + called)
    return Tables(
        accounts=pd.concat([names, dealt(whole.accounts)]),
        deals=dealt(whole.deals),
        revenue=pd.concat([dealt(half[~halves]), half[halves], again]),
        signals=dealt(whole.signals),
    )


def test_a_company_that_was_entered_twice_is_seen_as_one() -> None:
    whole = company(seed=1, wins=40, prospects=20)
    called = whole.accounts["account_id"]
    told = Tables(
        accounts=whole.accounts.assign(domain=called + ".example", name="Company " + called),
        deals=whole.deals,
        revenue=whole.revenue,
        signals=whole.signals,
    )
    expected = seen_by(told, AS_OF)
    for seed in range(5):
        merged = companies_seen_by(split(whole, seed), AS_OF, Identity())
        for name in ("deals", "revenue", "signals"):
            one, other = (
                getattr(tables, name).astype({"account_id": "str"}) for tables in (merged, expected)
            )
            order = ["account_id", *other.columns.drop("account_id")]
            pd.testing.assert_frame_equal(
                *(table.sort_values(order[:3], ignore_index=True)[order] for table in (one, other))
            )
        dated = merged.accounts[merged.accounts["observed_at"].notna()].reset_index(drop=True)
        columns = ["account_id", "observed_at", *(a for a in whole.accounts if a in dated)]
        pd.testing.assert_frame_equal(
            dated[list(dict.fromkeys(columns))].drop(columns=["name", "domain"]),
            expected.accounts[list(dict.fromkeys(columns))].drop(columns=["name", "domain"]),
            check_dtype=False,
        )


def test_accounts_are_apart_again_where_merging_is_off_or_an_alias_says_so() -> None:
    whole = company(seed=1, wins=20, prospects=5)
    twice = split(whole, 0)
    plain = seen_by(twice, AS_OF)
    off = companies_seen_by(twice, AS_OF, Identity(merge_duplicates=False))
    copies = [name for name in plain.accounts["account_id"].unique() if name.endswith(" copy")]
    apart = companies_seen_by(twice, AS_OF, Identity(aliases={name: name for name in copies}))
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(off, name), getattr(plain, name))
        pd.testing.assert_frame_equal(getattr(apart, name), getattr(plain, name))


def test_who_was_the_same_only_later_is_not_merged_before() -> None:
    known = tables(
        accounts=[
            {"account_id": "a", "domain": "x.example", "name": "Acme"},
            {"account_id": "b", "name": "Acme"},
            {"account_id": "b", "observed_at": "2024-05-01", "domain": "x.example", "name": "Acme"},
        ]
    )
    days = date(2024, 4, 30), date(2024, 5, 1)
    seen = [companies_seen_by(known, day, Identity()).accounts["account_id"] for day in days]
    assert [set(ids) for ids in seen] == [{"a", "b"}, {"a"}]


def test_what_both_say_of_one_moment_is_taken_from_the_first_account_first() -> None:
    known = tables(
        accounts=[
            {"account_id": "a", "domain": "x.example", "name": "Acme", "employees": None},
            {"account_id": "b", "domain": "x.example", "name": "ACME Inc", "employees": "7"},
            {"account_id": "c", "parent_id": "b"},
        ],
        deals=[deal("a", "2024-01-01", "2024-02-01"), deal("b", "2024-03-01", "2024-04-01")],
        revenue=[*bills("a", "2024-03", 10, 10), *bills("b", "2024-04", 5, 5)],
        signals=[{"account_id": "b", "at": "2024-03-02", "kind": "ticket", "value": 1}],
    )
    seen = companies_seen_by(known, date(2024, 12, 31), Identity())
    first = seen.accounts.set_index("account_id").loc["a"]
    assert (first["name"], first["employees"]) == ("Acme", 7)
    assert seen.accounts.set_index("account_id").loc["c", "parent_id"] == "a"
    assert set(seen.deals["account_id"]) == set(seen.signals["account_id"]) == {"a"}
    assert seen.revenue["mrr"].tolist() == [10, 15, 5]


def test_billing_finds_the_company_behind_two_accounts_of_it() -> None:
    crm = accounts(("a", None, "x.example", "Acme"), ("b", None, "x.example", "Acme"))
    customer = billed(("c1", "x.example", None, 10.0))
    assert match(customer, crm, Identity()).account_of == {"c1": "a"}
    assert match(customer, crm, Identity(merge_duplicates=False)).account_of == {}


def test_billing_that_names_one_account_of_a_company_finds_it() -> None:
    crm = accounts(
        ("A-1", None, "acme.example", "Acme"),
        ("A-7", None, "acme.example", "Acme"),
        ("B-1", None, "bolt.example", "Bolt"),
        ("B-7", None, "bolt-old.example", "Old Bolt"),
    )
    identity = Identity(aliases={"B-7": "B-1"})
    by_id = match(billed(("a-7", None, None, 1.0)), crm, identity)
    assert by_id.account_of == {"a-7": "A-7"}
    by_domain = match(billed(("c1", "bolt-old.example", None, 1.0)), crm, identity)
    assert by_domain.account_of == {"c1": "B-7"}


def test_which_account_an_account_is_does_not_move_its_bills() -> None:
    crm = accounts(("a", None, "x.example", "Acme"), ("b", None, None, "Other"))
    two = billed(("a", None, None, 1.0), ("b", None, None, 2.0))
    assert match(two, crm, Identity(aliases={"b": "a"})).account_of == {}


def test_a_customer_that_is_stored_under_two_accounts_of_a_company_counts_once() -> None:
    known = tables(
        accounts=[
            {"account_id": name, "domain": "x.example", "name": "Acme"} for name in ("a", "b")
        ],
        revenue=[
            *(bill | {"billed_as": "cus_9"} for bill in bills("b", "2024-01", 100, 100)),
            *(bill | {"billed_as": "cus_9"} for bill in bills("a", "2024-01", 100, 110, 100)),
            *(bill | {"billed_as": None} for bill in bills("b", "2024-03", 7)),
        ],
    )
    seen = companies_seen_by(known, date(2024, 12, 31), Identity())
    assert seen.revenue["mrr"].tolist() == [100, 110, 107]


def test_revenue_keeps_its_ids_as_categories_in_order() -> None:
    whole = split(company(seed=1, wins=20, prospects=5), 0)
    ids = whole.revenue["account_id"].astype(pd.CategoricalDtype(ordered=True))
    long = replace(whole, revenue=whole.revenue.assign(account_id=ids))
    seen = companies_seen_by(long, AS_OF, Identity()).revenue["account_id"]
    assert isinstance(seen.dtype, pd.CategoricalDtype)
    assert seen.cat.ordered
    assert seen.is_monotonic_increasing


def test_parents_and_subsidiaries_are_not_one_company() -> None:
    group = accounts(
        ("P", None, "acme.example", "Acme Inc"),
        ("C", "P", "acme.example", "Acme GmbH"),
        ("D", "P", "acme.example", "Acme Ltd"),
        ("X", "Q", "acme.example", "Acme SA"),
    )
    (found,) = duplicates(group, Identity()).to_dict("records")
    assert (found["account_id"], found["same_as"]) == ("D", "C")
    assert set(families(group).loc[["P", "C", "D"]]) == {families(group).loc["P"]}


def test_earlier_lists_have_a_company_once_a_day_as_it_was_listed() -> None:
    lists = pd.DataFrame(
        {
            "as_of": pd.to_datetime(["2024-01-01"] * 3 + ["2024-02-01"]),
            "account_id": ["a", "b", "c", "b"],
            "propensity": [0.1, 0.9, 0.5, 0.0],
            "listed": [False, True, False, False],
        }
    )
    found = under_one_account(lists, {"b": "a"})
    assert found["account_id"].tolist() == ["a", "c", "a"]
    assert found["propensity"].tolist() == [0.9, 0.5, 0.0]
    assert under_one_account(lists, {}) is lists


class TestMergedByTheCrm:
    """`merged_into` says since when an account is another one."""

    def accounts(self, **more: Any) -> pd.DataFrame:
        rows = [
            {"account_id": "a", "observed_at": "2024-01-01"},
            {"account_id": "b", "observed_at": "2024-01-01"},
            {"account_id": "b", "observed_at": "2024-06-01", "merged_into": "a"} | more,
        ]
        frame = pd.DataFrame(rows).reindex(
            columns=["account_id", "observed_at", "parent_id", "name", "domain", "merged_into"]
        )
        texts = dict.fromkeys(frame.columns.drop("observed_at"), "str")
        return frame.astype({"observed_at": "datetime64[us]"} | texts)

    def test_they_are_one_and_what_is_said_by_hand_counts_more(self) -> None:
        found = duplicates(self.accounts(), Identity())
        assert found.to_numpy().tolist() == [["b", "a", "merged"]]
        assert one_account_of(found, Identity(merge_duplicates=False)) == {"b": "a"}
        assert duplicates(self.accounts(), Identity(aliases={"b": "b"})).empty

    @pytest.mark.parametrize("into", ["", "nobody", "b"])
    def test_into_nobody_is_not_merged(self, into: str) -> None:
        assert duplicates(self.accounts(merged_into=into), Identity()).empty

    def test_before_that_day_they_were_two(self) -> None:
        billed = [*bills("a", "2024-01", 100, 100), *bills("b", "2024-01", 50, 50)]
        told = replace(tables(revenue=billed), accounts=self.accounts())
        before = companies_seen_by(told, date(2024, 5, 31), Identity())
        after = companies_seen_by(told, date(2024, 6, 1), Identity())
        assert sorted(set(before.accounts["account_id"])) == ["a", "b"]
        assert sorted(set(after.accounts["account_id"])) == ["a"]
        assert after.revenue["mrr"].tolist() == [150, 150]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (" AC-001 ", "ac-001"),
        ("Acme-1", "acme-1"),
        ("Acme GmbH 12", "acme gmbh 12"),
        ("0015g00000aBcDe", "0015g00000aBcDe"),
        ("0015g00000abcde", "0015g00000abcde"),
        # Salesforce's own example of 18 characters, as it is and as a spreadsheet folds it.
        ("001D000000IRFmaIAH", "001D000000IRFma"),
        ("001d000000irfmaiah", "001D000000IRFma"),
        ("cus_NffrFeUfNV2Hib", "cus_NffrFeUfNV2Hib"),
        ("Cafe\u0301-1", "caf\u00e9-1"),
    ],
)
def test_an_id_keeps_its_capitals_only_where_they_count(text: str, key: str) -> None:
    assert id_key(text) == key


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ("0015g00000aBcDe", "0015g00000AbCdE", None),
        ("cus_NffrFeUfNV2Hib", "cus_nFFRfEuFnv2hIB", None),
        ("0010000000AAAAA", "0010000000aaaaa", None),
        ("001D000000IRFmaIAH", "001D000000IRFma", "001D000000IRFma"),
        ("ac-001", "AC-001", "AC-001"),
    ],
)
def test_ids_that_differ_in_their_capitals_are_strangers_where_capitals_count(
    ours: str, theirs: str, found: str | None
) -> None:
    there = accounts((theirs, None, None, None))
    result = match(billed((ours, None, None, 700)), there, Identity()).found
    assert result["account_id"].dropna().tolist() == ([found] if found else [])


def test_pages_on_platforms_make_no_family_and_match_no_bill() -> None:
    pages = [
        *[f"facebook.com/shop{i}" for i in range(14)],
        *[f"https://www.linkedin.com/company/c{i}" for i in range(13)],
        *[f"sites.google.com/view/v{i}" for i in range(2)],
        *["yahoo.co.uk"] * 2,
        "own.example",
    ]
    listed = accounts(*[(f"a{i:02}", None, page, None) for i, page in enumerate(pages)])
    assert families(listed).nunique() == 32
    one = accounts(("a1", None, "facebook.com/alphabakery", None))
    found = match(billed(("b1", "facebook.com/betabarbers", None, 700)), one, Identity()).found
    assert found["rule"].tolist() == ["none"]
