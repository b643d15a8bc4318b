"""Leak detectors: does a column know what nobody could have known before the sale?

A column is called a leak when the interval of its evidence, widened for everything that was looked
at, lies wholly beyond what honest columns reach. So an honest company gets any alarm with a chance
of one in a hundred, however small it is, and a small company's weak leak may stay unnamed until
there are customers enough to prove it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import pandas as pd

from icploop.domain.findings import Finding
from icploop.modeling.accounts.coding import Texts
from icploop.modeling.accounts.features import TEXTS, AttributeHistory
from icploop.modeling.statistics.folds import folds_by_parent
from icploop.modeling.statistics.intervals import (
    Interval,
    auc,
    gap,
    rank_correlation,
    rank_correlation_given,
    share,
    z_among,
)
from icploop.modeling.trust.backfilled import Watched, backfilled, undated_share
from icploop.settings import Attribute, Kind

# The chance that a company without a leak gets an alarm.
ERROR = 0.01
# An empty cell can be honest news (no funding round yet), and then differs by up to 25 points.
HONEST_GAP = 0.25
# A slip of the pen puts a few dates after the sale.
HONEST_LATER = 0.05
# Before a sale nobody can tell who will stay this well: published and measured figures of whole
# models end at .75, single columns at .7.
HONEST_AUC = 0.75
HONEST_MODEL_AUC = 0.8
HONEST_CORRELATION = 0.6
COPY_AUC, COPY_CORRELATION = 0.9, 0.9
NEARLY_UNIQUE = 0.9
_FEWEST_NAMES = 30
# From this share of accounts on, siblings on both sides are more than an accident of records.
MOST_SHARED = 0.05
# How many intervals are looked at for each column.
_LOOKS = 12

Rule = Literal[
    "filled_for_won_only",
    "filled_by_outcome",
    "missingness",
    "filled_after_close",
    "changes_after_outcome",
    "tells_alone",
    "copy_of_outcome",
    "identifier",
    "time",
    "dated_after_sale",
    "shared_parent",
]

_OUT = "take it out of dimensions in conf/icp.yaml"
_DATED = f"{_OUT}, or give its history by observed_at"
_REMEDIES: dict[Rule, str] = {
    "filled_for_won_only": _DATED,
    "filled_by_outcome": _DATED,
    "missingness": _DATED,
    "filled_after_close": f"{_OUT}, or date every row by observed_at",
    "changes_after_outcome": f"{_OUT}, or date every row by observed_at",
    "tells_alone": _DATED,
    "copy_of_outcome": _DATED,
    "identifier": _OUT,
    "time": _OUT,
    "dated_after_sale": _DATED,
    "shared_parent": "give companies of one owner the same parent_id",
}


@dataclass(frozen=True)
class Leak:
    """A column that knows too much: the rule that it broke, the evidence, and the remedy."""

    attribute: str
    rule: Rule
    evidence: str

    def __str__(self) -> str:
        return f"Leak: `{self.attribute}` {self.evidence}; {_REMEDIES[self.rule]}."

    @property
    def finding(self) -> Finding:
        """As what makes a comparison invalid."""
        return Finding(f"leak_{self.rule}", "refusal", str(self))


@dataclass(frozen=True)
class Sales:
    """What the detectors look at: attribute frames at each prediction point, and what followed.

    `features` and `matured` (rows of `outcomes`) are of matured customers, by account_id;
    `deal_features` and `deals` (rows of `decided_deals`) of closed deals, by deal_id. `history`
    is that of all accounts, as seen.
    """

    features: pd.DataFrame
    matured: pd.DataFrame
    deal_features: pd.DataFrame
    deals: pd.DataFrame
    history: AttributeHistory


@dataclass(frozen=True)
class Leaks:
    """The leaks, at most one a column, and habits to mind that dated rows keep out."""

    leaks: tuple[Leak, ...] = ()
    notes: tuple[Finding, ...] = ()

    def but_for(self, allowed: Mapping[str, str]) -> tuple[list[Leak], list[Finding]]:
        """The leaks that nobody allowed, and a note for each that was (reasons by column)."""
        refused = [leak for leak in self.leaks if leak.attribute not in allowed]
        named = {leak.attribute: leak for leak in self.leaks}
        notes = [
            Finding("leak_allowed", "warning", f"Allowed, because {reason}: {named[column]}")
            if column in named
            else Finding(
                "leak_not_found",
                "note",
                f"`{column}` was allowed as a leak ({reason}), but none was found in it.",
            )
            for column, reason in allowed.items()
        ]
        return refused, notes


def find_leaks(sales: Sales, attributes: Sequence[Attribute], seed: int = 0) -> Leaks:
    """The declared attributes that look written after the fact, each with its plainest evidence."""
    z = z_among(_LOOKS * len(attributes), ERROR)
    fold = folds_by_parent(sales.matured["parent"], seed)
    deal_fold = folds_by_parent(sales.deals["parent"], seed)
    watched = Watched.of(sales.history, sales.deals, sales.matured["retained"])
    leaks, notes = [], []
    for attribute in attributes:
        late = list(backfilled(attribute, watched, z))
        written = (
            Leak(
                attribute.name,
                found.rule,
                f"{found.evidence}, and {found.undated:.0%} of the values that are used have no "
                "date",
            )
            for found in late
            if found.reaches_the_model
        )
        later = _dated_after_sale(attribute, sales, watched, z)
        evidence = chain(later, _of_column(attribute, sales, fold, deal_fold, z), written)
        first = next(evidence, None)
        if first:
            leaks.append(first)
        elif late:
            notes.append(
                Finding(
                    "backfilled",
                    "note",
                    f"Mind that `{attribute.name}` {late[0].evidence}; dated rows keep such values "
                    "out.",
                )
            )
    return Leaks(tuple(leaks), tuple(notes))


def too_good(scores: pd.Series, retained: pd.Series, forward: pd.Series) -> list[Finding]:
    """A refusal if fair scores separate retained from lost accounts too well to be true.

    `scores` are out of fold; `forward` those of newer accounts by a model of older ones. Where the
    rate of those who stay drifts, random folds know it of each time, and a column that stands for
    time looks like a seer: what looks forward does not, so both have to be too good.
    """
    level = z_among(1, ERROR)
    found, later = (
        auc(said, retained.loc[said.index] > 0, level) if len(said) else None
        for said in (scores, forward)
    )
    if found is None or later is None or not min(found.low, later.low) > HONEST_MODEL_AUC:
        return []
    return [
        Finding(
            "too_good",
            "refusal",
            f"Suspicious: the challenger's out-of-fold AUC for retention is {_figures(found)}, and "
            f"looking forward in time {_figures(later)}; what is known before a sale hardly ever "
            f"gives more than .75, so where all of both intervals is above {HONEST_MODEL_AUC} an "
            "attribute was probably written after the outcome",
        )
    ]


def best_alone(
    features: pd.DataFrame, retained: pd.Series, attributes: Sequence[Attribute], fold: np.ndarray
) -> list[tuple[str, float]]:
    """The attributes that tell most by themselves who stayed, best first, with their AUC."""
    stayed = retained > 0
    found = []
    for attribute in attributes:
        scores = _as_score(features[attribute.name], attribute.kind, stayed.astype(float), fold)
        known = scores.notna()
        alone = auc(scores[known], stayed[known], 1.0).estimate
        found.append((attribute.name, max(alone, 1 - alone)))
    return sorted((f for f in found if np.isfinite(f[1])), key=lambda f: (-f[1], f[0]))


def shared_groups(groups: pd.Series, fold: np.ndarray) -> pd.Series:
    """The accounts (index of `groups`) whose group has accounts in other folds too.

    Scores of such accounts come from a model that has seen their siblings. Accounts without a
    group stand alone.
    """
    known = groups[groups.notna()]
    folds = pd.Series(fold, index=groups.index).loc[known.index]
    return known[folds.groupby(known).transform("nunique") > 1]


def shared_parents(
    parents: pd.Series, families: pd.Series, seed: int
) -> tuple[list[Leak], list[Finding]]:
    """Whether companies of one family stand on both sides of training and holdout.

    `parents` are those that folds are dealt by, `families` what is known of owners and domains. Few
    torn apart are a note (the second value), many are a leak (the first).
    """
    fold = folds_by_parent(parents, seed)
    torn = shared_groups(parents, fold).index.union(shared_groups(families, fold).index)
    if torn.empty:
        return [], []
    part = len(torn) / len(parents)
    said = (
        f"keeps {len(torn)} of {len(parents)} customers ({part:.0%}) apart from others of their "
        "family, so some are judged by a model that has seen their siblings"
    )
    if part > MOST_SHARED:
        return [Leak("parent_id", "shared_parent", said)], []
    minded = f"Mind that `parent_id` {said}; {_REMEDIES['shared_parent']}."
    return [], [Finding("family_apart", "note", minded)]


def _of_column(
    attribute: Attribute, sales: Sales, fold: np.ndarray, deal_fold: np.ndarray, z: float
) -> Iterator[Leak]:
    """What speaks against a column, the plainest first."""
    name, kind = attribute.name, attribute.kind
    ours, deals = sales.features[name], sales.deal_features[name]
    yield from _identifier(name, kind, deals, sales.deals["account_id"], z)
    yield from _fills(name, ours, deals, sales, z)
    stayed, won = sales.matured["retained"] > 0, sales.deals["won"] > 0
    yield from _time(name, kind, deals, sales.deals["at"], deal_fold, z)
    yield from _tells(name, kind, ours, stayed, fold, "which customers stayed", z)
    yield from _copies(name, kind, ours, sales.matured, fold, z)
    yield from _tells(name, kind, deals, won, deal_fold, "which deals were won", z)


def _dated_after_sale(
    attribute: Attribute, sales: Sales, watched: Watched, z: float
) -> Iterator[Leak]:
    """A date that nobody knew at the sale, because it had not come yet.

    A date to come may have been known (the end of a contract with somebody else); a row that is
    dated before the sale proves that, so only values without a date count.
    """
    if attribute.kind != "date" or undated_share(attribute, watched) == 0:
        return
    ages = sales.deal_features[attribute.name].dropna().astype("float64")
    later = ages[ages < 0]
    found = share(len(later), len(ages), z)
    if found.low > HONEST_LATER:
        yield Leak(
            attribute.name,
            "dated_after_sale",
            f"lies after the deal's creation for {found.estimate:.0%} ({found.low:.0%} to "
            f"{found.high:.0%}, n = {found.n}), by {-later.median():.0f} days in the middle",
        )


def _fills(name: str, ours: pd.Series, deals: pd.Series, sales: Sales, z: float) -> Iterator[Leak]:
    """Being filled in tells the outcome."""
    filled, deal_filled = ours.notna(), deals.notna()
    stayed, won = sales.matured["retained"] > 0, sales.deals["won"] > 0
    grew = sales.matured["nrr"] > sales.matured.loc[stayed, "nrr"].median()
    pairs = (
        (deal_filled[won], deal_filled[~won], "won deals", "lost ones"),
        (filled[stayed], filled[~stayed], "the customers that stayed", "those that left"),
        (
            filled[stayed & grew],
            filled[stayed & ~grew],
            "the customers that grew most",
            "the others that stayed",
        ),
    )
    found = [(gap(one, other, z), one, other, who, whom) for one, other, who, whom in pairs]
    beyond = [row for row in found if row[0].lies_beyond(HONEST_GAP)]
    if not beyond:
        return
    widest, one, other, who, whom = max(beyond, key=lambda row: abs(row[0].estimate))
    rule: Rule = "filled_for_won_only" if who == "won deals" else "filled_by_outcome"
    # Where both sides have many, nobody withheld it: its emptiness is the news.
    rule = rule if min(one.mean(), other.mean()) < HONEST_GAP else "missingness"
    yield Leak(
        name,
        rule,
        f"is filled in for {one.mean():.0%} of {who} (n = {len(one)}) and {other.mean():.0%} of "
        f"{whom} (n = {len(other)}), a difference of {_figures(widest)}, so {_SO[rule]}",
    )


_SO: dict[Rule, str] = {
    "filled_for_won_only": "it was probably written after the deal was won",
    "filled_by_outcome": "it was probably written after the outcome",
    "missingness": "its emptiness is the signal, not its values",
}


def _tells(
    name: str,
    kind: Kind,
    values: pd.Series,
    is_one: pd.Series,
    fold: np.ndarray,
    what: str,
    z: float,
) -> Iterator[Leak]:
    """The values alone tell the outcome too well."""
    scores = _as_score(values, kind, is_one.astype("float64"), fold)
    known = scores.notna()
    found = auc(scores[known], is_one[known], z)
    # A number may count against the outcome as well as for it; a level's mean cannot.
    if kind not in ("category", "set") and found.estimate < 0.5:
        found = Interval(1 - found.estimate, 1 - found.high, 1 - found.low, found.n)
    if found.low > HONEST_AUC:
        rule: Rule = "copy_of_outcome" if found.low > COPY_AUC else "tells_alone"
        how = "is nearly a copy of" if rule == "copy_of_outcome" else "tells by itself"
        yield Leak(name, rule, f"{how} {what}: AUC {_figures(found)}")


def _copies(
    name: str,
    kind: Kind,
    values: pd.Series,
    matured: pd.DataFrame,
    fold: np.ndarray,
    z: float,
) -> Iterator[Leak]:
    """The values follow NRR, or the revenue at the horizon beyond what it was at the start."""
    nrr = matured["nrr"].astype("float64")
    scores = _as_score(values, kind, nrr.clip(upper=2.0), fold)
    known = scores.notna() & nrr.notna()
    if not known.any():
        return
    found = rank_correlation(scores[known], nrr[known], z)
    of_end = rank_correlation_given(
        scores[known], matured.loc[known, "end_mrr"], matured.loc[known, "start_mrr"], z
    )
    for said, found_here in (("NRR", found), ("the revenue at the horizon", of_end)):
        if found_here.lies_beyond(HONEST_CORRELATION):
            near = abs(found_here.estimate) > COPY_CORRELATION
            how = "is nearly a copy of" if near else "follows"
            yield Leak(
                name,
                "copy_of_outcome",
                f"{how} {said}: rank correlation {_figures(found_here)}",
            )


def _identifier(
    name: str, kind: Kind, values: pd.Series, ids: pd.Series, z: float
) -> Iterator[Leak]:
    """Nearly every account has a value of its own, or a number that grows with the id."""
    known = pd.DataFrame({"value": values, "account": ids}).dropna().drop_duplicates("account")
    if kind in TEXTS:
        levels = Texts.of(known["value"]).levels(kind)
        members, distinct = sum(levels.values()), len(levels)
    else:
        members, distinct = len(known), known["value"].nunique()
    if members < _FEWEST_NAMES:
        return
    nearly_unique = distinct >= NEARLY_UNIQUE * members
    if kind in TEXTS:
        if nearly_unique:
            yield Leak(
                name,
                "identifier",
                f"has {distinct} different values in {members}: it names accounts instead of "
                "describing them",
            )
    elif kind == "number" and nearly_unique:
        found = rank_correlation(known["value"], _order_of(known["account"]), z)
        if found.lies_beyond(COPY_CORRELATION):
            yield Leak(
                name,
                "identifier",
                f"is a number that grows with account_id: rank correlation {_figures(found)}",
            )


def _order_of(ids: pd.Series) -> pd.Series:
    """Where each id stands among all: by the number in it where each has one, else as text."""
    digits = ids.str.extract(r"(\d+)\D*$")[0]
    return digits.astype("float64") if digits.notna().all() else ids.rank()


def _time(
    name: str, kind: Kind, values: pd.Series, at: pd.Series, fold: np.ndarray, z: float
) -> Iterator[Leak]:
    """The values say when the deal was created, and every prospect's deal is created now."""
    moment = (at - at.min()).dt.total_seconds() / 86_400
    scores = _as_score(values, kind, moment, fold)
    known = scores.notna()
    found = rank_correlation(scores[known], moment[known], z)
    if found.lies_beyond(COPY_CORRELATION):
        yield Leak(
            name,
            "time",
            f"tells when the deal was created (rank correlation {_figures(found)}), so it stands "
            "for time and for all that time changed",
        )


def _as_score(values: pd.Series, kind: Kind, target: pd.Series, fold: np.ndarray) -> pd.Series:
    """A number as it is; a level, or the members of a set, as the mean target of other folds.

    Missing where the value is, and where no other fold has its levels.
    """
    if kind not in TEXTS:
        return values.astype("float64")
    place, level, levels = _levels(values, kind)
    in_fold, asked = fold[place], target.to_numpy(dtype="float64")[place]
    shape = (int(fold.max()) + 1 if len(fold) else 0, levels)
    cell = in_fold * levels + level
    own = [
        np.bincount(cell, weights=weights, minlength=shape[0] * shape[1]).reshape(shape)
        for weights in (asked, None)
    ]
    total, count = (part.sum(axis=0) - part for part in own)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_all = total.sum(axis=1, keepdims=True) / count.sum(axis=1, keepdims=True)
    # Two accounts of a level are no proof: each mean is drawn to that of all.
    means = np.where(count > 0, (total + 2 * of_all) / (count + 2), np.nan)
    by_place = pd.Series(means[in_fold, level]).groupby(place)
    return pd.Series(by_place.mean().reindex(range(len(values))).to_numpy(), index=values.index)


def _levels(values: pd.Series, kind: Kind) -> tuple[np.ndarray, np.ndarray, int]:
    """Each level that an account has: the account's place, the level's number; and their count."""
    texts = Texts.of(values)
    members, text = texts.members(kind)
    many = np.bincount(text, minlength=len(texts.distinct))
    places = np.flatnonzero(texts.codes >= 0)
    codes = texts.codes[places]
    place = np.repeat(places, many[codes])
    # Where the members of each account's text begin, and how far on each of them is.
    begin = np.repeat((np.cumsum(many) - many)[codes], many[codes])
    onward = np.arange(len(place)) - np.repeat(np.cumsum(many[codes]) - many[codes], many[codes])
    # In the order in which they come, for sums over levels to be the same whatever is not there.
    level, levels = pd.factorize(pd.factorize(np.array(members, dtype=object))[0][begin + onward])
    return place, level, len(levels)


def _figures(found: Interval) -> str:
    return f"{found.estimate:.2f} ({found.low:.2f} to {found.high:.2f}, n = {found.n})"
