"""Bad inputs, one a row: the exit status, what the message names, and that nothing changed.

A row is what somebody wrote by mistake, the status by the contract (2 settings and usage, 3 data, 4
a rule), and what the message must say: the place, the value or key, and the remedy.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.io.home import Home
from tests.unit.io_fixtures import SETTINGS, contents, files_source, icp, tiny, tiny_home

DAY = "2024-12-31"
INBOX = "data/inbox"
INGEST = ("ingest", "--as-of", DAY)
# A folder with one table: the others stay as they are, and take no time.
ALONE = (*INGEST, "--from", "{home}/data/alone")


@dataclass(frozen=True)
class Bad:
    """A bad input: the files that are written (None: removed), the command, and its answer."""

    name: str
    files: dict[str, str | bytes | None]
    command: tuple[str, ...]
    status: int
    told: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """A home, and all that its warehouse holds."""

    home: Home
    stored: dict[str, list[str]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Kept:
    """A tiny company, ingested; nothing is trained."""
    made = tiny_home(tmp_path_factory.mktemp("bad") / "home")
    made.mlruns.mkdir()
    shutil.copyfile(migrated, made.mlruns / "mlflow.db")
    assert icp(*INGEST, home=made).status == 0
    return Kept(made, contents(made))


@contextmanager
def written(home: Home, files: dict[str, str | bytes | None]) -> Iterator[None]:
    """Files as a row has them; afterwards as they were."""
    before = {name: _bytes_of(home.root / name) for name in files}
    try:
        for name, content in files.items():
            _write(home.root / name, content)
        yield
    finally:
        for name, known in before.items():
            _write(home.root / name, known)


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _write(path: Path, content: str | bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _digest(home: Home) -> dict[str, str]:
    """Every file of a home but locks, by its bytes."""
    return {
        str(path.relative_to(home.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.root.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def _holds(row: Bad, kept: Kept) -> None:
    """The row's command ends as it says, and changes nothing."""
    home, warehouse = kept.home, "data/warehouse.duckdb"
    with written(home, row.files):
        before = _digest(home)
        words = [word.format(home=home.root) for word in row.command]
        answer = icp(*words, home=home, env=row.env)
        after = _digest(home)
    assert answer.status == row.status, answer.err or answer.out
    for said in row.told:
        assert said in answer.err, f"{said!r} is not in:\n{answer.err}"
    # A transaction that was taken back may leave its mark on the file, and none on the tables.
    assert after | {warehouse: ""} == before | {warehouse: ""}
    assert after[warehouse] == before[warehouse] or contents(home) == kept.stored


def _id(row: Bad) -> str:
    return row.name


# --- conf/icp.yaml --------------------------------------------------------------------------------


def setting(path: str, value: Any, *told: str) -> Bad:
    """A wrong value at a place of `conf/icp.yaml`."""
    stated: dict[str, Any] = yaml.safe_load(yaml.safe_dump(SETTINGS))
    at = stated
    *parents, key = path.split(".")
    for parent in parents:
        at = at.setdefault(parent, {})
    at[key] = value
    text = yaml.safe_dump(stated, sort_keys=False)
    return Bad(
        f"{path}: {value!r}",
        {"conf/icp.yaml": text},
        ("status",),
        2,
        ("conf/icp.yaml", *(told or (path,))),
    )


def settings_file(name: str, content: str | bytes | None, *told: str) -> Bad:
    """The whole of `conf/icp.yaml` is wrong."""
    return Bad(name, {"conf/icp.yaml": content}, ("status",), 2, told)


LINE = {"attribute": "employees", "between": [1, 5], "points": 1}
SETTINGS_ROWS = [
    settings_file("no settings", None, "conf/icp.yaml does not exist; make a home with `icp init"),
    settings_file("empty settings", "", "conf/icp.yaml must be a mapping of keys to values"),
    settings_file("a list", "- a\n", "conf/icp.yaml must be a mapping of keys to values"),
    settings_file("not YAML", "company: [a\n", "conf/icp.yaml is not valid YAML"),
    settings_file("tabs", "company:\n\ta: 1\n", "conf/icp.yaml is not valid YAML", "line 2"),
    settings_file("twice", "company: a\ncompany: b\n", "conf/icp.yaml", "company"),
    settings_file("not UTF-8", b"company: Caf\xe9\n", "cannot be read as UTF-8 text"),
    settings_file("binary", b"\x00\x01\x02", "conf/icp.yaml"),
    setting("motion", ["default"], "`motion` is not a key; did you mean `motions`?"),
    setting("company", None),
    setting("company", ["a"]),
    setting("currency", 7),
    setting("currencies", {"eur": 1.1}, "currencies", "eur"),
    setting("currencies", {"EUR": 0}, "currencies.EUR", "greater than 0"),
    setting("currencies", {"EUR": "much"}, "currencies.EUR", "much"),
    setting("motions", [], "motions: name at least one motion"),
    setting("motions", "default", "motions"),
    setting("motions", ["self-serve.grr"], "motions: 'self-serve.grr' reads like the lineage"),
    setting("dimensions", {}, "dimensions: declare at least one attribute"),
    setting("dimensions", {"firmographics": {"a": "number"}}, "did you mean `firmographic`?"),
    setting("dimensions.firmographic", {"a": "text"}, "dimensions.firmographic.a", "'category'"),
    setting("dimensions.firmographic", {"a": {}}, "dimensions.firmographic.a.kind"),
    setting(
        "dimensions.firmographic", {"a": {"kind": "flag", "lable": "x"}}, "did you mean `label`"
    ),
    setting("dimensions.use_case", {"industry": "category"}, "industry is declared under two"),
    setting("dimensions.use_case", {"account_id": "category"}, "`account_id` is a key, not an"),
    setting("dimensions.use_case", ["industry"], "dimensions.use_case"),
    setting("trigger.closed_deals", 0, "`trigger.closed_deals`", "greater than or equal to 1"),
    setting("trigger.closed_deals", -5, "`trigger.closed_deals`"),
    setting("trigger.closed_deals", "many", "`trigger.closed_deals`", "given: 'many'"),
    setting("trigger.closed_deals", 1.5, "`trigger.closed_deals`", "given: 1.5"),
    setting("trigger.count", "lost", "`trigger.count`", "'closed' or 'won'"),
    setting("trigger.calendar_floor_days", 0, "`trigger.calendar_floor_days`"),
    setting("trigger.deals", 75, "`trigger.deals` is not a key"),
    setting("outcome.horizon_months", 0, "`outcome.horizon_months`"),
    setting("outcome.horizon_months", 61, "`outcome.horizon_months`", "60"),
    setting("outcome.window_months", 13, "`outcome.window_months`", "12"),
    setting("outcome.window_months", 7, "outcome", "the windows at both ends overlap"),
    setting("outcome.onboarding_months", -1, "`outcome.onboarding_months`"),
    setting("outcome.acquired_again_after_months", 0, "`outcome.acquired_again_after_months`"),
    setting("outcome.billed_before_deal_months", 25, "`outcome.billed_before_deal_months`"),
    setting("freshness.warn_after_days", 0, "`freshness.warn_after_days`"),
    setting("freshness.refuse_after_days", "never", "`freshness.refuse_after_days`", "never"),
    setting("objective", "ltv", "`objective`", "'nrr', 'grr', 'retention' or 'value'"),
    setting("value.gross_margin", 75, "`value.gross_margin`", "less than or equal to 1"),
    setting("value.cost_of_pursuit", -1, "`value.cost_of_pursuit`"),
    setting("learning.half_life_months", 0, "`learning.half_life_months`"),
    setting("capacity.share", 0, "`capacity.share`"),
    setting("capacity.share", 25, "`capacity.share`", "less than 1"),
    setting("capacity.accounts", 0, "`capacity.accounts`"),
    setting("tiers.A", 0, "`tiers.A`"),
    setting("tiers", {"A": 0.5, "B": 0.4, "C": 0.2}, "must be less than 1; D is the rest"),
    setting("tiers.D", 0.2, "`tiers.D` is not a key"),
    setting("tiers.min_coverage", 35, "`tiers.min_coverage`"),
    setting("targets.open_deals", "yes", "`targets.open_deals`", "'leave_out' or 'keep'"),
    setting("targets.explore", 0.6, "`targets.explore`", "0.5"),
    setting("targets.hold_back", -0.1, "`targets.hold_back`"),
    setting("targets.band", [800], "`targets.band"),
    setting(
        "targets.band", [1500, 800], "band [1500, 800]: give the shortest list and the longest"
    ),
    setting("policy.preset", "lax", "`policy.preset`", "'strict', 'careful', 'balanced'"),
    setting("policy.probability_better", 1.5, "`policy.probability_better`"),
    setting("policy.max_changed_outcomes", 2, "`policy.max_changed_outcomes`"),
    setting("policy.grr_margin", -0.1, "`policy.grr_margin`"),
    setting("policy.min_matured", 0, "`policy.min_matured`"),
    setting("policy.newest", -1, "`policy.newest`"),
    setting("policy.slices", ["sector"], "policy.slices: `sector` is not declared"),
    setting("policy.approval", "automatic", "`policy.approval`", "'manual' or 'auto'"),
    setting("policy.two_persons", "maybe", "`policy.two_persons`"),
    setting("policy.expires_days", 0, "`policy.expires_days`"),
    setting("policy.mni_uplift", 0.1, "did you mean `min_uplift`?"),
    setting("hypothesis", [{**LINE, "points": 4}], "`hypothesis.0.points`"),
    setting("hypothesis", [{**LINE, "attribute": "size"}], "hypothesis: `size` is not declared"),
    setting("hypothesis", [{**LINE, "attribute": "industry"}], "is a category; give `any_of`"),
    setting("hypothesis", [{"attribute": "employees", "points": 1}], "give exactly one of"),
    setting("hypothesis", [{**LINE, "between": [5, 1]}], "with low not above high"),
    setting("hypothesis", [{**LINE, "between": [None, None]}], "give at least one of the two"),
    setting("hypothesis", [{**LINE, "any_of": ["a"]}], "give exactly one of"),
    setting("required", [{"attribute": "has_sponsor", "any_of": ["y"]}], "give `is_true`"),
    setting("exclusions", [{"attribute": "employees", "between": [1, 2]}], "`exclusions.0.reason`"),
    setting("exclusions", [{"attribute": "tech", "any_of": ["x"], "reason": ""}], "exclusions.0"),
    setting("owners.approvers", "Ada", "`owners.approvers`"),
    setting("notify.url_env", "https://hooks.example/T0/B0", "`notify.url_env`"),
    setting("notify.secret_env", "whsec_abc", "`notify.secret_env`"),
    setting("ingest.max_bad_share", 20, "`ingest.max_bad_share`"),
    setting("ingest.max_money", 0, "`ingest.max_money`"),
    setting("ingest.max_shrink", -1, "`ingest.max_shrink`"),
    setting("ingest.refuse_on", ["month_jmp"], "`ingest.refuse_on.0`", "month_jmp"),
    setting("privacy.allow", "phone", "`privacy.allow`"),
    setting("identity.aliases", ["a"], "`identity.aliases`"),
    setting("identity.merge_duplicates", "perhaps", "`identity.merge_duplicates`"),
    setting("seed", "x", "`seed`"),
]


@pytest.mark.parametrize("row", SETTINGS_ROWS, ids=_id)
def test_wrong_settings_end_with_2(row: Bad, kept: Kept) -> None:
    _holds(row, kept)


# --- conf/sources/*.yaml --------------------------------------------------------------------------


def source(name: str, stated: Any, *told: str, env: dict[str, str] | None = None) -> Bad:
    """A wrong source beside the right one."""
    text = stated if isinstance(stated, str | None) else yaml.safe_dump(stated, sort_keys=False)
    return Bad(
        name,
        {"conf/sources/more.yaml": text},
        INGEST,
        2,
        ("conf/sources/more.yaml", *told),
        env or {},
    )


def table(name: str, of: str, *told: str, **stated: Any) -> Bad:
    """Wrong settings of a table."""
    return source(name, files_source(**{of: {"file": f"{of}.csv"} | stated}), *told)


def folder(address: str, *told: str) -> Bad:
    """A wrong folder."""
    return source(f"folder {address}", files_source(address, accounts={"file": "a.csv"}), *told)


SQL = {"kind": "sql", "url_env": "CRM_URL", "tables": {"accounts": {"query": "SELECT 1"}}}
HUBSPOT: dict[str, Any] = {"kind": "hubspot", "tables": {"accounts": {}}}
SALESFORCE: dict[str, Any] = {
    "kind": "salesforce",
    "base_url": "https://acme.my.salesforce.com",
    "tables": {"accounts": {}},
}
STRIPE: dict[str, Any] = {"kind": "stripe", "currencies": {"usd": 1.0}}
SOURCE_ROWS = [
    source("an empty source", "", "must be a mapping of keys to values"),
    source("no YAML", "kind: [", "is not valid YAML"),
    source("no kind", {"folder": "x"}, "kind: None is not a kind of source; use one of files, sql"),
    source("a kind misspelt", {"kind": "file"}, "did you mean `files`?"),
    source("a kind that is a list", {"kind": ["files"]}, "is not a kind of source"),
    source("no folder", {"kind": "files", "tables": {}}, "`folder`: Field required"),
    source("no tables", {"kind": "files", "folder": "x"}, "`tables`: Field required"),
    source("a table misspelt", files_source(account={"file": "a.csv"}), "did you mean `accounts`?"),
    table("file and query", "deals", "give exactly one of `file` and `query`", query="FROM deals"),
    source("neither file nor query", files_source(deals={}), "give exactly one of `file` and"),
    table("an unknown key", "deals", "did you mean `columns`?", colums={}),
    table("columns as a list", "deals", "`tables.deals.columns`", columns=["deal_id"]),
    table(
        "a column of nothing", "deals", "tables.deals.columns.deal_id", columns={"deal_id": None}
    ),
    table("values of no column", "deals", "tables.deals.values", values={"Won": "won"}),
    table("a date's format as a number", "deals", "`tables.deals.dates", dates=5),
    table("an example that is no number", "deals", "give an example such as 1.234,56", numbers="n"),
    table("an example of two formats", "deals", "does not say what the decimal", numbers="1.234"),
    table("an example without marks", "deals", "does not say what the decimal", numbers="1234"),
    table("money in a word", "deals", "which is no currency", numbers="about 1.234,56"),
    table("the term of acv", "deals", "'term', 'year' or 'month'", acv_per="quarter"),
    table("the time of mrr", "revenue", "'month' or 'year'", mrr_per="week"),
    table("spread over nothing", "revenue", "tables.revenue.spread", spread=0),
    table("spread for ever", "revenue", "tables.revenue.spread", spread=121),
    table("spread by a word", "revenue", "tables.revenue.spread", spread="yearly"),
    table("same_month", "revenue", "'refuse', 'sum' or 'first'", same_month="add"),
    table("a mode", "revenue", "'full', 'window' or 'increment'", mode="all"),
    table("a table's time zone", "deals", "timezone", timezone="Berlin"),
    source("a mode misspelt", files_source() | {"mode": "incremental"}, "'increment'"),
    source("a time zone", files_source() | {"timezone": "Mars/Base"}, "timezone"),
    source(
        "an encoding",
        files_source() | {"dialects": {"a.csv": {"encoding": "utf-9"}}},
        "'utf-9' is no encoding; give one such as utf-8",
    ),
    source(
        "a delimiter of two",
        files_source() | {"dialects": {"a.csv": {"delimiter": ";;"}}},
        "dialects.a.csv.delimiter",
    ),
    source(
        "a quote of two",
        files_source() | {"dialects": {"a.csv": {"quote": "''"}}},
        "dialects.a.csv.quote",
    ),
    source(
        "a dialect misspelt",
        files_source() | {"dialects": {"a.csv": {"separator": ";"}}},
        "`dialects.a.csv.separator` is not a key",
    ),
    folder("ftp://host/exports", "ftp:// is no object store; give s3"),
    folder("s3://key:secret@bucket/x", "credentials belong into the environment"),
    folder("s3://bucket/x?secret=abc", "'secret' is no option of an address"),
    folder("s3://bucket/x?scheme=http&endpoint_override=minio.example:9000", "scheme=http is for"),
    folder("s3://bucket/x?endpoint_override=https://minio.example", "give endpoint_override as"),
    source(
        "a database's file",
        {**SQL, "tables": {"deals": {"file": "d.csv"}}},
        "tables.deals: a database is read by `query`, not by `file`",
    ),
    source("a database without its variable", {"kind": "sql", "tables": {}}, "`url_env`"),
    source("a URL for a variable", {**SQL, "url_env": "postgresql://u:pw@h/d"}, "`url_env`"),
    source("a variable that is not set", SQL, "CRM_URL"),
    source("a variable that is empty", SQL, "CRM_URL", env={"CRM_URL": ""}),
    source("a variable with a line break", SQL, "CRM_URL", env={"CRM_URL": "sqlite:///x\n"}),
    source(
        "a URL that is none",
        SQL,
        "CRM_URL is not a URL that SQLAlchemy can open",
        env={"CRM_URL": "host=crm"},
    ),
    source("a HubSpot token that is not set", HUBSPOT, "HUBSPOT_TOKEN"),
    source("a token with a blank", HUBSPOT, "HUBSPOT_TOKEN", env={"HUBSPOT_TOKEN": "pat na1"}),
    source("a token for a variable", {**HUBSPOT, "token_env": "pat-na1-abc"}, "`token_env`"),
    source(
        "a label for a property",
        {**HUBSPOT, "tables": {"deals": {"columns": {"acv": "Deal $"}}}},
        "'Deal $' is not the API name of a field",
    ),
    source("no pace", {**HUBSPOT, "calls_per_second": 0}, "`calls_per_second`"),
    source("http in the clear", {**HUBSPOT, "base_url": "http://api.hubapi.com"}, "use https"),
    source(
        "an address with a path",
        {**HUBSPOT, "base_url": "https://a.example/crm"},
        "give the address alone",
    ),
    source("revenue of HubSpot", {**HUBSPOT, "tables": {"revenue": {}}}, "`tables.revenue` is not"),
    source("Salesforce without an address", {"kind": "salesforce", "tables": {}}, "`base_url`"),
    source(
        "tracked since when", {**SALESFORCE, "tracked": ["Industry"]}, "tracked_since: say since"
    ),
    source(
        "Stripe without currencies",
        {"kind": "stripe", "tables": {"revenue": {}}},
        "`currencies`: Field required",
    ),
    source("Stripe with none", {**STRIPE, "currencies": {}}, "`currencies`"),
    source("a currency in capitals", {**STRIPE, "currencies": {"EUR": 1}}, "currencies.EUR"),
    source("a currency worth nothing", {**STRIPE, "currencies": {"eur": 0}}, "currencies.eur"),
    source("an account by e-mail", {**STRIPE, "account_id": "email"}, "`account_id`"),
    source("some discounts", {**STRIPE, "discounts": "some"}, "'recurring', 'all' or 'none'"),
    Bad(
        "no source at all",
        {"conf/sources/files.yaml": None},
        INGEST,
        2,
        ("no source is configured; add a file such as files.yaml",),
    ),
]


@pytest.mark.parametrize("row", SOURCE_ROWS, ids=_id)
def test_wrong_sources_end_with_2(row: Bad, kept: Kept) -> None:
    _holds(row, kept)


# --- data -----------------------------------------------------------------------------------------


def given(name: str, files: dict[str, str | bytes | None], *told: str, **mapping: Any) -> Bad:
    """Files of the inbox that stop an ingest; `mapping` are settings of their tables."""
    placed: dict[str, str | bytes | None] = {f"{INBOX}/{n}": text for n, text in files.items()}
    if mapping:
        tables = {n: {"file": f"{n}.csv"} for n in tiny()} | mapping
        placed["conf/sources/files.yaml"] = yaml.safe_dump(files_source(**tables), sort_keys=False)
    return Bad(name, placed, INGEST, 3, told)


def alone(name: str, of: str, frame: pd.DataFrame, *told: str) -> Bad:
    """One table that is given by hand."""
    return Bad(name, {f"data/alone/{of}.csv": frame.to_csv(index=False)}, ALONE, 3, told)


def without(of: str, column: str) -> Bad:
    """A table without a column that is required."""
    return alone(
        f"{of} without {column}",
        of,
        tiny()[of].drop(columns=column),
        f"({of}.csv): table `{of}` has no column `{column}`",
        f"map it under tables.{of}.columns in the source's settings: `{column}: <your column>`",
    )


def cells(name: str, of: str, column: str, value: Any, *told: str) -> Bad:
    """So many bad cells that the table is refused."""
    frame = tiny()[of].assign(
        **{"mrr": [str(100 + n) for n in range(10)]} if of == "revenue" else {}
    )
    frame[column] = frame.get(column, pd.Series([""] * 10, dtype="str")).astype("object")
    frame.loc[:3, column] = value
    refused = (
        f"rows of `{of}` are bad",
        "more than ingest.max_bad_share 20%",
        "Nothing was changed",
    )
    return alone(name, of, frame, *refused, *told)


def zipped() -> bytes:
    """A zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("deals.csv", "deal_id\n1\n")
    return stream.getvalue()


DEALS = tiny()["deals"].to_csv(index=False)
REQUIRED = {
    "accounts": ["account_id"],
    "deals": ["deal_id", "account_id", "created_at", "outcome", "closed_at"],
    "revenue": ["account_id", "month", "mrr"],
    "signals": ["account_id", "at", "kind", "value"],
}
FILE_ROWS = [
    given("no file", {"deals.csv": None}, "deals.csv does not exist, or is no file"),
    given(
        "an empty file", {"deals.csv": ""}, "deals.csv is empty; it needs at least a header line"
    ),
    given("blank lines only", {"deals.csv": "\n\n"}, "deals.csv is empty"),
    given("a web page", {"deals.csv": "<!DOCTYPE html><html>"}, "is a web page, not a table; sign"),
    given("a zip archive", {"deals.csv": zipped()}, "a zip archive or a workbook; name a workbook"),
    given("an old workbook", {"deals.csv": b"\xd0\xcf\x11\xe0" + b"\0" * 99}, "name it .xls"),
    given("gzip", {"deals.csv": b"\x1f\x8b\x08" + b"\0" * 9}, "name it .csv.gz"),
    given("zstd", {"deals.csv": b"\x28\xb5\x2f\xfd" + b"\0" * 9}, "name it .csv.zst"),
    given("a PDF", {"deals.csv": b"%PDF-1.7 ..."}, "a PDF; export the table as CSV"),
    given("Parquet by another name", {"deals.csv": b"PAR1" + b"\0" * 9}, "name it .parquet"),
    given(
        "UTF-16 without its mark",
        {"deals.csv": DEALS.encode("utf-16-le")},
        "looks like UTF-16 without its mark; state `dialects: {deals.csv: {encoding: utf-16-le}}`",
    ),
    given(
        "letters of nobody knows what",
        {
            "deals.csv": DEALS.replace("d1", "Žďár", 1)
            .replace("d2", "Привет мир")
            .encode("cp1251", "replace")
        },
        "deals.csv",
    ),
    Bad(
        "a wrong encoding",
        {
            f"{INBOX}/deals.csv": b"deal_id\n\xff\xfe\n",
            "conf/sources/files.yaml": yaml.safe_dump(
                files_source() | {"dialects": {"deals.csv": {"encoding": "shift_jis"}}}
            ),
        },
        INGEST,
        3,
        ("deals.csv cannot be read as shift_jis", "state another `encoding` for it"),
    ),
    given(
        "a broken Parquet file",
        {"deals.parquet": b"PAR1 broken"},
        "deals.parquet cannot be read",
        deals={"file": "deals.parquet"},
    ),
    given(
        "broken JSON",
        {"deals.json": '[{"a": 1'},
        "deals.json cannot be read",
        deals={"file": "deals.json"},
    ),
    given(
        "a broken workbook",
        {"deals.xlsx": b"PK\x03\x04 broken"},
        "deals.xlsx cannot be read as a workbook",
        deals={"file": "deals.xlsx"},
    ),
    given(
        "a text file",
        {"deals.txt": DEALS},
        "deals.txt is neither .csv",
        deals={"file": "deals.txt"},
    ),
    given(
        "a folder for a file",
        {"sub/x.csv": DEALS},
        "does not exist, or is no file",
        deals={"file": "sub"},
    ),
    *(without(of, column) for of, columns in REQUIRED.items() for column in columns),
    given(
        "a column that is not there",
        {},
        "maps `deal_id` to `Deal ID`, which is not there; columns",
        deals={"file": "deals.csv", "columns": {"deal_id": "Deal ID"}},
    ),
    given(
        "values of a column that is not there",
        {},
        "tables.deals.values names `stage`, which is not",
        deals={"file": "deals.csv", "values": {"stage": {"a": "b"}}},
    ),
    given("a query without sense", {}, "tables.deals.query failed", deals={"query": "SELEC 1"}),
    given(
        "a query of no table", {}, "tables.deals.query failed", "opps", deals={"query": "FROM opps"}
    ),
    given(
        "a query that needs a broken file",
        {"opps.parquet": b"PAR1 broken"},
        "opps.parquet cannot",
        deals={"query": "FROM opps"},
    ),
    given(
        "two columns of one name",
        {},
        "tables.deals has two columns `deal_id`",
        deals={"query": "SELECT *, 1 AS deal_id FROM deals"},
    ),
    given(
        "spread by a column that is not there",
        {},
        "`spread: until`, and no column `until`; map it",
        revenue={"file": "revenue.csv", "spread": "until"},
    ),
    Bad(
        "a folder that is not there",
        {"conf/sources/files.yaml": yaml.safe_dump(files_source("exports"))},
        INGEST,
        3,
        ("folder 'exports' does not exist (looked for",),
    ),
]


@pytest.mark.parametrize("row", FILE_ROWS, ids=_id)
def test_files_that_cannot_be_read_end_with_3(row: Bad, kept: Kept) -> None:
    _holds(row, kept)


CELL_ROWS = [
    cells(
        "dates of another format",
        "deals",
        "created_at",
        "31.12.2024",
        "created_at is a date",
        "such as '31.12.2024' in row 1",
    ),
    cells("a day that is none", "deals", "created_at", "2024-02-30", "created_at is a date"),
    cells("a date long ago", "deals", "created_at", "1900-01-01", "created_at is between 1970 and"),
    cells("no date of creation", "deals", "created_at", "", "created_at is given"),
    cells(
        "stages that are not mapped",
        "deals",
        "outcome",
        "Closed Won",
        "outcome is won, lost or open",
        "'Closed Won'",
    ),
    cells("no outcome", "deals", "outcome", "--", "outcome is given"),
    cells(
        "closed before it was created",
        "deals",
        "closed_at",
        "2023-01-01",
        "closed_at is not before created_at",
    ),
    cells("no close", "deals", "closed_at", "", "closed_at is given unless the deal is open"),
    cells("no id", "deals", "deal_id", "", "deal_id is given"),
    cells("one id for all", "deals", "deal_id", "d1", "the key is unique (the first row was kept)"),
    cells(
        "an id that a spreadsheet cut",
        "deals",
        "deal_id",
        "8.12346E+12",
        "deal_id has all its digits",
        "with ids as text",
    ),
    cells("an id with a NUL", "deals", "deal_id", "d\x01", "deal_id has no control characters"),
    cells("accounts that nobody knows", "deals", "account_id", "x9", "account_id is in accounts"),
    cells("money with a sign", "deals", "acv", "$1,200.00", 'state `numbers: "$1,234.56"`'),
    cells("money of another country", "deals", "acv", "1.200,00", 'state `numbers: "1.234,56"`'),
    cells("money in words", "deals", "acv", "a lot", "acv is a number", "'a lot'"),
    cells("money below zero", "deals", "acv", "-5", "acv >= 0"),
    cells("more money than there is", "deals", "acv", "1e12", "acv <= ingest.max_money"),
    cells("a margin in percent", "deals", "gross_margin", "75", "gross_margin is between 0 and 1"),
    cells("a term of nothing", "deals", "term_months", "0", "term_months is a number above 0"),
    cells(
        "a currency without a rate",
        "deals",
        "currency",
        "EUR",
        "state `currencies: {EUR: ...}` in conf/icp.yaml",
    ),
    cells("months in the middle", "revenue", "month", "2024-03-15", "month is the first day of a"),
    cells("no month", "revenue", "month", "n/a", "month is given"),
    cells("no customer", "revenue", "account_id", "", "account_id is given"),
    cells("revenue below zero", "revenue", "mrr", "-100", "mrr >= 0"),
    cells("no revenue", "revenue", "mrr", "", "mrr is given"),
    cells("infinite revenue", "revenue", "mrr", "inf", "mrr is"),
    cells("a signal without a time", "signals", "at", "soon", "at is a date"),
    cells("a signal without a kind", "signals", "kind", "", "kind is given"),
    cells("a signal without a value", "signals", "value", "yes", "value is a number"),
    cells("an account without an id", "accounts", "account_id", "unknown", "account_id is given"),
    cells("an account observed never", "accounts", "observed_at", "never", "observed_at is a date"),
]


@pytest.mark.parametrize("row", CELL_ROWS, ids=_id)
def test_a_table_of_bad_rows_ends_with_3(row: Bad, kept: Kept) -> None:
    _holds(row, kept)


def changed(of: str, **columns: list[str]) -> dict[str, str | bytes | None]:
    """A table with other cells."""
    return {f"{of}.csv": tiny()[of].assign(**columns).to_csv(index=False)}


RULE_ROWS = [
    given(
        "numbers in two ways",
        changed("revenue", mrr=["1.200"] * 10),
        "`mrr` of table `revenue` can be read in two ways: '1.200' is 1200 or 1.2",
        '`numbers: {mrr: "1.234,56"}` if it is 1200',
    ),
    given(
        "employees in two ways",
        changed("accounts", employees=["1.200"] * 10),
        "`employees` of table `accounts` can be read in two ways",
    ),
    given(
        "several rows of a month",
        changed("revenue", month=["2024-03-01"] * 10, mrr=[str(n) for n in range(10)]),
        "are of an account and month that has several rows",
        "`same_month: sum` where they add up",
    ),
    Bad(
        "a finding that refuses",
        {"conf/icp.yaml": yaml.safe_dump(SETTINGS | {"ingest": {"refuse_on": ["stale_data"]}})},
        INGEST,
        3,
        ("stale_data", "ingest.refuse_on"),
    ),
    Bad(
        "a folder by hand that is none",
        {},
        (*INGEST, "--from", "nowhere"),
        3,
        ("nowhere is not a folder; `icp ingest --from` wants one with CSV",),
    ),
]


@pytest.mark.parametrize("row", RULE_ROWS, ids=_id)
def test_what_a_rule_stops_ends_with_3(row: Bad, kept: Kept) -> None:
    _holds(row, kept)


# --- usage ----------------------------------------------------------------------------------------


def use(command: str, status: int, *told: str, **files: str) -> Bad:
    """A command that is used wrongly."""
    return Bad(
        command,
        {n.replace("__", "/"): t for n, t in files.items()},
        tuple(command.split(" ")),
        status,
        told,
    )


SAID = "--by Ada --reason r"
USAGE_ROWS = [
    use("stats", 2, "Did you mean 'status'?"),
    use("status --jsn", 2, "No such option: --jsn"),
    use("status --as-of 2024-13-01", 2, "'2024-13-01' is not a day; write it as YYYY-MM-DD"),
    use("status --as-of 31.12.2024", 2, "'31.12.2024' is not a day"),
    use("status --as-of today", 2, "'today' is not a day"),
    use("status --motion smb", 2, "smb", "default, upsell"),
    use("ingest --as-of never", 2, "'never' is not a day"),
    use("ingest --mode increment", 2, "--mode is for --from; for sources say it in conf/sources"),
    use("ingest --from x --mode all", 2, "'all' is not one of 'full', 'window', 'increment'"),
    use("retrain --motion smb", 2, "smb"),
    use("retrain --as-of tomorrow", 2, "'tomorrow' is not a day"),
    use("watch --motion nobody", 2, "nobody"),
    use("quarantine --table dels", 2, "'dels' is not one of 'accounts', 'deals', 'revenue'"),
    use("quarantine --out rows.csv", 2, "rows.csv", "nothing is in quarantine"),
    use("approve", 2, "Missing argument 'version'"),
    use("approve 1 --by Ada", 2, "Missing option '--reason'"),
    use("approve 1 --reason r", 2, "Missing option '--by'"),
    use(f"approve 1 {SAID}", 2, "1"),
    use(f"reject 1 {SAID}", 2, "1"),
    use(f"rollback {SAID}", 4, "No version of `default` is in force, so there is nothing to leave"),
    use("list", 2, "Missing option '--out'"),
    use("list --out targets.csv", 4, "train one with `icp retrain` and approve it"),
    use("score --in leads.csv", 2, "Missing option '--out'"),
    use("score --in leads.csv --out out.csv", 4, "No ICP version of `default` is in force yet"),
    use("retrain", 4, "67 more closed deals are needed", "--force"),
    use("score --in leads.csv --out out.csv --engine spark", 2, "'spark' is not one of"),
    use("explain", 2, "Missing argument 'account'"),
    use("show 7", 2, "7"),
    use("show v1", 2, "v1"),
    use("diff 1", 2, "Missing argument"),
    use("diff 1 2", 2, "1"),
    use("check --as-of yesterday", 2, "'yesterday' is not a day"),
    use("backtest --from 2024-12-31 --to 2024-01-01", 2, "2024-12-31", "2024-01-01"),
    use("backtest --from x", 2, "'x' is not a day"),
    use("health --out page.txt", 2, "page.txt"),
    use(
        "write-back --in scored.csv", 2, "conf/crm.yaml does not exist; state there `kind: hubspot`"
    ),
    use("init", 2, "No such option: --home"),
]


@pytest.mark.parametrize("row", USAGE_ROWS, ids=_id)
def test_wrong_usage_ends_by_the_contract(row: Bad, kept: Kept) -> None:
    _holds(row, kept)


def test_there_are_as_many_rows_as_were_tried() -> None:
    tables = (SETTINGS_ROWS, SOURCE_ROWS, FILE_ROWS, CELL_ROWS, RULE_ROWS, USAGE_ROWS)
    names = [row.name for rows in tables for row in rows]
    assert len(names) >= 240
    assert len(set(names)) == len(names)
