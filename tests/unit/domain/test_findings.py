import re
from pathlib import Path
from typing import get_args

import pytest

from icploop.domain.findings import PAGE_OF, Finding, as_tags, of_code
from icploop.settings.company import IngestFinding

DOCS = Path(__file__).parents[3] / "docs"
SOURCES = Path(__file__).parents[3] / "src"
# A code stands in the first cell of a table's row.
_ANCHOR = re.compile(r'^\| <a id="(\w+)"></a>`\1` \|', re.MULTILINE)


def test_every_code_has_an_anchor_in_the_docs_and_every_anchor_is_a_code() -> None:
    told = {
        found[1]: page.name
        for page in DOCS.glob("*.md")
        for found in _ANCHOR.finditer(page.read_text(encoding="utf-8"))
    }
    assert told == PAGE_OF


def test_what_ingest_may_be_told_to_refuse_are_codes_of_ingest() -> None:
    refusable = set(get_args(IngestFinding))
    assert refusable == {code for code, page in PAGE_OF.items() if page == "your-data.md"}


def test_every_code_is_found_somewhere() -> None:
    """A code that nothing says would be explained for nobody."""
    said = "".join(p.read_text() for p in SOURCES.rglob("*.py") if p.name != "findings.py")
    # A leak says the rule that it broke.
    silent = {
        code
        for code in PAGE_OF
        if f'"{code}"' not in said and f'"{code.removeprefix("leak_")}"' not in said
    }
    assert silent == set()


def test_a_code_that_no_page_explains_is_none() -> None:
    with pytest.raises(ValueError, match="explains the finding 'nonsense'"):
        Finding("nonsense", "note", "Something.")


def test_a_finding_says_where_it_is_explained() -> None:
    found = Finding("guard_part", "refusal", "Guard: in retail.")
    assert str(found) == "Guard: in retail."
    assert found.as_dict() == {
        "code": "guard_part",
        "severity": "refusal",
        "message": "Guard: in retail.",
        "docs": "gate.md#guard_part",
    }


def test_tags_name_each_code_once_with_its_gravest_severity() -> None:
    grave, light = Finding("left_out", "warning", "Many."), Finding("left_out", "note", "Few.")
    other = Finding("no_skill", "warning", "None.")
    assert as_tags([grave, light, other]) == as_tags([other, light, grave])
    assert as_tags([grave, light]) == {"finding.left_out": "warning"}
    assert of_code([grave, other, light], ["left_out"]) == [grave, light]
