import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.errors import DataError, UsageError
from icploop.io.sources import Landing, RawTable, pull
from icploop.io.sources.stripe import billed_lines
from icploop.io.warehouse import Warehouse
from icploop.settings import parse_source
from tests.crm import STRIPE, company, stripe_invoice, stripe_line
from tests.servers import TOKEN, Faults, Stripe

PLACE = "conf/sources/stripe.yaml"


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stripe]:
    """Stripe with 150 customers (50 that pay for 6 months each are enough for three pages)."""
    monkeypatch.setenv("STRIPE_API_KEY", TOKEN)
    fake = company(60)[1]
    with fake.running():
        yield fake


def read(fake: Stripe, folder: Path, **changed: Any) -> RawTable:
    text = yaml.safe_dump(STRIPE | {"base_url": fake.url} | changed)
    landing = Landing(Warehouse(folder / "warehouse.duckdb"), "stripe")
    return pull(parse_source(text, PLACE), folder, PLACE, landing)[0]


def lines_of(invoice: dict[str, Any]) -> list[float]:
    return billed_lines([invoice])["amount"].tolist()


def invoice(**more: Any) -> dict[str, Any]:
    return stripe_invoice("in_1", "cus_1", 10_000, 0) | more


def with_line(**more: Any) -> dict[str, Any]:
    line = stripe_line("il_1", 10_000, "2024-01-01", "2024-02-01", **more)
    return invoice(lines={"data": [line]})


def test_invoices_become_mrr_under_the_account_of_the_crm(stripe: Stripe, tmp_path: Path) -> None:
    revenue = read(stripe, tmp_path).rows
    assert len(revenue) == 45 * 6
    assert set(revenue["account_id"]) == {str(1000 + n) for n in range(60) if n % 4}
    paid = stripe.things["invoices"]["in_000001_00"]["total"] / 100
    of_one = revenue[revenue["account_id"] == "1001"]
    assert of_one["mrr"].tolist() == [paid] * 6
    assert of_one["month"].min() == pd.Timestamp(2023, 3, 1)


def test_a_second_run_asks_for_nothing_that_did_not_change(stripe: Stripe, tmp_path: Path) -> None:
    first = read(stripe, tmp_path).rows
    stripe.calls.clear()
    stripe.served.clear()
    pd.testing.assert_frame_equal(read(stripe, tmp_path).rows, first)
    assert stripe.calls == {"all": 2, "events": 2}
    assert not stripe.served


def test_a_second_run_reads_what_events_name_and_nothing_else(
    stripe: Stripe, tmp_path: Path
) -> None:
    before = read(stripe, tmp_path).rows
    voided, credited = (stripe.things["invoices"][f"in_000001_0{n}"] for n in (4, 5))
    now = int(time.time())
    voided["status"] = "void"
    stripe.happened("invoice.voided", copy.deepcopy(voided), now)
    credited["post_payment_credit_notes_amount"] = credited["total"] // 4
    note = {"id": "cn_1", "object": "credit_note", "invoice": credited["id"]}
    stripe.happened("credit_note.created", note, now)
    stripe.happened("customer.deleted", {"id": "cus_000001"}, now)
    stripe.calls.clear()
    stripe.served.clear()
    after = read(stripe, tmp_path).rows
    assert stripe.served == {"invoice": 2}
    assert stripe.calls["all"] == 4
    differs = after["mrr"] != before["mrr"]
    assert after[differs]["mrr"].tolist() == [0, before[differs]["mrr"].iloc[1] * 0.75]


def test_after_a_month_of_silence_everything_is_listed_again(
    stripe: Stripe, tmp_path: Path
) -> None:
    read(stripe, tmp_path)
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    position = warehouse.position("stripe", "invoices")
    assert position is not None
    old = type(position)(position.asked, {"since": int(time.time()) - 40 * 86_400})
    warehouse.land("stripe", "invoices", {}, old)
    stripe.calls.clear()
    read(stripe, tmp_path)
    assert stripe.calls["invoices"] == 3


def test_all_lines_of_a_long_invoice_count(stripe: Stripe, tmp_path: Path) -> None:
    data = [stripe_line(f"il_{n:03}", 100, "2024-01-01", "2024-02-01") for n in range(230)]
    long = stripe_invoice("in_long", "cus_000001", 23_000, 0, lines={"data": data})
    stripe.things["invoices"]["in_long"] = long
    revenue = read(stripe, tmp_path).rows
    assert revenue[revenue["month"] == "2024-01-01"]["mrr"].tolist() == [230]


def test_faults_change_nothing_but_the_number_of_calls(stripe: Stripe, tmp_path: Path) -> None:
    sound = read(stripe, tmp_path / "sound").rows
    calls = stripe.calls["all"]
    stripe.faults = Faults(one_in=3, seed=1)
    pd.testing.assert_frame_equal(read(stripe, tmp_path / "faulty").rows, sound)
    assert stripe.calls["all"] > 2 * calls


def test_other_settings_read_everything_anew(stripe: Stripe, tmp_path: Path) -> None:
    read(stripe, tmp_path, account_id="customer")
    stripe.calls.clear()
    revenue = read(stripe, tmp_path).rows
    assert stripe.calls["invoices"] == 0  # they are the same, whoever they belong to
    assert stripe.calls["customers"] == 1
    assert "1001" in set(revenue["account_id"])


def test_a_currency_without_a_rate_is_refused_line_by_line(stripe: Stripe, tmp_path: Path) -> None:
    table = read(stripe, tmp_path, currencies={"eur": 1.1})
    assert table.rows.empty
    assert set(table.unreadable["rule"]) == {"the currency has a rate under currencies"}
    assert len(table.unreadable) == 45 * 6


@pytest.mark.parametrize(
    ("given", "amounts"),
    [
        (invoice(), [100]),
        (invoice(status="open"), [100]),
        (invoice(status="void"), [0]),
        (invoice(status="uncollectible"), [0]),
        (invoice(status="draft"), []),
        (invoice(pre_payment_credit_notes_amount=2_500), [75]),
        (invoice(post_payment_credit_notes_amount=20_000), [0]),
        (with_line(type="invoiceitem"), []),
        (with_line(type="invoiceitem", proration=True), [100]),
        (with_line(discount_amounts=[{"amount": 1_000}, {"amount": 500}]), [85]),
        (with_line(tax_amounts=[{"amount": 1_900, "inclusive": True}]), [81]),
        (with_line(tax_amounts=[{"amount": 1_900, "inclusive": False}]), [100]),
        (with_line(currency="jpy"), [10_000]),
        (with_line(currency="kwd"), [10]),
    ],
)
def test_what_an_invoice_bills(given: dict[str, Any], amounts: list[float]) -> None:
    assert lines_of(given) == pytest.approx(amounts)


def test_nothing_that_names_a_person_is_kept(stripe: Stripe, tmp_path: Path) -> None:
    read(stripe, tmp_path)
    landed = Warehouse(tmp_path / "warehouse.duckdb").landed("stripe", "invoices")
    assert "ada@example.com" not in str(landed)


def test_a_changed_schema_stops_with_the_place(stripe: Stripe, tmp_path: Path) -> None:
    for found in stripe.things["invoices"].values():
        del found["lines"]["data"][0]["period"]
    with pytest.raises(DataError, match=rf"{PLACE}: an invoice is not as version .* nothing was"):
        read(stripe, tmp_path)


def test_a_missing_token_is_named(stripe: Stripe, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("STRIPE_API_KEY")
    with pytest.raises(UsageError, match="STRIPE_API_KEY"):
        read(stripe, tmp_path)


def test_a_refused_token_is_told_at_once_and_not_repeated(
    stripe: Stripe, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "wr0ng-secret")
    with pytest.raises(UsageError, match="does not accept the token in STRIPE_API_KEY") as told:
        read(stripe, tmp_path)
    assert "wr0ng-secret" not in str(told.value)
    assert stripe.calls["all"] == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://api.stripe.com", "use https"),
        ("https://somebody:word@api.stripe.com", "give the address alone"),
    ],
)
def test_a_token_never_travels_in_the_clear(address: str, said: str) -> None:
    text = yaml.safe_dump(STRIPE | {"base_url": address})
    with pytest.raises(UsageError, match=said):
        parse_source(text, PLACE)
