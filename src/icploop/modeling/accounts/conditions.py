"""The conditions on one attribute that are looked at when conditions are searched for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from icploop.domain.predicate import Predicate, levels_of, readable
from icploop.settings import Attribute


def conditions(
    attribute: Attribute, values: pd.Series, cuts: Sequence[float], fewest: int
) -> Iterator[Predicate]:
    """Yes and no, each level or member, or ranges of a number between quantiles of the data.

    `values` is the attribute's column of an attribute frame, `cuts` are the quantiles (0..1) at
    which a number is cut: finer ones tell more, and take more customers to tell it. A level that
    fewer than `fewest` accounts have is not looked at.
    """
    if attribute.kind == "flag":
        yield Predicate(attribute.name, is_true=True)
        yield Predicate(attribute.name, is_true=False)
    elif attribute.is_number_like:
        for ends in _ranges(values, cuts):
            yield Predicate(attribute.name, between=ends)
    else:
        for level in levels_of(values, attribute.kind, fewest):
            yield Predicate(attribute.name, any_of=(level,))


def _ranges(values: pd.Series, cuts: Sequence[float]) -> list[tuple[float | None, float | None]]:
    """Every range between two cuts, with ends that a person would write down.

    The outermost ranges are open: a prospect may be larger than every customer so far.
    """
    given = values.dropna().to_numpy(dtype="float64")
    if len(given) == 0:
        return []
    ends = sorted({readable(float(end)) for end in np.quantile(given, cuts)})
    return [*((None, end) for end in ends), *combinations(ends, 2), *((end, None) for end in ends)]
