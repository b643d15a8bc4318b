from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from icploop.domain.cells import read_key
from icploop.errors import DataError, UsageError
from icploop.io.home import Home
from icploop.io.sources import RawTable, pull
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import ingest
from icploop.settings import TABLES, parse_source
from tests.postgres import postgres_server
from tests.unit.io_fixtures import NOWHERE, contents, icp, inbox, new_home, require, tiny, write_csv

PLACE = "conf/sources/db.yaml"
QUERIES = {name: {"query": f"SELECT * FROM {name} ORDER BY 1"} for name in tiny()}


def sql_source(**tables: Any) -> dict[str, Any]:
    return {"kind": "sql", "url_env": "TINY_URL", "tables": tables or QUERIES}


def read(**tables: Any) -> list[RawTable]:
    source = parse_source(yaml.safe_dump(sql_source(**tables)), PLACE)
    return pull(source, Path(), PLACE, NOWHERE)


def fill(url: str) -> None:
    """The tiny company as four tables of a database."""
    engine = sa.create_engine(url)
    for name, frame in tiny().items():
        frame.to_sql(name, engine, index=False)
    engine.dispose()


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'tiny.db'}"
    fill(url)
    monkeypatch.setenv("TINY_URL", url)
    return url


PASSWORD = "s3cr3t-w0rd"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL, with password, of a PostgreSQL server of our own."""
    with postgres_server(PASSWORD) as server:
        yield f"postgresql+psycopg://{server.superuser}:{PASSWORD}@/postgres?host={server.folder}"


def stored(home: Home) -> dict[str, list[str]]:
    """The rows that a warehouse gives, in any order, whatever source they came from."""
    tables = Warehouse(home.warehouse_file).tables()
    rows = {}
    for name in TABLES:
        table = getattr(tables, name)
        ours = sorted(column for column in table if not column.startswith("_"))
        rows[name] = sorted(table[ours].to_csv(index=False).splitlines())
    return rows


def test_sqlite_gives_the_same_warehouse_as_the_files(tmp_path: Path, sqlite: str):
    from_database = new_home(tmp_path / "sql", db=sql_source())
    ingest(from_database)
    from_files = new_home(tmp_path / "files")
    write_csv(inbox(from_files), tiny())
    ingest(from_files)
    assert stored(from_database) == stored(from_files)


def test_rows_are_numbered_from_one_in_the_order_of_the_query(sqlite: str):
    raw = read(deals={"query": "SELECT deal_id FROM deals ORDER BY deal_id DESC"})[0]
    assert raw.rows["deal_id"].iloc[0] == "d9"
    assert raw.rows.index.tolist() == list(range(1, 11))


def test_columns_and_values_are_mapped_as_for_files(sqlite: str):
    raw = read(
        deals={
            "query": "SELECT deal_id AS id, outcome AS stage FROM deals WHERE deal_id = 'd3'",
            "columns": {"deal_id": "id", "outcome": "stage"},
            "values": {"outcome": {"open": "lost"}},
            "dates": "%Y",
        }
    )[0]
    assert raw.rows.iloc[0].to_dict() == {"deal_id": "d3", "outcome": "lost"}
    assert raw.formats.plain.dates == "%Y"


@pytest.mark.parametrize("query", ["SELECT nope FROM deals", "SELECT * FROM nothing", "SELEC 1"])
def test_a_query_that_fails_is_named_with_its_place(sqlite: str, query: str):
    with pytest.raises(DataError, match=rf"{PLACE}: tables\.deals\.query failed: \S"):
        read(deals={"query": query})


def test_a_query_without_a_result_is_refused(sqlite: str):
    with pytest.raises(DataError, match=r"tables\.deals\.query"):
        read(deals={"query": "CREATE TABLE extra (x INT)"})


def test_two_columns_of_one_name_are_refused(sqlite: str):
    with pytest.raises(DataError, match="two columns `account_id`; select one, or rename one"):
        read(deals={"query": "SELECT *, account_id FROM deals"})


@pytest.mark.parametrize("large", [4150868000000225013, 2**63 + 5])
def test_ids_of_any_length_are_exact_beside_an_empty_cell(sqlite: str, large: int):
    query = f"SELECT '{large}' + 0 AS deal_id UNION ALL SELECT NULL UNION ALL SELECT 7"
    if large >= 2**63:
        query = query.replace(f"'{large}' + 0", f"'{large}'")
    rows = read(deals={"query": query})[0].rows
    assert read_key(rows["deal_id"]).tolist()[::2] == [str(large), "7"]


def test_an_account_of_sql_is_the_one_of_a_file(sqlite: str):
    query = "SELECT 8 AS account_id, 1.5 AS acv UNION ALL SELECT NULL, NULL"
    rows = read(deals={"query": query})[0].rows
    assert read_key(rows["account_id"]).tolist()[0] == "8"
    assert rows["acv"].dtype == "float64"


def test_a_query_without_rows_still_has_its_columns(sqlite: str):
    rows = read(deals={"query": "SELECT * FROM deals WHERE 1 = 0"})[0].rows
    assert rows.columns.tolist() == tiny()["deals"].columns.tolist()
    assert rows.empty


def test_a_colon_in_a_query_is_no_parameter(sqlite: str):
    raw = read(deals={"query": "SELECT '10:30' AS deal_id"})[0]
    assert raw.rows["deal_id"].tolist() == ["10:30"]


def test_without_the_environment_variable_the_message_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("TINY_URL", raising=False)
    with pytest.raises(
        UsageError, match="url_env: the environment variable TINY_URL is not set; set it"
    ):
        read()


BAD_URLS = {
    "no URL at all": PASSWORD,
    "an unknown database": f"oracel://icp:{PASSWORD}@host/db",
    "a driver that is not installed": f"mysql+pymysql://icp:{PASSWORD}@host/db",
    "a port that is no number": f"postgresql+psycopg://icp:{PASSWORD}@host:54x/db",
    "a password with a slash and an at": f"postgresql+psycopg://icp:a/b@{PASSWORD}@127.0.0.1:1/db",
    "a password with an at": f"postgresql+psycopg://icp:a@{PASSWORD}@127.0.0.1:1/db",
    "a password with a hash and a colon": f"postgresql+psycopg://icp:a#{PASSWORD}:b@127.0.0.1:1/db",
    "a password with a line break": f"postgresql+psycopg://icp:{PASSWORD}\n@127.0.0.1:1/db",
    "a password with a blank": f"postgresql+psycopg://icp:a {PASSWORD}@127.0.0.1:1/db",
    "a password with an accent": f"postgresql+psycopg://icp:ä{PASSWORD}@127.0.0.1:1/db",
    "a server that is not there": f"postgresql+psycopg://icp:{PASSWORD}@127.0.0.1:1/db",
}


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS.keys())
def test_no_password_is_ever_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str):
    monkeypatch.setenv("TINY_URL", url)
    home = new_home(tmp_path, db=sql_source())
    answer = icp("ingest", "--json", home=home)
    assert answer.status in (2, 3)
    assert PASSWORD not in answer.out + answer.err
    assert "TINY_URL" in answer.err or "tables.accounts.query failed" in answer.err
    assert contents(home) == {}


def test_postgres_gives_the_same_warehouse_as_the_files(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(postgres)
    monkeypatch.setenv("TINY_URL", postgres)
    from_database = new_home(tmp_path / "sql", db=sql_source())
    ingest(from_database)
    from_files = new_home(tmp_path / "files")
    write_csv(inbox(from_files), tiny())
    ingest(from_files)
    assert stored(from_database) == stored(from_files)


def test_the_types_of_postgres_are_understood(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TINY_URL", postgres)
    account = """
        SELECT 7 AS account_id, ARRAY['erp', 'crm'] AS tech, true AS has_sponsor,
               12.5::numeric AS employees, DATE '2020-02-29' AS funded_on, NULL AS industry,
               TIMESTAMPTZ '2024-01-01 01:00:00+02' AS observed_at,
               '{"x": 1}'::jsonb AS extra, gen_random_uuid() AS token
    """
    deal = """
        SELECT 'd1' AS deal_id, 7 AS account_id, DATE '2024-01-05' AS created_at,
               'won' AS outcome, TIMESTAMP '2024-02-01 12:00' AS closed_at, 1200::numeric AS acv
    """
    home = new_home(tmp_path, db=sql_source(accounts={"query": account}, deals={"query": deal}))
    report = ingest(home)
    assert report.tables["accounts"]["read"] == report.tables["accounts"]["new"] == 1
    assert report.tables["accounts"]["quarantined"] == 0
    assert report.emptied == {}
    tables = Warehouse(home.warehouse_file).tables()
    account, deal = tables.accounts.iloc[0], tables.deals.iloc[0]
    assert account["account_id"] == deal["account_id"] == "7"
    assert (account["tech"], account["has_sponsor"], account["employees"]) == ("crm|erp", 1.0, 12.5)
    assert account["observed_at"].isoformat() == "2023-12-31T23:00:00"
    assert account["funded_on"].date() == date(2020, 2, 29)
    assert account["extra"] == '{"x": 1}'
    assert deal["closed_at"].isoformat() == "2024-02-01T12:00:00"
    assert deal["acv"] == Decimal(1200)


def test_a_wrong_password_is_refused_without_telling_it(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TINY_URL", postgres.replace(PASSWORD, "wr0ng-guess"))
    answer = icp("ingest", home=new_home(tmp_path, db=sql_source()))
    assert answer.status == 3
    assert "password authentication failed" in answer.err
    assert "wr0ng-guess" not in answer.err


def test_a_tool_that_ci_promises_may_not_be_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI promises"):
        require("a tool", None)
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception):
        require("a tool", None)
    require("a tool", "found")
