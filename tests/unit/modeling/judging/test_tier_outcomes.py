import numpy as np
import pandas as pd
import pytest

from icploop.domain.findings import Finding
from icploop.modeling.judging.tier_outcomes import out_of_order


def warned(nrr: dict[str, float], many: int = 40) -> list[Finding]:
    rng = np.random.default_rng(1)
    tier = pd.Series([name for name in nrr for _ in range(many)])
    end = np.array([nrr[name] for name in tier]) * rng.lognormal(-0.005, 0.1, len(tier))
    matured = pd.DataFrame({"start_mrr": 100.0, "end_mrr": 100 * end})
    matured["parent"] = matured.index.astype("str")
    return out_of_order(tier, matured, draws=200, seed=0)


def test_tiers_in_order_need_no_warning() -> None:
    assert warned({"A": 1.3, "B": 1.1, "C": 0.9, "D": 0.7}) == []


def test_a_tier_that_did_worse_than_the_next_is_named_with_numbers() -> None:
    (said,) = warned({"A": 1.0, "B": 1.4, "C": 0.9})
    assert (said.code, said.severity) == ("tiers_out_of_order", "warning")
    assert said.message.startswith("Mind that customers of tier B (NRR 1")
    assert "tier A (10" in said.message or "tier A (9" in said.message
    assert said.message.endswith("by more than chance.")


def test_a_small_difference_may_be_chance() -> None:
    (said,) = warned({"C": 0.90, "D": 0.92})
    assert said.severity == "note"
    assert said.message.endswith("which may be chance.")


@pytest.mark.parametrize("nrr", [{}, {"A": 0.5}, {"unknown": 1.0, "anti": 2.0}])
def test_nothing_is_said_of_what_is_not_there(nrr: dict[str, float]) -> None:
    assert warned(nrr) == []


def test_few_customers_say_nothing() -> None:
    assert warned({"A": 0.5, "B": 1.5}, many=10) == []
