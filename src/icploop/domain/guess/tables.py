"""Which export is which table, and which of its columns is which of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from icploop.domain.guess.links import Link, link
from icploop.domain.guess.looks import (
    Column,
    Export,
    is_amounts,
    is_dates,
    is_key,
    is_stages,
    is_unique_key,
    stage_of,
)
from icploop.domain.guess.words import COLUMNS, FILES, NO, YES, name_score, phrase
from icploop.domain.guess.written import ENOUGH, as_dates
from icploop.domain.identity import domain_key, name_key
from icploop.errors import DataError
from icploop.settings import TableName

# So many columns that are named like months are a table that is laid out in months.
_FEWEST_MONTHS = 3
_ROWS_A_CUSTOMER = 1.2
_FEWEST_TOLD = 10


@dataclass(frozen=True)
class Found:
    """An export that was recognised: which table it is, and its columns by what they are.

    `exports` are several where it came in parts. `keys` are columns that may name the account, the
    likeliest first; `months` the columns of a table that is laid out in months.
    """

    table: TableName
    exports: tuple[Export, ...]
    roles: Mapping[str, Column]
    keys: tuple[Column, ...] = ()
    months: tuple[str, ...] = ()
    link: Link | None = None

    @property
    def export(self) -> Export:
        """The export, or its first part with the rows of all."""
        return self.exports[0]


@dataclass(frozen=True)
class Recognised:
    """The tables that were found, and the exports that are none, with the reason."""

    tables: Mapping[TableName, Found]
    unused: Mapping[str, str] = field(default_factory=dict)


def recognise(exports: Sequence[Export]) -> Recognised:
    """Which of the exports is which table.

    Raises DataError where none looks like accounts or like deals, or where two look like one table.
    """
    whole = _joined(exports)
    deals = [found for one in whole if (found := _as_deals(one))]
    others = [one for one in whole if all(one != found.exports for found in deals)]
    revenue = [found for one in others if (found := _as_revenue(one))]
    companies = [found for one in others if (found := _as_accounts(one))]
    deal = _only("deals", deals, whole)
    accounts = _whom_deals_name(companies, deal)
    if accounts is None:
        raise DataError(
            f"no file looks like accounts (a row a company, with an id that differs in each): "
            f"{_seen(whole)}. Export the companies that the deals of {deal.export.name} name"
        )
    tables: dict[TableName, Found] = {"accounts": accounts, "deals": _linked(deal, accounts)}
    bills = [found for found in revenue if found.exports != accounts.exports]
    if bills:
        tables["revenue"] = _linked(_only("revenue", bills, whole), accounts)
    taken = {export.name for found in tables.values() for export in found.exports}
    rest = [one for one in whole if one[0].name not in taken]
    signals = [found for one in rest if (found := _as_signals(one))]
    if len(signals) == 1 and (linked := _linked(signals[0], accounts)).link:
        tables["signals"] = linked
        rest = [one for one in rest if one != linked.exports]
    unused = {e.name: "looks like none of the tables" for one in rest for e in one}
    return Recognised(tables, unused)


def _joined(exports: Sequence[Export]) -> list[tuple[Export, ...]]:
    """Exports that have the same columns are parts of one table."""
    parts: dict[tuple[str, ...], list[Export]] = {}
    for export in sorted(exports, key=lambda one: one.name):
        parts.setdefault(tuple(sorted(map(str, export.frame.columns))), []).append(export)
    joined: list[tuple[Export, ...]] = []
    for same in parts.values():
        if len(same) == 1:
            joined.append((same[0],))
            continue
        rows = pd.concat([one.frame for one in same], ignore_index=True)
        if rows.astype("str").duplicated().mean() > ENOUGH / 2 - 0.05:
            raise DataError(
                f"{same[0].name} and {same[1].name} hold the same rows; keep the one that is meant"
            )
        whole = Export(same[0].name, rows, sum(one.rows for one in same), same[0].dialect)
        joined.append((whole, *same[1:]))
    return joined


def _as_deals(parts: tuple[Export, ...]) -> Found | None:
    export = parts[0]
    roles = _outcome_roles(export)
    if not roles.keys() & {"outcome", "is_won"}:
        return None
    _add(roles, export, "deals", is_dates, "created_at", "closed_at", "won_at", "lost_at")
    if "created_at" not in roles:
        return None
    _add(roles, export, "deals", is_unique_key, "deal_id")
    keys = _keys(export, "deals", {column.name for column in roles.values()})
    if not keys:
        return None
    own = {keys[0].name}
    money = ("acv", "term_months", "term_years", "gross_margin", "acquisition_cost")
    _add(roles, export, "deals", is_amounts, *money, but=own)
    _add(roles, export, "deals", _is_currency, "currency", but=own)
    _add(roles, export, "deals", _any, "lost_reason", but=own)
    _add(roles, export, "deals", _is_word, "motion", but=own)
    _add(roles, export, "deals", _any, "deal_name", but=own)
    return Found("deals", parts, roles, keys)


def _add(
    roles: dict[str, Column],
    export: Export,
    table: TableName,
    fits: Callable[[Column], bool],
    *wanted: str,
    but: Collection[str] = (),
) -> None:
    """Add the columns for the roles that are wanted, each column for one role only."""
    for role in wanted:
        taken = {column.name for column in roles.values()} | {*but}
        if (named := export.best(table, role, fits, but=taken)) is not None:
            roles[role] = named


def _outcome_roles(export: Export) -> dict[str, Column]:
    """The column of stages, and the marks of a system that says itself what is won and closed."""
    roles: dict[str, Column] = {}
    if (outcome := _outcome(export)) is not None:
        roles["outcome"] = outcome
    _add(roles, export, "deals", _is_flag, "is_won", "is_closed")
    if {*roles} == {"is_won", "is_closed"}:
        _add(roles, export, "deals", _is_word, "outcome")
    return roles


def _outcome(export: Export) -> Column | None:
    """The column whose stages say the most, of equals the one that is named most like it."""
    known = COLUMNS["deals"]["outcome"]
    scored = []
    for place, column in enumerate(export.columns.values()):
        if not is_stages(column):
            continue
        told = [stage_of(str(text)) is not None for text in column.counts.index]
        said = float(column.counts[told].sum() / column.counts.sum())
        named = name_score(column.name, known)
        if named or said >= ENOUGH:
            scored.append((round(said, 1), named, -place, column))
    return max(scored, key=lambda one: one[:3])[3] if scored else None


def _as_revenue(parts: tuple[Export, ...]) -> Found | None:
    export = parts[0]
    is_named = bool(export.words & FILES["revenue"])
    months = _months_of(export)
    if len(months) >= _FEWEST_MONTHS:
        keys = _keys(export, "revenue", set(months))
        return (
            Found("revenue", parts, _billed_to(export, {*months}), keys, months) if keys else None
        )
    roles: dict[str, Column] = {}
    _add(roles, export, "revenue", is_dates, "until", "month")
    keys = _keys(export, "revenue", {column.name for column in roles.values()})
    if "month" not in roles or not keys:
        return None
    own = {keys[0].name}
    _add(roles, export, "revenue", is_amounts, "mrr", but=own)
    several = len(keys[0].texts) > _ROWS_A_CUSTOMER * len(keys[0].counts)
    if "mrr" not in roles or not (is_named or several):
        return None
    _add(roles, export, "revenue", is_amounts, "months", but=own)
    _add(roles, export, "revenue", _is_currency, "currency", but=own)
    _add(roles, export, "revenue", _is_word, "interval", "status", "line_type", but=own)
    taken = {column.name for column in roles.values()} | own
    return Found("revenue", parts, roles | _billed_to(export, taken), keys)


def _billed_to(export: Export, taken: set[str]) -> dict[str, Column]:
    """What billing says of its customer besides a key."""
    found: dict[str, Column] = {}
    for role in ("domain", "email", "name"):
        named = export.best("revenue", role, lambda c: c.filled > 0.5, but=taken)
        if named is not None:
            found[role] = named
            taken = {*taken, named.name}
    return found


def _as_accounts(parts: tuple[Export, ...]) -> Found | None:
    export = parts[0]
    roles: dict[str, Column] = {}
    observed = export.best("accounts", "observed_at", is_dates)
    own = export.best("accounts", "account_id", is_unique_key)
    if own is None and observed is not None:
        own = export.best("accounts", "account_id", is_key, but={observed.name})
        if own is not None:
            pairs = pd.DataFrame({"id": own.texts, "at": observed.texts})
            own = own if pairs.duplicated().mean() < 1 - ENOUGH else None
            roles["observed_at"] = observed
    if own is None:
        own = export.best("accounts", "name", is_unique_key)
    if own is None:
        return None
    roles["account_id"] = own
    taken = {column.name for column in roles.values()}
    for role, fits in (
        ("merged_ids", _any),
        ("merged_into", _any),
        ("parent_id", _any),
        ("domain", _any),
        ("name", lambda c: c.filled > 0.5),
    ):
        if (named := export.best("accounts", role, fits, but=taken)) is not None:
            roles[role] = named
            taken.add(named.name)
    return Found("accounts", parts, roles, _account_keys(export, own))


def _account_keys(export: Export, own: Column) -> tuple[Column, ...]:
    """Columns by which others may name an account: the guessed id first, then any unique one."""
    others = [
        column
        for column in export.columns.values()
        if column.name != own.name
        and not column.dates
        and not column.is_prose
        and len(column.counts) >= 0.9 * column.texts.notna().sum()
    ]
    return (own, *others)


def _as_signals(parts: tuple[Export, ...]) -> Found | None:
    export = parts[0]
    roles: dict[str, Column] = {}
    if (moment := export.best("signals", "at", is_dates)) is None:
        return None
    roles["at"] = moment
    keys = _keys(export, "signals", {moment.name})
    if not keys:
        return None
    taken = {moment.name, keys[0].name}
    kind = export.best("signals", "kind", _is_word, but=taken)
    value = export.best("signals", "value", is_amounts, but=taken)
    if kind is None or value is None or kind is value:
        return None
    return Found("signals", parts, {**roles, "kind": kind, "value": value}, keys)


def _whom_deals_name(companies: Sequence[Found], deals: Found) -> Found | None:
    """The export whose companies the most deals name; of equals the one with the most columns."""
    named = []
    for found in companies:
        by = link(deals.keys, found.keys)
        is_named = bool(found.export.words & FILES["accounts"])
        if by is not None:
            named.append((round(by.share, 1), is_named, len(found.export.columns), found))
    if not named:
        return None
    best = max(named, key=lambda one: one[:3])
    if len([one for one in named if one[:3] == best[:3]]) > 1:
        _refuse_twice("accounts", [one[3] for one in named if one[:3] == best[:3]])
    return best[3]


def _only(table: TableName, found: Sequence[Found], seen: Sequence[tuple[Export, ...]]) -> Found:
    if not found:
        needs = {
            "deals": "a row a deal, with its stage (won, lost, ...), company and date of creation"
        }
        raise DataError(f"no file looks like {table} ({needs[table]}): {_seen(seen)}")
    named = [one for one in found if one.export.words & FILES[table]]
    likely = named if len(named) == 1 else list(found)
    if len(likely) > 1:
        most = max(len(one.roles) for one in likely)
        richest = [one for one in likely if len(one.roles) == most]
        # One more column that is recognised may be chance.
        if len(richest) > 1 or any(
            len(one.roles) >= most - 1 for one in likely if one not in richest
        ):
            _refuse_twice(table, likely)
        likely = richest
    return likely[0]


def _refuse_twice(table: TableName, found: Sequence[Found]) -> None:
    names = " and ".join(one.export.name for one in found)
    raise DataError(
        f"{names} both look like {table}; leave the one that is meant in the folder, or join them "
        "by a `query` (docs/your-data.md)"
    )


def _seen(whole: Iterable[tuple[Export, ...]]) -> str:
    told = [
        f"{one[0].name} ({', '.join(map(str, list(one[0].frame.columns)[:8]))}"
        f"{', ...' if len(one[0].frame.columns) > 8 else ''})"
        for one in whole
    ]
    return "found " + "; ".join(told)


def _linked(found: Found, accounts: Found) -> Found:
    by = link(found.keys, accounts.keys)
    if by is not None and _are_strangers(found, accounts, by):
        by = None
    return Found(found.table, found.exports, found.roles, found.keys, found.months, by)


def _are_strangers(found: Found, accounts: Found, by: Link) -> bool:
    """Whether rows and the accounts that a link finds bear other domains or names.

    Two systems that count their customers from 1 have ids in common, and nothing else.
    """
    spelled = by.spelling.of(by.theirs.texts.dropna())
    rows = pd.Series(spelled.index, index=spelled.to_numpy())
    rows = rows[~rows.index.duplicated(keep=False)]
    where = by.spelling.of(by.own.texts).map(rows).dropna()
    for role, key in (("domain", domain_key), ("email", domain_key), ("name", name_key)):
        theirs = accounts.roles.get("domain" if role == "email" else role)
        ours = found.roles.get(role)
        if ours is None or theirs is None or by.own in (ours, theirs) or by.theirs is theirs:
            continue
        mine = ours.texts.loc[where.index].to_numpy()
        its = theirs.texts.loc[where.to_numpy()].to_numpy()
        both = [(key(a), key(b)) for a, b in zip(mine, its, strict=True) if _both(a, b)]
        told = [one for one in both if all(one)]
        if len(told) >= _FEWEST_TOLD:
            return sum(one == other for one, other in told) < (1 - ENOUGH + 0.2) * len(told)
    return False


def _both(one: object, other: object) -> bool:
    return isinstance(one, str) and isinstance(other, str)


def _keys(export: Export, table: TableName, taken: set[str]) -> tuple[Column, ...]:
    known = COLUMNS[table]["account_id"]
    scored = [
        (name_score(name, known), -place, column)
        for place, (name, column) in enumerate(export.columns.items())
        if name not in taken and is_key(column)
    ]
    found = [one for one in scored if one[0] > 0]
    return tuple(one[2] for one in sorted(found, key=lambda one: one[:2], reverse=True))


def _months_of(export: Export) -> tuple[str, ...]:
    """Columns that are named like months, and hold numbers."""
    names = [name for name, column in export.columns.items() if column.numbers]
    named = [name for name in names if re.search(r"\d{4}|\d\d$", name)]
    if len(named) < _FEWEST_MONTHS:
        return ()
    return tuple(named) if as_dates(pd.Series(named)) else ()


def _any(column: Column) -> bool:
    return column.filled > 0


def _is_flag(column: Column) -> bool:
    return bool(len(column.counts)) and {phrase(str(t)) for t in column.counts.index} <= YES | NO


def _is_word(column: Column) -> bool:
    return not column.dates and not column.numbers and 0 < len(column.counts) <= 50


def _is_currency(column: Column) -> bool:
    return bool(column.counts.index.str.fullmatch(r"[A-Za-z]{3}").all())
