import numpy as np
import pytest

from icploop.domain.outcomes import kpis
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Rules
from icploop.errors import UsageError
from icploop.modeling.page.what_if import Consequences, consequences, with_line
from tests.companies import SETTINGS, market

KNOWN, PROSPECTS = market(300, seed=4), market(500, seed=5)
HEALTH = Predicate("industry", any_of=("health",))
RULES = Rules(((HEALTH, 3, False), (Predicate("tech", any_of=("sso",)), 2, False)), (), cutoff=3)


def of(rules: Rules) -> Consequences:
    return consequences(
        rules, PROSPECTS.features, KNOWN.features, KNOWN.outcomes, 10e6, interval=0.9, seed=0
    )


def test_it_counts_whom_the_rules_select_and_what_these_did() -> None:
    found = of(RULES)
    inside = HEALTH.holds(KNOWN.features)
    seen = kpis(KNOWN.outcomes[inside])
    assert (found.customers, found.matured) == (inside.sum(), 300)
    assert (found.selected, found.market) == (HEALTH.holds(PROSPECTS.features).sum(), 500)
    assert (found.nrr, found.retention) == (seen.nrr, seen.retention)
    assert found.nrr_low < found.nrr < found.nrr_high
    good = KNOWN.outcomes["nrr"] >= 1
    assert found.good_kept == pytest.approx(inside[good].mean())


def test_ten_million_with_churn_only_keep_what_is_retained() -> None:
    found = of(RULES)
    assert found.arr_with_churn_only == pytest.approx(10e6 * found.retention)
    assert found.arr_next_year == pytest.approx(10e6 * found.nrr)


def test_rules_that_select_nobody_claim_nothing() -> None:
    found = of(Rules((), (), cutoff=1))
    assert (found.selected, found.customers, found.good_kept) == (0, 0, 0.0)
    assert found.nrr is found.retention is found.arr_next_year is None


@pytest.mark.parametrize(
    ("change", "predicate"),
    [
        ("employees=50..500", Predicate("employees", between=(50, 500))),
        ("employees=50..", Predicate("employees", between=(50, None))),
        ("tech=crm, erp", Predicate("tech", any_of=("crm", "erp"))),
        ("has_sponsor=yes", Predicate("has_sponsor", is_true=True)),
        ("funded_on=..180", Predicate("funded_on", between=(None, 180))),
    ],
)
def test_a_change_is_a_condition_that_must_hold(change: str, predicate: Predicate) -> None:
    changed = with_line(RULES, change, SETTINGS.attributes)
    assert changed.lines[-1] == (predicate, 0, True)
    assert (changed.selects(PROSPECTS.features) <= predicate.holds(PROSPECTS.features)).all()


def test_the_lines_of_the_attribute_go_with_their_points() -> None:
    changed = with_line(RULES, "industry=retail", SETTINGS.attributes)
    assert changed.cutoff == 0
    assert [predicate.attribute for predicate, _, _ in changed.lines] == ["tech", "industry"]
    without = with_line(RULES, "industry=", SETTINGS.attributes)
    assert [predicate.attribute for predicate, _, _ in without.lines] == ["tech"]
    assert np.all(without.selects(PROSPECTS.features))


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ("employees", "write ATTRIBUTE=VALUE"),
        ("size=1..2", "with one of employees, funded_on, has_sponsor, industry, tech"),
        ("employees=many", "employees is a number; write employees=50..500"),
        ("has_sponsor=perhaps", "write has_sponsor=yes"),
    ],
)
def test_any_other_change_is_wrong_usage(change: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy):
        with_line(RULES, change, SETTINGS.attributes)
