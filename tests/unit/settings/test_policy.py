from typing import Any

import pytest

from icploop.settings import (
    GatePolicy,
    digest,
)


def test_a_digest_is_the_same_on_every_machine_and_in_any_order_of_keys() -> None:
    value = {"b": 1, "a": [1, 2.5, "é", None]}
    assert digest(value) == digest(dict(reversed(value.items())))
    assert digest(value) == "0a5a3f1f86870ef5a18abc791d34f78194a4d50ace7e354279a1cb03a1b49007"


@pytest.mark.parametrize(
    "change",
    [
        {"probability_better": 0.81},
        {"min_uplift": 0.001},
        {"grr_margin": 0.06},
        {"retention_margin": 0.06},
        {"min_matured": 61},
        {"newest": 301},
        {"interval": 0.91},
        {"draws": 2001},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_policy_has_another_digest_after_any_change(change: dict[str, Any]) -> None:
    assert set(GatePolicy.model_fields) >= set(change)
    assert GatePolicy(**change).digest() != GatePolicy().digest()


def test_equal_policies_have_the_same_digest() -> None:
    assert GatePolicy(draws=300).digest() == GatePolicy(draws=300).digest()
