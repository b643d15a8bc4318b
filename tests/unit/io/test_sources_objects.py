"""A folder in an object store is read like one on this machine, and only what changed moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from icploop.errors import DataError, UsageError
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import ingest
from icploop.settings import parse_source
from tests.unit.io_fixtures import files_source, icp, new_home, tiny, tiny_home
from tests.unit.s3_server import KEY, Bucket, served


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-s3cr3t")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # The machine's own profile has nothing to say here.
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    full = Bucket({})
    for name, frame in tiny().items():
        full.put(f"crm/{name}.csv", frame.to_csv(index=False).encode())
    full.put("crm/readme.txt", b"not a table")
    full.put("crm/contacts.csv", b"email\njane@acme.example\n")
    full.put("other/accounts.csv", b"account_id\nstranger\n")
    with served(full):
        yield full


def tables_of(root: Path) -> dict[str, list[dict[str, object]]]:
    tables = Warehouse(root / "data" / "warehouse.duckdb").tables()
    return {
        name: sorted(getattr(tables, name).astype("str").to_dict("records"), key=str)
        for name in tiny()
    }


def test_it_gives_the_tables_of_the_same_files_on_disk(bucket: Bucket, tmp_path: Path):
    local = tiny_home(tmp_path / "local")
    remote = new_home(tmp_path / "remote", exports=files_source(bucket.address))
    ingest(local)
    report = ingest(remote)
    assert report.rules == {}
    assert tables_of(remote.root) == tables_of(local.root)
    here = remote.root / "data" / "fetched" / "exports"
    # What no table names is not fetched: neither a note nor somebody's contacts.
    assert sorted(path.name for path in here.iterdir()) == [f"{n}.csv" for n in sorted(tiny())]


def test_a_second_run_moves_only_what_changed(bucket: Bucket, tmp_path: Path):
    home = new_home(tmp_path / "home", exports=files_source(bucket.address))
    ingest(home)
    bucket.fetched.clear()
    ingest(home)
    assert bucket.fetched == []
    other = tiny()["accounts"].assign(name="Another name")
    bucket.put("crm/accounts.csv", other.to_csv(index=False).encode(), day=2)
    ingest(home)
    assert set(bucket.fetched) == {"crm/accounts.csv"}
    assert {row["name"] for row in tables_of(home.root)["accounts"]} == {"Another name"}


def test_what_the_store_no_longer_has_is_gone_here_too(bucket: Bucket, tmp_path: Path):
    query = {"query": "SELECT account_id, name FROM accounts"}
    home = new_home(tmp_path / "home", exports=files_source(bucket.address, accounts=query))
    ingest(home)
    here = home.root / "data" / "fetched" / "exports"
    rows, _ = bucket.objects.pop("crm/deals.csv")
    bucket.put("crm/deals.csv/part-0.csv", rows)
    ingest(home)
    assert [path.name for path in (here / "deals.csv").iterdir()] == ["part-0.csv"]
    del bucket.objects["crm/deals.csv/part-0.csv"]
    bucket.put("crm/deals.csv", rows)
    ingest(home)
    assert (here / "deals.csv").read_bytes() == rows


def test_a_file_that_is_written_while_it_is_read_is_not_taken(bucket: Bucket, tmp_path: Path):
    home = new_home(tmp_path / "home", exports=files_source(bucket.address))
    bucket.faults[:] = ["rewritten"]
    with pytest.raises(DataError, match="was written while it was read"):
        ingest(home)
    assert not list((home.root / "data" / "fetched" / "exports").glob("accounts.csv"))
    ingest(home)
    assert len(tables_of(home.root)["accounts"]) == len(tiny()["accounts"])


@pytest.mark.parametrize("fault", ["error", "half"])
def test_a_call_that_fails_is_made_again_or_told_and_the_next_run_goes_on(
    fault: str, bucket: Bucket, tmp_path: Path
):
    home = new_home(tmp_path / "home", exports=files_source(bucket.address))
    bucket.faults[:] = [fault]
    first = icp("ingest", home=home)
    assert first.status == 0 or "cannot be read" in first.err
    assert first.status == 0 or not home.warehouse_file.exists()
    ingest(home)
    local = tiny_home(tmp_path / "local")
    ingest(local)
    assert tables_of(home.root) == tables_of(local.root)
    assert not list((home.root / "data" / "fetched").rglob("*.part"))


def test_wrong_credentials_are_told_without_a_traceback(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    answer = icp("ingest", home=new_home(tmp_path / "h", exports=files_source(bucket.address)))
    assert answer.status == 3
    assert "check the address, the credentials in the environment" in answer.err
    assert "s3cr3t" not in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("text", ["s3cr3t\n", "s3cr3t t0ken", "s3cr3t-t0kén"])
def test_credentials_that_cannot_be_ones_are_told_and_not_sent(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
):
    monkeypatch.setenv("AWS_SESSION_TOKEN", text)
    answer = icp("ingest", home=new_home(tmp_path / "h", exports=files_source(bucket.address)))
    assert answer.status == 2
    assert "conf/sources/exports.yaml: " in answer.err
    assert "AWS_SESSION_TOKEN has" in answer.err
    assert "s3cr3t" not in answer.err


def test_an_empty_folder_is_told(bucket: Bucket, tmp_path: Path):
    address = bucket.address.replace("exports/crm", "exports/nothing")
    with pytest.raises(DataError, match=r"cannot be read|has no file"):
        ingest(new_home(tmp_path / "h", exports=files_source(address)))


def test_no_key_leads_out_of_the_folder(bucket: Bucket, tmp_path: Path):
    bucket.put("crm/../../escaped.csv", b"account_id\nx\n")
    with pytest.raises(DataError):
        ingest(new_home(tmp_path / "h", exports=files_source(bucket.address)))
    assert not list(tmp_path.rglob("escaped.csv"))


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("ftp://host/exports", "ftp:// is no object store"),
        ("s3://b/x?endpoint_override=http://minio.example:9000", "as host:port"),
        ("s3://b/x?scheme=https&scheme=http", "stands there twice"),
        ("abfss://box@a.dfs.core.windows.net/x?sig=SECRET", "'sig' is no option"),
        ("abfs://box@a.dfs.core.windows.net/x?enable_tls=false", "'enable_tls' is no option"),
        ("s3://key:secret@bucket/exports", "credentials belong into the environment"),
        (
            "s3://bucket/x?scheme=http&endpoint_override=10.0.0.7:9000",
            "must not travel in the clear",
        ),
    ],
)
def test_an_address_that_is_unsafe_is_refused(folder: str, said: str):
    text = f"kind: files\nfolder: '{folder}'\ntables: {{accounts: {{file: accounts.csv}}}}\n"
    with pytest.raises(UsageError, match=said):
        parse_source(text, "conf/sources/exports.yaml")


@pytest.mark.parametrize(
    "folder", ["s3://bucket/exports", "gs://bucket/x", "abfss://box@account.dfs.core.windows.net/x"]
)
def test_addresses_of_each_store_are_taken(folder: str):
    text = f"kind: files\nfolder: '{folder}'\ntables: {{accounts: {{file: accounts.csv}}}}\n"
    source = parse_source(text, "conf/sources/exports.yaml")
    assert source.is_remote
