from pathlib import Path
from typing import Any

import pytest
import yaml

from icploop.errors import UsageError
from icploop.settings import (
    FilesSource,
    SqlSource,
    parse_source,
)

FILES = {"kind": "files", "folder": "exports"}


SHIPPED = Path(__file__).parents[3] / "conf"


def source_refusal(**source: Any) -> str:
    with pytest.raises(UsageError) as refused:
        parse_source(yaml.safe_dump(source), "conf/sources/x.yaml")
    assert str(refused.value).startswith("conf/sources/x.yaml: ")
    return str(refused.value)


def test_the_shipped_source_is_a_folder_of_files() -> None:
    shipped = parse_source((SHIPPED / "sources" / "files.yaml").read_text(), "files.yaml")
    assert isinstance(shipped, FilesSource)


@pytest.mark.parametrize("kind", ["hubspot", "salesforce", "stripe"])
def test_the_example_of_each_server_is_a_source_of_its_kind(kind: str) -> None:
    example = SHIPPED / "examples" / "sources" / f"{kind}.yaml"
    assert parse_source(example.read_text(), example.name).kind == kind


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (FILES | {"tables": {"deals": {"file": "d.csv"}}}, FilesSource),
        (FILES | {"tables": {"deals": {"query": "FROM d"}}}, FilesSource),
        (
            {"kind": "sql", "url_env": "DB", "tables": {"deals": {"query": "SELECT 1"}}},
            SqlSource,
        ),
    ],
)
def test_a_source_is_of_the_kind_that_it_names(source: dict[str, Any], kind: type) -> None:
    assert type(parse_source(yaml.safe_dump(source), "x.yaml")) is kind


def test_a_source_maps_columns_words_and_dates() -> None:
    table = {
        "file": "d.csv",
        "columns": {"deal_id": "Id"},
        "values": {"outcome": {"Closed Won": "won"}},
        "dates": "%d.%m.%Y",
    }
    read = parse_source(yaml.safe_dump(FILES | {"tables": {"deals": table}}), "x.yaml")
    deals = read.tables["deals"]
    assert deals.columns == {"deal_id": "Id"}
    assert deals.words == {"outcome": {"Closed Won": "won"}}
    assert deals.dates == "%d.%m.%Y"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"folder": "x"}, "use one of files, sql"),
        ({"kind": "file", "folder": "x"}, "did you mean `files`?"),
        ({"kind": ["files"]}, "use one of files, sql"),
        (FILES, "`tables`: Field required"),
        (FILES | {"tables": {}, "foldr": 1}, "`foldr` is not a key; did you mean `folder`?"),
        (FILES | {"tables": {"deal": {}}}, "`tables.deal` is not a key; did you mean `deals`?"),
        (
            FILES | {"tables": {"deals": {"file": "d.csv", "colums": {}}}},
            "`tables.deals.colums` is not a key; did you mean `columns`?",
        ),
        (
            FILES | {"tables": {"deals": {"file": "d.csv", "valuess": {}}}},
            "`tables.deals.valuess` is not a key; did you mean `values`?",
        ),
        (FILES | {"tables": {"deals": {}}}, "give exactly one of `file` and `query`"),
        (
            FILES | {"tables": {"deals": {"file": "a", "query": "b"}}},
            "give exactly one of `file` and `query`",
        ),
        (
            {"kind": "sql", "url_env": "DB", "tables": {"deals": {"file": "d.csv"}}},
            "tables.deals: a database is read by `query`",
        ),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(source: dict[str, Any], said: str) -> None:
    assert said in source_refusal(**source)


SECRETS = ["pat-na1-geheim", "sk_live_geheim", "postgresql://ada:geheim@host/db", "ge heim", ""]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    ("source", "key"),
    [
        ({"kind": "sql", "tables": {"deals": {"query": "SELECT 1"}}}, "url_env"),
        ({"kind": "hubspot", "tables": {}}, "token_env"),
        ({"kind": "salesforce", "base_url": "https://x.example", "tables": {}}, "token_env"),
        ({"kind": "stripe", "currencies": {"usd": 1}}, "token_env"),
    ],
)
def test_a_secret_in_the_place_of_a_variable_is_not_repeated(
    source: dict[str, Any], key: str, secret: str
) -> None:
    said = source_refusal(**source, **{key: secret})
    assert f"`{key}`: give the name of an environment variable" in said
    assert "heim" not in said


@pytest.mark.parametrize("zone", ["Berlin", "GMT+25", "../../etc/passwd", "", "+01:00"])
def test_a_time_zone_has_an_iana_name(zone: str) -> None:
    said = source_refusal(**FILES, tables={}, timezone=zone)
    assert "`timezone`: give a time zone by its IANA name, such as Europe/Berlin" in said


def test_tables_go_by_the_clock_of_their_source_unless_they_have_their_own() -> None:
    tables = {
        "deals": {"file": "d.csv"},
        "revenue": {"file": "r.csv", "timezone": "Asia/Tokyo"},
    }
    text = yaml.safe_dump({**FILES, "timezone": "Europe/Berlin", "tables": tables})
    source = parse_source(text, "x.yaml")
    assert isinstance(source, FilesSource)
    assert source.tables["deals"].timezone == "Europe/Berlin"
    assert source.tables["revenue"].timezone == "Asia/Tokyo"
