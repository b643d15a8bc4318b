"""What another ICP would mean, before anyone commits to it: the list, the customers, the money."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from icploop.domain.outcomes import kpis
from icploop.domain.predicate import Predicate, parse
from icploop.domain.profile import Rules
from icploop.errors import UsageError
from icploop.modeling.statistics.bootstrap import kpi_interval
from icploop.settings import Attribute

_GOOD = 1.0


@dataclass(frozen=True)
class Consequences:
    """What pursuing the accounts that rules select would mean.

    `selected` of `market` prospects are selected, `customers` of `matured` customers would have
    been, among them the share `good_kept` of those who did not shrink. NRR, GRR and retention are
    those of the selected customers (ratios, None for none), NRR with its interval. Money is a year:
    `arr` today, and in a year were every customer like the selected: `arr_next_year` with growth,
    `arr_with_churn_only` if customers only left (ten million at 90% retention leave nine).
    """

    selected: int
    market: int
    customers: int
    matured: int
    good_kept: float | None
    nrr: float | None
    nrr_low: float | None
    nrr_high: float | None
    grr: float | None
    retention: float | None
    arr: float
    arr_next_year: float | None
    arr_with_churn_only: float | None


def consequences(
    rules: Rules,
    market: pd.DataFrame,
    features: pd.DataFrame,
    matured: pd.DataFrame,
    arr: float,
    interval: float,
    seed: int,
) -> Consequences:
    """Of rules, on the prospects (attribute frame `market`) and the matured customers.

    `features` and `matured` (rows of `outcomes`) belong together; `arr` is today's, money a year.
    """
    inside = rules.selects(features).to_numpy(dtype=bool)
    chosen, good = matured[inside], matured["nrr"].to_numpy() >= _GOOD
    found = kpis(chosen)
    low, high = kpi_interval(chosen, interval, 1000, seed) if len(chosen) > 1 else (np.nan, np.nan)
    return Consequences(
        selected=int(rules.selects(market).sum()),
        market=len(market),
        customers=int(inside.sum()),
        matured=len(matured),
        good_kept=_known(float(inside[good].mean()) if good.any() else np.nan),
        nrr=_known(found.nrr),
        nrr_low=_known(low),
        nrr_high=_known(high),
        grr=_known(found.grr),
        retention=_known(found.retention),
        arr=arr,
        arr_next_year=_known(arr * found.nrr),
        arr_with_churn_only=_known(arr * found.retention),
    )


def with_line(rules: Rules, change: str, attributes: tuple[Attribute, ...]) -> Rules:
    """The rules with the lines of one attribute replaced by a condition that must hold.

    `change` is `employees=50..500`, `tech=okta,azure_ad`, `has_sponsor=yes`, or `employees=` for
    none. The points of the lines that go are taken off the cutoff as far as an account could have
    had them. Raises UsageError for anything else.
    """
    name, sign, value = change.partition("=")
    kinds = {a.name: a.kind for a in attributes}
    if not sign or name not in kinds:
        raise UsageError(
            f"--set {change!r}: write ATTRIBUTE=VALUE with one of {', '.join(sorted(kinds))}"
        )
    gone = [points for predicate, points, _ in rules.lines if predicate.attribute == name]
    kept = tuple(line for line in rules.lines if line[0].attribute != name)
    most = max([0, *gone]) if kinds[name] != "set" else sum(max(points, 0) for points in gone)
    changed = replace(rules, lines=kept, cutoff=rules.cutoff - most)
    if not value:
        return changed
    must = _condition(name, value, kinds[name], change)
    return replace(changed, lines=(*kept, (must, 0, True)))


def _condition(name: str, value: str, kind: str, change: str) -> Predicate:
    quoted = Predicate(name, is_true=True).code().removesuffix(" is yes")
    verb = {"flag": "is", "number": "in", "date": "in"}.get(kind, "has any of")
    try:
        return parse(f"{quoted} {verb} {value}")
    except ValueError as error:
        example = {"flag": "yes", "number": "50..500", "date": "0..180"}.get(kind, "a,b")
        raise UsageError(f"--set {change!r}: {name} is a {kind}; write {name}={example}") from error


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
