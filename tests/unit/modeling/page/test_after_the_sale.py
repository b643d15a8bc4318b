import numpy as np
import pandas as pd
import pytest

from icploop.modeling.page.after_the_sale import after_the_sale, what_went_wrong


def customers(n: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "start_mrr": [500.0] * n,
            "months_at_risk": [5.0, 10.0] * (n // 2),
            "churned": [1.0, 0.0] * (n // 2),
        },
        index=[f"a{i}" for i in range(n)],
    )


def signals(*rows: tuple[str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["account_id", "kind", "value"])
    return frame.assign(at=pd.Timestamp("2024-01-01"))


def test_each_trouble_is_counted_for_its_time_and_money() -> None:
    rows = [("a0", "ticket", 1.0)] * 10 + [("a1", "payment_failure", 1.0)] * 2
    found = after_the_sale(customers(2), signals(*rows, ("a1", "usage", 4.0), ("a1", "usage", 6.0)))
    assert found["cancels_early"].tolist() == [1.0, 0.0]
    # Ten tickets in five months for half a thousand of MRR.
    assert found["tickets"].tolist() == [4.0, 0.0]
    assert found["payment_failures"].tolist() == [0.0, 0.2]
    assert found["usage"].tolist()[1] == 5.0
    assert np.isnan(found["usage"].iloc[0])


def test_what_nobody_recorded_is_missing_and_not_none() -> None:
    found = after_the_sale(customers(4), signals(("stranger", "ticket", 1.0)))
    assert found[["tickets", "payment_failures", "usage"]].isna().all(axis=None)


def test_only_what_is_clearly_worse_is_told() -> None:
    rng = np.random.default_rng(0)
    inside = np.arange(60) < 30
    found = pd.DataFrame(
        {
            "cancels_early": np.where(inside, 0.9, 0.1) + rng.normal(0, 0.1, 60),
            "tickets": rng.normal(3, 1, 60),
            "payment_failures": np.where(inside, 0.0, 1.0) + rng.normal(0, 0.1, 60),
            "usage": np.where(inside, 2.0, 9.0) + rng.normal(0, 1, 60),
        }
    )
    said = what_went_wrong(found, inside)
    assert [text.split(" (")[0].split(" ", 1)[1] for text in said] == [
        "leave within 6 months",
        "of " + said[1].split(" ")[2],
    ]
    assert "(others 1" in said[0]
    assert said[1].startswith("usage of ")
    assert "(others 9" in said[1] or "(others 8" in said[1]


@pytest.mark.parametrize("n", [0, 1])
def test_one_customer_tells_nothing(n: int) -> None:
    found = after_the_sale(customers(2), signals(("a0", "ticket", 1.0)))
    assert what_went_wrong(found, np.arange(2) < n) == ()
