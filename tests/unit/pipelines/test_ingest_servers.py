"""HubSpot and Stripe together, as a company has them: killed, failing, and read again."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from icploop.domain.calendar import seen_by
from icploop.domain.findings import of_code
from icploop.domain.identity import companies_seen_by
from icploop.errors import IcpError
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import ingest
from icploop.settings import Identity
from tests.crm import HUBSPOT, STRIPE, changed, company
from tests.servers import TOKEN, Faults, HubSpot, Salesforce, Stripe
from tests.unit.io.test_sources_salesforce import SALESFORCE, account, opportunity
from tests.unit.io_fixtures import contents, icp, new_home

SETTINGS = {
    "company": "Tiny",
    "dimensions": {"firmographic": {"employees": "number", "industry": "category"}},
}
Company = tuple[HubSpot, Stripe]


@pytest.fixture(params=[100])
def servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    """Both servers of a company with so many accounts."""
    for name in ("HUBSPOT_TOKEN", "STRIPE_API_KEY"):
        monkeypatch.setenv(name, TOKEN)
    hubspot, stripe = company(request.param, months=8)
    with ExitStack() as running:
        for fake in (hubspot, stripe):
            running.enter_context(fake.running())
        yield hubspot, stripe


def home_of(servers: Company, root: Path) -> Home:
    hubspot, stripe = servers
    return new_home(
        root,
        SETTINGS,
        hubspot=HUBSPOT | {"base_url": hubspot.url},
        stripe=STRIPE | {"base_url": stripe.url},
    )


def in_a_child(act: Callable[[], object]) -> int:
    """Start a process of its own, which a server may kill, and return its id."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except IcpError:
            os._exit(3)
        os._exit(0)
    return child


def data(home: Home) -> dict[str, list[str]]:
    """All that the warehouse holds, but for the moments at which the servers were asked."""
    return {name: rows for name, rows in contents(home).items() if name != "cursors"}


@pytest.mark.parametrize("servers", [300], indirect=True)
def test_a_failing_and_killed_ingest_gives_the_tables_of_an_undisturbed_one(
    servers: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icploop.io.sources.landing._TOGETHER", 500)
    undisturbed = home_of(servers, tmp_path / "undisturbed")
    report = ingest(undisturbed)
    counts = {name: counted["stored"] for name, counted in report.tables.items()}
    assert counts == {"accounts": 600, "deals": 300, "revenue": 225 * 8}
    assert not report.rules

    disturbed = home_of(servers, tmp_path / "disturbed")
    undisturbed_calls = servers[1].calls["all"]
    ends = []
    for n, (fake, after) in enumerate([(0, 4), (0, 12), (1, 7), (1, 9), (1, 6)]):
        for server in servers:
            server.calls.clear()
            server.faults = Faults(one_in=20, seed=n)
        servers[fake].faults.kill_at = after
        victim = in_a_child(lambda: ingest(disturbed))
        servers[fake].faults.victim = victim
        ends.append(os.waitpid(victim, 0)[1])
    assert ends == [signal.SIGKILL] * 5
    for server in servers:
        server.calls.clear()
        server.faults = Faults(one_in=20, seed=9)
    ingest(disturbed)
    assert data(disturbed) == data(undisturbed)
    # The last run went on where the killed ones had come to.
    assert servers[1].calls["all"] < undisturbed_calls / 2


def test_a_second_run_moves_only_what_changed(servers: Company, tmp_path: Path) -> None:
    home = home_of(servers, tmp_path / "home")
    ingest(home)
    before = data(home)
    hubspot, stripe = servers
    for fake in servers:
        fake.served.clear()
        fake.calls.clear()
    ingest(home)
    assert data(home) == before
    # HubSpot is asked what was changed and what was deleted, of companies and of deals.
    assert (hubspot.calls["all"], stripe.calls["all"]) == (4, 2)
    assert not hubspot.served
    assert not stripe.served

    changed(hubspot.records["companies"]["1001"], "industry", "SPACE", datetime.now(UTC))
    voided = stripe.things["invoices"]["in_000001_07"]
    voided["status"] = "void"
    stripe.happened("invoice.voided", dict(voided), int(time.time()))
    report = ingest(home)
    assert (hubspot.served, stripe.served) == ({"companies": 1}, {"invoice": 1})
    assert report.tables["accounts"]["stored"] == 201
    after = Warehouse(home.warehouse_file).tables()
    of_one = after.revenue[after.revenue["account_id"] == "1001"].sort_values("month")
    assert (of_one["mrr"] > 0).tolist() == [True] * 7 + [False]


def test_the_run_says_since_when_history_is_trustworthy(servers: Company, tmp_path: Path) -> None:
    hubspot, _ = servers
    for deal in hubspot.records["deals"].values():
        if int(deal["id"]) < 5040:
            deal["properties"]["createdate"] = "2022-06-01T00:00:00.000Z"
    history = ingest(home_of(servers, tmp_path / "home")).as_dict()["history"]
    found = {"since": "2023-01-04", "deals": 60, "earlier": 40, "always": 0, "forgotten": 0}
    assert history == found


def test_what_is_refused_for_its_currency_is_in_quarantine(
    servers: Company, tmp_path: Path
) -> None:
    _, stripe = servers
    for n, invoice in enumerate(stripe.things["invoices"].values()):
        if n % 10 == 0:
            invoice["lines"]["data"][0]["currency"] = "jpy"
    home = home_of(servers, tmp_path / "home")
    report = ingest(home)
    assert report.rules == {"revenue: the currency has a rate under currencies": 60}
    assert Warehouse(home.warehouse_file).quarantine()["record"].str.endswith("jpy").all()


@pytest.mark.parametrize("name", ["HUBSPOT_TOKEN", "STRIPE_API_KEY"])
@pytest.mark.parametrize("token", ["pat-s3c\nr3t", "pat-s3cr3t\n", "pat-sécr3t", "pat s3cr3t", ""])
def test_a_token_that_cannot_be_one_is_never_sent_and_never_told(
    servers: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, token: str
) -> None:
    monkeypatch.setenv(name, token)
    answer = icp("ingest", "--json", home=home_of(servers, tmp_path / "home"))
    assert answer.status == 2
    assert f"token_env: the environment variable {name} " in answer.err
    assert not any(part in answer.out + answer.err for part in ("s3c", "r3t", "cr3"))
    assert servers[("HUBSPOT_TOKEN", "STRIPE_API_KEY").index(name)].calls["all"] == 0


def test_a_merged_company_is_one_with_its_bills_and_was_two_before(
    servers: Company, tmp_path: Path
) -> None:
    hubspot, _ = servers
    home = home_of(servers, tmp_path / "home")
    ingest(home)
    hubspot.merge("companies", "1002", "1001", "2023-06-15T12:00:00.000Z")
    hubspot.records["companies"]["1001"]["updatedAt"] = datetime.now(UTC).isoformat()
    report = ingest(home)
    assert report.identity is not None
    assert report.identity["duplicates"] == [
        {"account_id": "1002", "same_as": "1001", "rule": "merged", "merged": True}
    ]
    tables = Warehouse(home.warehouse_file).tables()
    billed = {}
    for day in (date(2023, 6, 14), date(2023, 12, 31)):
        seen = companies_seen_by(tables, day, Identity())
        march = seen.revenue[seen.revenue["month"] == "2023-03-01"].astype({"account_id": "str"})
        billed[day] = march.set_index("account_id")["mrr"]
    before, after = billed.values()
    assert after["1001"] == before["1001"] + before["1002"]
    assert "1002" not in after.index


def hubspot_and_what_happens_to_it() -> tuple[HubSpot, Callable[[], None]]:
    """Company 1 and its deal are deleted, deal 2 is reopened."""
    fake = company(12)[0]

    def happens() -> None:
        now = datetime.now(UTC)
        fake.delete("companies", "1001", now.isoformat())
        fake.delete("deals", "5001", now.isoformat())
        for name in ("hs_is_closed", "hs_is_closed_won"):
            changed(fake.records["deals"]["5002"], name, "false", now)

    return fake, happens


def salesforce_and_what_happens_to_it() -> tuple[Salesforce, Callable[[], None]]:
    """The same, in Salesforce."""
    fake = Salesforce(
        records={
            "Account": [account(n) for n in range(12)],
            "Opportunity": [opportunity(n, True) for n in range(12)],
            "AccountHistory": [],
        }
    )

    def happens() -> None:
        stamp = {"SystemModstamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")}
        for thing in ("Account", "Opportunity"):
            fake.records[thing][1] |= stamp | {"IsDeleted": True}
        fake.records["Opportunity"][2] |= stamp | {"IsClosed": False, "IsWon": False}

    return fake, happens


@pytest.mark.parametrize(
    ("crm", "ids"),
    [
        ("hubspot", ("1001", "5001", "5002")),
        ("salesforce", ("001000000000001", "006000000000001", "006000000000002")),
    ],
)
def test_what_a_crm_deleted_or_reopened_is_so_today_and_was_not_so_before(
    crm: str, ids: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_TOKEN", TOKEN)
    monkeypatch.setenv("SALESFORCE_TOKEN", TOKEN)
    of_company, of_deal, reopened = ids
    fake: HubSpot | Salesforce
    fake, happens = (
        hubspot_and_what_happens_to_it()
        if crm == "hubspot"
        else salesforce_and_what_happens_to_it()
    )
    before, today = date(2024, 6, 1), date(2024, 6, 10)
    with fake.running():
        said = HUBSPOT if crm == "hubspot" else SALESFORCE
        home = new_home(tmp_path / "home", SETTINGS, crm=said | {"base_url": fake.url})
        ingest(home, as_of=before)
        happens()
        report = ingest(home, as_of=today)
    [told] = of_code(report.findings, ["rows_left"])
    assert told.message.startswith("1 account, 1 deal left the source crm.")
    tables = Warehouse(home.warehouse_file).tables()
    was, is_now = seen_by(tables, before), seen_by(tables, today)
    assert of_company in set(was.accounts["account_id"])
    assert of_deal in set(was.deals["deal_id"])
    assert of_company not in set(is_now.accounts["account_id"])
    assert of_deal not in set(is_now.deals["deal_id"])
    outcome = {
        name: seen.deals.set_index("deal_id").loc[reopened, "outcome"]
        for name, seen in (("was", was), ("is", is_now))
    }
    assert outcome == {"was": "won", "is": "open"}
