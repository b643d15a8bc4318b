import pytest

from icploop.cli.text import cut, money, percent, points, table


def test_numbers_stand_to_the_right_and_words_to_the_left():
    text = table(("account", "points"), [("Müller", "+2.1"), ("a", "-13.0")])
    assert text.splitlines() == [
        "account  points",
        "-------  ------",
        "Müller     +2.1",
        "a         -13.0",
    ]


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_what_is_missing_is_no_number(nothing: float | None):
    assert (percent(nothing), points(nothing), money(None)) == ("n/a", "", "n/a")


def test_a_ratio_is_a_percentage_or_points_and_money_has_no_cents():
    assert (percent(0.934), points(0.021), money(1_234_567.8)) == ("93%", "+2.1", "1,234,568")


def test_what_is_cut_says_so():
    assert (cut("abcdef", 6), cut("abcdefg", 6)) == ("abcdef", "abcde…")
