"""Learning the readable ICP: the fit model's scorecard with the customers' evidence on every line.

Points come from the model, which knows more than any line by itself; evidence comes from what
matured customers did, and a line that they do not support is marked. The anti-ICP is learned from
outcomes alone, and only where it is clear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from icploop.domain.calendar import last_moment
from icploop.domain.outcomes import WINSORISED_AT, kpis
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Evidence, Line, Profile, Refusal, StatedLine, kinds_of
from icploop.modeling.accounts.conditions import conditions
from icploop.modeling.learning.rivals import AverageCustomer
from icploop.modeling.page.after_the_sale import what_went_wrong
from icploop.modeling.page.scorecard import Scorecard
from icploop.modeling.statistics.capacity import pursued
from icploop.settings import Attribute, Settings

_FEWEST_INSIDE = 20
_FIFTHS = (0.2, 0.4, 0.6, 0.8)
# Refusing customers costs money, so the anti-ICP asks for much: not by chance (5% over all
# conditions that are tried), a large difference, not half the market, few good ones lost.
_ANTI_LEVEL = 0.05
_ANTI_EFFECT = -0.1
_ANTI_WIDEST = 0.25
_MOST_ANTI_LINES = 3
_GOOD_REFUSED = 0.1
_SHUFFLES = 400
# A line becomes non-negotiable by itself only where hardly anybody of the best goes without it.
_BEST = 0.05
_WITHOUT_IT = 0.02
_MUST_Z = 3.0
_MUST_EFFECT = 0.1
_Z_90 = 1.645


@dataclass(frozen=True)
class Customers:
    """Matured customers: attributes, rows of `outcomes` and `after_the_sale`, the as-of day."""

    features: pd.DataFrame
    matured: pd.DataFrame
    after_the_sale: pd.DataFrame
    as_of: date

    @property
    def nrr(self) -> np.ndarray:
        """NRR of each customer, winsorised."""
        return self.matured["nrr"].clip(upper=WINSORISED_AT).to_numpy(dtype="float64")

    def inside(self, predicate: Predicate) -> np.ndarray:
        """Who fulfils a condition."""
        return predicate.holds(self.features).to_numpy(dtype=bool)

    def evidence(self, predicate: Predicate) -> Evidence:
        """What the customers show for a condition."""
        inside = self.inside(predicate)
        here, elsewhere = kpis(self.matured[inside]), kpis(self.matured[~inside])
        effect, error = _difference(self.nrr, inside)
        months = (last_moment(self.as_of) - self.matured["at"]).dt.days / (365.25 / 12)
        return Evidence(
            accounts=int(inside.sum()),
            of=len(inside),
            nrr=here.nrr,
            nrr_outside=elsewhere.nrr,
            retention=here.retention,
            retention_outside=elsewhere.retention,
            low=effect - _Z_90 * error,
            high=effect + _Z_90 * error,
            age_months=float(months[inside].median()),
        )


def learn_profile(
    customers: Customers,
    card: Scorecard,
    attributes: Sequence[Attribute],
    market: pd.DataFrame,
    ranked: pd.Series,
    settings: Settings,
) -> Profile:
    """The ICP and anti-ICP of a version.

    `card` is its model's scorecard, `market` the attribute frame of the prospects and `ranked` what
    the model says of them; what people stated comes from the settings.
    """
    best = market[ranked >= ranked.quantile(1 - settings.tiers.A)]
    dimension = {a.name: a.dimension for a in settings.attributes}
    known = {a.name for a in attributes}
    lines = [
        Line(
            s.attribute.dimension,
            s.predicate,
            s.points,
            evidence := customers.evidence(s.predicate),
            s.points > 0 and _is_must(s.predicate, evidence, best),
        )
        for s in card.lines
    ]
    for condition in settings.required:
        must = Predicate.of_condition(condition)
        if must.attribute in known:
            points = sum(line.points for line in lines if line.predicate == must)
            lines = [line for line in lines if line.predicate != must]
            lines.append(
                Line(dimension[must.attribute], must, points, customers.evidence(must), True)
            )
    stated = tuple(
        StatedLine(dimension[h.attribute], p, h.points, customers.evidence(p))
        for h in settings.hypothesis
        if (p := Predicate.of_condition(h)).attribute in known
    )
    written = [
        _refusal(customers, dimension[e.attribute], p, e.reason)
        for e in settings.exclusions
        if (p := Predicate.of_condition(e)).attribute in known
    ]
    learned = [
        _refusal(customers, dimension[p.attribute], p, "")
        for p in _clearly_bad(customers, attributes)
        if p not in {refusal.predicate for refusal in written}
    ]
    profile = Profile(
        lines=tuple(lines),
        anti=(*written, *learned),
        matured=len(customers.matured),
        cutoff=card.cutoff,
        unit=card.unit,
        fidelity=card.fidelity,
        stated=stated,
    )
    return _beside_the_average(profile, customers, attributes, market)


def _beside_the_average(
    profile: Profile, customers: Customers, attributes: Sequence[Attribute], market: pd.DataFrame
) -> Profile:
    """The profile with the average customer beside it."""
    average = AverageCustomer(kinds_of(attributes)).fit(customers.features, customers.matured)
    told = {line.predicate.attribute for line in profile.lines}
    selected = profile.rules.selects(market)
    likeness = 0.0
    if selected.any():
        alike = pursued(average.predict(market), float(selected.mean()))
        likeness = float(alike[selected].mean())
    traits = tuple(trait for trait in average.traits() if trait.attribute in told)
    return replace(profile, average=traits, likeness=likeness)


def _is_must(predicate: Predicate, evidence: Evidence, best: pd.DataFrame) -> bool:
    if evidence.support(1) != "supported" or best.empty:
        return False
    middle, reach = (evidence.low + evidence.high) / 2, (evidence.high - evidence.low) / 2
    clear = middle >= _MUST_EFFECT and middle >= _MUST_Z * reach / _Z_90
    return clear and float((~predicate.holds(best)).mean()) <= _WITHOUT_IT


def _refusal(customers: Customers, dimension: str, predicate: Predicate, reason: str) -> Refusal:
    """A line of the anti-ICP with its cost; one without a written reason was learned."""
    inside, matured = customers.inside(predicate), customers.matured
    paid = float(matured["end_mrr"].sum())
    return Refusal(
        dimension=dimension,
        predicate=predicate,
        learned=not reason,
        reason=reason,
        why=what_went_wrong(customers.after_the_sale, inside),
        good_refused=int((matured["nrr"].to_numpy()[inside] >= 1).sum()),
        revenue_refused=float(matured["end_mrr"][inside].sum()) / paid if paid > 0 else 0.0,
        evidence=customers.evidence(predicate),
    )


def _clearly_bad(customers: Customers, attributes: Sequence[Attribute]) -> list[Predicate]:
    """The worst conditions that are no accident and together refuse few good customers.

    How low the lowest of all conditions falls by chance is seen by dealing the outcomes at random
    (Westfall and Young 1993), always in the same way.
    """
    order = np.argsort(customers.features.index.to_numpy(dtype=str), kind="stable")
    nrr, features = customers.nrr[order], customers.features.iloc[order]
    candidates = [
        predicate
        for attribute in attributes
        for predicate in conditions(attribute, features[attribute.name], _FIFTHS, _FEWEST_INSIDE)
    ]
    held = np.array([p.holds(features) for p in candidates]).reshape(len(candidates), len(nrr))
    sized = np.minimum(held.sum(axis=1), (~held).sum(axis=1)) >= _FEWEST_INSIDE
    candidates, held = [p for p, s in zip(candidates, sized, strict=True) if s], held[sized]
    if not candidates or nrr.std() == 0:
        return []
    rng = np.random.default_rng(0)
    dealt = np.array([rng.permutation(nrr) for _ in range(_SHUFFLES)])
    lowest = _z_scores(held, dealt).min(axis=0)
    limit = float(np.quantile(lowest, _ANTI_LEVEL))
    z = _z_scores(held, nrr[None, :])[:, 0]
    good, refused = nrr >= 1, np.zeros(len(nrr), dtype=bool)
    kept: list[Predicate] = []
    seen: set[str] = set()
    for i in np.argsort(z, kind="stable"):
        effect = nrr[held[i]].mean() - nrr[~held[i]].mean()
        if z[i] >= limit or len(kept) == _MOST_ANTI_LINES:
            break
        if effect > _ANTI_EFFECT or held[i].mean() > _ANTI_WIDEST:
            continue
        lost = (refused | held[i])[good].mean() if good.any() else 0.0
        # One condition of an attribute: the others are the same customers cut a little otherwise.
        if candidates[i].attribute not in seen and lost <= _GOOD_REFUSED:
            kept.append(candidates[i])
            seen.add(candidates[i].attribute)
            refused |= held[i]
    return kept


def _z_scores(held: np.ndarray, nrr: np.ndarray) -> np.ndarray:
    """Difference in mean inside against outside in standard errors, (conditions, draws)."""
    count = held.sum(axis=1)[:, None]
    total, squares = nrr.sum(axis=1), (nrr**2).sum(axis=1)
    inside, inside_squares = held @ nrr.T, held @ (nrr**2).T
    rest = nrr.shape[1] - count
    mean, other = inside / count, (total - inside) / rest
    variance = inside_squares / count - mean**2
    other_variance = (squares - inside_squares) / rest - other**2
    error = np.sqrt(np.maximum(variance / count + other_variance / rest, 1e-12))
    return (mean - other) / error


def _difference(nrr: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """Difference in mean NRR inside against outside, and its standard error; nan for too few."""
    within, without = nrr[inside], nrr[~inside]
    if min(len(within), len(without)) < 2:
        return float("nan"), float("nan")
    error = np.sqrt(within.var(ddof=1) / len(within) + without.var(ddof=1) / len(without))
    return float(within.mean() - without.mean()), float(error)
