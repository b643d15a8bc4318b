import numpy as np
import pandas as pd
import pytest

from icploop.modeling.accounts.coding import coded_frame
from icploop.modeling.accounts.support import Support
from tests.companies import KINDS, SETTINGS, market

KNOWN = market(200, seed=4).features
SUPPORT = Support.learn(KNOWN, KINDS)


def holds(**changed: object) -> bool:
    one = KNOWN[KNOWN.notna().all(axis=1)][:1].assign(**changed).astype(KNOWN.dtypes)
    return bool(SUPPORT.holds(coded_frame(one, SETTINGS.attributes))[0])


def test_every_customer_is_supported() -> None:
    assert SUPPORT.holds(coded_frame(KNOWN, SETTINGS.attributes)).all()


@pytest.mark.parametrize(
    ("changed", "supported"),
    [
        ({}, True),
        ({"industry": "mining"}, False),
        ({"employees": 10.0 * KNOWN["employees"].max()}, False),
        ({"employees": -1e12}, False),
        ({"funded_on": 1500.0}, True),
        ({"funded_on": 20_000.0}, False),
        ({"tech": "never heard of"}, True),
        (dict.fromkeys(KNOWN.columns), True),
    ],
)
def test_what_no_customer_came_near_is_not_supported(changed: dict, supported: bool) -> None:
    assert holds(**changed) == supported


def test_where_everybody_has_a_value_of_their_own_new_ones_are_usual() -> None:
    own = KNOWN.assign(industry=[f"kind {i}" for i in range(len(KNOWN))])
    assert "industry" not in Support.learn(own, KINDS).seen


def test_a_value_seen_once_is_seen() -> None:
    once = KNOWN.assign(industry=["rare", *KNOWN["industry"][1:]])
    assert "rare" in Support.learn(once, KINDS).seen["industry"]


def test_of_few_customers_nothing_is_concluded() -> None:
    assert Support.learn(KNOWN[:10], KINDS) == Support({}, {})
    assert Support.learn(KNOWN.assign(employees=np.nan), KINDS).ranges.keys() == {"funded_on"}


def test_it_survives_as_plain_values() -> None:
    assert Support.from_dict(SUPPORT.as_dict()) == SUPPORT


def test_counts_far_above_are_measured_by_factors() -> None:
    sizes = pd.DataFrame({"size": np.geomspace(1, 5000, 100)})
    allowed = Support.learn(sizes, {"size": "number"}).ranges["size"]
    assert (allowed.least, allowed.most) == pytest.approx((1, 5000))
    assert 20_000 < allowed.high < 60_000
