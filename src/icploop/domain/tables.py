"""The four canonical tables, as contracts: what a row must be, and which rule a bad one broke.

`check_table` never stops at a bad row: it returns the good rows, typed, and one fault for each rule
that a row broke. Only a missing required column stops everything (DataError).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from icploop.errors import DataError
from icploop.settings import Attribute, Kind, SameMonth, TableName

SEVERAL_ROWS = "an account has one row a month"
REPEATED = "the key is unique (the first row was kept)"
# What billing called the account, kept beside each row that came under another id.
BILLED_AS = "billed_as"
FAULT_COLUMNS = ["row", "column", "rule", "value"]

_TRUE = {"true", "t", "yes", "y", "1", "1.0"}
_FALSE = {"false", "f", "no", "n", "0", "0.0"}


@dataclass(frozen=True)
class Known:
    """What is known of stored rows besides what they say: what they replaced, and when they came.

    `former` has, by table, the rows that a source no longer gives as they were: their columns,
    `since` and `until` (days; it held from the one, always where missing, to the day before the
    other) and `replaced_on` (the day since which another row has its key, missing where none has).
    `ahead` has a row for each account and day on which revenue was stored long before its months
    began: account_id, came_on (day), first and last (numbers of months).
    """

    former: Mapping[TableName, pd.DataFrame] = field(default_factory=dict)
    ahead: pd.DataFrame | None = None


@dataclass(frozen=True)
class Tables:
    """The four canonical tables as frames; every canonical column is present, empty or not.

    `known` is what the warehouse knows of their rows besides. Of what a day sees, `same_as` says
    which account a duplicate counts as, where duplicates were merged, and `prepaid` of which months
    (first and last, as numbers) an account's revenue was known long before.
    """

    accounts: pd.DataFrame
    deals: pd.DataFrame
    revenue: pd.DataFrame
    signals: pd.DataFrame
    same_as: Mapping[str, str] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    prepaid: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class TableContract:
    """What the contract says of one table: its key, and its columns by type.

    A row with an empty required cell is bad. `key` is empty for signals, which have none.
    """

    key: tuple[str, ...]
    required: tuple[str, ...]
    texts: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Every canonical column."""
        return [*self.texts, *self.moments, *self.numbers]


CONTRACTS: dict[TableName, TableContract] = {
    "accounts": TableContract(
        key=("account_id", "observed_at"),
        required=("account_id",),
        texts=("account_id", "parent_id", "name", "domain"),
        moments=("observed_at",),
    ),
    "deals": TableContract(
        key=("deal_id",),
        required=("deal_id", "account_id", "created_at", "outcome", "closed_at"),
        texts=("deal_id", "account_id", "outcome", "motion"),
        moments=("created_at", "closed_at"),
        numbers=("acv", "gross_margin", "acquisition_cost"),
    ),
    "revenue": TableContract(
        key=("account_id", "month"),
        required=("account_id", "month", "mrr"),
        texts=("account_id",),
        moments=("month",),
        numbers=("mrr",),
    ),
    "signals": TableContract(
        key=(),
        required=("account_id", "at", "kind", "value"),
        texts=("account_id", "kind"),
        moments=("at",),
        numbers=("value",),
    ),
}


@dataclass(frozen=True)
class CheckedTable:
    """The good rows of a table, and the faults of the bad ones.

    `rows` keeps the index of the frame that was checked. `faults` has one line for each rule that
    a row broke: row (that index), column, rule, value. `emptied` has the same columns for cells of
    declared attributes that could not be read: there the row stays and the cell is empty.
    """

    rows: pd.DataFrame
    faults: pd.DataFrame
    emptied: pd.DataFrame

    @property
    def bad_rows(self) -> int:
        """How many rows broke at least one rule."""
        return int(self.faults["row"].nunique())


def check_table(
    name: TableName,
    raw: pd.DataFrame,
    *,
    max_money: float,
    dates: str | None = None,
    attributes: Iterable[Attribute] = (),
    same_month: SameMonth = "refuse",
    known: Collection[str] | None = None,
    place: str,
) -> CheckedTable:
    """Type `raw` and hold it against the contract of table `name`.

    `dates` is a strptime format for moments that are not ISO 8601. `max_money` bounds acv,
    acquisition cost and MRR (company currency). `place` names the source in errors. Unknown
    columns are kept as they are; declared `attributes` are typed by their kind. Rows that repeat
    an earlier row in every column are dropped without a fault. `same_month` says what several rows
    of one customer and month are: faults all of them, parts that add up, or the first of them.
    Customers that are one account (`billed_as`) add up. Rows of accounts that are not `known`,
    where that is stated, are faults before keys are looked at. Raises DataError for a missing
    required column.
    """
    from icploop.domain.rules import broken_rules  # noqa: PLC0415 - pandera is for who ingests

    contract = CONTRACTS[name]
    _require_columns(name, contract, raw, place)
    unread: list[pd.DataFrame] = []
    adds_up = name == "revenue" and same_month == "sum"
    frame = raw.copy() if adds_up else _without_repeats(raw, contract)
    for column in contract.columns:
        frame[column], faults = _read_cells(contract, column, _column(frame, column), dates)
        unread.append(faults)
    emptied: list[pd.DataFrame] = []
    for attribute in attributes:
        if attribute.name in frame.columns and attribute.name not in contract.columns:
            frame[attribute.name], faults = _read(
                attribute.name, frame[attribute.name], attribute.kind, dates
            )
            emptied.append(faults)
    broken = _faults([broken_rules(name, frame, max_money)])
    # A cell that could not be read is empty by now: say why it is, not that it is.
    unreadable = _faults(unread)
    told = set(zip(unreadable["row"], unreadable["column"], strict=True))
    fresh = [(r, c) not in told for r, c in zip(broken["row"], broken["column"], strict=True)]
    faults = _faults([unreadable, broken[fresh]])
    good = frame[~frame.index.isin(faults["row"])]
    if known is not None:
        strangers = unknown_accounts(good, known)
        faults, good = _faults([faults, strangers]), good[~good.index.isin(strangers["row"])]
    if name == "revenue":
        repeated = _repeated_months(good, same_month)
    else:
        repeated = _repeated_keys(good, contract)
    kept = good[~good.index.isin(repeated["row"])]
    if name == "revenue":
        kept = _added_up(kept)
    return CheckedTable(kept, _faults([faults, repeated]), _faults(emptied))


def check_cells(
    name: TableName, column: str, values: pd.Series, *, max_money: float, dates: str | None = None
) -> tuple[pd.Series, pd.Series]:
    """Cells of one canonical column, typed, and which of them make any row bad.

    By the rules of `check_table` that look at this column alone: where there are no others but that
    of the key, this says of each distinct cell what `check_table` says of each row with it.
    """
    from icploop.domain.rules import broken_rules  # noqa: PLC0415 - pandera is for who ingests

    typed, unreadable = _read_cells(CONTRACTS[name], column, values, dates)
    broken = broken_rules(name, typed.to_frame(column), max_money, column)
    bad = typed.index.isin(unreadable["row"]) | typed.index.isin(broken["row"])
    return typed, pd.Series(bad, index=typed.index)


def unknown_accounts(rows: pd.DataFrame, known: Collection[str]) -> pd.DataFrame:
    """Faults for the rows whose account is not one of the `known` (best a set)."""
    strangers = rows.loc[~is_one_of(rows["account_id"], known), "account_id"]
    return _fault_lines(strangers, "account_id", "account_id is in accounts")


def is_one_of(texts: pd.Series, known: Collection[str]) -> np.ndarray:
    """Which texts are among the `known`: `isin` would build its own set of them in each call."""
    return np.array([text in known for text in texts.to_numpy(dtype=object)], dtype=bool)


def read_text(values: pd.Series) -> pd.Series:
    """Trimmed text; empty and blank cells are missing. Whole numbers lose a trailing `.0`."""
    if pd.api.types.is_float_dtype(values.dtype):
        values = values.map(lambda v: f"{v:.0f}" if float(v).is_integer() else repr(v), "ignore")
    text = values.astype("str").str.strip()
    return text.mask(text == "", None)


def read_moment(values: pd.Series, dates: str | None = None) -> pd.Series:
    """Moments in UTC without a zone; unreadable ones are missing. Default format: ISO 8601."""
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = read_text(values)
    moments = pd.to_datetime(values, format=dates or "ISO8601", errors="coerce", utc=True)
    return moments.dt.tz_localize(None).astype("datetime64[us]")


def read_number(values: pd.Series) -> pd.Series:
    """Finite numbers; everything else is missing."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = read_text(values)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def read_flag(values: pd.Series) -> pd.Series:
    """1.0 for true, 0.0 for false (true/false, yes/no, 1/0 in any case), missing otherwise."""

    def flag(word: str) -> float:
        return 1.0 if word.lower() in _TRUE else 0.0 if word.lower() in _FALSE else np.nan

    return by_distinct(read_text(values), flag).astype("float64")


def read_set(values: pd.Series) -> pd.Series:
    """Sets as text `a|b|c`, sorted and without repeats, from such text, `a;b;c`, or lists."""
    if values.dtype == object:
        values = values.map(
            lambda v: "|".join(map(str, v)) if isinstance(v, list | np.ndarray) else v
        )
    return read_text(by_distinct(read_text(values), set_in_order))


def by_distinct(texts: pd.Series, function: Callable[[str], Any]) -> pd.Series:
    """The function of each text, missing where the text is; called once for each distinct text."""
    distinct = texts.dropna().unique()
    return texts.map(dict(zip(distinct, map(function, distinct), strict=True)))


def set_in_order(text: str) -> str:
    """A set as text `a|b|c`, sorted and without repeats, from `c|a;b`; empty without members."""
    return "|".join(sorted({part.strip() for part in re.split(r"[|;]", text)} - {""}))


def read_kind(values: pd.Series, kind: Kind, dates: str | None = None) -> pd.Series:
    """The values of a declared attribute, typed by its kind; what cannot be read is missing.

    `dates` is a strptime format for dates that are not ISO 8601.
    """
    if kind == "date":
        return read_moment(values, dates)
    readers = {
        "category": read_text,
        "number": read_number,
        "flag": read_flag,
        "set": read_set,
    }
    return readers[kind](values)


_RULES: dict[str, str] = {
    "category": "{column} is text",
    "number": "{column} is a number",
    "flag": "{column} is yes or no (true, false, 1, 0)",
    "set": "{column} is a|b|c",
    "date": "{column} is a date (ISO 8601, or the `dates` format of the source)",
}


def _read_cells(
    contract: TableContract, column: str, values: pd.Series, dates: str | None
) -> tuple[pd.Series, pd.DataFrame]:
    if column in contract.texts:
        return read_text(values), _faults([])
    return _read(column, values, "date" if column in contract.moments else "number", dates)


def _read(
    column: str, values: pd.Series, kind: Kind, dates: str | None = None
) -> tuple[pd.Series, pd.DataFrame]:
    typed = read_kind(values, kind, dates)
    missing = values[typed.isna()]
    unreadable = missing[read_text(missing).notna()]
    return typed, _fault_lines(unreadable, column, _RULES[kind].format(column=column))


def _column(frame: pd.DataFrame, column: str) -> pd.Series:
    if column in frame.columns:
        return frame[column]
    return pd.Series(None, index=frame.index, dtype="str")


def _without_repeats(raw: pd.DataFrame, contract: TableContract) -> pd.DataFrame:
    """Signals may repeat (two tickets on one day); a repeated row of a keyed table says nothing."""
    if not contract.key:
        return raw.copy()
    as_text = raw.astype("str")
    return raw[~as_text.duplicated()].copy()


def _require_columns(name: str, contract: TableContract, raw: pd.DataFrame, place: str) -> None:
    if missing := [c for c in contract.required if c not in raw.columns]:
        raise DataError(
            f"{place}: table `{name}` has no column `{missing[0]}` "
            f"(found: {', '.join(map(str, raw.columns))}); map it under "
            f"tables.{name}.columns in the source's settings: `{missing[0]}: <your column>`"
        )


def _repeated_keys(good: pd.DataFrame, contract: TableContract) -> pd.DataFrame:
    """Among good rows, so that no good row gives way to a bad one with the same key."""
    again = good[good.duplicated(list(contract.key))] if contract.key else good[:0]
    nothing = pd.Series(None, index=again.index, dtype="object")
    return _fault_lines(nothing, "key", REPEATED)


def _added_up(good: pd.DataFrame) -> pd.DataFrame:
    """The first row of each account and month, with the MRR of all of them.

    Several are several customers of billing that are one account, or parts that add up.
    """
    if not good.duplicated(["account_id", "month"]).any():
        return good
    whole = good.groupby(["account_id", "month"])["mrr"].transform("sum")
    return good.assign(mrr=whole).drop_duplicates(["account_id", "month"])


def _repeated_months(good: pd.DataFrame, same_month: SameMonth) -> pd.DataFrame:
    """Rows of a customer's month that has several: all but the first, or all, or none of them."""
    if same_month == "sum":
        return _fault_lines(pd.Series(dtype="object"), "key", SEVERAL_ROWS)
    customer = [c for c in ("account_id", "month", BILLED_AS) if c in good]
    if same_month == "first":
        again = good[good.duplicated(customer)]
        nothing = pd.Series(None, index=again.index, dtype="object")
        return _fault_lines(nothing, "key", REPEATED)
    again = good[good.duplicated(customer, keep=False)]
    told = [
        f"{account} {month:%Y-%m}: {mrr:.10g}"
        for account, month, mrr in zip(
            again["account_id"], again["month"], again["mrr"], strict=True
        )
    ]
    return _fault_lines(pd.Series(told, again.index, dtype="object"), "key", SEVERAL_ROWS)


def _fault_lines(values: pd.Series, column: str, rule: str) -> pd.DataFrame:
    return pd.DataFrame({"row": values.index, "column": column, "rule": rule, "value": values})


def _faults(parts: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [part[FAULT_COLUMNS].astype("object") for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=FAULT_COLUMNS, dtype="object")
    faults = pd.concat(filled, ignore_index=True)
    faults["value"] = faults["value"].map(str, "ignore")
    return faults.sort_values(["row", "rule"], kind="stable", ignore_index=True)
