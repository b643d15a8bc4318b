"""Why an account is scored as it is, in the page's words and in points of NRR; and why it is not.

`industry is health: +12.3; tech has crm, erp: +4.1; no has sponsor: +0.6`. Words are made once for
each distinct value and looked up for each account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from icploop.domain.predicate import in_words
from icploop.modeling.accounts.coding import Coded
from icploop.modeling.accounts.support import Support
from icploop.settings import Attribute, Kind

REASONS = 3
# Less than a twentieth of a point of NRR is no reason.
_SMALLEST = 0.0005
_MEMBERS = 4
_WHOLE_UP_TO = 1e6


def reasons(
    points: np.ndarray,
    names: Sequence[str],
    coded: Coded,
    attributes: Sequence[Attribute],
    stated: Mapping[str, np.ndarray],
) -> tuple[pa.Array, pa.Array]:
    """The strongest reasons for and against each account, strongest first, as text.

    `points` (names, accounts) is what each attribute adds to expected NRR (ratio). `stated` holds
    the values of names that are no attribute.
    """
    by_account = np.ascontiguousarray(points.T)
    best, worst = _strongest(by_account), _strongest(-by_account)
    chosen = np.concatenate([best[0], worst[0]])
    strength = np.concatenate([best[1], worst[1]]).ravel()
    worth = np.concatenate([best[1], -worst[1]]).ravel()
    words = _words(chosen.ravel(), names, coded, attributes, stated)
    said = pc.binary_join_element_wise(words, _signed(worth), ": ")
    said = pc.if_else(pa.array(strength >= _SMALLEST), said, None)
    each = [said.slice(i * coded.rows, coded.rows) for i in range(len(chosen))]
    half = len(each) // 2
    return _joined(each[:half]), _joined(each[half:])


def doubts(
    coded: Coded, attributes: Sequence[Attribute], support: Support, min_coverage: float
) -> pa.Array:
    """Why an account is `unknown`, in words; empty text where it is not."""
    known = coded.known([a.name for a in attributes])
    total = max(len(attributes), 1)
    counts = [
        f"only {count} of {total} fields known" if count < min_coverage * total else None
        for count in range(total + 1)
    ]
    said = [pa.array(counts, pa.string()).take(pa.array(known))]
    for attribute in attributes:
        strange = support.strange(attribute.name, coded)
        if strange.any():
            said.append(_strange(attribute, np.flatnonzero(strange), coded, support))
    return _joined(said)


def _strange(attribute: Attribute, rows: np.ndarray, coded: Coded, support: Support) -> pa.Array:
    phrases, position = _phrases(attribute, rows, coded)
    if attribute.name in support.ranges:
        seen = support.ranges[attribute.name]
        beside = f"far from every customer ({_number(seen.least)} to {_number(seen.most)})"
    else:
        beside = "never seen in a customer"
    where = np.full(coded.rows, -1)
    where[rows] = position
    told = pa.array([f"{phrase}: {beside}" for phrase in phrases], pa.string())
    return told.take(pa.array(where, mask=where < 0))


def _strongest(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns with the highest values of each row, and the values, as (rank, rows)."""
    left, rows = points.copy(), np.arange(len(points))
    many = min(REASONS, points.shape[1])
    chosen = np.empty((many, len(points)), dtype="int64")
    worth = np.empty((many, len(points)))
    for rank in range(many):
        chosen[rank] = left.argmax(axis=1) if len(points) else 0
        worth[rank] = left[rows, chosen[rank]]
        left[rows, chosen[rank]] = -np.inf
    return chosen, worth


def _words(
    chosen: np.ndarray,
    names: Sequence[str],
    coded: Coded,
    attributes: Sequence[Attribute],
    stated: Mapping[str, np.ndarray],
) -> pa.Array:
    """The words for the attribute `chosen` in each place, which run over accounts repeatedly."""
    declared = {a.name: a for a in attributes}
    order = np.argsort(chosen.astype("int16"), kind="stable")
    limits = np.searchsorted(chosen[order], np.arange(len(names) + 1))
    phrases: list[str] = []
    position = np.empty(len(chosen), dtype="int64")
    for i, name in enumerate(names):
        places = order[limits[i] : limits[i + 1]]
        if len(places) == 0:
            continue
        rows = places % coded.rows
        if name in declared:
            found, where = _phrases(declared[name], rows, coded)
        else:
            where, values = pd.factorize(stated[name][rows])
            found = [f"{name} {value:+g} points" for value in values]
        position[places] = where + len(phrases)
        phrases += found
    return pa.array(phrases, pa.string()).take(pa.array(position))


def _phrases(attribute: Attribute, rows: np.ndarray, coded: Coded) -> tuple[list[str], np.ndarray]:
    """The words for the values of some accounts, and for each account which of them."""
    unknown = f"{attribute.label} unknown"
    if attribute.name in coded.texts:
        texts = coded.texts[attribute.name]
        where, codes = pd.factorize(texts.codes[rows])
        word = _of_set if attribute.kind == "set" else _of_category
        return [
            word(attribute.label, texts.distinct[code]) if code >= 0 else unknown for code in codes
        ], where
    values = _rounded(coded.numbers[attribute.name][rows], attribute.kind)
    where, distinct = pd.factorize(values)
    say = _OF_NUMBERS[attribute.kind]
    # Missing has the code -1, which takes the last entry.
    phrases = [*(say(attribute.label, value) for value in distinct), unknown]
    return phrases, np.where(where < 0, len(distinct), where)


def _of_category(label: str, text: str) -> str:
    return f"{label} is {text}"


def _of_set(label: str, text: str) -> str:
    members = text.split("|")
    more = f" and {len(members) - _MEMBERS} more" if len(members) > _MEMBERS else ""
    return f"{label} has {', '.join(members[:_MEMBERS])}{more}"


def _rounded(values: np.ndarray, kind: Kind) -> np.ndarray:
    """Numbers as they will be shown: days and counts whole, others with three digits that count."""
    if kind == "flag":
        return values
    whole = np.rint(values)
    if kind == "date":
        return np.asarray(whole)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.floor(np.log10(np.abs(values)))
        step = 10.0 ** np.clip(size - 2, -300, 300)
        short = np.rint(values / step) * step
    as_it_is = (values == whole) & (np.abs(values) < _WHOLE_UP_TO)
    return np.where(as_it_is | ~np.isfinite(short), values, short)


def _number(value: float) -> str:
    return in_words(float(f"{value:.6g}"))


_OF_NUMBERS: dict[Kind, Callable[[str, float], str]] = {
    "flag": lambda label, value: label if value else f"no {label}",
    "number": lambda label, value: f"{label} {_number(value)}",
    "date": lambda label, value: f"{label} {value:,.0f} days ago",
}


def _signed(worth: np.ndarray) -> pa.Array:
    """Points of NRR with their sign and one digit: `+4.1`."""
    where, tenths = pd.factorize(np.rint(1000 * worth))
    return pa.array([f"{ten / 10:+,.1f}" for ten in tenths], pa.string()).take(pa.array(where))


def _joined(said: Sequence[pa.Array]) -> pa.Array:
    """Texts side by side with `; ` between those that are there."""
    if not said:
        return pa.array([], pa.string())
    # Arrow can join and skip nulls, but drops rows in which all are null.
    text = pc.fill_null(said[0], "")
    for more in said[1:]:
        alone = pc.or_(pc.equal(text, ""), pc.is_null(more))
        between = pc.if_else(alone, "", "; ")
        text = pc.binary_join_element_wise(text, between, pc.fill_null(more, ""), "")
    return text
