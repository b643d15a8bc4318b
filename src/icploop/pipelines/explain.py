"""Explain: one account on one screen, as of a day."""

from __future__ import annotations

import difflib
import math
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

from icploop.domain.outcomes import outcomes
from icploop.domain.tables import Tables
from icploop.errors import RefusedError, UsageError
from icploop.io.versions import CHAMPION
from icploop.modeling.insight.explanation import (
    EmptyField,
    FieldWorth,
    likeness,
    worth_asking,
    worth_of_fields,
)
from icploop.modeling.scoring.hypothesis import HypothesisIcp
from icploop.modeling.scoring.version import IcpVersion
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.score import version_of_day
from icploop.settings import Outcome

_NEIGHBOURS = 5


@dataclass(frozen=True)
class Neighbour:
    """A customer that the model can hardly tell from the account.

    `likeness` (0..1) is the share of the model's trees that cannot tell them apart, `won` the day
    of the sale, `nrr` a ratio, None while it has not matured, and `outcome` says it in words.
    """

    account_id: str
    name: str
    likeness: float
    won: str
    nrr: float | None
    outcome: str


@dataclass(frozen=True)
class ExplainReport:
    """An account's scores by column, what each field is worth, who is like it, what to ask."""

    account_id: str
    name: str
    version: str
    as_of: str
    scores: dict[str, Any]
    fields: tuple[FieldWorth, ...]
    neighbours: tuple[Neighbour, ...]
    empty: tuple[EmptyField, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)


def explain(at: AsOf, account: str, which: str = CHAMPION) -> ExplainReport:
    """Explain the account with an id, or else a domain or name, with the champion or another.

    Raises UsageError where there is no such account, or more than one, and RefusedError without a
    version that has learned from customers.
    """
    found = version_of_day(at, which)
    version, seen = found.version, at.seen
    if isinstance(version, HypothesisIcp):
        raise RefusedError(f"{found.note} There is nothing more to explain; see `icp score`")
    account_id = _find(seen, seen.same_as.get(account, account), at.day)
    features = at.sight.everybody(version.attributes)
    one = features.loc[[account_id]]
    scores = version.score_features(pd.Series([account_id], one.index), one, at.day, found.number)
    row = {str(k): _plain(v) for k, v in scores.iloc[0].to_dict().items()}
    names = seen.accounts.groupby("account_id")["name"].last().dropna()
    return ExplainReport(
        account_id,
        str(names.get(account_id, "")),
        found.number,
        at.day.isoformat(),
        row,
        tuple(worth_of_fields(version, one)),
        tuple(_neighbours(at, version, one, names)),
        tuple(worth_asking(version, one, features.drop(index=account_id))),
    )


def _neighbours(
    at: AsOf, version: IcpVersion, one: pd.DataFrame, names: pd.Series
) -> list[Neighbour]:
    """The customers most like the account, as they were known when they were sold to."""
    sold = outcomes(at.seen, at.motion, version.outcome).set_index("account_id", drop=False)
    sold = sold[sold.index != one.index[0]].rename_axis(None)
    if sold.empty:
        return []
    features = at.sight.history.at(sold, version.attributes)
    alike = likeness(version.fit_model, one, features)
    order = alike.to_frame("alike").assign(id=alike.index.astype("str"))
    nearest = order.sort_values(["alike", "id"], ascending=[False, True]).head(_NEIGHBOURS)
    return [
        _neighbour(sold.loc[account], str(names.get(account, "")), float(how), version.outcome)
        for account, how in nearest["alike"].items()
    ]


def _neighbour(sale: pd.Series, name: str, alike: float, outcome: Outcome) -> Neighbour:
    nrr = float(sale["nrr"]) if sale["matured"] else None
    if nrr is None:
        did = f"has not been a customer for {outcome.horizon_months} months"
    elif nrr <= 0:
        did = "left"
    else:
        did = f"stayed, NRR {nrr:.0%}"
    won = pd.Timestamp(sale["at"]).date().isoformat()
    return Neighbour(str(sale["account_id"]), name, alike, won, nrr, did)


def _find(seen: Tables, account: str, as_of: date) -> str:
    accounts = seen.accounts[["account_id", "domain", "name"]]
    for column in accounts:
        same = accounts[column].astype("str").str.casefold() == account.casefold()
        found = accounts.loc[same, "account_id"].unique()
        if len(found) > 1:
            raise UsageError(
                f"{account!r} is the {column} of {len(found)} accounts; give an id: "
                f"{', '.join(map(str, found[:5]))}"
            )
        if len(found) == 1:
            return str(found[0])
    known = [str(v) for c in accounts for v in accounts[c].dropna().unique()]
    close = difflib.get_close_matches(account, known[:200_000], n=3)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    raise UsageError(f"No account has the id, domain or name {account!r} as of {as_of}{meant}")


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value
