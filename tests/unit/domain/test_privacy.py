import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.demo.market import KINDS
from icploop.domain.privacy import by_content, by_name, personal_columns


def found(column: str, *values: object) -> list[str]:
    return [one.rule for one in personal_columns(pd.DataFrame({column: list(values)}))]


@pytest.mark.parametrize(
    "column",
    [
        *("first_name", "Last Name", "contactName", "owner_name", "Primary Contact Full Name"),
        *("birth_date", "dateOfBirth", "dob", "contact_birthday", "birth_year"),
        *("ssn", "passport_number", "national_id", "drivers_license", "CPF"),
        *("ip_address", "last_login_ip_address", "gender", "salutation", "home_address"),
    ],
)
def test_a_name_may_give_a_person_away(column: str) -> None:
    assert by_name(column).startswith("is named like")
    assert found(column, "anything", "at all")


@pytest.mark.parametrize(
    "column",
    [
        *("name", "company_name", "domain", "phone_system", "mobile_app", "economic_buyer"),
        *("champion_identified", "email_opt_in", "emails_sent", "company_phone", "account_id"),
        *("ip_portfolio", "user_count", "industry", "parent_id", "owner", "product_name"),
        *KINDS,
    ],
)
def test_company_words_do_not(column: str) -> None:
    assert by_name(column) == ""
    assert found(column, "yes", "no", "a|b") == []


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (["jane.doe@acme.example", "Call bob@acme.example", "x"], "e-mail addresses of persons"),
        (["+49 30 1234567", "(020) 7946 0018", "555-867-5309"], "phone numbers"),
        (["10.1.2.3", "192.168.0.77", "2001:db8:0:0:0:0:2:1"], "IP addresses"),
        (["123-45-6789", "987-65-4321"], "national ids"),
        (["https://www.linkedin.com/in/jane-doe", "linkedin.com/in/bob"], "profiles of persons"),
        (["Jane Doe", "Maria da Silva", "John F. Smith"], "names of persons"),
    ],
)
def test_content_gives_a_person_away_whatever_the_name(values: list[str], rule: str) -> None:
    assert found("note", *values) == [f"holds {rule}"]


@pytest.mark.parametrize(
    "values",
    [
        ["info@acme.example", "sales@acme.example", "Support@acme.example", "billing+eu@a.example"],
        ["2024-05-31", "2024-06-01T10:00:00Z", "31.12.2023"],
        ["13530", "80204", "123456789"],
        ["Acme Health", "North Bank", "Data Forge Labs"],
        ["1.2.3", "10.2", "v1.0.0.1"],
        ["crm|erp", "sso"],
        ["acme.example", "https://linkedin.com/company/acme"],
        [1, 2.5, None],
        [True, False],
    ],
)
def test_what_companies_have_is_kept(values: list[object]) -> None:
    assert found("note", *values) == []


def test_an_address_column_of_roles_is_a_companys_and_of_anything_else_a_persons() -> None:
    assert found("contact_email", "info@a.example", "sales@b.example") == []
    assert found("contact_email", "info@a.example", "jane@b.example") == [
        "is named like an e-mail address, and does not hold those of roles (info@)"
    ]
    hashed = ["5f4dcc3b5aa765d6", "e99a18c428cb38d5"]
    assert len(found("email", *hashed)) == 1


def test_a_phone_named_column_needs_digits() -> None:
    assert found("mobile", "yes", "no") == []
    assert found("mobile", "0170 1234567", 491701234567) == ["is named like a person's phone"]


def test_a_few_addresses_in_notes_are_enough_and_one_in_a_hundred_is_not() -> None:
    notes = [f"note {i}" for i in range(100)]
    assert by_content("note", pd.Series([*notes, "ask jane@a.example"])) == ""
    some = [*notes, *(f"ask jane{i}@a.example" for i in range(9))]
    assert by_content("note", pd.Series(some)) == "holds e-mail addresses of persons"


def test_a_companys_own_name_may_be_its_founders() -> None:
    assert found("name", "John Lewis", "Peter Jones") == []


def test_empty_and_allowed_columns_are_no_finding() -> None:
    frame = pd.DataFrame({"dob": [None, None], "first_name": ["Jane", "Bob"]})
    assert personal_columns(frame, allowed=["first_name"]) == []


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8), st.text(min_size=1))
def test_a_finding_never_repeats_a_value(values: list[str], column: str) -> None:
    secret = [f"{value.strip()}Zq7.x@a.example" for value in values]
    for one in personal_columns(pd.DataFrame({f"c {column}": secret})):
        assert not any(value in one.rule for value in secret)


def test_of_a_large_table_rows_at_even_distances_are_looked_at() -> None:
    many = pd.DataFrame({"note": [f"jane{i % 999}@a.example" for i in range(450_000)]})
    assert len(personal_columns(many)) == 1


@pytest.mark.parametrize("column", ["deal_id", "account_id", "customer_ref", "kunnr"])
@pytest.mark.parametrize("key", ["006{:012}", "001{:07}", "{:010}"])
def test_keys_filled_up_with_zeros_are_no_phone_numbers(column: str, key: str) -> None:
    assert found(column, *(key.format(i) for i in range(1, 60))) == []


@pytest.mark.parametrize("number", ["(030) 8{:07}", "+49 170 4{:06}", "0049 30 8{:07}"])
def test_phone_numbers_still_are(number: str) -> None:
    numbers = [number.format(71 * i * i + 104_729) for i in range(1, 60)]
    assert found("contact", *numbers) == ["holds phone numbers"]
