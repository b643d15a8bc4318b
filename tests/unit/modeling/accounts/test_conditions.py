import numpy as np
import pandas as pd
import pytest

from icploop.modeling.accounts.conditions import conditions
from icploop.settings import Attribute, Kind

THIRDS, FIFTHS = (1 / 3, 2 / 3), (0.2, 0.4, 0.6, 0.8)


def of(kind: Kind, values: list[object], fewest: int = 1) -> list[str]:
    attribute = Attribute(name="it", dimension="firmographic", kind=kind, label="it")
    given = pd.Series(values, dtype="float64" if kind in ("number", "date", "flag") else "str")
    return [found.code() for found in conditions(attribute, given, THIRDS, fewest)]


@pytest.mark.parametrize("kind", ["number", "date"])
def test_a_number_is_cut_at_rounded_quantiles_and_every_range_between_two_is_looked_at(
    kind: Kind,
) -> None:
    values = [*range(1, 1001), np.nan]
    attribute = Attribute(name="it", dimension="firmographic", kind=kind, label="it")
    given = pd.Series(values, dtype="float64")
    ends = [found.between for found in conditions(attribute, given, THIRDS, 1)]
    assert ends == [(None, 330), (None, 670), (330, 670), (330, None), (670, None)]
    finer = [found.between for found in conditions(attribute, given, FIFTHS, 1)]
    assert len(finer) == 4 + 6 + 4
    assert finer[0] == (None, 200)


def test_levels_members_and_both_answers_are_looked_at() -> None:
    assert of("flag", [1.0, np.nan]) == of("flag", []) != []
    assert len(of("category", ["b", "a", None, "a"])) == 2
    assert len(of("set", ["x|y", "y", None])) == 2
    assert of("set", ["x|y", "y"]) == of("category", ["x", "y"])


def test_a_level_of_few_is_not_looked_at() -> None:
    assert of("category", ["a", "a", "a", "b"], fewest=3) == of("category", ["a"])


def test_of_nothing_known_there_is_nothing_to_look_at() -> None:
    assert of("number", [np.nan, np.nan]) == of("category", [None]) == []
