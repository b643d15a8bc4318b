import math

import pytest

from icploop.settings.formats import number_format, suggested


@pytest.mark.parametrize(
    ("example", "decimal", "number"),
    [
        ("1.234,56", ",", 1234.56),
        ("1,234.56", ".", 1234.56),
        ("1 234,56", ",", 1234.56),
        ("1'234.56", ".", 1234.56),
        ("1234,5", ",", 1234.5),
        ("1.234.567", ",", 1234567),
        ("EUR 1.234,56", ",", 1234.56),
        ("1.234,56 \u20ac", ",", 1234.56),
        ("$1,234.56", ".", 1234.56),
        ("12,5 %", ",", 0.125),
        ("12.5%", ".", 0.125),
    ],
)
def test_an_example_says_how_numbers_are_written(example, decimal, number) -> None:
    found = number_format(example)
    assert found.decimal == decimal
    assert found.read(example) == pytest.approx(number, rel=1e-15)


@pytest.mark.parametrize(
    "example", ["1.234", "1,234", "1234", "EUR", "", "1.2 k", "5,5 Mio", "1.2.3,4'5"]
)
def test_an_example_that_does_not_say_it_is_refused_with_one_that_does(example) -> None:
    with pytest.raises(ValueError, match=r"such as|no currency"):
        number_format(example)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("EUR 8.075,12", 8075.12),
        ("8.075", 8075),
        ("-EUR 5,5", -5.5),
        ("(1.234,00)", -1234),
        ("1.234,00-", -1234),
        ("1,5 EUR", 1.5),
        (",5", 0.5),
        ("1.234.567,1", 1234567.1),
        ("USD 5", None),
        ("12.5", None),
        ("1,234,5", None),
        ("EUR", None),
        ("", None),
        ("(5", None),
        ("5k", None),
    ],
)
def test_a_text_is_a_number_only_as_it_was_stated(text, number) -> None:
    read = number_format("EUR 1.234,56").read(text)
    assert math.isnan(read) if number is None else read == number


@pytest.mark.parametrize(
    ("text", "examples"),
    [
        ("EUR 8.075,12", "EUR 1.234,56"),
        ("$48,048,000", "$1,234.56"),
        ("12,5 %", "12,5 %"),
        ("8.075,12 \u20ac", "1.234,56 \u20ac"),
        ("1,200", "1.234,56 or 1,234.56"),
        ("5k", ""),
        ("much", ""),
        ("2024-01-02", ""),
    ],
)
def test_a_text_suggests_the_formats_that_read_it(text, examples) -> None:
    assert suggested(text) == examples
