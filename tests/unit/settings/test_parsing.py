from typing import Any

import pytest
from pydantic import BaseModel

from icploop.errors import UsageError
from icploop.settings import (
    Settings,
    parse_settings,
)
from tests.unit.settings.stated import PLACE, line, refusal

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
