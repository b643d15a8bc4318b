"""The target account list: whom sales should pursue, ranked, who is left out and why; a release."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from icploop.domain.outcomes import of_motion
from icploop.domain.overrides import EXCLUDE, INCLUDE, Override, in_force, of_companies
from icploop.io.frames import writer_to
from icploop.io.versions import CHAMPION
from icploop.io.warehouse import LISTING
from icploop.modeling.accounts.market import Sight
from icploop.modeling.scoring.target_list import OVERRIDDEN, by_decision, draw_up
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.score import score_accounts, version_of_day
from icploop.settings import Targets

# Who could stand on a published list, and with which chance.
_DRAW = "draw.parquet"
CUSTOMER = "customer, now or before"


@dataclass(frozen=True)
class ListReport:
    """The target account list: how long it is, and how many accounts were excluded and why."""

    version: str
    listed: int
    excluded: dict[str, int]
    out: str
    excluded_out: str
    head: pd.DataFrame
    note: str = ""
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "icp_version": self.version,
            "listed": self.listed,
            "excluded": self.excluded,
            "out": self.out,
            "excluded_out": self.excluded_out,
            "note": self.note,
            "warnings": list(self.warnings),
        }


def target_list(at: AsOf, target: Path, which: str = CHAMPION) -> ListReport:
    """Write the target account list, best first, and beside it who was left out and why.

    It is drawn up with the champion; another version shows what its list would be.

    It holds prospects only (no customers, past or present; no account with an open deal, unless
    `targets.open_deals` keeps them), one account of each parent, without anti-ICP and unknown ones,
    as many as capacity allows. A share of the places is drawn at random from the rest
    (`targets.explore`, marked in the column chosen_by), and of the champion's list it is kept with
    which chance each account could stand there, so that later rounds can be judged fairly.

    What people decided in conf/overrides.csv goes before score, tier, open deal and parent, as long
    as it has not expired; a customer stays off the list all the same.
    """
    drawn = _drawn_up(at, which)
    excluded_out = target.with_name(f"{target.stem}-excluded{target.suffix}")
    _write_list(drawn, target, excluded_out)
    if which == CHAMPION:
        log_list(at, drawn)
    reasons = drawn.excluded["excluded_because"].value_counts()
    return ListReport(
        drawn.version,
        len(drawn.listed),
        {str(why): int(count) for why, count in reasons.items()},
        str(target),
        str(excluded_out),
        drawn.listed.head(10),
        drawn.note,
        (*_of_usual_length(len(drawn.listed), at.settings.targets), *drawn.warnings),
    )


@dataclass(frozen=True)
class DrawnList:
    """A target list: scores of all accounts, who is listed, who was left out and why, the draw."""

    version: str
    note: str
    scores: pd.DataFrame
    listed: pd.DataFrame
    excluded: pd.DataFrame
    draw: pd.DataFrame
    score_columns: tuple[str, ...]
    warnings: tuple[str, ...]
    same_as: Mapping[str, str]


def write_release(at: AsOf, folder: Path, which: str) -> None:
    """Write what a version publishes into a folder: the scores of all accounts and its list.

    The scores have a row for each duplicate too, so that a CRM shows a company's score on each of
    its records; the list has each company once.
    """
    drawn = _drawn_up(at, which)
    twice = pd.DataFrame({"again": list(drawn.same_as), "account_id": list(drawn.same_as.values())})
    again = twice.merge(drawn.scores, on="account_id").drop(columns="account_id")
    scores = pd.concat([drawn.scores, again.rename(columns={"again": "account_id"})])
    with writer_to(folder / "scores.parquet") as write:
        write(scores[["account_id", "name", "domain", *drawn.score_columns[1:]]])
    _write_list(drawn, folder / "targets.csv", folder / "targets-excluded.csv")
    with writer_to(folder / _DRAW) as write:
        write(drawn.draw[list(LISTING)])


def what_would_be_listed(at: AsOf, which: str) -> pd.DataFrame:
    """Scores of every account, best first, with `why` it would not be listed; missing if it would.

    Nothing is written or kept.
    """
    drawn = _drawn_up(at, which)
    return drawn.scores.assign(why=drawn.excluded["excluded_because"])


def log_release(at: AsOf, folder: Path, version: str) -> None:
    """From now on sales work the list of a release, and later rounds must know it."""
    with pq.ParquetFile(folder / _DRAW) as file:
        draw = file.read().to_pandas()
    at.warehouse.log_list(at.lineage, version, at.day, draw)


def log_list(at: AsOf, drawn: DrawnList) -> None:
    """Keep with which chance each account could stand on the list that sales get on a day."""
    at.warehouse.log_list(at.lineage, drawn.version, at.day, drawn.draw)


def _write_list(drawn: DrawnList, target: Path, excluded_out: Path) -> None:
    chosen = ["rank", "account_id", "name", "domain", "chosen_by", "override"]
    with writer_to(target) as write:
        write(drawn.listed[[*chosen, *drawn.score_columns[1:]]])
    why = ["account_id", "name", "domain", "tier", "fit_score", "excluded_because", "override"]
    with writer_to(excluded_out) as write:
        write(drawn.excluded[why])


def _drawn_up(at: AsOf, which: str) -> DrawnList:
    found, settings, sight = version_of_day(at, which), at.settings, at.sight
    scores = score_accounts(sight, found.version, found.number)
    working = _with_open_deal(sight) if settings.targets.open_deals == "leave_out" else set()
    stated = of_companies(at.home.overrides(), sight.seen.same_as)
    overrides = in_force(stated, at.day)
    said = scores["account_id"].map({a: str(o) for a, o in overrides.items()})
    scores["override"] = said.astype("str")
    decision = scores["account_id"].map({a: o.decision for a, o in overrides.items()})
    left_out = _exclusions(scores, set(sight.prospects), working, decision)
    size = round(sight.capacity * len(sight.prospects))
    size = settings.capacity.accounts or max(size, 1)
    seed = [settings.seed, at.lineage, at.day.isoformat()]
    included = (decision == INCLUDE) & left_out.isna()
    free = scores[left_out.isna() & ~included]
    draw = pd.concat(
        [
            by_decision(scores[included | (left_out == OVERRIDDEN)], included),
            draw_up(free, max(size - int(included.sum()), 0), settings.targets, seed),
        ]
    ).sort_index()
    listed = draw[draw["listed"]].copy()
    listed.insert(0, "rank", range(1, len(listed) + 1))
    left_out = left_out.fillna(draw.loc[~draw["listed"], "chosen_by"])
    return DrawnList(
        found.number,
        found.note,
        scores,
        listed,
        scores.assign(excluded_because=left_out)[left_out.notna()],
        draw,
        tuple(found.version.score_columns),
        tuple(_unused(stated, overrides, scores, left_out)),
        sight.seen.same_as,
    )


def _of_usual_length(listed: int, targets: Targets) -> Iterator[str]:
    shortest, longest = targets.band
    if not shortest <= listed <= longest:
        yield (
            f"The list has {listed} accounts, {'fewer' if listed < shortest else 'more'} than the "
            f"{shortest} to {longest} of targets.band; its length follows capacity"
        )


def _unused(
    stated: Collection[Override],
    overrides: Mapping[str, Override],
    scores: pd.DataFrame,
    left_out: pd.Series,
) -> Iterator[str]:
    """What conf/overrides.csv says without effect."""
    if expired := [known.account_id for known in stated if known.account_id not in overrides]:
        yield f"Expired in conf/overrides.csv: {_some(expired)}"
    known_ids = set(scores["account_id"])
    if unknown := [account for account in overrides if account not in known_ids]:
        yield f"No account is named as conf/overrides.csv says: {_some(unknown)}"
    wanted = scores["account_id"].isin(
        [account for account, said in overrides.items() if said.decision == INCLUDE]
    )
    if refused := scores.loc[wanted & left_out.notna(), "account_id"].tolist():
        yield f"Customers stay off the list, whatever conf/overrides.csv says: {_some(refused)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _with_open_deal(sight: Sight) -> set[str]:
    deals = sight.seen.deals[of_motion(sight.seen.deals, sight.motion)]
    return set(deals.loc[deals["outcome"] == "open", "account_id"])


def _exclusions(
    scores: pd.DataFrame, market: set[str], working: set[str], decision: pd.Series
) -> pd.Series:
    """Why each account is not on the list; missing where it may be."""
    included = decision == INCLUDE
    customers = set(scores["account_id"]) - market
    customer_parents = set(scores.loc[scores["account_id"].isin(customers), "parent"])
    ids = scores["account_id"]
    why = pd.Series(None, index=scores.index, dtype="str")
    for reason, applies in (
        (CUSTOMER, ids.isin(customers)),
        (OVERRIDDEN, decision == EXCLUDE),
        ("open deal", ids.isin(working) & ~included),
        ("anti-ICP", (scores["tier"] == "anti") & ~included),
        ("too little is known", (scores["tier"] == "unknown") & ~included),
        ("its parent is a customer", scores["parent"].isin(customer_parents) & ~included),
    ):
        why = why.mask(why.isna() & applies, reason)
    # Scores come best first, so the first account of a parent is its best; who was decided for
    # comes before.
    still_in = scores.loc[(~included[why.isna()]).sort_values(kind="stable").index]
    sibling = still_in.index[still_in["parent"].duplicated() & ~included[still_in.index]]
    return why.mask(scores.index.isin(sibling), "another account of its parent is listed")
