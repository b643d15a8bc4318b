from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from icploop.errors import UnfinishedError, UsageError
from icploop.pipelines.write_back import WriteBackReport, write_back
from tests.unit.crm_homes import SALESFORCE, held, home_of, salesforce, scores_file, scores_of
from tests.unit.crm_servers import TOKEN, SalesforceServer, serving


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_TOKEN", TOKEN)


def put(folder: Path, crm: SalesforceServer, ids: list[str], **settings: Any) -> WriteBackReport:
    home = home_of(folder, crm, **settings)
    scores = scores_file(folder, scores_of(ids))
    return write_back(home, scores, apply=True, sleep=lambda _: None)


def test_accounts_are_written_once_through_every_kind_of_failure(tmp_path: Path):
    kinds = ["drop", "500 after", "503", "drop after", "garbage after"]
    with serving(salesforce(450)) as crm:
        crm.faults = lambda n, _path: kinds[n // 4 % 5] if n % 4 == 0 else None
        ids = list(crm.records)
        report = put(tmp_path, crm, ids)
    assert report.changed == 450
    assert Counter(crm.changes.values()) == {1: 450}
    assert held(crm, scores_of(ids), SALESFORCE, {i: i for i in ids}) == []
    assert crm.written == set(SALESFORCE.values())
    assert isinstance(crm.records[ids[0]]["Icp_Score__c"], float)


def test_ids_of_15_characters_are_known_and_what_is_no_id_is_not_asked_for(tmp_path: Path):
    with serving(salesforce(2)) as crm:
        short, long = [key[:15] for key in crm.records], list(crm.records)
        report = put(tmp_path, crm, [short[0], long[1], "acme", "001A00000999999AAQ"])
    assert (report.changed, report.unknown) == (2, ["acme", "001A00000999999AAQ"])
    assert "acme" not in crm.asked


def test_two_spellings_of_one_account_are_told_and_the_first_holds(tmp_path: Path):
    with serving(salesforce(1)) as crm:
        (key,) = crm.records
        report = put(tmp_path, crm, [key, key[:15]])
    assert (report.changed, report.ambiguous) == (1, [key[:15]])
    assert crm.changes == {key: 1}


class TestByExternalId:
    def test_through_pages_and_queries_of_bounded_length(self, tmp_path: Path):
        ids = [f"crm-{i}" for i in range(150)] + ["O'Neil \\ Söhne %", "x' OR Name != '"]
        with serving(salesforce(150)) as crm:
            keys = list(crm.records)
            crm.records[keys[0]]["Ext__c"] = "O'Neil \\ Söhne %"
            long = "long-" + "é" * 200
            for key in keys[60:120]:
                crm.records[key]["Ext__c"] = long + key
            ids[60:120] = [long + key for key in keys[60:120]]
            report = put(tmp_path, crm, ids, match="Ext__c")
        assert report.unknown == ["crm-0", "x' OR Name != '"]
        assert report.changed == 150
        assert Counter(crm.changes.values()) == {1: 150}

    def test_an_id_that_stands_twice_is_not_written(self, tmp_path: Path):
        with serving(salesforce(3)) as crm:
            keys = list(crm.records)
            crm.records[keys[1]]["Ext__c"] = "crm-0"
            report = put(tmp_path, crm, ["crm-0", "crm-2"], match="Ext__c")
        assert (report.ambiguous, report.changed) == (["crm-0"], 1)
        assert crm.changes == {keys[2]: 1}

    def test_a_field_that_is_no_external_id_is_refused(self, tmp_path: Path):
        with serving(salesforce(1)) as crm, pytest.raises(UsageError, match="no External ID field"):
            put(tmp_path, crm, ["crm-0"], match="Other__c")


class TestRefusals:
    def test_a_lock_passes_and_a_rule_does_not(self, tmp_path: Path):
        with serving(salesforce(50)) as crm:
            keys = list(crm.records)
            crm.locked = Counter({keys[0]: 1, keys[1]: 2})
            crm.refuses = {keys[2]: "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
            report = put(tmp_path, crm, keys)
        assert report.refused == {keys[2]: f"FIELD_CUSTOM_VALIDATION_EXCEPTION not {keys[2]}"}
        assert report.changed == 49
        assert Counter(crm.changes.values()) == {1: 49}

    def test_when_the_limit_is_reached_it_stops_and_goes_on_later(self, tmp_path: Path):
        with serving(salesforce(400)) as crm:
            keys = list(crm.records)
            home = home_of(tmp_path, crm)
            scores = scores_file(tmp_path, scores_of(keys))
            crm.faults = lambda n, _path: "daily" if n == 6 else None
            with pytest.raises(UnfinishedError, match="Salesforce has no calls left today"):
                write_back(home, scores, apply=True, sleep=lambda _: None)
            report = write_back(home, scores, apply=True, sleep=lambda _: None)
        assert (report.resumed, report.changed) == (200, 200)
        assert Counter(crm.changes.values()) == {1: 400}

    def test_it_leaves_a_share_of_the_days_calls_to_others(self, tmp_path: Path):
        crm = salesforce(1, headers={"Sforce-Limit-Info": "api-usage=4600/5000"})
        said = "400 of 5000 calls left today"
        with serving(crm), pytest.raises(UnfinishedError, match=said):
            put(tmp_path, crm, list(crm.records))

    def test_fields_are_not_created_but_listed_with_their_types(self, tmp_path: Path):
        with serving(salesforce(1)) as crm:
            del crm.fields["Icp_Tier__c"]
            home = home_of(tmp_path, crm)
            scores = scores_file(tmp_path, scores_of(list(crm.records)))
            with pytest.raises(UsageError, match=r"Icp_Tier__c \(picklist\)"):
                write_back(home, scores, apply=True, create_properties=True)

    @pytest.mark.parametrize(
        ("change", "said"),
        [({"updateable": False}, "may not edit 'Icp_Tier__c'"), ({"type": "date"}, "of type date")],
    )
    def test_fields_that_cannot_be_written_are_told(
        self, tmp_path: Path, change: dict[str, Any], said: str
    ):
        with serving(salesforce(1)) as crm:
            crm.fields["Icp_Tier__c"] |= change
            with pytest.raises(UsageError, match=said):
                put(tmp_path, crm, list(crm.records))
