import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.domain.mrr import by_month
from icploop.errors import DataError, UsageError
from icploop.io.sources import Landing, RawTable, pull
from icploop.io.sources.stripe import billed_lines
from icploop.io.warehouse import Warehouse
from icploop.settings import Discounts, parse_source
from tests.crm import STRIPE, company, stripe_credit_note, stripe_invoice, stripe_line
from tests.servers import TOKEN, Faults, Json, Stripe, seconds

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


def mrr_of(*invoices: Json, **how: Any) -> dict[str, float]:
    """MRR by month of what was billed to one customer, to the cent."""
    revenue, refused = by_month(billed_lines(invoices, **how), {"usd": 1.0})
    assert refused.empty
    months = revenue["month"].dt.strftime("%Y-%m")
    return dict(zip(months, revenue["mrr"].round(2), strict=True))


def by_months(mrr: list[float]) -> dict[str, float]:
    """The months of 2024."""
    return {f"2024-{n:02}": value for n, value in enumerate(mrr, start=1)}


def of_line(name: str, cents: int, **more: Any) -> Json:
    """A line of a credit note that names a line of the invoice."""
    return {"invoice_line_item": name, "type": "invoice_line_item", "amount": cents} | more


def free(cents: int, **more: Any) -> Json:
    """A line of a credit note that names none."""
    return {"invoice_line_item": None, "type": "custom_line_item", "amount": cents} | more


def credited(day: str, *parts: Json) -> Json:
    """What landed of the credit notes of an invoice."""
    at = seconds(day)
    return {"credit_notes": [{"at": at, "status": "issued", "lines": list(parts)}]}


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
    note = stripe_credit_note("cn_1", credited["id"], now, free(credited["total"] // 4))
    stripe.things["credit_notes"] = {"cn_1": note}
    stripe.happened("credit_note.created", note, now)
    stripe.happened("customer.deleted", {"id": "cus_000001"}, now)
    stripe.calls.clear()
    stripe.served.clear()
    after = read(stripe, tmp_path).rows
    assert stripe.served == {"invoice": 2}
    assert stripe.calls["all"] == 5
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


class TestCreditNotes:
    """What was given back, and of what."""

    def with_setup(self, *parts: Json, at: str = "2024-01-20") -> Json:
        """$100 a month and $1,000 once, of which these parts were credited."""
        lines = [
            stripe_line("il_1", 10_000, "2024-01-01", "2024-02-01"),
            stripe_line("il_2", 100_000, "2024-01-01", "2024-01-01", type="invoiceitem"),
        ]
        return invoice(lines={"data": lines}, total=110_000) | credited(at, *parts)

    def with_tax(self, *parts: Json) -> Json:
        """100 and 20 VAT on top, of which these parts were credited."""
        tax = [{"amount": 2_000, "inclusive": False}]
        found = with_line(tax_amounts=tax) | {"total": 12_000}
        return found | credited("2024-01-20", *parts)

    def year(self, *parts: Json, at: str) -> Json:
        plan = {"recurring": {"interval": "year", "interval_count": 1}}
        line = stripe_line("il_1", 120_000, "2024-01-01", "2025-01-01", price=plan)
        return invoice(lines={"data": [line]}, total=120_000) | credited(at, *parts)

    @pytest.mark.parametrize(
        ("part", "mrr"),
        [
            (of_line("il_2", 100_000), 100),
            (of_line("il_2", 40_000), 100),
            (free(100_000), 100),
            (of_line("il_1", 10_000), 0),
            (free(10_000), 0),
            (of_line("il_1", 2_500), 75),
            (free(11_000), 90),
        ],
    )
    def test_it_takes_from_the_line_that_it_names_or_equals(self, part: Json, mrr: float) -> None:
        assert mrr_of(self.with_setup(part)) == {"2024-01": mrr}

    @pytest.mark.parametrize(
        "part",
        [
            of_line("il_1", 0, tax_amounts=[{"amount": 2_000, "inclusive": False}]),
            free(2_000),
            free(0, tax_amounts=[{"amount": 2_000, "inclusive": False}]),
        ],
    )
    def test_tax_that_is_given_back_is_no_mrr(self, part: Json) -> None:
        assert mrr_of(self.with_tax(part)) == {"2024-01": 100}

    def test_of_a_line_with_tax_it_takes_its_share(self) -> None:
        tax = [{"amount": 500, "inclusive": False}]
        assert mrr_of(self.with_tax(of_line("il_1", 2_500, tax_amounts=tax))) == {"2024-01": 75}
        assert mrr_of(self.with_tax(free(2_500, tax_amounts=tax))) == {"2024-01": 75}

    @pytest.mark.parametrize("day", ["2024-04-01", "2024-04-02", "2024-04-15", "2024-04-28"])
    def test_the_rest_of_a_year_given_back_is_a_cancellation(self, day: str) -> None:
        found = mrr_of(self.year(of_line("il_1", 90_000), at=day))
        assert found == by_months([100] * 3 + [0] * 9)

    def test_a_cancellation_to_the_day_leaves_no_cents(self) -> None:
        rest = round(120_000 * 266 / 366)  # from 10 April on
        found = mrr_of(self.year(of_line("il_1", rest), at="2024-04-12"))
        assert found == by_months([100] * 3 + [0] * 9)

    def test_a_lower_price_counts_from_then_on(self) -> None:
        found = mrr_of(self.year(of_line("il_1", 9_000), at="2024-04-10"))
        assert found == by_months([100] * 3 + [90] * 9)

    def test_what_the_rest_cannot_give_back_is_taken_from_before(self) -> None:
        found = mrr_of(self.year(of_line("il_1", 75_000), at="2024-11-10"))
        assert found == by_months([45] * 10 + [0] * 2)
        assert mrr_of(self.year(of_line("il_1", 120_000), at="2024-11-10")) == by_months([0] * 12)

    def test_two_of_them_add_up(self) -> None:
        both = self.year(of_line("il_1", 9_000), at="2024-04-10")
        both["credit_notes"] += credited("2024-07-01", of_line("il_1", 6_000))["credit_notes"]
        assert mrr_of(both) == by_months([100] * 3 + [90] * 3 + [80] * 6)

    def test_a_void_one_took_nothing(self) -> None:
        found = self.with_setup(of_line("il_1", 10_000))
        found["credit_notes"][0]["status"] = "void"
        assert mrr_of(found) == {"2024-01": 100}

    def test_they_are_read_with_all_of_their_lines(self, stripe: Stripe, tmp_path: Path) -> None:
        whole = stripe.things["invoices"]["in_000001_05"]
        line = whole["lines"]["data"][0]
        parts = [of_line(line["id"], whole["total"] // 20) for _ in range(15)]
        whole["post_payment_credit_notes_amount"] = whole["total"] * 3 // 4
        note = stripe_credit_note("cn_1", whole["id"], line["period"]["start"], *parts)
        stripe.things["credit_notes"] = {"cn_1": note}
        revenue = read(stripe, tmp_path).rows
        of_one = revenue[revenue["account_id"] == "1001"]["mrr"].tolist()
        assert of_one[-1] == pytest.approx(of_one[0] / 4, abs=0.2)


class TestDiscounts:
    """$100 a month, half of it off in January; whether that is less MRR."""

    def months(self, duration: str | None) -> list[Json]:
        given = {"amount": 5_000, "discount": "di_1"}
        january = with_line(discount_amounts=[given])
        if duration:
            coupon = {"id": "di_1", "coupon": {"duration": duration}}
            january["durations"] = {coupon["id"]: duration}
        february = invoice(
            id="in_2", lines={"data": [stripe_line("il_2", 10_000, "2024-02-01", "2024-03-01")]}
        )
        return [january, february]

    @pytest.mark.parametrize(
        ("discounts", "duration", "january"),
        [
            ("recurring", "once", 100),
            ("recurring", "repeating", 50),
            ("recurring", "forever", 50),
            ("recurring", None, 50),
            ("all", "once", 50),
            ("none", "once", 100),
            ("none", "forever", 100),
        ],
    )
    def test_which_make_it_lower_is_stated(
        self, discounts: Discounts, duration: str | None, january: float
    ) -> None:
        found = mrr_of(*self.months(duration), discounts=discounts)
        assert found == {"2024-01": january, "2024-02": 100}

    @pytest.mark.parametrize("where", ["discount", "discounts", "lines"])
    def test_how_long_a_coupon_holds_is_read_wherever_it_stands(
        self, stripe: Stripe, tmp_path: Path, where: str
    ) -> None:
        whole = stripe.things["invoices"]["in_000001_00"]
        line = whole["lines"]["data"][0]
        coupon = {"id": "di_1", "object": "discount", "coupon": {"id": "x", "duration": "once"}}
        line["discount_amounts"] = [{"amount": whole["total"] // 2, "discount": "di_1"}]
        place = line if where == "lines" else whole
        place["discount" if where == "discount" else "discounts"] = (
            coupon if where == "discount" else [coupon]
        )
        revenue = read(stripe, tmp_path).rows
        paid = revenue[revenue["account_id"] == "1001"]["mrr"]
        assert set(paid) == {whole["total"] / 100}
        paid = read(stripe, tmp_path, discounts="all").rows
        assert paid[paid["account_id"] == "1001"]["mrr"].iloc[0] == whole["total"] // 2 / 100


@pytest.mark.parametrize(
    ("cents", "interval", "days", "mrr"),
    [
        (2_500, ("week", 1), 7, 25 * 52 / 12),
        (5_000, ("week", 2), 14, 25 * 52 / 12),
        (100, ("day", 1), 1, 365 / 12),
        (9_000, ("day", 90), 90, 100 * 365 / 12 / 100),
    ],
)
def test_weeks_and_days_are_the_same_in_every_month(
    cents: int, interval: tuple[str, int], days: int, mrr: float
) -> None:
    plan = {"recurring": {"interval": interval[0], "interval_count": interval[1]}}
    begun = pd.Timestamp(2024, 1, 1)
    data = [
        stripe_line(f"il_{n}", cents, str(start), str(start + pd.Timedelta(days=days)), price=plan)
        for n, start in enumerate(pd.date_range(begun, "2024-12-31", freq=f"{days}D"))
    ]
    found = mrr_of(invoice(lines={"data": data}))
    assert [found[f"2024-{month:02}"] for month in range(1, 13)] == pytest.approx(
        [mrr] * 12, abs=0.005
    )


@pytest.mark.parametrize(
    ("timezone", "start", "end", "month"),
    [
        ("Europe/Berlin", "2023-12-31T23:00", "2024-01-31T23:00", "2024-01"),
        ("UTC", "2023-12-31T23:00", "2024-01-31T23:00", "2023-12"),
        ("Europe/Berlin", "2024-03-31T22:00", "2024-04-30T22:00", "2024-04"),
        ("America/New_York", "2024-02-01T05:00", "2024-03-01T05:00", "2024-02"),
    ],
)
def test_a_month_begins_by_the_clock_of_the_account(
    timezone: str, start: str, end: str, month: str
) -> None:
    line = stripe_line("il_1", 10_000, start, end)
    found = mrr_of(invoice(lines={"data": [line]}), timezone=timezone)
    assert found == {month: 100}


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_year_cancelled_to_the_cent_leaves_nothing(off: int) -> None:
    plan = {"recurring": {"interval": "year", "interval_count": 1}}
    rest = round(120_000 * 275 / 366) + off
    data = [
        stripe_line("il_1", 120_000, "2024-01-01", "2025-01-01", price=plan),
        stripe_line("il_2", -rest, "2024-04-01", "2025-01-01", price=plan, proration=True),
    ]
    assert mrr_of(invoice(lines={"data": data})) == by_months([100] * 3 + [0] * 9)


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
