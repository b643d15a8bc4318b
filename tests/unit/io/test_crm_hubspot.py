from pathlib import Path
from typing import Any

import pytest

from icploop.errors import UnfinishedError, UsageError
from icploop.pipelines.write_back import write_back
from tests.unit.crm_homes import HUBSPOT, held, home_of, hubspot, scores_file, scores_of
from tests.unit.crm_servers import TOKEN, HubspotServer, serving


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_TOKEN", TOKEN)


def put(folder: Path, crm: HubspotServer, ids: list[str], **settings: Any) -> Any:
    scores = scores_file(folder, scores_of(ids))
    return write_back(home_of(folder, crm, **settings), scores, apply=True, sleep=lambda _: None)


class TestMatching:
    def test_by_a_property_with_unique_values(self, tmp_path: Path):
        ids = ["crm-0", "crm-1", "crm-9"]
        with serving(hubspot(2)) as crm:
            crm.definitions["our_id"] = {"name": "our_id", "type": "string", "hasUniqueValue": True}
            for i, record in enumerate(crm.records.values()):
                record["our_id"] = f"crm-{i}"
            report = put(tmp_path, crm, ids, match="our_id")
        assert (report.changed, report.unknown) == (2, ["crm-9"])
        frame = scores_of(ids).head(2)
        assert held(crm, frame, HUBSPOT, {"crm-0": "1001", "crm-1": "1002"}) == []
        assert "our_id" not in crm.written

    def test_by_a_property_whose_values_may_repeat_is_refused(self, tmp_path: Path):
        with serving(hubspot(2)) as crm, pytest.raises(UsageError, match="'name' with unique"):
            put(tmp_path, crm, ["Company 0"], match="name")

    def test_what_cannot_be_a_record_id_is_unknown_without_asking(self, tmp_path: Path):
        with serving(hubspot(1)) as crm:
            report = put(tmp_path, crm, ["1001", "acme", "../1001", "9" * 30])
        assert report.unknown == ["acme", "../1001", "9" * 30]
        assert set(crm.asked) == {"1001"}


class TestProperties:
    def lacking(self, count: int = 3) -> HubspotServer:
        crm = hubspot(count)
        del crm.definitions["icp_tier"], crm.definitions["icp_score"]
        return crm

    def test_those_that_are_lacking_are_named_and_nothing_is_written(self, tmp_path: Path):
        said = "no properties icp_score, icp_tier"
        with serving(self.lacking()) as crm, pytest.raises(UsageError, match=said):
            put(tmp_path, crm, ["1001"])
        assert crm.calls == ["GET /crm/v3/properties/companies"]

    @pytest.mark.parametrize("there", [False, True])
    def test_with_consent_they_are_created_in_a_group_of_their_own(
        self, tmp_path: Path, there: bool
    ):
        with serving(self.lacking()) as crm:
            crm.groups = {"icp"} if there else set()
            home = home_of(tmp_path, crm)
            scores = scores_file(tmp_path, scores_of(["1001"]))
            dry = write_back(home, scores, create_properties=True, sleep=lambda _: None)
            assert dry.lacking == ("icp_score", "icp_tier")
            assert "icp_tier" not in crm.definitions
            write_back(home, scores, apply=True, create_properties=True, sleep=lambda _: None)
        assert crm.definitions["icp_score"]["type"] == "number"
        options = [one["value"] for one in crm.definitions["icp_tier"]["options"]]
        assert options == ["A", "B", "C", "D", "anti", "unknown"]
        assert crm.records["1001"]["icp_tier"] == "A"

    def test_a_creation_that_failed_after_it_took_effect_is_found_there(self, tmp_path: Path):
        with serving(self.lacking()) as crm:
            crm.faults = lambda n, path: "drop after" if n in (2, 4) else None
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, scores_of(["1001"]))
            report = write_back(
                home, scores, apply=True, create_properties=True, sleep=lambda _: None
            )
        assert report.changed == 1

    @pytest.mark.parametrize(
        ("definition", "said"),
        [
            ({"hubspotDefined": True, "type": "string"}, "HubSpot's own or read only"),
            ({"calculated": True, "type": "string"}, "HubSpot's own or read only"),
            (
                {"modificationMetadata": {"readOnlyValue": True}, "type": "string"},
                "HubSpot's own or read only",
            ),
            ({"type": "number"}, "is of type number in HubSpot; it must be enumeration or string"),
        ],
    )
    def test_those_that_are_not_ours_or_unfit_are_refused(
        self, tmp_path: Path, definition: dict[str, Any], said: str
    ):
        with serving(hubspot(1)) as crm:
            crm.definitions["icp_tier"] = definition | {"name": "icp_tier"}
            with pytest.raises(UsageError, match=said):
                put(tmp_path, crm, ["1001"])
        assert crm.changes == {}

    def test_one_that_is_left_out_is_neither_read_nor_written(self, tmp_path: Path):
        with serving(hubspot(1)) as crm:
            del crm.definitions["icp_scored_at"]
            put(tmp_path, crm, ["1001"], properties={"scored_at": None})
        assert crm.written == set(HUBSPOT.values()) - {"icp_scored_at"}


class TestSpelling:
    def test_equal_values_in_hubspots_spelling_are_not_written_again(self, tmp_path: Path):
        with serving(hubspot(1)) as crm:
            frame = scores_of(["1001"], fit_score=87.5, reasons_for="a\nb")
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, frame)
            write_back(home, scores, apply=True, sleep=lambda _: None)
            midnight = "1767139200000"  # 2025-12-31 UTC
            crm.records["1001"] |= {"icp_score": "87.50", "icp_scored_at": midnight}
            crm.records["1001"]["icp_reasons_for"] = "a\r\nb"
            again = write_back(home, scores, sleep=lambda _: None)
        assert (again.changed, again.unchanged) == (0, 1)

    def test_a_value_that_is_none_any_more_is_cleared(self, tmp_path: Path):
        with serving(hubspot(1)) as crm:
            crm.records["1001"]["icp_reasons_for"] = "an old reason"
            home = home_of(tmp_path, crm)
            scores = scores_file(tmp_path, scores_of(["1001"], reasons_for="", fit_score=None))
            write_back(home, scores, apply=True, sleep=lambda _: None)
        assert crm.records["1001"]["icp_reasons_for"] is None
        assert "icp_score" not in crm.written


class TestLimits:
    @pytest.mark.parametrize(
        ("stated", "waited"), [("3", 3.0), ("2000", 10.0), ("", 0.1), ("soon", 0.1)]
    )
    def test_it_waits_as_long_as_it_is_told_but_not_beyond_the_window(
        self, tmp_path: Path, stated: str, waited: float
    ):
        waits: list[float] = []
        with serving(hubspot(1)) as crm:
            crm.faults = lambda n, _path: "429" if n == 2 else None
            crm.headers = {"Retry-After": stated}
            scores = scores_file(tmp_path, scores_of(["1001"]))
            write_back(home_of(tmp_path, crm), scores, apply=True, sleep=waits.append)
        assert [wait for wait in waits if wait >= 0.05] == [waited]

    def test_it_does_not_call_more_often_than_stated(self, tmp_path: Path):
        waits: list[float] = []
        with serving(hubspot(1)) as crm:
            home = home_of(tmp_path, crm, calls_per_second=0.01)
            write_back(home, scores_file(tmp_path, scores_of(["1001"])), sleep=waits.append)
        assert len(crm.calls) == 2
        assert waits == [pytest.approx(100, abs=10)]

    def test_a_read_that_failed_for_another_reason_than_absence_makes_nobody_unknown(
        self, tmp_path: Path
    ):
        with serving(hubspot(1)) as crm:
            error = {"category": "RATE_LIMITS", "message": "try later"}
            crm.read = lambda _body: (207, {"results": [], "errors": [error]})  # type: ignore[method-assign]
            with pytest.raises(UsageError, match="could not read companies: try later"):
                put(tmp_path, crm, ["1001"])

    def test_a_server_that_is_not_there_is_told(self, tmp_path: Path):
        with serving(hubspot(1)) as crm:
            pass
        with pytest.raises(UnfinishedError, match="HubSpot does not let us through: ConnectError"):
            put(tmp_path, crm, ["1001"])

    def test_a_redirect_takes_the_token_nowhere(self, tmp_path: Path):
        with serving(hubspot(1)) as elsewhere, serving(hubspot(1)) as crm:
            crm.faults = lambda _n, _path: "307"
            crm.headers = {"Location": f"{elsewhere.url}/crm/v3/properties/companies"}
            with pytest.raises(UsageError, match="307"):
                put(tmp_path, crm, ["1001"])
        assert elsewhere.calls == []

    def test_a_proxy_does_not_see_what_is_meant_for_this_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        with serving(hubspot(1)) as proxy, serving(hubspot(1)) as crm:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            put(tmp_path, crm, ["1001"])
        assert (proxy.calls, crm.changes) == ([], {"1001": 1})
