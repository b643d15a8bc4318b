"""Score a file of accounts, and draw up the target account list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from icploop.domain.calendar import last_moment, seen_by
from icploop.domain.identity import families
from icploop.domain.outcomes import of_motion, outcomes
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Rules
from icploop.domain.tables import Tables, read_text
from icploop.errors import DataError
from icploop.io import registry
from icploop.io.frames import read_in_parts, writer_to
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.modeling.features import attributes_at, attributes_in
from icploop.modeling.hypothesis import HYPOTHESIS_VERSION, HypothesisIcp
from icploop.modeling.rivals import HypothesisScore
from icploop.modeling.rounds import capacity_share, prospects
from icploop.modeling.target_list import draw_up
from icploop.modeling.version import IcpVersion
from icploop.pipelines.show import describe_version
from icploop.settings import Settings

Progress = Callable[[int], None]


@dataclass(frozen=True)
class ScoreReport:
    """How many accounts were scored, by tier, with which version, and where they are.

    `unreadable` counts by attribute the cells that could not be read by its kind and count as
    missing; `absent` names the attributes that the file does not have at all.
    """

    version: str
    rows: int
    tiers: dict[str, int]
    unreadable: dict[str, int]
    absent: tuple[str, ...]
    out: str
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "icp_version": self.version,
            "rows": self.rows,
            "tiers": self.tiers,
            "unreadable_cells": self.unreadable,
            "absent_attributes": list(self.absent),
            "out": self.out,
            "note": self.note,
        }


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

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "icp_version": self.version,
            "listed": self.listed,
            "excluded": self.excluded,
            "out": self.out,
            "excluded_out": self.excluded_out,
            "note": self.note,
        }


def score_file(
    home: Home,
    motion: str,
    source: Path,
    target: Path,
    as_of: date,
    which: str = registry.CHAMPION,
    progress: Progress = lambda _: None,
) -> ScoreReport:
    """Score the accounts of a CSV or Parquet file, part by part, with the champion or another.

    Before there can be a champion, because too few customers have matured, it is the stated
    hypothesis that scores, and the report's note says so.

    The file has account_id and any of the declared attributes. Raises RefusedError without a
    champion and DataError for a file that cannot be read or has no account_id.
    """
    version, number, note = _version(home, motion, which, as_of)
    tiers: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    absent: tuple[str, ...] = ()
    rows = 0
    with writer_to(target) as write:
        for part in read_in_parts(source):
            if "account_id" not in part.columns:
                raise DataError(
                    f"{source} has no column `account_id` (found: {', '.join(part.columns)}); "
                    "rename the column that names the account"
                )
            part["account_id"] = read_text(part["account_id"])
            if part["account_id"].isna().any():
                row = rows + int(part["account_id"].isna().to_numpy().argmax()) + 1
                raise DataError(f"{source}: row {row} has no account_id; every account needs one")
            features = attributes_in(part, last_moment(as_of), version.attributes)
            scores = version.score_features(part["account_id"], features, as_of, number)
            write(scores)
            rows += len(scores)
            tiers.update(scores["tier"])
            unreadable.update(_unreadable(part, features))
            absent = tuple(name for name in features.columns if name not in part.columns)
            progress(rows)
    return ScoreReport(number, rows, dict(tiers), dict(unreadable), absent, str(target), note)


def target_list(
    home: Home, motion: str, target: Path, as_of: date, which: str = registry.CHAMPION
) -> ListReport:
    """Write the target account list, best first, and beside it who was left out and why.

    It is drawn up with the champion; another version shows what its list would be.

    It holds prospects only (no customers, past or present; no account with an open deal, unless
    `targets.open_deals` keeps them), one account of each parent, without anti-ICP and unknown ones,
    as many as capacity allows. A share of the places is drawn at random from the rest
    (`targets.explore`, marked in the column chosen_by), and of the champion's list it is kept with
    which chance each account could stand there, so that later rounds can be judged fairly.
    """
    settings = home.settings()
    version, number, note = _version(home, motion, which, as_of)
    warehouse = Warehouse(home.warehouse_file)
    seen = seen_by(warehouse.tables(), as_of)
    scores = score_accounts(seen, version, number, as_of)
    market = prospects(seen, motion)
    working = _with_open_deal(seen, motion) if settings.targets.open_deals == "leave_out" else set()
    left_out = _exclusions(scores, set(market), working)
    size = round(capacity_share(settings, seen, motion) * len(market))
    size = settings.capacity.accounts or max(size, 1)
    lineage = settings.lineage(motion)
    drawn = draw_up(
        scores[left_out.isna()], size, settings.targets, [settings.seed, lineage, as_of.isoformat()]
    )
    listed = drawn[drawn["listed"]].copy()
    left_out = left_out.fillna(drawn.loc[~drawn["listed"], "chosen_by"])
    if which == registry.CHAMPION:
        warehouse.log_list(lineage, number, as_of, drawn)
    excluded = scores.assign(excluded_because=left_out)[left_out.notna()]
    excluded_out = target.with_name(f"{target.stem}-excluded{target.suffix}")
    with writer_to(target) as write:
        listed.insert(0, "rank", range(1, len(listed) + 1))
        columns = ["rank", "account_id", "name", "domain", "chosen_by", *version.score_columns[1:]]
        write(listed[columns])
    with writer_to(excluded_out) as write:
        write(excluded[["account_id", "name", "domain", "tier", "fit_score", "excluded_because"]])
    counts = {str(k): int(v) for k, v in excluded["excluded_because"].value_counts().items()}
    head = listed.head(10)
    return ListReport(number, len(listed), counts, str(target), str(excluded_out), head, note)


def score_accounts(
    seen: Tables, version: IcpVersion | HypothesisIcp, number: str, as_of: date
) -> pd.DataFrame:
    """Scores of every account that the day knows, best first, with name, domain and parent."""
    ids = seen.accounts["account_id"].drop_duplicates().reset_index(drop=True)
    moments = pd.DataFrame({"account_id": ids, "at": last_moment(as_of)})
    features = attributes_at(seen.accounts, moments, version.attributes)
    scores = version.score_features(ids, features, as_of, number)
    # Like attributes: an empty cell of a later row says nothing.
    latest = seen.accounts.groupby("account_id")[["name", "domain"]].last()
    named = scores.assign(
        name=scores["account_id"].map(latest["name"]),
        domain=scores["account_id"].map(latest["domain"]),
        parent=scores["account_id"].map(families(seen.accounts)).fillna(scores["account_id"]),
    )
    return named.sort_values(
        ["fit_score", "account_id"], ascending=[False, True], kind="stable", ignore_index=True
    )


def _unreadable(given: pd.DataFrame, features: pd.DataFrame) -> dict[str, int]:
    """How many cells of each attribute are filled in but could not be read by its kind."""
    counts = {
        name: int((read_text(given[name]).notna() & features[name].isna()).sum())
        for name in features.columns.intersection(given.columns)
    }
    return {name: count for name, count in counts.items() if count}


def _version(
    home: Home, motion: str, which: str, as_of: date
) -> tuple[IcpVersion | HypothesisIcp, str, str]:
    """What scores, its name, and what must be said about it."""
    settings = home.settings()
    lineage = settings.lineage(motion)
    asks_for_champion = which == registry.CHAMPION and which not in registry.aliases(home, lineage)
    if asks_for_champion and settings.hypothesis:
        seen = seen_by(Warehouse(home.warehouse_file).tables(), as_of)
        matured = int(outcomes(seen, motion, settings.outcome)["matured"].sum())
        if matured < settings.policy.min_matured:
            return (
                _hypothesis(seen, settings, motion, as_of),
                HYPOTHESIS_VERSION,
                _mode(matured, settings),
            )
    number = describe_version(home, motion, which).number
    return registry.load(home, lineage, number), number, ""


def _hypothesis(seen: Tables, settings: Settings, motion: str, as_of: date) -> HypothesisIcp:
    moments = pd.DataFrame({"account_id": prospects(seen, motion), "at": last_moment(as_of)})
    features = attributes_at(seen.accounts, moments, settings.attributes)
    points = HypothesisScore(settings.hypothesis).predict(features)
    return HypothesisIcp(
        settings.hypothesis,
        settings.attributes,
        settings.tiers,
        np.sort(points.to_numpy()),
        Rules(
            tuple((Predicate.of_condition(must), 0, True) for must in settings.required),
            tuple(map(Predicate.of_condition, settings.exclusions)),
            cutoff=0,
        ),
    )


def _mode(matured: int, settings: Settings) -> str:
    return (
        f"Hypothesis mode: only {matured} customers have matured and a model asks for "
        f"{settings.policy.min_matured}, so these scores are the points of the hypothesis stated "
        "in conf/icp.yaml. Nothing is claimed about NRR or retention."
    )


def _with_open_deal(seen: Tables, motion: str) -> set[str]:
    deals = seen.deals[of_motion(seen.deals, motion)]
    return set(deals.loc[deals["outcome"] == "open", "account_id"])


def _exclusions(scores: pd.DataFrame, market: set[str], working: set[str]) -> pd.Series:
    """Why each account is not on the list; missing where it may be."""
    customers = set(scores["account_id"]) - market
    customer_parents = set(scores.loc[scores["account_id"].isin(customers), "parent"])
    ids = scores["account_id"]
    why = pd.Series(None, index=scores.index, dtype="str")
    for reason, applies in (
        ("customer, now or before", ids.isin(customers)),
        ("open deal", ids.isin(working)),
        ("anti-ICP", scores["tier"] == "anti"),
        ("too little is known", scores["tier"] == "unknown"),
        ("its parent is a customer", scores["parent"].isin(customer_parents)),
    ):
        why = why.mask(why.isna() & applies, reason)
    # Scores come best first, so the first account of a parent is its best.
    still_in = scores[why.isna()]
    sibling = still_in[still_in["parent"].duplicated()].index
    return why.mask(scores.index.isin(sibling), "another account of its parent is listed")
