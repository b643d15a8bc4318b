"""Diff: what changed from one version's ICP to another's, and which accounts moved tier."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from icploop.domain.profile import Line, Refusal
from icploop.domain.profile_diff import Change, changes, moves
from icploop.domain.tiers import percentile_against
from icploop.modeling.accounts.market import Sight
from icploop.modeling.scoring.version import IcpVersion
from icploop.pipelines.as_of import AsOf
from icploop.settings import Attribute


@dataclass(frozen=True)
class DiffReport:
    """The changed lines, the change of cutoff, and who moved (index account_id, with names).

    `attributes` are those of both versions, for words; `accounts` says of how many it was asked.
    """

    old: str
    new: str
    as_of: date
    changes: list[Change]
    cutoffs: tuple[int, int]
    moves: pd.DataFrame
    accounts: int
    attributes: dict[str, Attribute]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "old": self.old,
            "new": self.new,
            "as_of": self.as_of.isoformat(),
            "lines": [
                {
                    "section": change.section,
                    "kind": change.kind,
                    "old": _plain(change.old),
                    "new": _plain(change.new),
                }
                for change in self.changes
            ],
            "cutoff": {"old": self.cutoffs[0], "new": self.cutoffs[1]},
            "accounts": self.accounts,
            "moved": self.moves.reset_index(names="account_id").to_dict(orient="records"),
        }


def diff(at: AsOf, old: str, new: str) -> DiffReport:
    """Compare two versions on every account that the day knows. Raises UsageError for neither."""
    (before, older), (after, newer) = at.version(old), at.version(new)
    first, second = (tiers(at.sight, version) for version in (before, after))
    names = at.seen.accounts.groupby("account_id")["name"].last()
    moved = moves(first, second)
    return DiffReport(
        old=older,
        new=newer,
        as_of=at.day,
        changes=changes(before.profile, after.profile),
        cutoffs=(before.profile.cutoff, after.profile.cutoff),
        moves=moved.assign(name=names.reindex(moved.index).fillna("")),
        accounts=len(first),
        attributes={a.name: a for a in (*before.attributes, *after.attributes)},
    )


def tiers(sight: Sight, version: IcpVersion) -> pd.Series:
    """The tier of every account that the day knows, indexed by account_id."""
    features = sight.everybody(version.attributes)
    ranked = version.ranked(features).to_numpy()
    fit_score = pd.Series(percentile_against(version.reference, ranked), index=features.index)
    return version.tier(features, fit_score)


def _plain(line: Line | Refusal | None) -> dict[str, Any] | None:
    if line is None:
        return None
    points = (
        {"points": line.points, "weight": line.weight}
        if isinstance(line, Line)
        else {"reason": line.reason, "why": list(line.why)}
    )
    e = line.evidence
    return {
        "line": line.predicate.code(),
        **points,
        "accounts": e.accounts,
        "of": e.of,
        "nrr": None if pd.isna(e.nrr) else e.nrr,
        "nrr_outside": None if pd.isna(e.nrr_outside) else e.nrr_outside,
    }
