"""A company as it stands in HubSpot and Stripe: companies with history, deals, monthly invoices."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.servers import HubSpot, Stripe, seconds

Json = dict[str, Any]
_INDUSTRIES = ("HEALTH", "RETAIL", "GAMING")
_BEGUN = datetime(2023, 1, 1, tzinfo=UTC)

HUBSPOT: Json = {
    "kind": "hubspot",
    "calls_per_second": 1000,
    "tables": {
        "accounts": {"columns": {"employees": "numberofemployees", "industry": "industry"}},
        "deals": {},
    },
}
STRIPE: Json = {
    "kind": "stripe",
    "calls_per_second": 1000,
    "account_id": "metadata.hubspot_id",
    "currencies": {"usd": 1},
}


def company(accounts: int, months: int = 6, seed: int = 0) -> tuple[HubSpot, Stripe]:
    """`accounts` companies with a deal each; three in four are won and billed for `months`."""
    rng = random.Random(seed)
    hubspot, stripe = HubSpot(records={"companies": {}, "deals": {}}), Stripe()
    stripe.things = {"invoices": {}, "customers": {}}
    for n in range(accounts):
        id_, born = str(1000 + n), _BEGUN + timedelta(minutes=10 * n)
        hubspot.records["companies"][id_] = hubspot_company(id_, born, rng)
        won = n % 4 != 0
        hubspot.records["deals"][str(5000 + n)] = hubspot_deal(str(5000 + n), born, won)
        hubspot.company_of[str(5000 + n)] = id_
        if won:
            customer = f"cus_{n:06}"
            stripe.things["customers"][customer] = {
                "id": customer,
                "object": "customer",
                "created": seconds("2023-01-01") + n,
                "metadata": {"hubspot_id": id_},
            }
            price = rng.randrange(50, 500) * 100
            for month in range(months):
                invoice = stripe_invoice(f"in_{n:06}_{month:02}", customer, price, month)
                stripe.things["invoices"][invoice["id"]] = invoice
    return hubspot, stripe


def hubspot_company(id_: str, born: datetime, rng: random.Random) -> Json:
    """A company that grew once, a month after it was entered."""
    small, industry = rng.randrange(5, 500), rng.choice(_INDUSTRIES)
    later = born + timedelta(days=30)
    history = {
        "name": [_version(born, f"Company {id_}")],
        "domain": [_version(born, f"c{id_}.example")],
        "industry": [_version(born, industry)],
        "numberofemployees": [_version(later, str(2 * small)), _version(born, str(small))],
    }
    return {
        "id": id_,
        "createdAt": _iso(born),
        "updatedAt": _iso(later),
        "archived": False,
        "properties": {name: versions[0]["value"] for name, versions in history.items()},
        "propertiesWithHistory": history,
    }


def hubspot_deal(id_: str, born: datetime, won: bool) -> Json:
    created, closed = born + timedelta(days=3), born + timedelta(days=40)
    return {
        "id": id_,
        "createdAt": _iso(created),
        "updatedAt": _iso(closed),
        "archived": False,
        "properties": {
            "createdate": _iso(created),
            "closedate": _iso(closed),
            "amount": "1200",
            "hs_is_closed": "true",
            "hs_is_closed_won": str(won).lower(),
        },
    }


def changed(record: Json, name: str, value: str, at: datetime) -> None:
    """What happens to a HubSpot record when someone edits a property."""
    record["properties"][name] = value
    record.setdefault("propertiesWithHistory", {}).setdefault(name, []).insert(
        0, _version(at, value)
    )
    record["updatedAt"] = _iso(at)


def stripe_invoice(id_: str, customer: str, cents: int, month: int, **more: Any) -> Json:
    """A paid invoice for one month of a subscription; month 0 is March 2023."""
    start = seconds(_month(month))
    line = stripe_line(f"il_{id_}", cents, _month(month), _month(month + 1))
    return {
        "id": id_,
        "object": "invoice",
        "created": start,
        "customer": customer,
        "status": "paid",
        "total": cents,
        "pre_payment_credit_notes_amount": 0,
        "post_payment_credit_notes_amount": 0,
        "lines": {"data": [line]},
    } | more


def stripe_line(id_: str, cents: int, start: str, end: str, **more: Any) -> Json:
    """A subscription's line for a period, with what the real one names besides."""
    return {
        "id": id_,
        "object": "line_item",
        "type": "subscription",
        "amount": cents,
        "currency": "usd",
        "description": "1 x Team plan, for ada@example.com",
        "period": {"start": seconds(start), "end": seconds(end)},
        "proration": False,
        "discount_amounts": [],
        "tax_amounts": [],
        "subscription": "sub_1",
        "price": {"recurring": {"interval": "month", "interval_count": 1}},
    } | more


def stripe_credit_note(id_: str, invoice: str, at: int, *parts: Json) -> Json:
    """A credit note of an invoice, with what the real one names besides."""
    data = [
        {"id": f"{id_}_{n:03}", "description": "for Ada"} | part for n, part in enumerate(parts)
    ]
    return {
        "id": id_,
        "object": "credit_note",
        "created": at,
        "invoice": invoice,
        "status": "issued",
        "memo": "sorry, ada@example.com",
        "lines": {"data": data},
    }


def _month(number: int) -> str:
    return f"{2023 + (number + 2) // 12}-{(number + 2) % 12 + 1:02}-01"


def _version(at: datetime, value: str) -> Json:
    return {"value": value, "timestamp": _iso(at), "sourceType": "CRM_UI", "updatedByUserId": 7}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
