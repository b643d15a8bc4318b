from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.errors import DataError, UsageError
from icploop.io.sources import Landing, RawTable, pull
from icploop.io.warehouse import Warehouse
from icploop.settings import parse_source
from tests.crm import HUBSPOT, changed, company
from tests.servers import TOKEN, Faults, HubSpot
from tests.unit.io_fixtures import last_read

PLACE = "conf/sources/hubspot.yaml"


@pytest.fixture
def hubspot(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubSpot]:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    fake = company(120)[0]
    with fake.running():
        yield fake


def read(fake: HubSpot, folder: Path, **changed: Any) -> dict[str, RawTable]:
    text = yaml.safe_dump(HUBSPOT | {"base_url": fake.url} | changed)
    landing = Landing(Warehouse(folder / "warehouse.duckdb"), "hubspot")
    source = parse_source(text, PLACE)
    pulled = pull(source, folder, PLACE, landing, sleep=lambda _: None)
    return {table.table: table for table in pulled}


def test_accounts_have_a_row_for_each_moment_at_which_they_changed(
    hubspot: HubSpot, tmp_path: Path
) -> None:
    rows = read(hubspot, tmp_path)["accounts"].rows
    assert len(rows) == 2 * 120
    first, later = rows[rows["account_id"] == "1000"].to_dict("records")
    size = hubspot.records["companies"]["1000"]["propertiesWithHistory"]["numberofemployees"]
    assert (first["observed_at"], first["employees"]) == (
        pd.Timestamp(2023, 1, 1),
        size[1]["value"],
    )
    assert (later["observed_at"], later["employees"]) == (
        pd.Timestamp(2023, 1, 31),
        size[0]["value"],
    )
    assert later["name"] == first["name"] == "Company 1000"


def test_deals_have_their_primary_company_and_no_hoped_for_close(
    hubspot: HubSpot, tmp_path: Path
) -> None:
    hubspot.records["deals"]["5003"]["properties"] |= {
        "hs_is_closed": "false",
        "hs_is_closed_won": "false",
    }
    rows = read(hubspot, tmp_path)["deals"].rows.set_index("deal_id")
    assert rows.loc[["5000", "5001", "5003"], "outcome"].tolist() == ["lost", "won", "open"]
    assert rows.loc["5001", "account_id"] == "1001"
    assert rows["closed_at"].isna().sum() == 1
    assert set(rows["acv"]) == {"1200"}


def test_a_mapped_stage_wins_over_what_hubspot_calls_closed(
    hubspot: HubSpot, tmp_path: Path
) -> None:
    for deal in hubspot.records["deals"].values():
        deal["properties"]["dealstage"] = "signed"
    deals = {"columns": {"outcome": "dealstage"}, "values": {"outcome": {"signed": "won"}}}
    rows = read(hubspot, tmp_path, tables={"deals": deals})["deals"].rows
    assert set(rows["outcome"]) == {"won"}


def test_a_value_without_history_counts_from_the_last_change_of_its_record(
    hubspot: HubSpot, tmp_path: Path
) -> None:
    del hubspot.records["companies"]["1000"]["propertiesWithHistory"]["industry"]
    rows = read(hubspot, tmp_path)["accounts"].rows
    of_one = rows[rows["account_id"] == "1000"]
    assert of_one["industry"].isna().tolist() == [True, False]


def test_a_second_run_asks_for_nothing_that_did_not_change(
    hubspot: HubSpot, tmp_path: Path
) -> None:
    first = read(hubspot, tmp_path)
    hubspot.calls.clear()
    hubspot.served.clear()
    again = read(hubspot, tmp_path)
    deleted = {"companies, deleted": 1, "deals, deleted": 1}
    assert hubspot.calls == {"all": 4, "companies/search": 1, "deals/search": 1} | deleted
    assert not hubspot.served
    for name, table in first.items():
        pd.testing.assert_frame_equal(again[name].rows, table.rows)


def test_a_second_run_reads_what_was_modified_and_nothing_else(
    hubspot: HubSpot, tmp_path: Path
) -> None:
    read(hubspot, tmp_path)
    now = datetime.now(UTC)
    changed(hubspot.records["companies"]["1007"], "industry", "SPACE", now)
    changed(hubspot.records["deals"]["5007"], "amount", "77", now)
    hubspot.served.clear()
    found = read(hubspot, tmp_path)
    assert hubspot.served == {"companies": 1, "deals": 1}
    rows = found["accounts"].rows
    newest = rows[rows["account_id"] == "1007"].iloc[-1]
    assert newest["industry"] == "SPACE"
    assert newest["employees"] == rows[rows["account_id"] == "1007"].iloc[-2]["employees"]
    assert found["deals"].rows.set_index("deal_id").loc["5007", "acv"] == "77"


def test_a_mass_edit_of_more_than_search_can_page_is_read_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    fake = company(450)[0]
    fake.search_gives = 200
    with fake.running():
        read(fake, tmp_path)
        now = datetime.now(UTC)
        for record in fake.records["companies"].values():
            changed(record, "industry", "SPACE", now)
        fake.served.clear()
        rows = read(fake, tmp_path)["accounts"].rows
    assert fake.served == {"companies": 450}
    assert (rows.drop_duplicates("account_id", keep="last")["industry"] == "SPACE").all()


def test_faults_change_nothing_but_the_number_of_calls(hubspot: HubSpot, tmp_path: Path) -> None:
    sound = read(hubspot, tmp_path / "sound")
    calls = hubspot.calls["all"]
    hubspot.faults = Faults(one_in=3, seed=2)
    faulty = read(hubspot, tmp_path / "faulty")
    for name, table in sound.items():
        pd.testing.assert_frame_equal(faulty[name].rows, table.rows)
    assert hubspot.calls["all"] > 2 * calls


def test_a_new_column_reads_companies_anew_and_leaves_deals(
    hubspot: HubSpot, tmp_path: Path
) -> None:
    read(hubspot, tmp_path)
    hubspot.calls.clear()
    accounts = {"columns": {"employees": "numberofemployees", "city": "city"}}
    rows = read(hubspot, tmp_path, tables={"accounts": accounts, "deals": {}})["accounts"].rows
    assert hubspot.calls["companies"] == 3
    assert hubspot.calls["deals"] == 0
    assert rows["city"].isna().all()


def _iso(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat().replace("+00:00", "Z")


class TestWhatIsThereNoMore:
    @pytest.mark.parametrize("is_read_before", [True, False])
    def test_what_was_deleted_is_left_out(
        self, hubspot: HubSpot, tmp_path: Path, is_read_before: bool
    ) -> None:
        if is_read_before:
            read(hubspot, tmp_path)
        hubspot.delete("companies", "1007", _iso(0))
        hubspot.delete("deals", "5007", _iso(0))
        for _ in range(2):
            found = read(hubspot, tmp_path)
            assert "1007" not in set(found["accounts"].rows["account_id"])
            assert len(set(found["accounts"].rows["account_id"])) == 119
            assert "5007" not in set(found["deals"].rows["deal_id"])

    def test_it_stays_out_when_hubspot_lists_it_no_more(
        self, hubspot: HubSpot, tmp_path: Path
    ) -> None:
        read(hubspot, tmp_path)
        hubspot.delete("companies", "1007", _iso(0))
        read(hubspot, tmp_path)
        hubspot.deleted.clear()
        assert "1007" not in set(read(hubspot, tmp_path)["accounts"].rows["account_id"])

    def test_what_was_restored_is_back(self, hubspot: HubSpot, tmp_path: Path) -> None:
        before = read(hubspot, tmp_path)["accounts"].rows
        record = hubspot.records["companies"]["1007"]
        hubspot.delete("companies", "1007", _iso(-1))
        read(hubspot, tmp_path)
        hubspot.deleted.clear()
        hubspot.records["companies"]["1007"] = record | {"updatedAt": _iso(0)}
        after = read(hubspot, tmp_path)["accounts"].rows
        assert set(after["account_id"]) == set(before["account_id"])

    def test_many_are_read_page_by_page(self, hubspot: HubSpot, tmp_path: Path) -> None:
        for n in range(110):
            hubspot.delete("companies", str(1000 + n), _iso(0))
        assert set(read(hubspot, tmp_path)["accounts"].rows["account_id"]) == {
            str(1000 + n) for n in range(110, 120)
        }

    def test_after_a_long_pause_everything_is_read_again(
        self, hubspot: HubSpot, tmp_path: Path
    ) -> None:
        read(hubspot, tmp_path)
        last_read(tmp_path / "warehouse.duckdb", "hubspot", "companies", _iso(-90))
        # Deleted so long ago that HubSpot has forgotten it.
        del hubspot.records["companies"]["1007"]
        found = read(hubspot, tmp_path)["accounts"].rows
        assert "1007" not in set(found["account_id"])

    def test_a_merged_company_says_into_which_and_since_when(
        self, hubspot: HubSpot, tmp_path: Path
    ) -> None:
        read(hubspot, tmp_path)
        hubspot.merge("companies", "1007", "1001", "2024-03-01T12:00:00.000Z")
        hubspot.merge("companies", "1008", "1001", "2024-03-02T12:00:00.000Z")
        hubspot.records["companies"]["1001"]["updatedAt"] = _iso(0)
        rows = read(hubspot, tmp_path)["accounts"].rows
        told = rows.dropna(subset=["merged_into"])[["account_id", "observed_at", "merged_into"]]
        assert told.to_numpy().tolist() == [
            ["1007", pd.Timestamp(2024, 3, 1, 12), "1001"],
            ["1008", pd.Timestamp(2024, 3, 2, 12), "1001"],
        ]
        # What it was before, it stays: nobody knew then.
        assert (rows["account_id"] == "1007").sum() == 3

    def test_a_merged_deal_counts_once(self, hubspot: HubSpot, tmp_path: Path) -> None:
        read(hubspot, tmp_path)
        hubspot.merge("deals", "5007", "5001", _iso(0))
        deals = read(hubspot, tmp_path)["deals"].rows
        assert len(deals) == 119
        assert "5007" not in set(deals["deal_id"])

    def test_a_reopened_deal_is_open(self, hubspot: HubSpot, tmp_path: Path) -> None:
        read(hubspot, tmp_path)
        deal = hubspot.records["deals"]["5001"]
        changed(deal, "hs_is_closed", "false", datetime.now(UTC))
        changed(deal, "hs_is_closed_won", "false", datetime.now(UTC))
        again = read(hubspot, tmp_path)["deals"].rows.set_index("deal_id").loc["5001"]
        assert again["outcome"] == "open"
        assert pd.isna(again["closed_at"])


def test_who_made_a_change_is_not_kept(hubspot: HubSpot, tmp_path: Path) -> None:
    read(hubspot, tmp_path)
    landed = Warehouse(tmp_path / "warehouse.duckdb").landed("hubspot", "companies")
    assert "updatedByUserId" not in str(landed)


@pytest.mark.parametrize("gone", ["results", "updatedAt"])
def test_a_changed_schema_stops_with_the_place(hubspot: HubSpot, tmp_path: Path, gone: str) -> None:
    whole = hubspot.answer
    if gone == "results":
        hubspot.answer = lambda *asked: {"items": whole(*asked)}  # type: ignore[method-assign]
    else:
        for record in hubspot.records["companies"].values():
            del record["updatedAt"]
    with pytest.raises(DataError, match=f"{PLACE}: .*{gone}"):
        read(hubspot, tmp_path)


def test_a_field_that_is_no_name_is_refused() -> None:
    tables = {"accounts": {"columns": {"employees": "employees&limit=1"}}}
    with pytest.raises(UsageError, match="employees&limit=1"):
        parse_source(yaml.safe_dump(HUBSPOT | {"tables": tables}), PLACE)
