"""What people and customers wrote is text in the form that ops decide on, and beside artifacts."""

import ast
from pathlib import Path

import pytest

FLOWS = Path(__file__).parents[2] / "flows"
HOSTILE = "<script>alert(1)</script> ![x](http://evil.example/p.png) [y](javascript:alert(1))"
# What the program counted or numbered itself.
OURS = {"report.rows", "report.version", "report.listed"}


def test_the_form_shows_the_verdict_and_its_reasons_as_text():
    from flows.forms import invite
    from icploop.io.versions import Registered

    tags = {"verdict": "PROMOTE", "reasons": HOSTILE}
    form = invite(Registered("1", "run", tags, "# The page"), "# The page", "")
    shown = str(form._description)
    assert "# The page" in shown
    assert "&lt;script>" in shown
    assert "<script>" not in shown
    assert "](" not in shown.replace("\\](", "")


@pytest.mark.parametrize("path", sorted(FLOWS.glob("*.py")), ids=lambda path: path.name)
def test_every_description_of_an_artifact_is_text(path):
    for call in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(call, ast.Call) and "artifact" in ast.unparse(call.func)):
            continue
        for said in (word.value for word in call.keywords if word.arg == "description"):
            put_in = (
                [part.value for part in said.values if isinstance(part, ast.FormattedValue)]
                if isinstance(said, ast.JoinedStr)
                else []
                if isinstance(said, ast.Constant)
                else [said]
            )
            for value in map(ast.unparse, put_in):
                named = {"title", "step"}
                assert value in OURS | named or value.startswith("plain("), value
