"""Stripe's invoices, as MRR by month.

The first run lists every invoice; later ones ask which events there were since, and read again the
invoices that they name, because an invoice changes after it was created: paid, voided, credited.
Stripe keeps events for 30 days; after a longer pause everything is listed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import pandas as pd

from icploop.domain.mrr import LINE_COLUMNS, by_month
from icploop.errors import DataError
from icploop.io.http import Client, Json
from icploop.io.sources.landing import Landing, Page, Where
from icploop.io.sources.raw import RawTable
from icploop.settings import StripeSource

# The shape of invoices that `_lines` understands; Stripe goes on answering in it.
VERSION = "2024-06-20"

_EVENTS = {
    "invoices": (
        "invoice.finalized",
        "invoice.updated",
        "invoice.paid",
        "invoice.voided",
        "invoice.marked_uncollectible",
        "credit_note.created",
        "credit_note.updated",
        "credit_note.voided",
    ),
    "customers": ("customer.created", "customer.updated"),
}
_REMEMBERED = timedelta(days=29)
# Events are listed a little later than they are dated.
_OVERLAP = timedelta(minutes=5)

# Stripe counts in the smallest unit of a currency, which is not always a hundredth.
_NO_CENTS = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
_THOUSANDTHS = "bhd jod kwd omr tnd"
_MONTHS_OF = {"month": 1, "year": 12}
_EARNED = ("open", "paid")


def pull(source: StripeSource, api: Client, landing: Landing) -> list[RawTable]:
    """Revenue by month. Lines in a currency without a rate are unreadable.

    Raises DataError for a server that does not answer as documented.
    """
    asked = [source.base_url, VERSION]
    invoices = landing.read("invoices", asked, partial(_pages, api, "invoices"))
    accounts: dict[str, str | None] | None = None
    if source.account_id != "customer":
        customers = landing.read("customers", asked, partial(_pages, api, "customers"))
        key = source.account_id.removeprefix("metadata.")
        accounts = {c["id"]: (c.get("metadata") or {}).get(key) for c in customers}
    try:
        lines = billed_lines(invoices, accounts)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{api.place}: an invoice is not as version {VERSION} of Stripe's API describes it "
            f"({type(error).__name__}: {error}); nothing was changed"
        ) from error
    revenue, refused = by_month(lines, source.currencies)
    revenue.index = pd.RangeIndex(len(lines) + 1, len(lines) + len(revenue) + 1)
    return [RawTable("revenue", "invoices", revenue, unreadable=refused)]


def billed_lines(
    invoices: Iterable[Json], accounts: dict[str, str | None] | None = None
) -> pd.DataFrame:
    """The recurring lines of invoices as `LINE_COLUMNS`; `accounts` by customer where ids differ.

    Drafts are not billed yet. What was voided, or given up as uncollectible, is billed as 0.
    Credit notes take their share from every line. Lines for one thing once are no MRR.
    """
    rows = chain.from_iterable(
        _lines(invoice, accounts) for invoice in invoices if invoice["status"] != "draft"
    )
    lines = pd.DataFrame(rows, columns=LINE_COLUMNS)
    for column in ("start", "end"):
        lines[column] = pd.to_datetime(lines[column].astype("int64"), unit="s")
    return lines.astype({"account_id": "str", "currency": "str", "interval_months": "float64"})


def _lines(invoice: Json, accounts: dict[str, str | None] | None) -> Iterator[list[Any]]:
    customer = _id(invoice["customer"])
    account = customer if accounts is None else accounts.get(customer)
    kept = _kept_share(invoice)
    for line in invoice["lines"]["data"]:
        if not _recurs(line):
            continue
        less = sum(d["amount"] for d in line.get("discount_amounts") or [])
        less += sum(t["amount"] for t in line.get("tax_amounts") or [] if t.get("inclusive"))
        yield [
            line["id"],
            account,
            (line["amount"] - less) / _units(line["currency"]) * kept,
            line["currency"],
            line["period"]["start"],
            line["period"]["end"],
            _interval_months(line),
        ]


def _units(currency: str) -> int:
    if currency in _NO_CENTS.split():
        return 1
    return 1000 if currency in _THOUSANDTHS.split() else 100


def _recurs(line: Json) -> bool:
    if line["type"] == "subscription":
        return True
    return bool(line.get("proration") and line.get("subscription"))


def _kept_share(invoice: Json) -> float:
    """What is left of an invoice after credit notes; nothing of one that will never be paid."""
    if invoice["status"] not in _EARNED:
        return 0.0
    credited = (invoice.get("pre_payment_credit_notes_amount") or 0) + (
        invoice.get("post_payment_credit_notes_amount") or 0
    )
    total = invoice.get("total") or 0
    return 1 - min(credited / total, 1) if total > 0 else 1.0


def _interval_months(line: Json) -> float | None:
    recurring = (line.get("price") or {}).get("recurring") or line.get("plan") or {}
    months = _MONTHS_OF.get(recurring.get("interval", ""))
    return months * recurring.get("interval_count", 1) if months else None


def _pages(api: Client, thing: str, where: Where | None) -> Iterator[Page]:
    """All there is, or, once that was read, what events name since."""
    if where is None or "since" not in where:
        return _listed(api, thing, where or {})
    if datetime.now(UTC) - datetime.fromtimestamp(where["since"], UTC) > _REMEMBERED:
        return _listed(api, thing, {})
    return _changed(api, thing, where)


def _listed(api: Client, thing: str, where: Where) -> Iterator[Page]:
    """Newest first: what is created meanwhile stands before the first page, and has its event."""
    after, started = where.get("after"), where.get("started")
    while True:
        page = _list(api, thing, {"limit": "100"} | ({"starting_after": after} if after else {}))
        started = started or _seconds(api.last_answered - _OVERLAP)
        records = {found["id"]: _whole(api, found) for found in page["data"]}
        if not page["has_more"]:
            yield Page(records, {"since": started})
            return
        after = page["data"][-1]["id"]
        yield Page(records, {"after": after, "started": started})


def _changed(api: Client, thing: str, where: Where) -> Iterator[Page]:
    """Newest first too; the next run asks from before the first page on."""
    after, since, started = where.get("events_after"), where["since"], where.get("started")
    kinds = [("types[]", kind) for kind in _EVENTS[thing]]
    read: set[str] = set()
    while True:
        params = {"limit": "100", "created[gte]": str(since)}
        page = _list(api, "events", params | ({"starting_after": after} if after else {}), kinds)
        started = started or max(_seconds(api.last_answered - _OVERLAP), since)
        named = dict.fromkeys(_named(thing, event) for event in page["data"])
        fresh = [name for name in named if name not in read]
        read.update(fresh)
        records = {name: _whole(api, _one(api, thing, name)) for name in fresh}
        if not page["has_more"]:
            yield Page(records, {"since": started})
            return
        after = page["data"][-1]["id"]
        yield Page(records, {"since": since, "events_after": after, "started": started})


def _named(thing: str, event: Json) -> str:
    """The invoice or customer that an event is about; a credit note is about its invoice."""
    subject = event["data"]["object"]
    if thing == "invoices" and event["type"].startswith("credit_note."):
        return _id(subject["invoice"])
    return _id(subject)


def _whole(api: Client, found: Json) -> Json:
    """An invoice with all of its lines: a list shows the first ten only."""
    if found.get("object") != "invoice":
        return {key: found.get(key) for key in ("id", "metadata")}
    lines = found["lines"]
    data = list(lines["data"])
    while lines["has_more"]:
        lines = _list(
            api, f"invoices/{found['id']}/lines", {"limit": "100", "starting_after": data[-1]["id"]}
        )
        data += lines["data"]
    kept = ("id", "customer", "status", "total", "pre_payment_credit_notes_amount")
    return {key: found.get(key) for key in (*kept, "post_payment_credit_notes_amount")} | {
        "lines": {"data": [_slim(line) for line in data]}
    }


def _slim(line: Json) -> Json:
    """The part of a line that MRR is made of; the rest may name people."""
    recurring = (line.get("price") or {}).get("recurring") or line.get("plan") or {}
    kept = ("id", "type", "amount", "currency", "period", "proration", "discount_amounts")
    return {key: line.get(key) for key in (*kept, "tax_amounts", "subscription")} | {
        "plan": {key: recurring.get(key) for key in ("interval", "interval_count")}
    }


def _list(
    api: Client, path: str, params: dict[str, str], more: Iterable[tuple[str, str]] = ()
) -> Json:
    page = api.get(f"/v1/{path}", [*params.items(), *more], must_have="data")
    if page.get("has_more") and not page["data"]:
        raise DataError(f"{api.place}: /v1/{path} says that there is more, and gives nothing")
    return page


def _one(api: Client, thing: str, name: str) -> Json:
    return api.get(f"/v1/{thing}/{name}", must_have="id")


def _id(thing: Any) -> str:
    return str(thing["id"] if isinstance(thing, dict) else thing)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
