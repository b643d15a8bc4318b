from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.predicate import Predicate, parse, readable
from icploop.settings import HypothesisLine
from tests.companies import SETTINGS

FEATURES = pd.DataFrame(
    {
        "employees": [10.0, 100.0, 101.0, np.nan],
        "industry": ["health", "retail", "R|D", None],
        "tech": ["crm", "crm|erp", "erp|sso", None],
        "funded_on": [0.0, -5.0, 365.0, np.nan],
        "has_sponsor": [1.0, 0.0, 1.0, np.nan],
    },
    index=["w", "x", "y", "z"],
)
LABELS = {a.name: a for a in SETTINGS.attributes}

NAMES = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() == text)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PREDICATES = st.one_of(
    st.builds(
        lambda name, low, high, below: Predicate(name, between=(low, high), below=below),
        NAMES,
        st.none() | NUMBERS,
        NUMBERS,
        st.booleans(),
    ),
    st.builds(lambda name, low: Predicate(name, between=(low, None)), NAMES, NUMBERS),
    st.builds(
        lambda name, levels: Predicate(name, any_of=tuple(levels)),
        NAMES,
        st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4),
    ),
    st.builds(lambda name, yes: Predicate(name, is_true=yes), NAMES, st.booleans()),
)


@given(PREDICATES)
def test_what_is_written_is_what_is_read(predicate: Predicate) -> None:
    code = predicate.code()
    assert parse(code) == predicate
    # It stands in code, in a cell of a table, on one line.
    assert not set(code) & set("|`")
    assert len(code.splitlines()) == 1
    assert code.isprintable()


@pytest.mark.parametrize(
    ("predicate", "code"),
    [
        (Predicate("employees", between=(100.0, 500.0)), "employees in 100..500"),
        (Predicate("share", between=(None, 0.25)), "share in ..0.25"),
        (Predicate("employees", between=(1e20, None)), "employees in 1e+20.."),
        (Predicate("revenue", between=(1e6, 3e6), below=True), "revenue in 1000000..<3000000"),
        (Predicate("share", between=(None, 0.25), below=True), "share in ..<0.25"),
        (Predicate("tech", any_of=("okta", "azure_ad")), "tech has any of okta, azure_ad"),
        (Predicate("crm", any_of=("Dynamics 365",)), 'crm has any of "Dynamics 365"'),
        (Predicate("has_sponsor", is_true=False), "has_sponsor is no"),
        (
            Predicate("отрасль", any_of=("здоровье", "医療 IT")),
            'отрасль has any of здоровье, "医療 IT"',
        ),
        (
            Predicate("crm", any_of=("Ünits, “GmbH”", "a|b")),
            'crm has any of "Ünits, “GmbH”", "a\\u007cb"',
        ),
        # What nobody can see is written out.
        (
            Predicate("crm", any_of=("a\u202eb", "c\u00a0d")),
            'crm has any of "a\\u202eb", "c\\u00a0d"',
        ),
    ],
)
def test_the_code_reads_like_the_contract(predicate: Predicate, code: str) -> None:
    assert predicate.code() == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "employees",
        "employees in 5",
        "employees in a..b",
        "x is maybe",
        "x has any of",
        "x in 1..<",
    ],
)
def test_any_other_text_is_refused_with_what_it_should_look_like(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no condition|is no number"):
        parse(text)


@pytest.mark.parametrize(
    ("predicate", "who"),
    [
        (Predicate("employees", between=(10, 100)), "wx"),
        (Predicate("employees", between=(100.5, 200)), "y"),
        (Predicate("employees", between=(100.5, None)), "y"),
        (Predicate("employees", between=(None, 100)), "wx"),
        (Predicate("employees", between=(None, 100), below=True), "w"),
        (Predicate("employees", between=(100, 101), below=True), "x"),
        (Predicate("funded_on", between=(-10, 0)), "wx"),
        (Predicate("industry", any_of=("health",)), "w"),
        (Predicate("industry", any_of=("retail", "health")), "wx"),
        (Predicate("industry", any_of=("gaming",)), ""),
        (Predicate("industry", any_of=("R|D",)), "y"),
        (Predicate("tech", any_of=("erp",)), "xy"),
        (Predicate("tech", any_of=("sso", "crm")), "wxy"),
        (Predicate("tech", any_of=("er",)), ""),
        (Predicate("has_sponsor", is_true=True), "wy"),
        (Predicate("has_sponsor", is_true=False), "x"),
    ],
)
def test_a_predicate_holds_for_whom_it_says_and_never_for_a_missing_value(
    predicate: Predicate, who: str
) -> None:
    held = predicate.holds(FEATURES)
    assert held.dtype == bool
    assert "".join(held.index[held]) == who


@pytest.mark.parametrize("empty", [FEATURES[:0], FEATURES.astype("object")[3:], FEATURES[3:]])
@pytest.mark.parametrize(
    "predicate",
    [
        Predicate("employees", between=(0, 1)),
        Predicate("tech", any_of=("crm",)),
        Predicate("has_sponsor", is_true=False),
    ],
)
def test_where_nothing_is_known_nothing_holds(predicate: Predicate, empty: pd.DataFrame) -> None:
    assert not predicate.holds(empty).any()
    assert len(predicate.holds(empty)) == len(empty)


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (Predicate("employees", between=(100, 12500)), "employees 100 to 12,500"),
        (Predicate("employees", between=(100, None)), "employees 100 or more"),
        (Predicate("employees", between=(None, 100)), "employees up to 100"),
        (Predicate("employees", between=(None, 3e6), below=True), "employees below 3,000,000"),
        (
            Predicate("employees", between=(1e6, 3e6), below=True),
            "employees 1,000,000 to below 3,000,000",
        ),
        (Predicate("funded_on", between=(0, 90)), "last funding 0 to 90 days ago"),
        (Predicate("industry", any_of=("health", "retail")), "industry is health or retail"),
        (Predicate("tech", any_of=("crm",)), "tech has crm"),
        (Predicate("has_sponsor", is_true=True), "has sponsor"),
        (Predicate("has_sponsor", is_true=False), "no has sponsor"),
    ],
)
def test_a_predicate_reads_as_words(predicate: Predicate, text: str) -> None:
    assert predicate.text(LABELS[predicate.attribute]) == text


@pytest.mark.parametrize(
    "condition", [{"between": (1.0, 2.0)}, {"any_of": ("a", "b")}, {"is_true": False}]
)
def test_a_line_of_the_hypothesis_becomes_the_same_condition(condition: dict[str, Any]) -> None:
    line = HypothesisLine(attribute="x", points=2, **condition)
    assert Predicate.of_condition(line) == Predicate("x", **condition)


@pytest.mark.parametrize(
    ("value", "text"), [(1234.0, 1200.0), (0.0567, 0.057), (0.0, 0.0), (-37.4, -37.0)]
)
def test_ends_are_written_as_a_person_would(value: float, text: float) -> None:
    assert readable(value) == text
