import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.domain.cells import read_moment
from icploop.errors import DataError, UsageError
from icploop.io.sources import Landing, RawTable, pull
from icploop.io.warehouse import Warehouse
from icploop.settings import parse_source
from tests.servers import TOKEN, Faults, Salesforce
from tests.unit.io_fixtures import last_read

PLACE = "conf/sources/salesforce.yaml"
SALESFORCE: dict[str, Any] = {
    "kind": "salesforce",
    "calls_per_second": 1000,
    "tables": {
        "accounts": {"columns": {"employees": "NumberOfEmployees", "industry": "Industry"}},
        "deals": {},
    },
    "tracked": ["NumberOfEmployees"],
    "tracked_since": "2023-02-01",
}
_BEGUN = datetime(2023, 1, 1, tzinfo=UTC)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def account(n: int, **more: Any) -> dict[str, Any]:
    born = _BEGUN + timedelta(days=n)
    return {
        "Id": f"001{n:012}",
        "Name": f"Company {n}",
        "Website": f"c{n}.example",
        "ParentId": None,
        "NumberOfEmployees": 10 + n,
        "Industry": "Retail",
        "IsDeleted": False,
        "MasterRecordId": None,
        "CreatedDate": _iso(born),
        # A mass edit: many records share a moment.
        "SystemModstamp": _iso(_BEGUN + timedelta(days=n // 100)),
    } | more


def opportunity(n: int, won: bool | None) -> dict[str, Any]:
    return {
        "Id": f"006{n:012}",
        "AccountId": f"001{n:012}",
        "CreatedDate": _iso(_BEGUN + timedelta(days=n + 40)),
        "CloseDate": (_BEGUN + timedelta(days=n + 60)).strftime("%Y-%m-%d"),
        "Amount": 1200.0,
        "IsClosed": won is not None,
        "IsWon": won is True,
        "IsDeleted": False,
        "SystemModstamp": _iso(_BEGUN + timedelta(days=n)),
    }


def change(n: int, day: int, old: Any, new: Any) -> dict[str, Any]:
    return {
        "Id": f"017{n:06}{day:06}",
        "AccountId": f"001{n:012}",
        "Field": "NumberOfEmployees",
        "OldValue": old,
        "NewValue": new,
        "CreatedDate": _iso(_BEGUN + timedelta(days=day)),
    }


@pytest.fixture
def salesforce(monkeypatch: pytest.MonkeyPatch) -> Iterator[Salesforce]:
    monkeypatch.setenv("SALESFORCE_TOKEN", TOKEN)
    fake = Salesforce(
        records={
            "Account": [account(n) for n in range(450)],
            "Opportunity": [opportunity(n, [True, False, None][n % 3]) for n in range(450)],
            "AccountHistory": [change(n, 500 + n, 5, 10 + n) for n in range(0, 450, 2)],
        }
    )
    with fake.running():
        yield fake


def read(fake: Salesforce, folder: Path, **changed: Any) -> dict[str, RawTable]:
    text = yaml.safe_dump(SALESFORCE | {"base_url": fake.url} | changed)
    landing = Landing(Warehouse(folder / "warehouse.duckdb"), "salesforce")
    return {t.table: t for t in pull(parse_source(text, PLACE), folder, PLACE, landing)}


def test_tracked_fields_have_their_history_and_others_no_date(
    salesforce: Salesforce, tmp_path: Path
) -> None:
    rows = read(salesforce, tmp_path)["accounts"].rows
    assert len(rows) == 450 + 450 + 225
    of_one = rows[rows["account_id"] == "001000000000002"]
    assert of_one["observed_at"].tolist() == [
        pd.NaT,
        pd.Timestamp(2023, 2, 1),
        pd.Timestamp(_BEGUN.date()) + pd.Timedelta(days=502),
    ]
    assert of_one["employees"].isna().tolist() == [True, False, False]
    assert of_one["employees"].tolist()[1:] == ["5", "12"]
    assert of_one["industry"].tolist()[0] == "Retail"
    assert of_one["industry"].isna().tolist() == [False, True, True]


def test_what_never_changed_was_so_since_its_account_was_created(
    salesforce: Salesforce, tmp_path: Path
) -> None:
    rows = read(salesforce, tmp_path)["accounts"].rows
    dated = rows[(rows["account_id"] == "001000000000301") & rows["observed_at"].notna()]
    assert dated["observed_at"].tolist() == [pd.Timestamp(2023, 1, 1) + pd.Timedelta(days=301)]
    assert dated["employees"].tolist() == ["311"]


def test_without_tracking_every_value_is_without_a_date(
    salesforce: Salesforce, tmp_path: Path
) -> None:
    rows = read(salesforce, tmp_path, tracked=[], tracked_since=None)["accounts"].rows
    assert len(rows) == 450
    assert "observed_at" not in rows
    assert salesforce.calls["AccountHistory"] == 0


def test_deals_are_won_lost_or_open(salesforce: Salesforce, tmp_path: Path) -> None:
    rows = read(salesforce, tmp_path)["deals"].rows
    assert rows["outcome"].value_counts().to_dict() == {"won": 150, "lost": 150, "open": 150}
    assert rows["closed_at"].isna().equals(rows["outcome"] == "open")


def test_an_evening_is_of_its_day_by_the_clock_of_the_company(
    salesforce: Salesforce, tmp_path: Path
) -> None:
    one = salesforce.records["Opportunity"][0]
    one |= {"CreatedDate": "2018-11-02T01:00:00.000+0000", "CloseDate": "2018-11-01"}
    deals = read(salesforce, tmp_path, timezone="America/New_York")["deals"].rows
    found = read_moment(deals["created_at"])[deals["deal_id"] == one["Id"]]
    assert found.tolist() == [pd.Timestamp(2018, 11, 1, 21)]
    of_one = read(salesforce, tmp_path, timezone="America/New_York")["accounts"].rows
    born = of_one[of_one["account_id"] == "001000000000301"]["observed_at"].dropna()
    assert born.tolist() == [pd.Timestamp(2023, 10, 28, 20)]


def test_a_second_run_moves_nothing_that_did_not_change(
    salesforce: Salesforce, tmp_path: Path
) -> None:
    first = read(salesforce, tmp_path)
    salesforce.calls.clear()
    salesforce.served.clear()
    again = read(salesforce, tmp_path)
    assert salesforce.calls["all"] == 3
    assert salesforce.served["records"] == 0
    for name, table in first.items():
        pd.testing.assert_frame_equal(again[name].rows, table.rows)


def test_a_second_run_moves_what_changed(salesforce: Salesforce, tmp_path: Path) -> None:
    read(salesforce, tmp_path)
    now = datetime.now(UTC)
    salesforce.records["Account"][7] |= {"NumberOfEmployees": 99, "SystemModstamp": _iso(now)}
    salesforce.records["AccountHistory"].append(
        change(7, 0, 17, 99) | {"Id": "017999", "CreatedDate": _iso(now)}
    )
    salesforce.served.clear()
    rows = read(salesforce, tmp_path)["accounts"].rows
    assert salesforce.served["records"] == 2
    of_one = rows[(rows["account_id"] == "001000000000007") & rows["observed_at"].notna()]
    assert of_one["employees"].tolist() == ["17", "99"]


def test_what_is_saved_slowly_is_read_by_the_next_run(
    salesforce: Salesforce, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    salesforce.records["Account"][3] |= {"SystemModstamp": _iso(now)}
    read(salesforce, tmp_path)
    late = account(900, SystemModstamp=_iso(now - timedelta(minutes=2)))
    salesforce.records["Account"].append(late)
    rows = read(salesforce, tmp_path)["accounts"].rows
    assert late["Id"] in set(rows["account_id"])


class TestWhatIsThereNoMore:
    def deleted(self, fake: Salesforce, thing: str, n: int, **more: Any) -> None:
        fake.records[thing][n] |= {"IsDeleted": True, "SystemModstamp": _iso(datetime.now(UTC))}
        fake.records[thing][n] |= more

    @pytest.mark.parametrize("is_read_before", [True, False])
    def test_what_was_deleted_is_left_out(
        self, salesforce: Salesforce, tmp_path: Path, is_read_before: bool
    ) -> None:
        if is_read_before:
            read(salesforce, tmp_path)
        self.deleted(salesforce, "Account", 7)
        self.deleted(salesforce, "Opportunity", 8)
        found = read(salesforce, tmp_path)
        assert "001000000000007" not in set(found["accounts"].rows["account_id"])
        assert "006000000000008" not in set(found["deals"].rows["deal_id"])
        assert found["deals"].rows["deal_id"].nunique() == 449

    def test_what_was_restored_is_back(self, salesforce: Salesforce, tmp_path: Path) -> None:
        self.deleted(salesforce, "Account", 7)
        read(salesforce, tmp_path)
        salesforce.records["Account"][7] |= {
            "IsDeleted": False,
            "SystemModstamp": _iso(datetime.now(UTC)),
        }
        found = read(salesforce, tmp_path)["accounts"].rows
        assert "001000000000007" in set(found["account_id"])

    @pytest.mark.parametrize("tracked", [["NumberOfEmployees"], []])
    def test_a_merged_account_says_into_which_and_since_when(
        self, salesforce: Salesforce, tmp_path: Path, tracked: list[str]
    ) -> None:
        before = read(salesforce, tmp_path, tracked=tracked)["accounts"].rows
        self.deleted(
            salesforce,
            "Account",
            7,
            MasterRecordId="001000000000001",
            SystemModstamp="2024-03-01T12:00:00.000+0000",
        )
        # It came late into what is read.
        found = read(salesforce, tmp_path / "anew", tracked=tracked)["accounts"].rows
        told = found.dropna(subset=["merged_into"])[["account_id", "observed_at", "merged_into"]]
        assert told.to_numpy().tolist() == [
            ["001000000000007", pd.Timestamp(2024, 3, 1, 12), "001000000000001"]
        ]
        assert len(found) == len(before) + 1
        assert "merged_into" not in before

    def test_after_a_long_pause_everything_is_read_again(
        self, salesforce: Salesforce, tmp_path: Path
    ) -> None:
        read(salesforce, tmp_path)
        last_read(
            tmp_path / "warehouse.duckdb", "salesforce", "Account", "2024-01-01T00:00:00+00:00"
        )
        # Deleted so long ago that the recycle bin is empty.
        del salesforce.records["Account"][7]
        found = read(salesforce, tmp_path)["accounts"].rows
        assert "001000000000007" not in set(found["account_id"])


def test_reading_goes_on_after_the_server_forgot_its_locators(
    salesforce: Salesforce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icploop.io.sources.landing._TOGETHER", 1)
    whole = read(salesforce, tmp_path / "whole")
    sound = salesforce.answer

    def forgetful(*asked: Any) -> dict[str, Any]:
        if "01g" in asked[1]:
            salesforce.forget()
        return sound(*asked)

    salesforce.answer = forgetful  # type: ignore[method-assign]
    for _ in range(5):
        with pytest.raises(DataError, match="INVALID_QUERY_LOCATOR"):
            read(salesforce, tmp_path / "again")
    found = read(salesforce, tmp_path / "again")
    for name, table in whole.items():
        pd.testing.assert_frame_equal(found[name].rows, table.rows)


def test_faults_change_nothing_but_the_number_of_calls(
    salesforce: Salesforce, tmp_path: Path
) -> None:
    sound = read(salesforce, tmp_path / "sound")
    salesforce.faults = Faults(one_in=3, seed=4)
    faulty = read(salesforce, tmp_path / "faulty")
    for name, table in sound.items():
        pd.testing.assert_frame_equal(faulty[name].rows, table.rows)


def test_a_field_that_is_gone_is_named(salesforce: Salesforce, tmp_path: Path) -> None:
    salesforce.records["Account"] = copy.deepcopy(salesforce.records["Account"])
    for record in salesforce.records["Account"]:
        del record["Industry"]
    with pytest.raises(DataError, match="no such column 'Industry'"):
        read(salesforce, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tracked_since": None}, "tracked_since"),
        ({"tables": {"accounts": {"columns": {"x": "Id FROM User"}}}}, "Id FROM User"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    text = yaml.safe_dump(SALESFORCE | {"base_url": "https://x.my.salesforce.com"} | wrong)
    with pytest.raises(UsageError, match=said):
        parse_source(text, PLACE)


def test_a_tracked_field_must_be_mapped(salesforce: Salesforce, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`Rating`"):
        read(salesforce, tmp_path, tracked=["Rating"])
