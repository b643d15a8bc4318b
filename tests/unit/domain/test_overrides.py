"""What people decide against the score is read as they wrote it, or refused with the line."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.overrides import Override, in_force, of_companies, parse_overrides
from icploop.errors import UsageError

HEADER = "account_id,decision,owner,reason,expires\n"


def test_each_line_is_an_override():
    text = (
        HEADER + 'acme,include,Ada,"board, asked",2026-12-31\nfoo,exclude,Bo,lawsuit,2026-06-30\n'
    )
    assert parse_overrides(text, "here") == (
        Override("acme", "include", "Ada", "board, asked", date(2026, 12, 31)),
        Override("foo", "exclude", "Bo", "lawsuit", date(2026, 6, 30)),
    )


def test_a_spreadsheet_may_write_semicolons_and_further_columns():
    text = "note;" + HEADER.replace(",", ";") + "x;acme;include;Ada;known to us;2026-12-31\n"
    (found,) = parse_overrides(text, "here")
    assert str(found) == "Ada: known to us (until 2026-12-31)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("account_id,decision\n", "has no column owner, reason, expires"),
        (HEADER + "a,include,,because,2026-01-01\n", "line 2: owner is empty"),
        (HEADER + "a,maybe,Ada,because,2026-01-01\n", "'maybe' is neither include nor exclude"),
        (HEADER + "a,include,Ada,because,31.12.2026\n", "'31.12.2026' is not a day"),
        (HEADER + "a,include,Ada\n", "reason, expires is empty"),
        (HEADER + "a,include,A,b,2026-01-01\na,exclude,A,b,2026-01-01\n", "line 3: 'a' is named"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, said: str):
    with pytest.raises(UsageError, match=said):
        parse_overrides(text, "conf/overrides.csv")


@given(st.dates(), st.dates())
def test_the_last_day_still_counts(expires: date, today: date):
    known = Override("a", "include", "Ada", "why", expires)
    assert bool(in_force([known], today)) == (today <= expires)


def test_overrides_go_with_the_company_and_who_excludes_goes_first():
    day = date(2026, 1, 1)
    stated = [
        Override("a", "include", "Ada", "likes it", day),
        Override("b", "exclude", "Bo", "lawsuit", day),
        Override("c", "include", "Cy", "asked", day),
    ]
    found = of_companies(stated, {"b": "a", "z": "c"})
    assert {(o.account_id, o.decision, o.owner) for o in found} == {
        ("a", "exclude", "Bo"),
        ("c", "include", "Cy"),
    }
    assert of_companies(stated, {}) == tuple(stated)
