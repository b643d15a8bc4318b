from dataclasses import replace

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.predicate import Predicate
from icploop.domain.profile import Line, Profile
from icploop.domain.profile_diff import changes, moves
from tests.unit.domain.test_profile import EVIDENCE, SMALL, SSO, profile

TIERS = st.dictionaries(
    st.integers(0, 12).map("a{}".format), st.sampled_from(["A", "B", "C", "anti"])
)


def told(old: Profile, new: Profile) -> list[tuple[str, str, str | None, str | None]]:
    return [
        (
            c.section,
            c.kind,
            c.old.predicate.code() if c.old else None,
            c.new.predicate.code() if c.new else None,
        )
        for c in changes(old, new)
    ]


def test_the_same_profile_has_no_changes_even_with_other_evidence() -> None:
    old = profile((2, SMALL, False), anti=(SSO,))
    newer = replace(EVIDENCE, accounts=44)
    new = replace(old, lines=(Line("firmographic", SMALL, 2, newer),))
    assert told(old, new) == []


def test_lines_come_and_go_and_change() -> None:
    old = profile((2, SMALL, False), (1, SSO, False), anti=(SSO,))
    grown = Predicate("employees", between=(0, 80))
    new = profile((2, grown, False), (3, SSO, False), anti=(SMALL,))
    assert told(old, new) == [
        ("pursue", "changed", "tech has any of sso", "tech has any of sso"),
        ("pursue", "changed", "employees in 0..50", "employees in 0..80"),
        ("do not pursue", "removed", "tech has any of sso", None),
        ("do not pursue", "added", None, "employees in 0..50"),
    ]


def test_a_line_that_becomes_a_must_is_a_change() -> None:
    assert [c.kind for c in changes(profile((2, SMALL, False)), profile((2, SMALL, True)))] == [
        "changed"
    ]


def test_where_several_lines_of_an_attribute_changed_none_is_taken_for_another() -> None:
    ranges = [Predicate("employees", between=(low, low + 9)) for low in (0, 10, 20, 30)]
    old = profile((1, ranges[0], False), (2, ranges[1], False))
    new = profile((1, ranges[2], False), (2, ranges[3], False))
    assert [c.kind for c in changes(old, new)] == ["removed", "removed", "added", "added"]


@given(TIERS, TIERS)
def test_exactly_those_who_moved_are_named(before: dict[str, str], after: dict[str, str]) -> None:
    moved = moves(pd.Series(before, dtype="str"), pd.Series(after, dtype="str"))
    both = set(before) & set(after)
    assert set(moved.index) == {a for a in both if before[a] != after[a]}
    assert all(
        (row.before, row.after) == (before[row.Index], after[row.Index])
        for row in moved.itertuples()
    )
