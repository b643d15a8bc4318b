"""Clusters of customers with a reality check, and what each cluster is worth on a KPI card.

K-means finds clusters in anything, so two questions come before any answer. Is there anything to
divide? The spread within clusters is held against that in the same customers with each attribute
shuffled by itself, which keeps every attribute as it is and leaves nothing between them (the gap
statistic: Tibshirani, Walther and Hastie, J. R. Statist. Soc. B 63, 2001); this alone bounds false
finds at 5%. And does the division come back? Halves of the customers, divided anew, must agree with
the division of all (adjusted Rand index: Hubert and Arabie, J. Classification 2, 1985). "No stable
clusters" is a possible answer, and a common one.

Stability alone would not do as the check: where attributes have nothing to do with each other,
K-means still cuts along the one with the fewest levels, and does so every time. What none of this
tells is a gradient from clusters: small and large companies come back as two clusters although most
lie in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from icploop.domain.predicate import Predicate, in_words, levels_of
from icploop.domain.profile import kinds_of
from icploop.modeling.accounts.encoding import Encoding
from icploop.settings import Attribute

CLUSTER_COUNTS = (2, 3, 4, 5, 6)
SIGNIFICANT_AT = 0.05
# An adjusted Rand index of 0.65 is called moderate and 0.8 good (Steinley, Psychol. Methods 9,
# 2004); a division that people are to act on should be nearer to good.
STABLE_FROM = 0.75
# Attributes that barely hang together divide along one of them, which comes back and tells nothing
# but that attribute's levels.
FEWEST_ATTRIBUTES = 2
_VISIBLE_SHARE = 0.06  # of an attribute's spread between clusters (Cohen 1988: medium)
FEWEST_WITNESSES = 60
# A cluster of 5% still has 50 of them; more cost minutes and show nothing new.
MOST_WITNESSES = 1_000
FEWEST_IN_CLUSTER = 20
# Of divisions that gain about as much, the one with the fewest clusters is told.
_ABOUT_AS_GOOD = 0.9
_SHUFFLES = 39
_STARTS = 3
_HALVES = 15
# A difference of half a standard deviation is what one can see (Cohen 1988: medium).
_VISIBLE = 0.5
_MOST_TRAITS = 3
_Z_90 = 1.645


@dataclass(frozen=True)
class CountCheck:
    """How good a division into `clusters` is.

    `explained` is the share of the spread of attributes that lies between clusters (0..1), and
    `by_chance` what it is on average when attributes have nothing to do with each other; `p` is how
    often it is then as large. `stability` is the mean adjusted Rand index with divisions of random
    halves (1 is the same, 0 is chance), `attributes` how many attributes visibly differ between
    clusters, and `smallest` the size of the smallest cluster in independent customers.
    """

    clusters: int
    explained: float
    by_chance: float
    p: float
    stability: float
    attributes: int
    smallest: int

    @property
    def is_usable(self) -> bool:
        """Whether it is more than chance and than one attribute, comes back, has no splinters."""
        return (
            self.p <= SIGNIFICANT_AT
            and self.attributes >= FEWEST_ATTRIBUTES
            and self.stability >= STABLE_FROM
            and self.smallest >= FEWEST_IN_CLUSTER
        )

    @property
    def repeated_gain(self) -> float:
        """The gap of the gap statistic, as far as the division comes back."""
        return float(np.log((1 - self.by_chance) / (1 - self.explained))) * self.stability


@dataclass(frozen=True)
class Placement:
    """Where accounts stand among the clusters: the space of attributes and the centres in it."""

    encoding: Encoding
    center: pd.Series
    scale: pd.Series
    centres: np.ndarray

    def assign(self, features: pd.DataFrame) -> pd.Series:
        """The cluster (from 1) of the nearest centre, for each account of an attribute frame."""
        place = _scaled(_columns(self.encoding, features), self.center, self.scale)
        nearest = _nearest(place.fillna(0.0).to_numpy(), self.centres)
        return pd.Series(nearest + 1, index=features.index, name="cluster")


@dataclass(frozen=True)
class Clusters:
    """The clusters that stand the reality check, or none and why.

    `labels` numbers the cluster of each account from 1, the largest first; with `placement` other
    accounts find theirs. `p` is how often shuffled attributes divide as well. `checks` has one
    entry for each number of clusters, as far as it was looked at.
    """

    labels: pd.Series | None
    placement: Placement | None
    p: float | None
    checks: tuple[CountCheck, ...]
    reason: str

    @property
    def is_stable(self) -> bool:
        """Whether there are clusters to speak of."""
        return self.labels is not None


@dataclass(frozen=True)
class Trait:
    """An attribute in which a cluster differs: its value inside and outside, and in words.

    `inside` and `outside` are shares (0..1) for levels and flags, medians for numbers and ages.
    `effect` is the difference of means in standard deviations.
    """

    attribute: str
    text: str
    inside: float
    outside: float
    effect: float


@dataclass(frozen=True)
class Measure:
    """A KPI of a cluster with its 90% interval; `n` is how many accounts or deals tell it.

    The interval is missing where all of them have one parent.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class KpiCard:
    """What a cluster is worth, in four families of measures by name; None is not known.

    revenue_and_value: start_mrr (money per month), nrr, grr, retention (ratios), acv (money per
    year). product_fit: usage and review (mean of the values recorded), referrals_per_month.
    problem_severity: tickets_per_month, tickets_per_1000_mrr (per 1,000 of money billed),
    payment_failures_per_month, and each flag (share) or number (mean) of pain_proof by its label.
    operational_fit: cycle_days, win_rate (0..1), gross_margin (0..1), acquisition_cost (money).
    Months are months billed.
    """

    cluster: int
    accounts: int
    traits: tuple[Trait, ...]
    revenue_and_value: Mapping[str, Measure | None]
    product_fit: Mapping[str, Measure | None]
    problem_severity: Mapping[str, Measure | None]
    operational_fit: Mapping[str, Measure | None]


def find_clusters(
    features: pd.DataFrame,
    parents: pd.Series,
    attributes: Sequence[Attribute],
    *,
    seed: int,
    among: int = MOST_WITNESSES,
) -> Clusters:
    """The clusters of customers by their attributes, if there are any that come back.

    `features` is their attribute frame, `parents` has the same index. Siblings are one witness and
    share a cluster; clusters are sought `among` at most so many witnesses, at random. Each
    attribute weighs the same, however many levels it has; where it is missing it pulls nowhere.
    Shuffling needs up to 39 rounds and stops as soon as the answer is no (Besag and Clifford,
    Biometrika 78, 1991). The order of rows changes nothing.
    """
    # One thread adds up in one order, so the result is the same on every machine.
    with threadpool_limits(limits=1):
        return _find(features, parents, attributes, seed, among)


def kpi_cards(
    labels: pd.Series,
    features: pd.DataFrame,
    matured: pd.DataFrame,
    attributes: Sequence[Attribute],
    *,
    revenue: pd.DataFrame,
    signals: pd.DataFrame,
    deals: pd.DataFrame,
    deal_clusters: pd.Series | None = None,
) -> tuple[KpiCard, ...]:
    """One card for each cluster, in the order of their numbers.

    `labels` are the clusters of matured customers, `features` their attribute frame and `matured`
    their rows of `outcomes` (same index: account_id). `revenue` and `signals` are the tables as
    seen by the as-of day; signals count from the month of first billing. `deals` are rows of
    `decided_deals`, and `deal_clusters` the cluster of each (same index; see `Placement.assign`).
    Without it the customers' own deals are judged, and the win rate is not known.
    """
    life = _lives(matured, revenue, signals)
    if deal_clusters is None:
        won = deals[(deals["won"] == 1) & deals["account_id"].isin(labels.index)]
        deals, found = won, won["account_id"].map(labels)
    else:
        found = deal_clusters.loc[deals.index]
    traits = describe(labels, features, attributes)
    cards = []
    for number in sorted(traits):
        members = labels.index[labels == number].sort_values()
        ours = deals[(found == number).to_numpy(dtype=bool)]
        cards.append(
            KpiCard(
                cluster=number,
                accounts=len(members),
                traits=traits[number],
                revenue_and_value=_revenue_and_value(matured.loc[members], ours),
                product_fit=_product_fit(life.loc[members]),
                problem_severity=_problem_severity(life.loc[members])
                | _pains(features.loc[members], life.loc[members, "parent"], attributes),
                operational_fit=_operational_fit(ours, deal_clusters is not None),
            )
        )
    return tuple(cards)


def describe(
    labels: pd.Series, features: pd.DataFrame, attributes: Sequence[Attribute]
) -> dict[int, tuple[Trait, ...]]:
    """The few attributes in which each cluster differs most from all others, the largest first."""
    described = {}
    for number in sorted(labels.unique()):
        inside = (labels == number).loc[features.index].to_numpy(dtype=bool)
        traits = [
            trait
            for attribute in attributes
            if attribute.name in features
            and (trait := _trait(attribute, features[attribute.name], inside)) is not None
        ]
        ranked = sorted(traits, key=lambda trait: -abs(trait.effect))[:_MOST_TRAITS]
        # What differs most is named even where it differs little.
        described[int(number)] = tuple(
            trait for i, trait in enumerate(ranked) if i == 0 or abs(trait.effect) >= _VISIBLE
        )
    return described


def _find(
    features: pd.DataFrame,
    parents: pd.Series,
    attributes: Sequence[Attribute],
    seed: int,
    among: int,
) -> Clusters:
    ordered = features.sort_index(kind="stable")
    owners = parents.loc[ordered.index].to_numpy(dtype=str)
    names, witness_of = np.unique(owners, return_inverse=True)
    if len(names) < FEWEST_WITNESSES:
        more = FEWEST_WITNESSES - len(names)
        return _none(f"{len(names)} independent customers are too few; {more} more are needed")
    kinds = {name: kind for name, kind in kinds_of(attributes).items() if name in ordered}
    encoding = Encoding.learn(ordered, kinds)
    by_witness = _columns(encoding, ordered).groupby(witness_of, sort=True).mean()
    center, scale = _space(encoding, by_witness)
    everyone = _scaled(by_witness, center, scale)
    sought_among = _some(len(names), among, seed)
    gappy = everyone.iloc[sought_among]
    place = gappy.fillna(0.0).to_numpy()
    counts = [k for k in CLUSTER_COUNTS if k < len(np.unique(place, axis=0))]
    if not counts:
        return _none("all customers have the same attributes, as far as these are known")
    divisions = {k: _divide(place, k, seed) for k in counts}
    spread = _spread(divisions.values())
    blocks = _blocks(encoding, gappy)
    shuffled, p = _shuffled_spreads(gappy, blocks, counts, spread, seed)
    if p > SIGNIFICANT_AT:
        return _none("attributes shuffled by themselves divide the customers as well", p)
    checks = _checks(place, blocks, divisions, shuffled, seed)
    usable = [check for check in checks if check.is_usable]
    if not usable:
        return _none("attributes hang together, but no division of them comes back", p, checks)
    best = max(check.repeated_gain for check in usable)
    chosen = next(check for check in usable if check.repeated_gain >= _ABOUT_AS_GOOD * best)
    division = divisions[chosen.clusters]
    of_witness = _nearest(everyone.fillna(0.0).to_numpy(), division.centres)
    of_witness[sought_among] = division.labels
    labels = pd.Series(of_witness[witness_of] + 1, index=ordered.index, name="cluster")
    return Clusters(
        labels.loc[features.index],
        Placement(encoding, center, scale, division.centres),
        p,
        checks,
        f"{chosen.clusters} clusters",
    )


def _some(witnesses: int, among: int, seed: int) -> np.ndarray:
    """The witnesses among whom clusters are sought: all, or so many as show any that are there."""
    if witnesses <= among:
        return np.arange(witnesses)
    drawn = np.random.default_rng(seed).choice(witnesses, among, replace=False)
    return np.sort(drawn)


def _none(reason: str, p: float | None = None, checks: tuple[CountCheck, ...] = ()) -> Clusters:
    return Clusters(None, None, p, checks, reason)


def _columns(encoding: Encoding, features: pd.DataFrame) -> pd.DataFrame:
    """One column for each level, flag and number; missing where the attribute is."""
    encoded = encoding.linear(features)
    known = {name: features[name].notna() for name in encoding.kinds}
    return pd.DataFrame(
        {
            column: encoded[column].where(known[name])
            for name in encoding.kinds
            for column in _plain_columns(encoding, name)
        },
        index=features.index,
    )


def _plain_columns(encoding: Encoding, name: str) -> list[str]:
    """Without squares and steps, which help a regression but count a number several times."""
    kind = encoding.kinds[name]
    if kind in ("category", "set"):
        return [f"{name}={level}" for level in encoding.levels[name]]
    return [f"{name}=yes"] if kind == "flag" else [f"{name}=scale"]


def _space(encoding: Encoding, by_witness: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The centre of each column, and the spread of its attribute; without those that never vary."""
    variance = by_witness.var(ddof=0).fillna(0.0)
    attribute = variance.index.map(encoding.attribute_of)
    total = variance.groupby(attribute).transform("sum")
    varies = total > 1e-9
    return by_witness.mean()[varies], total[varies].pow(0.5)


def _scaled(columns: pd.DataFrame, center: pd.Series, scale: pd.Series) -> pd.DataFrame:
    return (columns[center.index] - center) / scale


def _blocks(encoding: Encoding, place: pd.DataFrame) -> list[np.ndarray]:
    """The positions of the columns of each attribute."""
    attribute = np.array([encoding.attribute_of(column) for column in place.columns])
    return [np.flatnonzero(attribute == name) for name in np.unique(attribute)]


@dataclass(frozen=True)
class _Division:
    """A division by K-means: who is where, the centres, and the squares within clusters."""

    labels: np.ndarray
    centres: np.ndarray
    within: float


def _divide(place: np.ndarray, clusters: int, seed: int) -> _Division:
    """The best of a few K-means from different starts, the largest cluster first."""
    from sklearn.cluster import k_means  # noqa: PLC0415

    centres, labels, within = k_means(place, clusters, n_init=_STARTS, random_state=seed)
    order = np.argsort(-np.bincount(labels, minlength=clusters), kind="stable")
    return _Division(np.argsort(order)[labels], centres[order], float(within))


def _spread(divisions: Iterable[_Division]) -> np.ndarray:
    """The logarithm of the squares within clusters; a division without any is as good as one."""
    return np.log(np.maximum([division.within for division in divisions], 1e-9))


def _nearest(place: np.ndarray, centres: np.ndarray) -> np.ndarray:
    squares = (centres**2).sum(axis=1) - 2 * place @ centres.T
    return squares.argmin(axis=1)


def _shuffled_spreads(
    gappy: pd.DataFrame,
    blocks: Sequence[np.ndarray],
    counts: Sequence[int],
    spread: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, float]:
    """The spread within clusters of shuffled attributes (rounds, counts), and the p of ours.

    What is compared is the sum over all numbers of clusters. The p is that of a sequential test:
    rounds end once so many divide as well that the answer can only be no.
    """
    rng = np.random.default_rng(seed)
    values = gappy.to_numpy()
    allowed = int(SIGNIFICANT_AT * (_SHUFFLES + 1)) - 1
    rounds: list[np.ndarray] = []
    as_good = 0
    while len(rounds) < _SHUFFLES and as_good <= allowed:
        mixed = np.nan_to_num(_shuffled(values, blocks, rng))
        rounds.append(_spread(_divide(mixed, k, seed) for k in counts))
        as_good += bool(rounds[-1].sum() <= spread.sum() + 1e-9)
    p = as_good / len(rounds) if as_good > allowed else (as_good + 1) / (_SHUFFLES + 1)
    return np.array(rounds), p


def _shuffled(
    values: np.ndarray, blocks: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Each attribute shuffled among those that have it, so that gaps stay where they are."""
    mixed = values.copy()
    for columns in blocks:
        known = np.flatnonzero(~np.isnan(values[:, columns[0]]))
        mixed[np.ix_(known, columns)] = values[np.ix_(rng.permutation(known), columns)]
    return mixed


def _checks(
    place: np.ndarray,
    blocks: Sequence[np.ndarray],
    divisions: Mapping[int, _Division],
    shuffled: np.ndarray,
    seed: int,
) -> tuple[CountCheck, ...]:
    total = float(((place - place.mean(axis=0)) ** 2).sum())
    return tuple(
        CountCheck(
            clusters=k,
            explained=1 - division.within / total,
            by_chance=1 - float(np.exp(shuffled[:, i].mean())) / total,
            p=(1 + int((np.exp(shuffled[:, i]) <= division.within + 1e-9).sum())) / (_SHUFFLES + 1),
            stability=_stability(place, division, k, seed),
            attributes=_visible_attributes(place, blocks, division),
            smallest=int(np.bincount(division.labels, minlength=k).min()),
        )
        for i, (k, division) in enumerate(divisions.items())
    )


def _stability(place: np.ndarray, division: _Division, clusters: int, seed: int) -> float:
    """How well divisions of random halves agree with that of all, on the customers they share."""
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    halves = [rng.permutation(len(place))[: len(place) // 2] for _ in range(_HALVES)]
    return float(
        np.mean(
            [
                adjusted_rand_score(
                    division.labels[half], _divide(place[half], clusters, seed).labels
                )
                for half in halves
            ]
        )
    )


def _visible_attributes(
    place: np.ndarray, blocks: Sequence[np.ndarray], division: _Division
) -> int:
    """How many attributes have a visible share of their spread between clusters."""
    between = ((division.centres[division.labels] - place.mean(axis=0)) ** 2).sum(axis=0)
    total = ((place - place.mean(axis=0)) ** 2).sum(axis=0)
    return sum(
        bool(between[columns].sum() >= _VISIBLE_SHARE * total[columns].sum()) for columns in blocks
    )


def _trait(attribute: Attribute, values: pd.Series, inside: np.ndarray) -> Trait | None:
    """How a cluster differs in one attribute, by the level in which it does most."""
    known = values.notna().to_numpy()
    given, within = values[known], inside[known]
    if within.all() or not within.any():
        return None
    if attribute.is_number_like:
        numbers = given.to_numpy(dtype="float64")
        here, there = float(np.median(numbers[within])), float(np.median(numbers[~within]))
        days = " days ago" if attribute.kind == "date" else ""
        text = (
            f"{attribute.label} typically {in_words(here, 3)}{days}, against {in_words(there, 3)}"
        )
        # Means of skewed numbers differ by their tails, so ranks are compared.
        return Trait(attribute.name, text, here, there, _effect(given.rank().to_numpy(), within))
    best: tuple[float, str, np.ndarray] | None = None
    for condition, holds in _conditions(attribute, given):
        effect = _effect(holds, within)
        if best is None or abs(effect) > abs(best[0]):
            best = (effect, condition, holds)
    if best is None:
        return None
    effect, condition, holds = best
    here, there = float(holds[within].mean()), float(holds[~within].mean())
    text = f"{condition}: {here:.0%} against {there:.0%}"
    return Trait(attribute.name, text, here, there, effect)


def _conditions(attribute: Attribute, given: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Each level of an attribute in words, with who has it (1 or 0)."""
    if attribute.kind == "flag":
        yield attribute.label, given.to_numpy(dtype="float64")
        return
    for level in levels_of(given, attribute.kind, 1):
        predicate = Predicate(attribute.name, any_of=(level,))
        held = predicate.holds(given.to_frame())
        yield predicate.text(attribute), held.to_numpy(dtype="float64")


def _effect(values: np.ndarray, inside: np.ndarray) -> float:
    """The difference of means in standard deviations of all."""
    spread = float(values.std())
    return float(values[inside].mean() - values[~inside].mean()) / spread if spread > 0 else 0.0


def _lives(matured: pd.DataFrame, revenue: pd.DataFrame, signals: pd.DataFrame) -> pd.DataFrame:
    """What was billed to each customer and signalled by it since its first billing.

    Columns: parent, months (billed), money (billed), and by kind of signal `<kind> count` and
    `<kind> value` (their sum); a kind that nobody ever signalled has no column.
    """
    billed = revenue[(revenue["mrr"] > 0) & revenue["account_id"].isin(matured.index)]
    bills = billed.sort_values(["account_id", "month"], kind="stable").groupby("account_id")
    first = bills["month"].min()
    life = pd.DataFrame({"parent": matured["parent"]}).assign(
        months=bills.size().reindex(matured.index).fillna(0.0),
        money=bills["mrr"].sum().reindex(matured.index).fillna(0.0),
    )
    since = first.reindex(signals["account_id"]).to_numpy()
    later = signals[(signals["at"] >= since).to_numpy(dtype=bool)]
    for kind in sorted(signals["kind"].dropna().unique()):
        of_kind = later[later["kind"] == kind].sort_values(["account_id", "at", "value"])
        values = of_kind.groupby("account_id")["value"]
        life[f"{kind} count"] = values.size().reindex(matured.index).fillna(0.0)
        life[f"{kind} value"] = values.sum().reindex(matured.index).fillna(0.0)
    return life


def _revenue_and_value(matured: pd.DataFrame, deals: pd.DataFrame) -> dict[str, Measure | None]:
    start, end, parent = matured["start_mrr"], matured["end_mrr"], matured["parent"]
    kept = pd.concat([start, end], axis=1).min(axis=1)
    return {
        "start_mrr": _mean(start, parent),
        "nrr": _ratio(end, start, parent),
        "grr": _ratio(kept, start, parent),
        "retention": _share(matured["retained"], parent),
        "acv": _of_won(deals, "acv"),
    }


def _product_fit(life: pd.DataFrame) -> dict[str, Measure | None]:
    return {
        "usage": _of_signals(life, "usage value", "usage count"),
        "referrals_per_month": _of_signals(life, "referral count", "months"),
        "review": _of_signals(life, "review value", "review count"),
    }


def _problem_severity(life: pd.DataFrame) -> dict[str, Measure | None]:
    per_money = _of_signals(life.assign(money=life["money"] / 1000), "ticket count", "money")
    return {
        "tickets_per_month": _of_signals(life, "ticket count", "months"),
        "tickets_per_1000_mrr": per_money,
        "payment_failures_per_month": _of_signals(life, "payment_failure count", "months"),
    }


def _pains(
    features: pd.DataFrame, parent: pd.Series, attributes: Sequence[Attribute]
) -> dict[str, Measure | None]:
    """The stated pain of a cluster: its flags as shares, its numbers as means."""
    return {
        a.label: (_share if a.kind == "flag" else _mean)(features[a.name], parent)
        for a in attributes
        if a.dimension == "pain_proof" and a.kind in ("flag", "number") and a.name in features
    }


def _operational_fit(deals: pd.DataFrame, has_lost: bool) -> dict[str, Measure | None]:
    return {
        "cycle_days": _of_won(deals, "cycle_days"),
        "win_rate": _share(deals["won"], deals["parent"]) if has_lost else None,
        "gross_margin": _of_won(deals, "gross_margin"),
        "acquisition_cost": _of_won(deals, "acquisition_cost"),
    }


def _of_won(deals: pd.DataFrame, column: str) -> Measure | None:
    won = deals[deals["won"] == 1]
    return _mean(won[column], won["parent"])


def _of_signals(life: pd.DataFrame, top: str, bottom: str) -> Measure | None:
    return _ratio(life[top], life[bottom], life["parent"]) if {top, bottom} <= set(life) else None


def _mean(values: pd.Series, parent: pd.Series) -> Measure | None:
    return _ratio(values, values.notna().astype("float64"), parent)


def _ratio(top: pd.Series, bottom: pd.Series, parent: pd.Series) -> Measure | None:
    """The ratio of two sums, its error by parent account (Cochran, Sampling Techniques, 1977)."""
    told = top.notna() & (bottom > 0)
    above = top[told].to_numpy(dtype="float64")
    below = bottom[told].to_numpy(dtype="float64")
    if len(above) == 0:
        return None
    value = float(above.sum() / below.sum())
    left = pd.Series(above - value * below).groupby(parent[told].to_numpy(dtype=str)).sum()
    if len(left) < 2:
        return Measure(value, None, None, len(above))
    error = float(np.sqrt((left**2).sum() * len(left) / (len(left) - 1)) / below.sum())
    return Measure(value, value - _Z_90 * error, value + _Z_90 * error, len(above))


def _share(values: pd.Series, parent: pd.Series) -> Measure | None:
    """A share with Wilson's interval (JASA 22, 1927) on as many witnesses as there are parents."""
    told = values.notna()
    if not told.any():
        return None
    share, count = float(values[told].mean()), int(parent[told].nunique())
    if count < 2:
        return Measure(share, None, None, int(told.sum()))
    squares = _Z_90**2 / count
    middle = (share + squares / 2) / (1 + squares)
    reach = np.sqrt(share * (1 - share) * squares + squares**2 / 4) / (1 + squares)
    return Measure(share, float(middle - reach), float(middle + reach), int(told.sum()))
