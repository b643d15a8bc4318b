"""The four questions by segment: who stays, who expands, who buys fast, who earns the most margin.

A segment is one condition on the attributes, or two on different ones. Which segments are looked at
depends on the attributes alone and never on outcomes, so the multiplicity of looking at so many can
be accounted for: a segment is called significant only if its distance from the rest is larger than
the largest one of all segments is by chance (the max-T permutation test: Westfall and Young,
Resampling-Based Multiple Testing, 1993). Single conditions are few and pairs many, so that each
question has two families of segments, and 5% holds over all families of all questions together
(Holm, Scand. J. Statist. 6, 1979). Sibling accounts share an owner, so they are one witness: what
is permuted and counted is the mean of a parent's accounts.

Estimates are shrunk towards the mean of all, the more the smaller the segment (parametric empirical
Bayes: Morris, JASA 78, 1983): the best of many small segments is mostly the luckiest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from icploop.domain.outcomes import WINSORISED_AT
from icploop.domain.predicate import Predicate
from icploop.modeling.accounts.conditions import conditions
from icploop.settings import Attribute

Question = Literal["retention", "expansion", "sales_cycle", "gross_margin"]
QUESTIONS: tuple[Question, ...] = get_args(Question)

STRONG_EXPANSION = 1.1
SIGNIFICANT_AT = 0.05
# Fewer witnesses inside or outside make a segment that nothing can be said of.
FEWEST_INSIDE = 20
FEWEST_WITNESSES = 2 * FEWEST_INSIDE
MOST_SEGMENTS = 150
_THIRDS = (1 / 3, 2 / 3)
_PERMUTATIONS = 999
_PERMUTED_AT_ONCE = 111
# So much of the smaller of two segments lies in the other: one finding, told twice.
_SAME_CUSTOMERS = 0.8
_Z_90 = 1.645
_ROUNDING = 1e-9

_SOURCES: dict[Question, str] = {
    "retention": "no customer has a matured outcome yet; map revenue, or wait for the horizon",
    "expansion": "no customer has a matured outcome yet; map revenue, or wait for the horizon",
    "sales_cycle": "no won deal has its days to close; map `created_at` and `closed_at` of deals",
    "gross_margin": "no won deal has a gross margin; map `gross_margin` (0 to 1) of deals",
}


@dataclass(frozen=True)
class Segment:
    """Customers that fulfil one condition, or both of two conditions on different attributes."""

    predicates: tuple[Predicate, ...]

    def holds(self, features: pd.DataFrame) -> pd.Series:
        """Which accounts of an attribute frame belong to it."""
        inside = pd.Series(True, index=features.index)
        for predicate in self.predicates:
            inside &= predicate.holds(features)
        return inside

    def text(self, attributes: Sequence[Attribute]) -> str:
        """The segment in words, with the labels of the declared attributes."""
        declared = {a.name: a for a in attributes}
        return " and ".join(p.text(declared[p.attribute]) for p in self.predicates)


@dataclass(frozen=True)
class Answer:
    """What the customers say of one segment to one question.

    Units: retention is a share (0..1), expansion the mean NRR per account (a ratio, winsorised at
    `WINSORISED_AT`), sales_cycle the geometric mean in days, gross_margin a share of revenue.
    `estimate` is shrunk towards `everyone`, the value of all customers, and `low` and `high` bound
    it at 90%; `observed` is not shrunk, and for expansion it is the NRR of the segment as a whole
    (sum of end MRR over sum of start MRR). `n` counts accounts. `p_adjusted` is adjusted for all
    segments and all questions. Without a segment the question is not known, and `remedy` says what
    would make it so.
    """

    question: Question
    segment: Segment | None = None
    n: int = 0
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    observed: float | None = None
    everyone: float | None = None
    p_adjusted: float | None = None
    remedy: str | None = None

    @property
    def is_significant(self) -> bool:
        """Whether the segment is better than the rest by more than chance, at 5% over all tests."""
        return self.p_adjusted is not None and self.p_adjusted <= SIGNIFICANT_AT

    @property
    def is_strong_expansion(self) -> bool:
        """Whether NRR is over 110% by the shrunk estimate per account and in the sums of money."""
        if self.question != "expansion" or self.estimate is None or self.observed is None:
            return False
        return min(self.estimate, self.observed) > STRONG_EXPANSION

    @property
    def verdict(self) -> str:
        """How far the answer can be relied on, in words."""
        if self.segment is None:
            return "not known"
        return "significant" if self.is_significant else "best so far, not told from chance"


@dataclass(frozen=True)
class Common:
    """A segment that is significantly better on all four questions, or on all but `missing`.

    `answers` is its answer to each question that is known, those that it fails included.
    """

    segment: Segment
    answers: tuple[Answer, ...]
    missing: Question | None


@dataclass(frozen=True)
class FourQuestions:
    """The answers in the order of `QUESTIONS`, and the segments that they have in common.

    `common` has the clearest segment first, and no segment whose customers are mostly those of an
    earlier one. It falls back to segments with three of four where none has all.
    """

    answers: tuple[Answer, ...]
    common: tuple[Common, ...]

    def __getitem__(self, question: Question) -> Answer:
        """The answer to `question`."""
        return self.answers[QUESTIONS.index(question)]


def four_questions(
    features: pd.DataFrame,
    matured: pd.DataFrame,
    deals: pd.DataFrame,
    attributes: Sequence[Attribute],
    *,
    seed: int,
) -> FourQuestions:
    """Which segments of customers answer the four questions, and which answers all of them.

    `features` is the attribute frame of matured customers, `matured` their rows of `outcomes` (same
    index: account_id), `deals` rows of `decided_deals`, of which the first won one of each customer
    tells its sales cycle and gross margin. What a customer does not say is left out of that
    question alone. A shorter sales cycle is better, and is judged as a ratio of days (log scale).
    Expansion is tested as NRR per account, so that one whale decides nothing. The order of rows
    changes nothing.
    """
    ordered = features.sort_index(kind="stable")
    known = matured.loc[ordered.index]
    _, owner = np.unique(known["parent"].to_numpy(dtype=str), return_inverse=True)
    held = candidate_segments(ordered, known["parent"], attributes)
    segments = list(held)
    inside = np.array(list(held.values()), dtype="float64").reshape(len(held), len(ordered)).T
    family = np.array([len(segment.predicates) for segment in segments])
    values = _values(known, deals)
    readings: dict[Question, _Reading] = {}
    answers: dict[Question, Answer] = {}
    for number, question in enumerate(QUESTIONS):
        # Threads cost more than they give on matrices of this size.
        with threadpool_limits(limits=1):
            told = _read(values[question], inside, family, owner, [seed, number])
        if isinstance(told, str):
            missing = values[question].notna().sum() == 0
            answers[question] = Answer(question, remedy=_SOURCES[question] if missing else told)
        else:
            readings[question] = told
    p_adjusted = _holm({question: reading.p for question, reading in readings.items()}, family)
    asked = {
        question: _Asked(question, segments, inside, known, reading, p_adjusted[question])
        for question, reading in readings.items()
    }
    answers |= {question: found.answer(found.best()) for question, found in asked.items()}
    return FourQuestions(
        answers=tuple(answers[question] for question in QUESTIONS),
        common=tuple(_common(list(asked.values()), inside)),
    )


def candidate_segments(
    features: pd.DataFrame, parents: pd.Series, attributes: Sequence[Attribute]
) -> dict[Segment, np.ndarray]:
    """The segments that are looked at, with who belongs to them: levels, then pairs of levels.

    Numbers are cut at rounded thirds, sets by member. Each segment has at least `FEWEST_INSIDE`
    witnesses inside and outside, and other customers than those before it. Of too many pairs those
    are kept that divide the customers most evenly, of which the data can tell most.
    """
    singles = [
        Segment((predicate,))
        for attribute in attributes
        if attribute.name in features
        for predicate in conditions(attribute, features[attribute.name], _THIRDS, FEWEST_INSIDE)
    ]
    names, owner = np.unique(parents.to_numpy(dtype=str), return_inverse=True)

    def within(members: np.ndarray) -> int:
        return int((np.bincount(owner[members], minlength=len(names)) > 0).sum())

    held = {single: single.holds(features).to_numpy(dtype=bool) for single in singles}
    # A level of few is in no pair of many: of hundreds of levels hardly any pair is looked at.
    held = {one: members for one, members in held.items() if within(members) >= FEWEST_INSIDE}
    size: dict[Segment, int] = {}
    seen: set[bytes] = set()
    for segment, members in chain(held.items(), _pairs(held)):
        inside = within(members)
        smaller = min(inside, len(names) - inside)
        # Who is inside is kept as a digest: there may be ten thousands of pairs.
        who = hashlib.sha256(np.packbits(members).tobytes()).digest()
        if smaller >= FEWEST_INSIDE and who not in seen:
            seen.add(who)
            size[segment] = smaller
    plain = [segment for segment in size if len(segment.predicates) == 1]
    pairs = [segment for segment in size if len(segment.predicates) == 2]
    pairs.sort(key=lambda pair: -size[pair])
    chosen = (plain + pairs)[:MOST_SEGMENTS]
    return {segment: _inside_all(segment, held) for segment in chosen}


def _pairs(held: Mapping[Segment, np.ndarray]) -> Iterator[tuple[Segment, np.ndarray]]:
    """Pairs of levels of two attributes that enough customers share, one after the other."""
    singles, members = list(held), sparse.csr_matrix(np.array(list(held.values())))
    together = (members.astype("int32") @ members.T).toarray() if singles else np.empty((0, 0))
    for i, j in np.argwhere(np.triu(together >= FEWEST_INSIDE, 1)):
        one, other = singles[i].predicates, singles[j].predicates
        if one[0].attribute != other[0].attribute:
            pair = Segment(one + other)
            yield pair, _inside_all(pair, held)


def _inside_all(segment: Segment, held: Mapping[Segment, np.ndarray]) -> np.ndarray:
    """Who belongs to every level of a segment."""
    return np.logical_and.reduce([held[Segment((level,))] for level in segment.predicates])


def _values(known: pd.DataFrame, deals: pd.DataFrame) -> dict[Question, pd.Series]:
    """Each customer's own value for each question, on a scale where more is better."""
    won = deals[deals["won"] == 1].sort_values(["at", "deal_id"], kind="stable")
    sale = won.drop_duplicates("account_id").set_index("account_id").reindex(known.index)
    days = sale["cycle_days"].astype("float64")
    return {
        "retention": known["retained"].astype("float64"),
        "expansion": known["nrr"].astype("float64").clip(upper=WINSORISED_AT),
        # A deal that was closed on the spot took a day, else its logarithm would outdo all others.
        "sales_cycle": -days.clip(lower=1).transform(np.log),
        "gross_margin": sale["gross_margin"].astype("float64"),
    }


@dataclass(frozen=True)
class _Reading:
    """What one question says of each segment, on the scale where more is better.

    NaN where a segment has too few witnesses. `z` is the distance from the rest in its standard
    errors under chance, `p` that of the max-T test, `error` the standard error of `estimate`.
    """

    z: np.ndarray
    p: np.ndarray
    estimate: np.ndarray
    error: np.ndarray
    observed: np.ndarray
    everyone: float
    accounts: np.ndarray


def _read(
    values: pd.Series,
    inside: np.ndarray,
    family: np.ndarray,
    owner: np.ndarray,
    seed: Sequence[int],
) -> _Reading | str:
    """The reading of one question, or why there is none."""
    told = values.notna().to_numpy()
    share, value = _witnesses(inside[told], values[told].to_numpy(dtype="float64"), owner[told])
    if len(value) < FEWEST_WITNESSES:
        more = FEWEST_WITNESSES - len(value)
        return f"{len(value)} independent customers tell it; {more} more are needed"
    if value.std() < _ROUNDING:
        return "all customers are alike in this, so no segment differs"
    count = share.sum(axis=0)
    enough = np.minimum(count, len(value) - count) >= FEWEST_INSIDE
    if not enough.any():
        return f"no segment has {FEWEST_INSIDE} customers inside and outside that tell it"
    share, count = share[:, enough], count[enough]
    z, p = _max_t(share, value, family[enough], seed)
    mean = share.T @ value / count
    estimate, error = _shrunk(mean, count, value)
    accounts = inside[told].sum(axis=0)

    def everywhere(found: np.ndarray) -> np.ndarray:
        whole = np.full(len(enough), np.nan)
        whole[enough] = found
        return whole

    return _Reading(
        z=everywhere(z),
        p=everywhere(p),
        estimate=everywhere(estimate),
        error=everywhere(error),
        observed=everywhere(mean),
        everyone=float(value.mean()),
        accounts=accounts,
    )


def _witnesses(
    inside: np.ndarray, values: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The mean membership (parents, segments) and value of each parent's accounts."""
    if len(values) == 0:
        return inside, values
    order = np.argsort(owner, kind="stable")
    starts = np.unique(owner[order], return_index=True)[1]
    count = np.diff([*starts, len(values)])
    share = np.add.reduceat(inside[order], starts, axis=0) / count[:, None]
    return share, np.add.reduceat(values[order], starts) / count


def _max_t(
    share: np.ndarray, value: np.ndarray, family: np.ndarray, seed: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The standardised distance of each segment, and how often its family's largest is by chance.

    Under permutation of values among witnesses each `z` has mean 0 and variance 1 exactly, so small
    and large segments compete on equal terms.
    """
    contrast = share - share.mean(axis=0)
    # A segment that every parent is in by the same share has no contrast, and tells nothing.
    contrast = contrast / np.maximum(np.sqrt((contrast**2).sum(axis=0)), _ROUNDING)
    standard = (value - value.mean()) / value.std(ddof=1)
    z = contrast.T @ standard
    rng = np.random.default_rng(seed)
    largest: dict[int, list[np.ndarray]] = {int(member): [] for member in np.unique(family)}
    for _ in range(0, _PERMUTATIONS, _PERMUTED_AT_ONCE):
        # A whole batch in one matrix product: the loop only bounds memory.
        shuffled = rng.permuted(np.tile(standard, (_PERMUTED_AT_ONCE, 1)), axis=1) @ contrast
        for member, batches in largest.items():
            batches.append(shuffled[:, family == member].max(axis=1))
    p = np.empty(len(z))
    for member, batches in largest.items():
        by_chance = np.sort(np.concatenate(batches))
        ours = family == member
        as_large = len(by_chance) - np.searchsorted(by_chance, z[ours] - _ROUNDING)
        p[ours] = (1 + as_large) / (1 + len(by_chance))
    return z, p


def _shrunk(
    mean: np.ndarray, count: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each mean shrunk towards that of all, and its standard error.

    How much segments really differ is what is left of their spread once sampling is taken off; the
    error carries that of the mean of all as well.
    """
    everyone, variance, total = value.mean(), value.var(ddof=1), len(value)
    noise = variance * (1 / count - 1 / total)
    true_spread = max(float(np.mean((mean - everyone) ** 2 - noise)), 0.0)
    kept = np.divide(true_spread, true_spread + noise, where=noise > 0, out=np.ones_like(noise))
    return everyone + kept * (mean - everyone), np.sqrt(kept * noise + variance / total)


def _holm(p_of: dict[Question, np.ndarray], family: np.ndarray) -> dict[Question, np.ndarray]:
    """The p of each segment and question, adjusted for the number of families that were looked at.

    The family with the clearest winner pays for all, the next for those that are left.
    """
    adjusted = {question: np.full(len(p), np.nan) for question, p in p_of.items()}
    families = [
        (float(p[told].min()), question, told)
        for question, p in p_of.items()
        for member in np.unique(family)
        if (told := (family == member) & np.isfinite(p)).any()
    ]
    floor = 0.0
    for rank, (least, question, told) in enumerate(sorted(families, key=lambda each: each[0])):
        left = len(families) - rank
        adjusted[question][told] = np.clip(left * p_of[question][told], floor, 1.0)
        floor = max(floor, min(left * least, 1.0))
    return adjusted


@dataclass(frozen=True)
class _Asked:
    """One question with all that is known of its segments."""

    question: Question
    segments: Sequence[Segment]
    inside: np.ndarray
    known: pd.DataFrame
    reading: _Reading
    p_adjusted: np.ndarray

    @property
    def is_significant(self) -> np.ndarray:
        return np.nan_to_num(self.p_adjusted, nan=1.0) <= SIGNIFICANT_AT

    def best(self) -> int:
        """The position of the segment that answers the question.

        Where no segment is significant it is the one that stands out most. Else the widest of those
        within one standard error of the highest: a narrower one is more likely lucky than better
        (the rule of Breiman et al., Classification and Regression Trees, 1984).
        """
        found = self.reading
        if not self.is_significant.any():
            return int(np.nanargmax(found.z))
        estimate = np.where(self.is_significant, found.estimate, -np.inf)
        top = int(estimate.argmax())
        alike = estimate >= estimate[top] - found.error[top]
        return int(np.where(alike, found.accounts, -1).argmax())

    def answer(self, position: int) -> Answer:
        """The answer that the segment at `position` gives."""
        found = self.reading
        estimate, error = found.estimate[position], found.error[position]
        reach = _Z_90 * error
        bounds = sorted(self._in_units(end) for end in (estimate - reach, estimate + reach))
        return Answer(
            question=self.question,
            segment=self.segments[position],
            n=int(found.accounts[position]),
            estimate=self._in_units(estimate),
            low=bounds[0],
            high=bounds[1],
            observed=self._observed(position),
            everyone=self._in_units(found.everyone),
            p_adjusted=float(self.p_adjusted[position]),
        )

    def _in_units(self, value: float) -> float:
        if self.question == "sales_cycle":
            return float(np.exp(-value))
        return float(np.clip(value, 0, WINSORISED_AT if self.question == "expansion" else 1))

    def _observed(self, position: int) -> float:
        if self.question != "expansion":
            return self._in_units(self.reading.observed[position])
        members = self.known[self.inside[:, position] > 0]
        start = float(members["start_mrr"].sum())
        return float(members["end_mrr"].sum()) / start if start > 0 else float("nan")


def _common(asked: Sequence[_Asked], inside: np.ndarray) -> Iterator[Common]:
    """The segments that are significant on most questions, three at least, the clearest first."""
    if len(asked) < len(QUESTIONS) - 1:
        return
    wins = np.array([found.is_significant for found in asked])
    most = int(wins.sum(axis=0).max())
    if most < len(QUESTIONS) - 1:
        return
    clear = np.sum([np.nan_to_num(found.reading.z) for found in asked], axis=0)
    kept: list[int] = []
    for position in np.argsort(-clear, kind="stable"):
        if wins[:, position].sum() < most or _is_told(inside, int(position), kept):
            continue
        kept.append(int(position))
        met = {e.question for e, won in zip(asked, wins[:, position], strict=True) if won}
        yield Common(
            asked[0].segments[position],
            tuple(e.answer(int(position)) for e in asked if np.isfinite(e.p_adjusted[position])),
            next((question for question in QUESTIONS if question not in met), None),
        )


def _is_told(inside: np.ndarray, position: int, kept: Sequence[int]) -> bool:
    """Whether the segment's customers are mostly those of one that is kept, or the reverse."""
    here = inside[:, position]
    return any(
        here @ inside[:, other] >= _SAME_CUSTOMERS * min(here.sum(), inside[:, other].sum())
        for other in kept
    )
