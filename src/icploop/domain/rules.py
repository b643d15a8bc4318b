"""The rules that the rows of a canonical table must keep, held against a frame by pandera."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from icploop.domain.tables import CONTRACTS
from icploop.settings import TableName


def broken_rules(
    name: TableName, frame: pd.DataFrame, max_money: float, only: str | None = None
) -> pd.DataFrame:
    """The rules of a table that rows of a typed frame broke: row (index), column, rule, value.

    `max_money` bounds acv, acquisition cost and MRR (company currency). With `only` the rules that
    look at this column alone.
    """
    schema = _schema(name, max_money)
    if only is not None:
        schema = pa.DataFrameSchema({only: schema.columns[only]})
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        return _from_pandera(error.failure_cases, frame)
    return pd.DataFrame(columns=["row", "column", "rule", "value"], dtype="object")


def _schema(name: TableName, max_money: float) -> pa.DataFrameSchema:
    contract = CONTRACTS[name]
    checks = _value_rules(max_money)
    required = set(contract.required) - {"closed_at"}
    return pa.DataFrameSchema(
        {
            column: pa.Column(nullable=column not in required, checks=checks.get(column, []))
            for column in contract.columns
        },
        checks=_row_rules() if name == "deals" else [],
    )


def _value_rules(max_money: float) -> dict[str, list[pa.Check]]:
    def money(column: str) -> list[pa.Check]:
        return [
            pa.Check.ge(0, error=f"{column} >= 0"),
            pa.Check.le(max_money, error=f"{column} <= ingest.max_money ({max_money:g})"),
        ]

    plausible = "between 1970 and 2200"
    earliest, latest = pd.Timestamp(1970, 1, 1), pd.Timestamp(2200, 1, 1)
    moments = {
        column: [pa.Check.in_range(earliest, latest, error=f"{column} is {plausible}")]
        for contract in CONTRACTS.values()
        for column in contract.moments
    }
    first_day = pa.Check(
        lambda month: (month.dt.day == 1) & (month == month.dt.normalize()),
        error="month is the first day of a month",
    )
    return {
        **moments,
        "month": [*moments["month"], first_day],
        "mrr": money("mrr"),
        "acv": money("acv"),
        "acquisition_cost": money("acquisition_cost"),
        "gross_margin": [pa.Check.in_range(0, 1, error="gross_margin is between 0 and 1")],
        "outcome": [
            pa.Check.isin(["won", "lost", "open"], error="outcome is won, lost or open"),
        ],
    }


def _row_rules() -> list[pa.Check]:
    def closed_when_decided(deals: pd.DataFrame) -> pd.Series:
        return deals["closed_at"].notna() | ~deals["outcome"].isin(["won", "lost"])

    def closed_after_creation(deals: pd.DataFrame) -> pd.Series:
        # By day: sources often know the close to the day and the creation to the second. A day
        # that stands beside a moment may be that of another time zone.
        closed, created = deals["closed_at"].dt.normalize(), deals["created_at"].dt.normalize()
        is_a_day = (closed == deals["closed_at"]) & (created != deals["created_at"])
        return ~(closed < created - pd.to_timedelta(is_a_day.astype("int64"), unit="D"))

    return [
        pa.Check(closed_when_decided, error="closed_at is given unless the deal is open"),
        pa.Check(closed_after_creation, error="closed_at is not before created_at"),
    ]


def _from_pandera(cases: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """One fault a row and rule, in our words; pandera reports row rules once for each column."""
    lines = pd.DataFrame({"row": cases["index"], "rule": cases["check"].astype("str")})
    lines["column"] = cases["column"].astype("str")
    of_row = cases["schema_context"].to_numpy() == "DataFrameSchema"
    lines.loc[of_row, "column"] = lines.loc[of_row, "rule"].str.split(" ").str[0]
    empty = lines["rule"] == "not_nullable"
    lines.loc[empty, "rule"] = lines.loc[empty, "column"] + " is given"
    lines = lines.drop_duplicates(["row", "rule"])
    lines["value"] = [
        frame.loc[row, column] if column in frame.columns else None
        for row, column in zip(lines["row"], lines["column"], strict=True)
    ]
    return lines
