"""A source is a state: what it no longer says is gone today, and still seen by an earlier day."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icploop.domain.calendar import seen_by
from icploop.domain.outcomes import outcomes
from icploop.domain.tables import Tables
from icploop.errors import DataError, UsageError
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.io.warehouse.staging import PartSizes
from icploop.pipelines.ingest import IngestReport, ingest
from icploop.settings import Outcome, TableName
from tests.unit.io_fixtures import (
    SETTINGS,
    contents,
    files_source,
    icp,
    inbox,
    new_home,
    nothing_changes,
    write_csv,
)

FIRST, SECOND, THIRD = date(2024, 6, 1), date(2024, 7, 1), date(2024, 8, 1)
LATER, DAY = date(2025, 3, 31), timedelta(days=1)
PARTS = PartSizes(large_bytes=0, rows=7)


def months(account: str, first: str, count: int, mrr: float = 100) -> list[dict[str, Any]]:
    starts = pd.period_range(first, periods=count, freq="M").start_time
    return [{"account_id": account, "month": f"{m:%Y-%m-%d}", "mrr": mrr} for m in starts]


def won(account: str, created: str = "2024-02-01", **more: Any) -> dict[str, Any]:
    row = {"deal_id": f"D{account}", "account_id": account, "created_at": created}
    return row | {"outcome": "won", "closed_at": created, "acv": 1200} | more


def export(home: Home, **tables: list[dict[str, Any]]) -> None:
    write_csv(inbox(home), {name: pd.DataFrame(rows) for name, rows in tables.items()})


def accounts(*names: str) -> list[dict[str, Any]]:
    return [{"account_id": name, "employees": 10} for name in names]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Two customers; A1 has prepaid two years, which billing spreads."""
    found = of_three_tables(tmp_path / "home")
    export(
        found,
        accounts=accounts("A1", "B1", "C1"),
        deals=[won("A1"), won("B1"), won("C1")],
        revenue=[*months("A1", "2024-02", 24), *months("B1", "2024-02", 13)],
    )
    return found


def of_three_tables(root: Path) -> Home:
    plain: dict[str, Any] = {n: {"file": f"{n}.csv"} for n in ("accounts", "deals", "revenue")}
    return new_home(root, files=files_source(**plain))


def state(home: Home, **changes: Any) -> None:
    """Change what the settings say of the source."""
    path = home.sources_folder / "files.yaml"
    stated = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(stated | changes))


def stated_in(home: Home, **changes: Any) -> None:
    home.settings_file.write_text(yaml.safe_dump(SETTINGS | changes))


def seen(home: Home, day: date) -> Tables:
    return seen_by(Warehouse(home.warehouse_file).tables(), day)


def nrr(home: Home, day: date, account: str = "A1") -> float | None:
    found = outcomes(seen(home, day), "default", Outcome()).set_index("account_id").loc[account]
    return float(found["nrr"]) if found["matured"] else None


def codes(report: IngestReport) -> set[str]:
    return {found.code for found in report.findings}


@pytest.mark.parametrize(
    ("days", "sizes"),
    [
        ((LATER - DAY, LATER), None),
        ((LATER - DAY, LATER), PARTS),
        ((None, None), None),
        ((LATER, LATER), PARTS),
    ],
)
def test_who_cancelled_a_prepayment_has_left(
    home: Home, days: tuple[date | None, date | None], sizes: PartSizes | None
):
    """Whether it was told on another day, on the same one, or without any."""
    ingest(home, as_of=days[0], sizes=sizes)
    assert nrr(home, LATER) == 1.0
    export(home, revenue=[*months("A1", "2024-02", 4), *months("B1", "2024-02", 13)])
    report = ingest(home, as_of=days[1], sizes=sizes)
    assert nrr(home, LATER) == 0.0
    assert report.tables["revenue"]["rows"] == report.tables["revenue"]["stored"] == 17
    assert report.tables["revenue"]["left"] == 20
    assert "20 revenue rows left the source files" in next(
        found.message for found in report.findings if found.code == "rows_left"
    )


def test_what_left_is_still_seen_by_an_earlier_day(home: Home):
    stated_in(home, ingest={"max_bad_share": 1})
    ingest(home, as_of=FIRST)
    before = seen(home, FIRST)
    export(home, accounts=accounts("C1"), deals=[won("C1")], revenue=months("B1", "2024-02", 5))
    report = ingest(home, as_of=SECOND)
    (left,) = (found for found in report.findings if found.code == "rows_left")
    assert left.message.startswith("2 accounts, 2 deals, 37 revenue rows left the source files.")
    assert seen(home, SECOND).accounts["account_id"].tolist() == ["C1"]
    assert seen(home, SECOND).deals["deal_id"].tolist() == ["DC1"]
    assert seen(home, SECOND).revenue.empty
    for name in ("accounts", "deals", "revenue"):
        was, now = getattr(before, name), getattr(seen(home, FIRST), name)
        pd.testing.assert_frame_equal(now[was.columns.tolist()], was)
    # Its revenue stands in the export without an account, and is told.
    assert report.tables["revenue"]["quarantined"] == 5


def test_what_comes_back_is_there_again_and_not_in_between(home: Home):
    for day, names in ((FIRST, "AB"), (SECOND, "B"), (THIRD, "AB")):
        export(home, accounts=accounts("A1", "B1", "C1"), deals=[won(f"{n}1") for n in names])
        ingest(home, as_of=day)
    known = [seen(home, day).deals["deal_id"].tolist() for day in (FIRST, SECOND, THIRD)]
    assert known == [["DA1", "DB1"], ["DB1"], ["DA1", "DB1"]]


def test_a_deal_that_is_reopened_is_open_today_and_was_won_yesterday(home: Home):
    ingest(home, as_of=FIRST)
    reopened = won("A1", outcome="open", closed_at="")
    export(home, deals=[reopened, won("B1"), won("C1")])
    report = ingest(home, as_of=SECOND)
    assert report.tables["deals"]["changed"] == 1
    by_day = [seen(home, day).deals.set_index("deal_id").loc["DA1"] for day in (FIRST, SECOND)]
    assert [deal["outcome"] for deal in by_day] == ["won", "open"]
    assert pd.isna(by_day[1]["closed_at"])


def test_an_amount_that_was_corrected_is_the_old_one_for_an_earlier_day(home: Home):
    ingest(home, as_of=FIRST)
    export(home, revenue=[*months("A1", "2024-02", 24, 50), *months("B1", "2024-02", 13)])
    assert ingest(home, as_of=SECOND).tables["revenue"]["changed"] == 24
    of_first = [seen(home, day).revenue["mrr"].iloc[0] for day in (FIRST, SECOND)]
    assert of_first == [100, 50]


@pytest.mark.parametrize("mode", ["full", "increment"])
@pytest.mark.parametrize(
    ("table", "bad"),
    [
        ("deals", won("A1", closed_at="2023-12-31")),
        ("revenue", months("A1", "2024-02", 1, -5)[0]),
    ],
)
def test_a_row_that_is_refused_today_leaves_nothing_of_yesterday(
    home: Home, table: TableName, bad: dict[str, Any], mode: str
):
    state(home, mode=mode)
    stated_in(home, ingest={"max_bad_share": 0.5})
    ingest(home, as_of=FIRST)
    rows = {"deals": [won("B1"), won("C1")], "revenue": months("B1", "2024-02", 13)}
    export(home, **{table: [bad, *rows[table]]})
    report = ingest(home, as_of=SECOND)
    assert "stored_then_refused" in codes(report)
    stored = getattr(seen(home, LATER), table)
    of_it = stored[stored["account_id"] == "A1"]
    assert "2024-02-01" not in set(of_it.get("month", pd.Series(dtype="str")).astype("str"))
    assert table == "revenue" or of_it.empty


def test_another_mapping_forgets_the_quarantine_and_what_was_read_wrongly(home: Home):
    stated_in(home, ingest={"max_bad_share": 0.5})
    export(home, deals=[won("A1"), won("B1"), won("C1", outcome="Won!")])
    ingest(home, as_of=FIRST)
    assert len(Warehouse(home.warehouse_file).quarantine()) == 1
    tables = yaml.safe_load((home.sources_folder / "files.yaml").read_text())["tables"]
    query = "SELECT * REPLACE (replace(lower(outcome), '!', '') AS outcome) FROM deals"
    state(home, tables=tables | {"deals": {"query": query}})
    ingest(home, as_of=SECOND)
    assert Warehouse(home.warehouse_file).quarantine().empty
    # What was read wrongly was never so.
    assert len(seen(home, FIRST).deals) == 3


def test_a_table_that_the_settings_name_no_more_leaves_with_its_quarantine(home: Home):
    stated_in(home, ingest={"max_bad_share": 0.5})
    export(home, deals=[won("A1"), won("C1", outcome="Won!")])
    ingest(home, as_of=FIRST)
    tables = yaml.safe_load((home.sources_folder / "files.yaml").read_text())["tables"]
    state(home, tables={name: tables[name] for name in ("accounts", "revenue")})
    report = ingest(home, as_of=SECOND)
    assert "1 deal left the source files." in report.findings[0].message
    assert seen(home, SECOND).deals.empty
    assert Warehouse(home.warehouse_file).quarantine().empty


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Home:
    names = [f"A{i}" for i in range(40)]
    home = of_three_tables(tmp_path_factory.mktemp("many") / "home")
    revenue = [row for n in names for row in months(n, "2024-02", 3)]
    export(home, accounts=accounts(*names), deals=[won("A1")], revenue=revenue)
    ingest(home, as_of=FIRST)
    return home


class TestAnExportThatShrinks:
    @pytest.fixture
    def many(self, ingested: Home, tmp_path: Path) -> Home:
        shutil.copytree(ingested.root, tmp_path / "many")
        return Home(tmp_path / "many")

    def test_by_much_is_refused_until_it_is_meant(self, many: Home):
        export(many, accounts=accounts(*(f"A{i}" for i in range(20))))
        told = r"20 accounts of 40 \(50%, more than ingest.max_shrink 30%\).*--shrink-is-meant"
        with nothing_changes(many), pytest.raises(DataError, match=told):
            ingest(many, as_of=SECOND)
        stated_in(many, ingest={"max_bad_share": 1})
        report = ingest(many, as_of=SECOND, shrink_is_meant=True)
        assert "export_shrank" in codes(report)
        assert report.tables["accounts"]["stored"] == 20

    def test_by_a_share_that_the_settings_allow_is_stored(self, many: Home):
        stated_in(many, ingest={"max_shrink": 0.6, "max_bad_share": 1})
        export(many, accounts=accounts(*(f"A{i}" for i in range(20))))
        assert ingest(many, as_of=SECOND).tables["accounts"]["left"] == 20

    def test_an_increment_does_not_shrink(self, many: Home):
        state(many, mode="increment")
        export(many, accounts=accounts("A50"), revenue=months("A50", "2024-05", 1))
        report = ingest(many, as_of=SECOND)
        assert report.tables["accounts"]["stored"] == 41
        assert report.tables["revenue"]["stored"] == 121
        assert "rows_left" not in codes(report)

    def test_a_window_says_nothing_of_what_was_before(self, many: Home):
        tables = yaml.safe_load((many.sources_folder / "files.yaml").read_text())["tables"]
        tables["revenue"]["mode"] = "window"
        state(many, tables=tables)
        rows = [row for i in range(39) for row in months(f"A{i}", "2024-03", 3)]
        export(many, revenue=rows)
        report = ingest(many, as_of=SECOND)
        # The two later months of the one that is gone; February stays.
        assert report.tables["revenue"]["left"] == 2
        assert (seen(many, SECOND).revenue["month"] == "2024-02-01").sum() == 40

    def test_that_begins_later_only_is_told_with_the_remedy(self, many: Home):
        stated_in(many, ingest={"max_shrink": 0.5})
        export(many, revenue=[row for i in range(40) for row in months(f"A{i}", "2024-03", 3)])
        report = ingest(many, as_of=SECOND)
        (found,) = (f for f in report.findings if f.code == "export_begins_later")
        assert "mode: window" in found.message

    def test_the_command_says_it_with_status_3(self, many: Home):
        export(many, accounts=accounts(*(f"A{i}" for i in range(20))))
        with nothing_changes(many):
            answer = icp("ingest", "--as-of", SECOND, home=many)
        assert answer.status == 3
        assert "--shrink-is-meant" in answer.err


def test_a_folder_given_by_hand_may_be_an_increment(home: Home, tmp_path: Path):
    ingest(home, folder=inbox(home), as_of=FIRST)
    write_csv(tmp_path / "more", {"revenue": pd.DataFrame(months("C1", "2024-05", 2))})
    report = ingest(home, folder=tmp_path / "more", as_of=SECOND, mode="increment")
    assert report.tables["revenue"]["stored"] == 39
    with pytest.raises(UsageError, match="conf/sources"):
        ingest(home, mode="increment")


def test_what_a_folder_brought_is_over_once_a_source_has_the_table(home: Home, tmp_path: Path):
    write_csv(tmp_path / "by-hand", {"accounts": pd.DataFrame(accounts("A1", "old"))})
    ingest(home, folder=tmp_path / "by-hand", as_of=FIRST)
    ingest(home, as_of=SECOND)
    assert seen(home, SECOND).accounts["account_id"].tolist() == ["A1", "B1", "C1"]
    assert "old" in seen(home, FIRST).accounts["account_id"].tolist()


def test_a_finding_can_refuse(home: Home):
    stated_in(home, ingest={"refuse_on": ["rows_left"]})
    ingest(home, as_of=FIRST)
    export(home, deals=[won("A1")])
    with (
        nothing_changes(home),
        pytest.raises(DataError, match=r"rows_left: 2 deals left.*refuse_on"),
    ):
        ingest(home, as_of=SECOND)


def test_stages_that_are_not_mapped_are_named_with_their_counts(home: Home):
    stated_in(home, ingest={"max_bad_share": 1})
    stages = ["Negotiation"] * 3 + ["Demo"] * 2
    export(home, deals=[won(f"{i}", account_id="A1", outcome=s) for i, s in enumerate(stages)])
    report = ingest(home, as_of=FIRST)
    assert report.stages == {"Negotiation": 3, "Demo": 2}
    (found,) = (f for f in report.findings if f.code == "unmapped_stages")
    assert "5 deals in stages that are not mapped: Negotiation (3), Demo (2)" in found.message


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=5
)
@given(
    days=st.lists(
        st.dictionaries(st.sampled_from("ABC"), st.integers(1, 2), min_size=1),
        min_size=2,
        max_size=3,
    ),
    again=st.booleans(),
)
def test_each_day_sees_what_its_export_said(
    tmp_path_factory: pytest.TempPathFactory, days: list[dict[str, int]], again: bool
):
    """Whatever came, changed, left or came back; and reading it again changes nothing."""
    plain: dict[str, Any] = {n: {"file": f"{n}.csv"} for n in ("accounts", "deals")}
    home = new_home(tmp_path_factory.mktemp("s") / "home", files=files_source(**plain))
    when = [date(2024, 6, day + 1) for day in range(len(days))]
    for day, amounts in zip(when, days, strict=True):
        export(
            home,
            accounts=accounts("A", "B", "C"),
            deals=[won(name, acv=amount) for name, amount in amounts.items()],
        )
        ingest(home, as_of=day)
        if again:
            before = contents(home)
            ingest(home, as_of=day)
            assert contents(home) == before
    for day, amounts in zip(when[:-1], days[:-1], strict=True):
        known = seen(home, day).deals
        was = {name[1:]: int(acv) for name, acv in zip(known["deal_id"], known["acv"], strict=True)}
        # What came for the first time later is told apart by its own dates only.
        later = {name for other in days[days.index(amounts) + 1 :] for name in other}
        earlier = {name for other in days[: days.index(amounts)] for name in other}
        assert {n: a for n, a in was.items() if n in amounts} == amounts
        assert set(was) - set(amounts) <= later - earlier
    last = seen(home, when[-1]).deals
    assert dict(zip(last["deal_id"], last["acv"], strict=True)) == {
        f"D{name}": float(amount) for name, amount in days[-1].items()
    }


def test_columns_may_be_called_as_the_warehouse_calls_its_own(home: Home):
    rows = [account | {"since": "2020", "until": "x"} for account in accounts("A1")]
    export(home, accounts=rows, deals=[won("A1")], revenue=months("A1", "2024-02", 2))
    ingest(home, as_of=date(2024, 5, 1))
    export(home, accounts=rows, deals=[won("A1", until="2025")], revenue=months("A1", "2024-02", 2))
    ingest(home, as_of=date(2024, 5, 2))
    assert list(seen(home, date(2024, 5, 2)).deals["until"]) == ["2025"]
    assert "until" not in seen(home, date(2024, 5, 1)).deals
