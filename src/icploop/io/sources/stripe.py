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

from icploop.domain.mrr import LINE_COLUMNS, Credit, by_month
from icploop.errors import DataError
from icploop.io.http import Client, Json
from icploop.io.sources.landing import Landing, Page, Where
from icploop.io.sources.raw import RawTable
from icploop.settings import Discounts, StripeSource

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
_EARNED = ("open", "paid")
# When this changes, what has landed is read again.
_KEPT = "lines, credit notes, durations of discounts"


def pull(source: StripeSource, api: Client, landing: Landing) -> list[RawTable]:
    """Revenue by month. Lines in a currency without a rate are unreadable.

    Raises DataError for a server that does not answer as documented.
    """
    asked = [source.base_url, VERSION, _KEPT]
    invoices = landing.read("invoices", asked, partial(_pages, api, "invoices"))
    accounts: dict[str, str | None] | None = None
    if source.account_id != "customer":
        customers = landing.read("customers", asked, partial(_pages, api, "customers"))
        key = source.account_id.removeprefix("metadata.")
        accounts = {c["id"]: (c.get("metadata") or {}).get(key) for c in customers}
    try:
        lines = billed_lines(invoices, accounts, source.discounts, source.timezone)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{api.place}: an invoice is not as version {VERSION} of Stripe's API describes it "
            f"({type(error).__name__}: {error}); nothing was changed"
        ) from error
    revenue, refused = by_month(lines, source.currencies)
    revenue.index = pd.RangeIndex(len(lines) + 1, len(lines) + len(revenue) + 1)
    return [RawTable("revenue", "invoices", revenue, unreadable=refused)]


def billed_lines(
    invoices: Iterable[Json],
    accounts: dict[str, str | None] | None = None,
    discounts: Discounts = "recurring",
    timezone: str = "UTC",
) -> pd.DataFrame:
    """The recurring lines of invoices as `LINE_COLUMNS`; `accounts` by customer where ids differ.

    Drafts are not billed yet. What was voided, or given up as uncollectible, is billed as 0. Lines
    for one thing once are no MRR. Of `discounts`, those are taken off that are said to be.
    """
    rows = chain.from_iterable(
        _lines(invoice, accounts, discounts, timezone)
        for invoice in invoices
        if invoice["status"] != "draft"
    )
    lines = pd.DataFrame(rows, columns=LINE_COLUMNS)
    for column in ("start", "end"):
        seconds = pd.to_datetime(lines[column].astype("int64"), unit="s", utc=True)
        lines[column] = seconds.dt.tz_convert(timezone).dt.tz_localize(None)
    return lines.astype({"account_id": "str", "currency": "str", "interval_count": "float64"})


def _lines(
    invoice: Json, accounts: dict[str, str | None] | None, discounts: Discounts, timezone: str
) -> Iterator[list[Any]]:
    customer = _id(invoice["customer"])
    account = customer if accounts is None else accounts.get(customer)
    earned = invoice["status"] in _EARNED
    credited = _credits(invoice, timezone)
    for line in invoice["lines"]["data"]:
        if not _recurs(line):
            continue
        less = sum(
            discount["amount"]
            for discount in line.get("discount_amounts") or []
            if _is_taken_off(discount, invoice, discounts)
        )
        less += sum(t["amount"] for t in line.get("tax_amounts") or [] if t.get("inclusive"))
        yield [
            line["id"],
            account,
            (line["amount"] - less) / _units(line["currency"]) if earned else 0.0,
            line["currency"],
            line["period"]["start"],
            line["period"]["end"],
            *_interval(line),
            tuple(credited.get(line["id"], ())),
        ]


def _is_taken_off(discount: Json, invoice: Json, discounts: Discounts) -> bool:
    """Whether a discount makes MRR lower; one whose coupon is unknown counts as lasting."""
    if discounts != "recurring":
        return discounts == "all"
    durations = invoice.get("durations") or {}
    return durations.get(_id(discount.get("discount") or "")) != "once"


def _credits(invoice: Json, timezone: str) -> dict[str, list[Credit]]:
    """What credit notes took of each line of an invoice.

    What names a line is a share of that one. What names none is the tax or the one line that it
    equals to the cent, or else a share of every line.
    """
    lines = invoice["lines"]["data"]
    taken: dict[str, list[Credit]] = {line["id"]: [] for line in lines}
    for note in _notes(invoice):
        at = _local(note["at"], timezone) if note.get("at") else None
        for part in note["lines"]:
            if named := part.get("invoice_line_item"):
                whole = next((line["amount"] for line in lines if line["id"] == named), 0)
                if whole > 0 and part["amount"] > 0:
                    taken[named].append(Credit(part["amount"] / whole, at))
                continue
            gross = part["amount"] + _tax_on_top(part)
            if gross <= 0 or gross == sum(map(_tax_on_top, lines)):
                continue
            alike = [line for line in lines if gross in (_paid(line), _paid_with_tax(line))]
            if len(alike) == 1:
                taken[alike[0]["id"]].append(Credit(1.0, at))
            elif (invoice.get("total") or 0) > 0:
                for credits_ in taken.values():
                    credits_.append(Credit(gross / invoice["total"], at))
    return taken


def _notes(invoice: Json) -> list[Json]:
    """The credit notes of an invoice; of an invoice without them, its sum of them as one."""
    if invoice.get("credit_notes") is not None:
        return [note for note in invoice["credit_notes"] if note["status"] != "void"]
    amounts = ("pre_payment_credit_notes_amount", "post_payment_credit_notes_amount")
    credited = sum(invoice.get(name) or 0 for name in amounts)
    return [{"at": None, "lines": [{"amount": credited}]}] if credited else []


def _tax_on_top(part: Json) -> int:
    return sum(t["amount"] for t in part.get("tax_amounts") or [] if not t.get("inclusive"))


def _paid(line: Json) -> int:
    amount: int = line["amount"]
    return amount - sum(d["amount"] for d in line.get("discount_amounts") or [])


def _paid_with_tax(line: Json) -> int:
    return _paid(line) + _tax_on_top(line)


def _local(seconds: int, timezone: str) -> pd.Timestamp:
    return pd.Timestamp(seconds, unit="s", tz="UTC").tz_convert(timezone).tz_localize(None)


def _units(currency: str) -> int:
    if currency in _NO_CENTS.split():
        return 1
    return 1000 if currency in _THOUSANDTHS.split() else 100


def _recurs(line: Json) -> bool:
    if line["type"] == "subscription":
        return True
    return bool(line.get("proration") and line.get("subscription"))


def _interval(line: Json) -> tuple[str | None, float | None]:
    """What a billing period is made of, and how many of it; years are twelve months each."""
    recurring = (line.get("price") or {}).get("recurring") or line.get("plan") or {}
    name, count = recurring.get("interval"), recurring.get("interval_count") or 1
    if name == "year":
        return "month", 12 * count
    return (name, count) if name in ("month", "week", "day") else (None, None)


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
        params = {"limit": "100"} | ({"starting_after": after} if after else {})
        page = _list(api, thing, params, _expanded(thing, "data."))
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
    """An invoice with all of its lines and credit notes: a list shows the first ten lines only."""
    if found.get("object") != "invoice":
        return {key: found.get(key) for key in ("id", "metadata")}
    lines = _all(api, f"invoices/{found['id']}/lines", found["lines"], ["data.discounts"])
    credited = any(found.get(f"{when}_payment_credit_notes_amount") for when in ("pre", "post"))
    notes = _credit_notes(api, found["id"]) if credited else []
    kept = {key: found.get(key) for key in ("id", "customer", "status", "total")}
    given = [found.get("discount"), *(found.get("discounts") or [])]
    given += [one for line in lines for one in line.get("discounts") or []]
    return kept | {
        "lines": {"data": [_slim(line) for line in lines]},
        "credit_notes": [_slim_note(api, note) for note in notes],
        "durations": {one["id"]: one["coupon"]["duration"] for one in given if _is_whole(one)},
    }


def _all(api: Client, path: str, first: Json, expanded: Iterable[str] = ()) -> list[Json]:
    """All of a list of which the first page is known."""
    data, page = list(first["data"]), first
    more = [("expand[]", what) for what in expanded]
    while page.get("has_more"):
        page = _list(api, path, {"limit": "100", "starting_after": data[-1]["id"]}, more)
        data += page["data"]
    return data


def _credit_notes(api: Client, invoice: str) -> list[Json]:
    page = _list(api, "credit_notes", {"limit": "100", "invoice": invoice})
    data = list(page["data"])
    while page["has_more"]:
        page = _list(
            api,
            "credit_notes",
            {"limit": "100", "invoice": invoice, "starting_after": data[-1]["id"]},
        )
        data += page["data"]
    return data


def _slim_note(api: Client, note: Json) -> Json:
    """The part of a credit note that MRR is made of; the rest may name people."""
    parts = _all(api, f"credit_notes/{note['id']}/lines", note["lines"])
    kept = ("invoice_line_item", "amount", "tax_amounts")
    return {
        "at": note.get("effective_at") or note["created"],
        "status": note["status"],
        "lines": [{key: part.get(key) for key in kept} for part in parts],
    }


def _is_whole(discount: Any) -> bool:
    """Whether a discount was given as such, and not by its id alone."""
    return isinstance(discount, dict) and "coupon" in discount


def _slim(line: Json) -> Json:
    """The part of a line that MRR is made of; the rest may name people."""
    recurring = (line.get("price") or {}).get("recurring") or line.get("plan") or {}
    kept = ("id", "type", "amount", "currency", "period", "proration")
    discounts = [
        {"amount": given["amount"], "discount": _id(given.get("discount") or "")}
        for given in line.get("discount_amounts") or []
    ]
    return {key: line.get(key) for key in (*kept, "tax_amounts", "subscription")} | {
        "discount_amounts": discounts,
        "plan": {key: recurring.get(key) for key in ("interval", "interval_count")},
    }


def _list(
    api: Client, path: str, params: dict[str, str], more: Iterable[tuple[str, str]] = ()
) -> Json:
    page = api.get(f"/v1/{path}", [*params.items(), *more], must_have="data")
    if page.get("has_more") and not page["data"]:
        raise DataError(f"{api.place}: /v1/{path} says that there is more, and gives nothing")
    return page


def _one(api: Client, thing: str, name: str) -> Json:
    return api.get(f"/v1/{thing}/{name}", _expanded(thing), must_have="id")


def _expanded(thing: str, under: str = "") -> list[tuple[str, str]]:
    """Discounts as such and not by their ids: only a coupon says for how long it holds."""
    wanted = ("discounts", "lines.data.discounts") if thing == "invoices" else ()
    return [("expand[]", under + what) for what in wanted]


def _id(thing: Any) -> str:
    return str(thing["id"] if isinstance(thing, dict) else thing)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
