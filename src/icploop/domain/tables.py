"""The four canonical tables, as contracts: what a row must be, and which rule a bad one broke.

`check_table` never stops at a bad row: it returns the good rows, typed, and one fault for each rule
that a row broke. Only a missing required column stops everything (DataError).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from icploop.domain.bills import (
    MONTHS,
    UNTIL,
    first_of_month,
    last_billed,
    months_covered,
    spread_over_months,
)
from icploop.domain.cells import (
    as_text,
    cut_keys,
    has_control_characters,
    in_two_ways,
    read_key,
    read_kind,
    read_number,
    read_text,
)
from icploop.errors import DataError
from icploop.settings import Attribute, Kind, SameMonth, TableName
from icploop.settings.formats import AS_IT_IS, PLAIN, CellFormat, TableFormat, suggested

SEVERAL_ROWS = "an account has one row a month"
REPEATED = "the key is unique (the first row was kept)"
# What billing called the account, kept beside each row that came under another id.
BILLED_AS = "billed_as"
FAULT_COLUMNS = ["row", "column", "rule", "value"]

# What is left of sums that cancel, in whole units of the currency, is nothing.
LEAST_MRR = 0.01
# Columns beside the canonical ones that say in what unit its money is.
CURRENCY, TERM_MONTHS, TERM_YEARS = "currency", "term_months", "term_years"
_MONEY = ("acv", "acquisition_cost", "mrr")
_COVERED = "months_covered"


@dataclass(frozen=True)
class Known:
    """What is known of stored rows besides what they say: what they replaced, and when they came.

    `former` has, by table, the rows that a source no longer gives as they were: their columns,
    `_since` and `_until` (days; it held from the one, always where missing, to the day before the
    other) and `_replaced_on` (the day since which another row has its key, missing where none has).
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

    A row with an empty required cell is bad. `key` is empty for signals, which have none. `ids` are
    the texts that name something: they are compared, and move money.
    """

    key: tuple[str, ...]
    required: tuple[str, ...]
    texts: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The texts that name something."""
        return tuple(column for column in self.texts if column.endswith("_id"))

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
    `remarks` counts by code and column what was made of good cells: `keys_folded` (different ids
    whose blanks or letters were brought to one form), `money_converted` (rows that name another
    currency, by its rate), `acv_annualised` (rows, by the term of the deal).
    """

    rows: pd.DataFrame
    faults: pd.DataFrame
    emptied: pd.DataFrame
    remarks: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def bad_rows(self) -> int:
        """How many rows broke at least one rule."""
        return int(self.faults["row"].nunique())


def check_table(
    name: TableName,
    raw: pd.DataFrame,
    *,
    max_money: float,
    formats: TableFormat = AS_IT_IS,
    rates: Mapping[str, float] | None = None,
    attributes: Iterable[Attribute] = (),
    same_month: SameMonth = "refuse",
    known: Collection[str] | None = None,
    day: date | None = None,
    place: str,
) -> CheckedTable:
    """Type `raw` and hold it against the contract of table `name`.

    `formats` says how its cells are written, and `rates` what a unit of each currency is worth in
    the company's, for rows that name theirs under `currency` (None: all money is the company's).
    `max_money` bounds acv, acquisition cost and MRR (company currency). `place` names the source in
    errors. Unknown columns are kept as they are; declared `attributes` are typed by their kind.
    Rows that repeat an earlier row in every column are dropped without a fault. `same_month` says
    what several rows of one customer and month are: faults all of them, parts that add up, or the
    first of them. Customers that are one account (`billed_as`) add up. Rows of accounts that are
    not `known`, where that is stated, are faults before keys are looked at. `day` is that of the
    ingest, which tells whether bills are still made. Raises DataError for a missing required
    column.
    """
    from icploop.domain.rules import broken_rules  # noqa: PLC0415 - pandera is for who ingests

    contract = CONTRACTS[name]
    attributes = [a for a in attributes if a.name in raw and a.name not in contract.columns]
    _require_columns(name, contract, raw, place)
    unread: list[pd.DataFrame] = []
    remarks: Counter[tuple[str, str]] = Counter()
    adds_up = name == "revenue" and same_month == "sum"
    frame = raw.copy() if adds_up else _without_repeats(raw, contract)
    for column in contract.columns:
        given = _column(frame, column)
        frame[column], faults = _read_cells(contract, column, given, formats.of(column))
        unread.append(faults)
        if column in contract.ids:
            remarks["keys_folded", column] = keys_folded(given, frame[column])
    unread += [
        _to_one_currency(name, frame, rates, remarks),
        _to_a_year(name, frame, formats, remarks),
    ]
    if name == "revenue":
        unread.append(_to_bills_of_months(frame, formats, place))
        frame["mrr"] = frame["mrr"] if formats.spread else without_dust(frame["mrr"])
    emptied: list[pd.DataFrame] = []
    for attribute in attributes:
        column, how = attribute.name, formats.of(attribute.name).keeping(attribute.keep)
        frame[column], faults = _read(column, frame[column], attribute.kind, how)
        emptied.append(faults)
    broken = _faults([broken_rules(name, _as_bills(frame, formats), max_money)])
    # A cell that could not be read is empty by now: say why it is, not that it is.
    unreadable = _faults(unread)
    told = set(zip(unreadable["row"], unreadable["column"], strict=True))
    fresh = [(r, c) not in told for r, c in zip(broken["row"], broken["column"], strict=True)]
    faults = _faults([unreadable, broken[fresh]])
    good = frame[~frame.index.isin(faults["row"])]
    if known is not None:
        strangers = unknown_accounts(good, known)
        faults, good = _faults([faults, strangers]), good[~good.index.isin(strangers["row"])]
    if formats.spread:
        kept, repeated = _spread(good, day)
    elif name == "revenue":
        repeated = _repeated_months(good, same_month)
        kept = _added_up(good[~good.index.isin(repeated["row"])])
    else:
        repeated = _repeated_keys(good, contract)
        kept = good[~good.index.isin(repeated["row"])]
    return CheckedTable(kept, _faults([faults, repeated]), _faults(emptied), +remarks)


def check_cells(
    name: TableName,
    column: str,
    values: pd.Series,
    *,
    max_money: float,
    how: CellFormat = PLAIN,
    rate: float = 1.0,
) -> tuple[pd.Series, pd.Series]:
    """Cells of one canonical column, typed, and which of them make any row bad.

    By the rules of `check_table` that look at this column alone: where there are no others but that
    of the key, this says of each distinct cell what `check_table` says of each row with it. `rate`
    is that of the one currency in which all money is.
    """
    from icploop.domain.rules import broken_rules  # noqa: PLC0415 - pandera is for who ingests

    typed, unreadable = _read_cells(CONTRACTS[name], column, values, how)
    if column == "mrr":
        typed = without_dust(typed * rate)
    broken = broken_rules(name, typed.to_frame(column), max_money, column)
    bad = typed.index.isin(unreadable["row"]) | typed.index.isin(broken["row"])
    return typed, pd.Series(bad, index=typed.index)


def keys_folded(given: pd.Series, keys: pd.Series) -> int:
    """How many ids were written otherwise than they are compared (blanks at their ends apart)."""
    changed = keys.notna() & (keys != as_text(given))
    return int(given[changed].nunique())


def require_certain_numbers(
    name: TableName,
    raw: pd.DataFrame,
    formats: TableFormat,
    attributes: Iterable[Attribute],
    place: str,
) -> None:
    """Refuse a whole table in which a column of numbers can be read in two ways (DataError)."""
    numbers = [*CONTRACTS[name].numbers, *(a.name for a in attributes if a.kind == "number")]
    for column in numbers:
        if column in raw:
            require_one_reading(name, column, raw[column], formats.of(column), place)


def require_one_reading(
    name: TableName, column: str, values: pd.Series, how: CellFormat, place: str
) -> None:
    """Refuse a whole column of numbers that can be read in two ways (DataError, with the remedy).

    `values` are all cells of the column: one of them may settle how the others are meant.
    """
    if how.numbers is not None or (doubtful := in_two_ways(values)) is None:
        return
    whole = doubtful.replace(".", "")
    raise DataError(
        f"{place}: `{column}` of table `{name}` can be read in two ways: {doubtful!r} is {whole} "
        f"or {float(doubtful):g}. Nothing was changed. Say which in the source's settings, under "
        f'tables.{name}: `numbers: {{{column}: "1.234,56"}}` if it is {whole}, '
        f'`numbers: {{{column}: "1,234.56"}}` if it is {float(doubtful):g}'
    )


def without_dust(mrr: pd.Series) -> pd.Series:
    """MRR in which what is left of sums that cancel is 0."""
    return mrr.mask(mrr.abs() < LEAST_MRR, 0.0)


def unknown_accounts(rows: pd.DataFrame, known: Collection[str]) -> pd.DataFrame:
    """Faults for the rows whose account is not one of the `known` (best a set)."""
    strangers = rows.loc[~is_one_of(rows["account_id"], known), "account_id"]
    return _fault_lines(strangers, "account_id", "account_id is in accounts")


def is_one_of(texts: pd.Series, known: Collection[str]) -> np.ndarray:
    """Which texts are among the `known`: `isin` would build its own set of them in each call."""
    return np.array([text in known for text in texts.to_numpy(dtype=object)], dtype=bool)


_RULES: dict[str, str] = {
    "category": "{column} is text",
    "number": "{column} is a number",
    "flag": "{column} is yes or no (true, false, 1, 0)",
    "set": "{column} is a|b|c",
    "date": "{column} is a date (ISO 8601, or the `dates` format of the source)",
}


def _read_cells(
    contract: TableContract, column: str, values: pd.Series, how: CellFormat
) -> tuple[pd.Series, pd.DataFrame]:
    if column in contract.ids:
        return read_key(values, how), _cut_or_broken(column, values)
    if column in contract.texts:
        return read_text(values, how), _faults([])
    return _read(column, values, "date" if column in contract.moments else "number", how)


def _cut_or_broken(column: str, values: pd.Series) -> pd.DataFrame:
    """Faults of ids that are not what they were: two of them may be one, or one none of either."""
    cut = values[cut_keys(values)]
    broken = values[has_control_characters(values)]
    return _faults(
        [
            _fault_lines(
                cut,
                column,
                f"{column} has all its digits (a spreadsheet or a decimal column has cut them; "
                "export the file again without opening it there, with ids as text)",
            ),
            _fault_lines(broken, column, f"{column} has no control characters"),
        ]
    )


def _read(
    column: str, values: pd.Series, kind: Kind, how: CellFormat
) -> tuple[pd.Series, pd.DataFrame]:
    typed = read_kind(values, kind, how)
    missing = values[typed.isna()]
    unreadable = missing[read_text(missing, how).notna()]
    if kind != "number":
        return typed, _fault_lines(unreadable, column, _RULES[kind].format(column=column))
    rules = unreadable.map(lambda value: _number_rule(column, str(value), how))
    parts = [_fault_lines(unreadable[rules == rule], column, rule) for rule in rules.unique()]
    return typed, _faults(parts)


def _number_rule(column: str, value: str, how: CellFormat) -> str:
    """What a cell is not, with the format in which it would be read, where there is one."""
    rule = _RULES["number"].format(column=column)
    if how.numbers is not None:
        return f"{rule} written like {how.numbers.example}"
    examples = suggested(value)
    if not examples:
        return rule
    stated = " or ".join(f'`numbers: "{example}"`' for example in examples.split(" or "))
    return f"{rule} (state {stated} for it in the source's settings)"


def _to_one_currency(
    name: TableName,
    frame: pd.DataFrame,
    rates: Mapping[str, float] | None,
    remarks: Counter[tuple[str, str]],
) -> pd.DataFrame:
    """Bring the money of rows that name their currency to the company's; those without a rate."""
    columns = [column for column in _MONEY if column in CONTRACTS[name].numbers]
    if rates is None or not columns or CURRENCY not in frame.columns:
        return _faults([])
    codes = currency_codes(frame[CURRENCY])
    rate = codes.map(rates).astype("float64")
    has_money = frame[columns].notna().any(axis=1)
    for column in columns:
        frame[column] = frame[column] * rate.fillna(1.0)
    remarks["money_converted", CURRENCY] = int((rate.fillna(1.0) != 1.0).sum())
    unknown = codes[codes.notna() & rate.isna() & has_money]
    return _faults(
        [
            _fault_lines(unknown[unknown == code], CURRENCY, no_rate_rule(code))
            for code in unknown.unique()
        ]
    )


def currency_codes(values: pd.Series) -> pd.Series:
    """Codes of currencies in capitals; missing where a cell says nothing."""
    return read_text(values).str.upper()


def no_rate_rule(code: str) -> str:
    """The rule that money in a currency without a rate breaks."""
    return f"the currency {code} has a rate (state `currencies: {{{code}: ...}}` in conf/icp.yaml)"


def _to_a_year(
    name: TableName,
    frame: pd.DataFrame,
    formats: TableFormat,
    remarks: Counter[tuple[str, str]],
) -> pd.DataFrame:
    """Bring the acv of deals to a year, by what `formats` says that it is for; bad terms."""
    if name != "deals" or formats.acv_per == "year":
        return _faults([])
    if formats.acv_per == "month":
        frame["acv"] *= 12
        remarks["acv_annualised", "acv"] = int(frame["acv"].notna().sum())
        return _faults([])
    terms = {TERM_MONTHS: 1.0, TERM_YEARS: 12.0}
    column = next((column for column in terms if column in frame.columns), None)
    if column is None:
        return _faults([])
    given = frame[column]
    months = read_number(given, formats.of(column)) * terms[column]
    is_term = months > 0
    remarks["acv_annualised", column] = int((is_term & (months != 12) & frame["acv"].notna()).sum())
    frame["acv"] = frame["acv"].where(~is_term, frame["acv"] * 12 / months)
    wrong = given[read_text(given, formats.of(column)).notna() & ~is_term]
    return _fault_lines(wrong, column, f"{column} is a number above 0")


def _to_bills_of_months(frame: pd.DataFrame, formats: TableFormat, place: str) -> pd.DataFrame:
    """Bring ARR to a month, and bills to the month in which they begin; bad times of bills.

    For how many months a bill is stands then under `_COVERED`.
    """
    if formats.mrr_per == "year":
        frame["mrr"] /= 12
    if formats.spread is None:
        return _faults([])
    if isinstance(formats.spread, str) and formats.spread not in frame.columns:
        raise DataError(
            f"{place}: tables.revenue has `spread: {formats.spread}`, and no column "
            f"`{formats.spread}`; map it under tables.revenue.columns: "
            f"`{formats.spread}: <your column>`"
        )
    frame[_COVERED] = months_covered(frame, formats.spread, formats)
    frame["month"] = first_of_month(frame["month"])
    unknown = frame.loc[frame[_COVERED].isna() & frame["month"].notna()]
    rules = {
        MONTHS: "months is a number from 1 to 120",
        UNTIL: "until is a day after the first one, at most 120 months",
    }
    if not isinstance(formats.spread, str):
        return _faults([])
    return _fault_lines(unknown[formats.spread], formats.spread, rules[formats.spread])


def _as_bills(frame: pd.DataFrame, formats: TableFormat) -> pd.DataFrame:
    """The frame as its rules see it: a credit note is a bill below 0."""
    return frame.assign(mrr=frame["mrr"].abs()) if formats.spread else frame


def _spread(good: pd.DataFrame, day: date | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bills over their months, added up; and faults for months with more credit than bills."""
    rows = spread_over_months(good, good[_COVERED])
    rows = rows[rows["month"] <= last_billed(good["month"], day)]
    # What a bill is for says nothing of a month.
    rows = rows.drop(columns=[_COVERED, MONTHS, UNTIL], errors="ignore")
    months = _added_up(rows)
    months["mrr"] = without_dust(months["mrr"])
    below = months[months["mrr"] < 0]
    told = [
        f"{account} {month:%Y-%m}: {mrr:.10g}"
        for account, month, mrr in zip(
            below["account_id"], below["month"], below["mrr"], strict=True
        )
    ]
    # A month is of several bills; the account's first one stands for it.
    firsts = pd.Series(good.index, index=good["account_id"]).groupby(level=0).first()
    values = pd.Series(told, index=firsts.loc[below["account_id"]].to_numpy(), dtype="object")
    faults = _fault_lines(values, "mrr", "bills of a month are not below 0 together")
    return months[months["mrr"] >= 0], faults


def _column(frame: pd.DataFrame, column: str) -> pd.Series:
    if column in frame.columns:
        return frame[column]
    return pd.Series(None, index=frame.index, dtype="str")


def _without_repeats(raw: pd.DataFrame, contract: TableContract) -> pd.DataFrame:
    """Signals may repeat (two tickets on one day); a repeated row of a keyed table says nothing."""
    if not contract.key:
        return raw.copy()
    return raw[~raw.astype("str").duplicated()].copy()


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
