"""What was known when: rows with `observed_at` from single changes, and since when they suffice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from icploop.domain.calendar import last_moment

CHANGE_COLUMNS = ["id", "at", "field", "value"]

# So many of the deals must have found their account described when they were created.
_TRUSTED_SHARE = 0.9


@dataclass(frozen=True)
class HistoryReach:
    """Since when accounts are described as they were: `deals` created since, `earlier` ones before.

    `since` is None where there is no such day. `always` counts the deals whose account has only
    values without a date, which count as known always: nothing tells what was filled in later.
    """

    since: date | None
    deals: int
    earlier: int
    always: int


def states(changes: pd.DataFrame) -> pd.DataFrame:
    """What each record looked like after each of its changes.

    `changes` has `CHANGE_COLUMNS`: the id of a record, when a field took a value (UTC), the field,
    the value (text; None where it was emptied). Of two at one moment the later line holds. Columns
    of the result: id, observed_at, and one a field; a row a moment, sorted. A field is empty before
    its first change.
    """
    # An emptied cell must not be filled from before.
    told = changes.assign(value=changes["value"].fillna("").astype("str"))
    told = told.drop_duplicates(["id", "at", "field"], keep="last")
    by_moment = told.set_index(["id", "at", "field"])["value"].sort_index()
    wide = by_moment.unstack("field")  # noqa: PD010 - there is nothing to aggregate
    filled = wide.groupby(level="id", sort=False).ffill()
    plain = filled.mask(filled == "", None).reset_index().rename(columns={"at": "observed_at"})
    plain.columns.name = None
    return plain


def undone(
    current: pd.DataFrame, changes: pd.DataFrame, fields: list[str], since: pd.Timestamp
) -> pd.DataFrame:
    """All values of tracked fields as changes, from what they are now and what they replaced.

    `current` has id, created_at and the `fields`; `changes` has `CHANGE_COLUMNS` and `old`, the
    value before. The value before the first change, or the one that never changed, counts from the
    record's creation on, or from `since`, where tracking began later. Result: `CHANGE_COLUMNS`.
    """
    known = changes[changes["field"].isin(fields) & (changes["at"] >= since)]
    known = known.sort_values(["id", "field", "at"], kind="stable")
    now = current.melt(["id", "created_at"], fields, "field", "value")
    first = known.drop_duplicates(["id", "field"])[["id", "field", "old"]]
    # A first change from nothing has an `old` that is empty, and is a first change all the same.
    begun = now.merge(first, on=["id", "field"], how="left", indicator=True)
    begun["value"] = begun["value"].mask(begun["_merge"] == "both", begun["old"])
    begun["at"] = begun["created_at"].where(begun["created_at"] >= since, since)
    return pd.concat([begun[CHANGE_COLUMNS], known[CHANGE_COLUMNS]], ignore_index=True)


def reach(
    deals: pd.DataFrame, accounts: pd.DataFrame, snapshots_since: date | None = None
) -> HistoryReach:
    """Since when the history of accounts is trustworthy.

    The earliest day from which on 90 of 100 deals found a dated row of their account when they were
    created, or an undated one whose changes are kept since `snapshots_since`. A deal created before
    that day whose account has no earlier row has no attributes: what was filled in later is not
    used for it.
    """
    # A deal of the day on which snapshots began may be older than what they began with.
    seen = accounts.assign(first_seen=accounts["observed_at"])
    if snapshots_since is not None:
        seen["first_seen"] = seen["first_seen"].fillna(last_moment(snapshots_since))
    seen = seen.assign(undated=accounts["observed_at"].isna()).dropna(subset=["first_seen"])
    first = seen.groupby("account_id").agg({"first_seen": "min", "undated": "any"})
    told = deals.merge(first, on="account_id").sort_values("created_at", ignore_index=True)
    always = len(deals) - len(told)
    found = (told["first_seen"] <= told["created_at"]).astype("float64")
    # For each deal: the share among it and all that came later.
    share = found[::-1].expanding().mean()[::-1]
    enough = share[(share >= _TRUSTED_SHARE) & (found == 1)]
    if enough.empty:
        undated = int(told["undated"].sum())
        return HistoryReach(None, 0, len(told) - undated, always + undated)
    since = told.loc[enough.index[0], "created_at"].normalize()
    later = told["created_at"] >= since
    undated = int((told["undated"] & ~later).sum())
    earlier = int((~later).sum()) - undated
    return HistoryReach(since.date(), int(later.sum()), earlier, always + undated)
