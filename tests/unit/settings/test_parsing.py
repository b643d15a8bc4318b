import time
from typing import Any

import pytest
from pydantic import BaseModel

from icploop.errors import UsageError
from icploop.settings import (
    Settings,
    parse_settings,
)
from icploop.settings.parsing import mapping
from tests.unit.settings.stated import PLACE, line, parsed, refusal

SECTIONS = {
    name: list(field.annotation.model_fields)
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


KEYS = [(s, key) for s, keys in SECTIONS.items() for key in keys if len(key) > 3]


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_typo_in_any_key_of_a_section_names_the_key_that_was_meant(
    section: str, key: str
) -> None:
    typo = key[:-2] + key[-1]
    assert refusal(**{section: {typo: 1}}) == (
        f"{PLACE}: `{section}.{typo}` is not a key; did you mean `{key}`?"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"polcy": {}}, "`polcy` is not a key; did you mean `policy`?"),
        ({"hypotesis": []}, "`hypotesis` is not a key; did you mean `hypothesis`?"),
        (
            {"dimensions": {"firmografic": {"a": "flag"}}},
            "`dimensions.firmografic` is not a key; did you mean `firmographic`?",
        ),
        (
            {"dimensions": {"use_case": {"a": {"kind": "flag", "lable": "A"}}}},
            "`dimensions.use_case.a.lable` is not a key; did you mean `label`?",
        ),
        (
            line(between=[1, 2], atribute="x"),
            "`hypothesis.0.atribute` is not a key; did you mean `attribute`?",
        ),
        (line(any_off=["x"]), "`hypothesis.0.any_off` is not a key; did you mean `any_of`?"),
        (
            {"hypothesis": [{"attribute": "employes", "between": [1, 2], "points": 1}]},
            "hypothesis: `employes` is not declared under dimensions; did you mean `employees`?",
        ),
    ],
)
def test_a_typo_elsewhere_names_what_was_meant(change: dict[str, Any], said: str) -> None:
    assert f"{PLACE}: {said}" in refusal(**change).splitlines()


def test_a_key_that_resembles_none_is_answered_with_all_that_there_are() -> None:
    assert refusal(owners={"zzz": 1}).endswith("`owners.zzz` is not a key; known: icp, approvers")


def test_every_fault_is_told_at_once() -> None:
    said = refusal(seed="many", policy={"draws": 1}, trigger={"count": "lost"})
    assert len(said.splitlines()) == 3
    assert all(line.startswith(f"{PLACE}: `") for line in said.splitlines())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be a mapping"),
        ("- company", "must be a mapping"),
        ("company", "must be a mapping"),
        ("company: [Tiny", "is not valid YAML"),
        ("company: Tiny\n\tseed: 1", "is not valid YAML"),
        ("company: Tiny", "`dimensions`: Field required"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=PLACE) as refused:
        parse_settings(text, PLACE)
    assert said in str(refused.value)


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    text = "company: A\ndimensions:\n  firmographic:\n    size: number\n    size: category\n"
    with pytest.raises(UsageError) as refused:
        parse_settings(text, PLACE)
    assert str(refused.value) == (
        f"{PLACE}: `size` stands there twice, in line 4 and in line 5; keep one"
    )
    with pytest.raises(UsageError, match="`company` stands there twice, in line 1 and in line 3"):
        parse_settings("company: A\ncurrency: EUR\n'company': B\n", PLACE)
    merged = "a: &a {kind: number}\nb:\n  <<: *a\n  kind: flag\n"
    assert mapping(merged, PLACE)["b"] == {"kind": "flag"}


@pytest.mark.parametrize(
    "text",
    [
        "company: " + "[" * 2_000,
        "company: " + "{a: " * 2_000 + "}" * 2_000,
        "- " * 2_000 + "a",
        "\n".join(" " * depth + "a:" for depth in range(2_000)),
    ],
)
def test_what_is_nested_thousands_deep_is_refused_with_the_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"line \d+ is nested more than 50 deep"):
        parse_settings(text, PLACE)


@pytest.mark.parametrize(
    "text", ["company: 2024-99-99", "seed: " + "9" * 5_000, "a: \x00", "a: *b"]
)
def test_what_yaml_itself_cannot_read_is_no_fault_of_the_program(text: str) -> None:
    with pytest.raises(UsageError, match="is not valid YAML"):
        parse_settings(text, PLACE)


def test_ten_thousand_attributes_are_read_in_a_second() -> None:
    declared = "".join(f"    a{number}: number\n" for number in range(10_000))
    text = f"company: A\ndimensions:\n  firmographic:\n{declared}"
    before = time.process_time()
    assert len(parse_settings(text, PLACE).attributes) == 10_000
    assert time.process_time() - before < 1.5


@pytest.mark.parametrize(
    "motion", ["a/b", "..", ".a", "a\0b", "", " a", "a\\b", "a:b", "a'b", "a%b", "x" * 101, "a\nb"]
)
def test_a_motion_that_can_name_no_folder_or_model_is_refused(motion: str) -> None:
    said = refusal(motions=["default", motion])
    assert "`motions.1`: a motion names folders and models, and this one" in said
    assert parsed(motions=["новый бизнес", "mid-market_2 (EU)"]).motions


@pytest.mark.parametrize("name", ["nrr", "retained", "at", "observed_at", "parent", "outcome"])
def test_an_attribute_named_like_an_outcome_or_a_column_of_ours_is_refused(name: str) -> None:
    said = refusal(dimensions={"firmographic": {"employees": "number", name: "number"}})
    assert f"`{name}` is the name of a column that icploop makes or reads itself" in said
    assert f"`my_{name}: {name}`" in said
