"""No act goes by a ledger that somebody altered, and none puts it right."""

import json
from collections.abc import Callable

import duckdb
import pandas as pd
import pytest

from icploop.domain.ledger import LedgerRow
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.io.warehouse.head import head_of, kept_end
from tests.unit import planted
from tests.unit.conftest import copied
from tests.unit.io_fixtures import icp, nothing_changes

MOTION = planted.MOTION
DECISION = ("--by", "Ada", "--reason", "r")
ACTS = [
    ("status",),
    ("watch",),
    ("retrain", "--force"),
    ("approve", "2", *DECISION),
    ("reject", "2", *DECISION),
    ("rollback", *DECISION),
    ("settle",),
    ("publish",),
    ("list", "--out", "targets.csv"),
    ("score", "--in", "leads.csv", "--out", "scored.csv"),
    ("show",),
    ("explain", "p1"),
    ("check",),
    ("health",),
]


def sql(home: Home, query: str, *values: object) -> None:
    with duckdb.connect(str(home.warehouse_file)) as db:
        db.execute(query, list(values))


def _inserted_promotion(home: Home) -> None:
    """Version 2, which nobody approved, with a seal that is none."""
    content = registry.describe(home, MOTION, "2").tags["content_hash"]
    details = json.dumps({"content_hash": content, "release": "00001-v1-2025-01-31"})
    row = (6, "2025-02-01", "promotion", MOTION, "2025-02-01", "2", "Ada", "r", details, "f" * 64)
    sql(home, f"INSERT INTO ledger VALUES ({', '.join('?' * len(row))})", *row)


def _altered_verdict(home: Home) -> None:
    sql(
        home,
        "UPDATE ledger SET details = replace(details, '\"PROMOTE\"', '\"KEEP\"') WHERE number = 5",
    )


def _cut(home: Home, since: int = 5) -> None:
    sql(home, "DELETE FROM ledger WHERE number >= ?", since)


def _cut_with_its_head(home: Home) -> None:
    _cut(home)
    head_of(home.warehouse_file).unlink()


def _replaced_end_with_its_head(home: Home) -> None:
    """As many rows as before, each with its right seal: another row stands at the end."""
    _cut_with_its_head(home)
    Warehouse(home.warehouse_file).append(
        LedgerRow("rejection", MOTION, planted.LAST_DAY, "2", "Ada", "r")
    )


def _head_of_another(home: Home) -> None:
    head_of(home.warehouse_file).write_text("12 apes")


FORGERIES: dict[str, tuple[Callable[[Home], None], str]] = {
    "a promotion was put in": (_inserted_promotion, "row 6 is not as it was written"),
    "a verdict was altered": (_altered_verdict, "row 5 is not as it was written"),
    "details that are no JSON": (
        lambda home: sql(home, "UPDATE ledger SET details = '{' WHERE number = 3"),
        "row 3 is not as it was written",
    ),
    "the end was cut off": (_cut, "row 5 and what came after it, up to row 5, are gone"),
    "all of it was cut off": (lambda home: _cut(home, 1), "row 1 and what came after it"),
    "the file of its end was altered": (_head_of_another, "warehouse.head is not as it was"),
}


@pytest.fixture(scope="module")
def forged(challenged: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return copied(challenged, tmp_path_factory.mktemp("forged") / "home")


@pytest.mark.parametrize(("forge", "told"), FORGERIES.values(), ids=FORGERIES.keys())
def test_no_act_goes_by_a_ledger_that_was_altered(
    forged: Home, forge: Callable[[Home], None], told: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(forged.root)
    pd.DataFrame({"account_id": ["p1"], "industry": ["health"]}).to_csv("leads.csv", index=False)
    files = [forged.warehouse_file, head_of(forged.warehouse_file)]
    sound = {path: path.read_bytes() for path in files}
    aliases = registry.aliases(forged, MOTION)
    forge(forged)
    with nothing_changes(forged):
        for words in ACTS if forge is _inserted_promotion else (("status",), ("settle",)):
            ended = icp(*words, "--as-of", "2025-02-03", home=forged)
            assert (ended.status, told in ended.err) == (4, True), (words, ended.err)
    assert registry.aliases(forged, MOTION) == aliases
    for path, content in sound.items():
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("forge", "lost"),
    [
        (_cut_with_its_head, "row 5 and what came after it, up to row 5, are gone"),
        (_replaced_end_with_its_head, "row 5 is another one"),
    ],
)
def test_what_is_missing_beside_the_warehouse_too_mlflow_knows_and_settle_does_not_heal_it(
    forged: Home, forge: Callable[[Home], None], lost: str
):
    files = [forged.warehouse_file, head_of(forged.warehouse_file)]
    sound = {path: path.read_bytes() for path in files}
    forge(forged)
    with nothing_changes(forged):
        for words in (("settle",), ("watch",), ("approve", "2", *DECISION), ("publish",)):
            ended = icp(*words, "--as-of", "2025-02-03", home=forged)
            assert ended.status == 4, words
            assert f"not the one that MLflow saw: {lost}" in " ".join(ended.err.split())
        listed = icp("status", "--log", home=forged)
        assert (listed.status, f"NOT SOUND: by MLflow, for default, {lost}" in listed.out) == (
            4,
            True,
        )
    for path, content in sound.items():
        path.write_bytes(content)


def test_the_end_is_kept_beside_the_warehouse_and_one_act_behind_is_no_loss(waiting: Home):
    warehouse = Warehouse(waiting.warehouse_file)
    head = head_of(waiting.warehouse_file)
    before, rows = head.read_bytes(), warehouse.sealed_ledger()
    assert kept_end(waiting.warehouse_file) is not None
    warehouse.append(LedgerRow("rejection", MOTION, planted.LAST_DAY, "2", "Ada", "r"))
    # A process that died between the row and the file.
    head.write_bytes(before)
    assert len(warehouse.sealed_ledger()) == len(rows) + 1
    assert icp("settle", home=waiting).status == 0
    assert icp("status", "--log", home=waiting).status == 0


def test_the_log_shows_a_ledger_that_was_altered_and_names_the_row(own: Home):
    sql(own, "UPDATE ledger SET reason = 'because' WHERE event = 'approval'")
    answer = icp("status", "--log", home=own)
    assert (answer.status, "NOT SOUND: row 3" in answer.out) == (4, True)
