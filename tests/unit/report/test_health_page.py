from datetime import date

import pandas as pd

from icploop.modeling.trust.health import Health
from icploop.report.health_page import health_page
from icploop.report.html_page import html_page


def found(cost: pd.DataFrame) -> Health:
    return Health(
        as_of=date(2024, 5, 31),
        prospects=900,
        customers=80,
        fill=pd.DataFrame({"attribute": ["tech"], "2024Q2": [0.55], "prospects": [0.5]}),
        drift=pd.DataFrame(
            {"attribute": ["a|b"], "psi": [0.3], "p": [float("nan")], "drift": ["much"], "n": [80]}
        ),
        volumes=pd.DataFrame({"month": ["2024-05"], "deals_created": [12.0], "mrr": [1234567.0]}),
        lateness=pd.DataFrame({"table": ["signals"], "newest": [None], "days": [float("nan")]}),
        cost=cost,
        quarantine={"deals: acv >= 0": 3},
    )


COST = pd.DataFrame(
    {
        "attribute": ["tech", "region"],
        "empty": [400, 20],
        "gain": [0.03, 0.0],
        "low": [0.01, 0.0],
        "high": [0.05, 0.0],
        "n": [500, 880],
    }
)


def test_the_page_says_what_to_fill_in_and_what_it_brings() -> None:
    page = health_page(found(COST), "Tiny")
    assert "| fill tech for 400 accounts | +0.030 (+0.010 to +0.050) | 500 |" in page
    assert "Filling any of 1 others would bring less." in page
    assert "| tech | 55% | 50% |" in page
    assert "| a\\|b | 0.30 | not known | much |" in page
    assert "| signals | none | not known |" in page
    assert "| 2024-05 | 12 | 1,234,567 |" in page
    assert "| deals: acv >= 0 | 3 |" in page


def test_it_stands_as_html_too_and_says_what_it_does_not_know() -> None:
    page = html_page("Health", health_page(found(COST.head(0)), "Tiny"), {})
    assert "Not known: no version to ask" in page
    assert page.count("<table") == 5
