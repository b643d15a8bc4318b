import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from icploop.errors import UsageError
from icploop.settings import (
    DIMENSIONS,
    Attribute,
    FilesSource,
    GatePolicy,
    HubspotCrm,
    SalesforceCrm,
    Settings,
    SqlSource,
    digest,
    parse_crm,
    parse_settings,
    parse_source,
)
from tests.companies import DECLARED

PLACE = "conf/icp.yaml"
FILES = {"kind": "files", "folder": "exports"}
SHIPPED = Path(__file__).parents[2] / "conf"
SECTIONS = {
    name: list(field.annotation.model_fields)
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
KEYS = [(s, key) for s, keys in SECTIONS.items() for key in keys if len(key) > 3]


def parsed(**more: Any) -> Settings:
    return parse_settings(yaml.safe_dump(DECLARED | more, sort_keys=False), PLACE)


def refusal(**more: Any) -> str:
    with pytest.raises(UsageError) as refused:
        parsed(**more)
    assert refused.value.exit_status == 2
    return str(refused.value)


def source_refusal(**source: Any) -> str:
    with pytest.raises(UsageError) as refused:
        parse_source(yaml.safe_dump(source), "conf/sources/x.yaml")
    assert str(refused.value).startswith("conf/sources/x.yaml: ")
    return str(refused.value)


def line(**more: Any) -> dict[str, Any]:
    return {"hypothesis": [{"attribute": "employees", "points": 1} | more]}


def test_attributes_come_in_the_order_of_the_file_with_a_label_for_people() -> None:
    attributes = parsed().attributes
    assert [a.name for a in attributes] == [
        "employees",
        "industry",
        "tech",
        "funded_on",
        "has_sponsor",
    ]
    assert attributes[3] == Attribute(
        name="funded_on", dimension="trigger_event", kind="date", label="last funding"
    )
    assert attributes[4].label == "has sponsor"
    assert [a.name for a in attributes if a.is_number_like] == ["employees", "funded_on"]


def test_the_six_dimensions_are_those_of_the_contract() -> None:
    assert DIMENSIONS == (
        "firmographic",
        "technographic",
        "use_case",
        "trigger_event",
        "decision_authority",
        "pain_proof",
    )


def test_the_shipped_settings_state_the_defaults() -> None:
    shipped = parse_settings((SHIPPED / "icp.yaml").read_text(), PLACE)
    stated = Settings(company=shipped.company, dimensions=shipped.dimensions)
    assert shipped == stated


def test_the_shipped_source_is_a_folder_of_files() -> None:
    shipped = parse_source((SHIPPED / "sources" / "files.yaml").read_text(), "files.yaml")
    assert isinstance(shipped, FilesSource)


@pytest.mark.parametrize("kind", ["hubspot", "salesforce", "stripe"])
def test_the_example_of_each_server_is_a_source_of_its_kind(kind: str) -> None:
    example = SHIPPED / "examples" / "sources" / f"{kind}.yaml"
    assert parse_source(example.read_text(), example.name).kind == kind


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_typo_in_any_key_of_a_section_names_the_key_that_was_meant(
    section: str, key: str
) -> None:
    typo = key[:-2] + key[-1]
    assert refusal(**{section: {typo: 1}}) == (
        f"{PLACE}: `{section}.{typo}` is not a key; did you mean `{key}`?"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"polcy": {}}, "`polcy` is not a key; did you mean `policy`?"),
        ({"hypotesis": []}, "`hypotesis` is not a key; did you mean `hypothesis`?"),
        (
            {"dimensions": {"firmografic": {"a": "flag"}}},
            "`dimensions.firmografic` is not a key; did you mean `firmographic`?",
        ),
        (
            {"dimensions": {"use_case": {"a": {"kind": "flag", "lable": "A"}}}},
            "`dimensions.use_case.a.lable` is not a key; did you mean `label`?",
        ),
        (
            line(between=[1, 2], atribute="x"),
            "`hypothesis.0.atribute` is not a key; did you mean `attribute`?",
        ),
        (line(any_off=["x"]), "`hypothesis.0.any_off` is not a key; did you mean `any_of`?"),
        (
            {"hypothesis": [{"attribute": "employes", "between": [1, 2], "points": 1}]},
            "hypothesis: `employes` is not declared under dimensions; did you mean `employees`?",
        ),
    ],
)
def test_a_typo_elsewhere_names_what_was_meant(change: dict[str, Any], said: str) -> None:
    assert f"{PLACE}: {said}" in refusal(**change).splitlines()


def test_a_key_that_resembles_none_is_answered_with_all_that_there_are() -> None:
    assert refusal(owners={"zzz": 1}).endswith("`owners.zzz` is not a key; known: icp, approvers")


def test_every_fault_is_told_at_once() -> None:
    said = refusal(seed="many", policy={"draws": 1}, trigger={"count": "lost"})
    assert len(said.splitlines()) == 3
    assert all(line.startswith(f"{PLACE}: `") for line in said.splitlines())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dimensions": {"use_case": {"a": "numbr"}}}, "`dimensions.use_case.a.kind`"),
        ({"dimensions": {"use_case": {"a": {"label": "A"}}}}, "`dimensions.use_case.a.kind`"),
        ({"dimensions": {"use_case": {}}}, "declare at least one attribute"),
        (
            {"dimensions": {"use_case": {"a": "flag"}, "pain_proof": {"a": "set"}}},
            "a is declared under two dimensions",
        ),
        ({"dimensions": {"use_case": {"account_id": "category"}}}, "`account_id` is a key"),
        ({"motions": []}, "name at least one motion"),
        ({"tiers": {"A": 0.5, "B": 0.3, "C": 0.2}}, "must be less than 1"),
        ({"outcome": {"horizon_months": 4, "window_months": 3}}, "overlap"),
        ({"capacity": {"share": 1}}, "`capacity.share`"),
        ({"capacity": {"accounts": 0}}, "`capacity.accounts`"),
        ({"policy": {"probability_better": float("nan")}}, "`policy.probability_better`"),
        ({"policy": {"min_uplift": float("nan")}}, "`policy.min_uplift`"),
        ({"policy": {"min_matured": 5}}, "(given: 5)"),
        ({"ingest": {"max_bad_share": 2}}, "(given: 2)"),
        (line(between=[1, 2], points=4), "`hypothesis.0.points`"),
        (line(between=[1, 2], points=0.5), "`hypothesis.0.points`"),
        (line(between=[500, 100]), "low not above high"),
        (line(between=[float("nan"), 100]), "low not above high"),
        (line(), "exactly one of"),
        (line(between=[1, 2], is_true=True), "exactly one of"),
        (line(any_of=["x"]), "`employees` is a number; give `between`"),
        (line(attribute="funded_on", is_true=True), "`funded_on` is a date; give `between`"),
        (line(attribute="has_sponsor", any_of=["yes"]), "is a flag; give `is_true`"),
        (line(attribute="industry", is_true=True), "is a category; give `any_of`"),
        (line(attribute="tech", between=[0, 1]), "is a set; give `any_of`"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_place(change: dict[str, Any], said: str) -> None:
    message = refusal(**change)
    assert message.startswith(f"{PLACE}: ")
    assert said in message


@pytest.mark.parametrize("window", [1, 2, 3, 6])
def test_windows_may_touch_but_not_overlap(window: int) -> None:
    shortest = 2 * window - 1
    assert parsed(outcome={"horizon_months": shortest, "window_months": window})
    if shortest > 1:
        assert "overlap" in refusal(
            outcome={"horizon_months": shortest - 1, "window_months": window}
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be a mapping"),
        ("- company", "must be a mapping"),
        ("company", "must be a mapping"),
        ("company: [Tiny", "is not valid YAML"),
        ("company: Tiny\n\tseed: 1", "is not valid YAML"),
        ("company: Tiny", "`dimensions`: Field required"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=PLACE) as refused:
        parse_settings(text, PLACE)
    assert said in str(refused.value)


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValidationError):
        parsed().policy.min_matured = 1


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


def test_a_digest_is_the_same_on_every_machine_and_in_any_order_of_keys() -> None:
    value = {"b": 1, "a": [1, 2.5, "é", None]}
    assert digest(value) == digest(dict(reversed(value.items())))
    assert digest(value) == "0a5a3f1f86870ef5a18abc791d34f78194a4d50ace7e354279a1cb03a1b49007"


@pytest.mark.parametrize(
    "change",
    [
        {"probability_better": 0.81},
        {"min_uplift": 0.001},
        {"grr_margin": 0.06},
        {"retention_margin": 0.06},
        {"min_matured": 61},
        {"newest": 301},
        {"interval": 0.91},
        {"draws": 2001},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_policy_has_another_digest_after_any_change(change: dict[str, Any]) -> None:
    assert set(GatePolicy.model_fields) >= set(change)
    assert GatePolicy(**change).digest() != GatePolicy().digest()


def test_equal_policies_have_the_same_digest() -> None:
    assert GatePolicy(draws=300).digest() == GatePolicy(draws=300).digest()


def test_each_objective_is_a_lineage_of_its_own() -> None:
    names = [parsed(objective=o).lineage("plg") for o in ("nrr", "grr", "retention", "value")]
    assert names == ["plg", "plg.grr", "plg.retention", "plg.value"]


def test_a_motion_may_not_be_named_like_another_lineage() -> None:
    assert "'default.value' reads like the lineage" in refusal(motions=["default.value"])


def test_an_objective_that_nobody_knows_is_refused() -> None:
    assert "objective" in refusal(objective="profit")


HUBSPOT = {"kind": "hubspot", "token_env": "HUBSPOT_TOKEN"}
SALESFORCE = {
    "kind": "salesforce",
    "token_env": "SF_TOKEN",
    "base_url": "https://example.my.salesforce.com",
}


@pytest.mark.parametrize(
    ("name", "least"), [("hubspot", HubspotCrm(**HUBSPOT)), ("salesforce", SALESFORCE)]
)
def test_the_shipped_crm_settings_state_the_defaults(name: str, least: Any) -> None:
    shipped = parse_crm((SHIPPED / "examples" / "crm" / f"{name}.yaml").read_text(), name)
    stated = least if isinstance(least, HubspotCrm) else SalesforceCrm(**least)
    assert shipped.model_copy(update={"token_env": stated.token_env}) == stated


@pytest.mark.parametrize(
    ("crm", "said"),
    [
        ({"kind": "hubspott", "token_env": "X"}, "did you mean `hubspot`?"),
        ({"kind": "hubspot"}, "`token_env`: Field required"),
        (HUBSPOT | {"token": "pat-1"}, "`token` is not a key; did you mean `token_env`?"),
        (HUBSPOT | {"token_env": "pat-na1-1"}, "`token_env`"),
        (HUBSPOT | {"properties": {"tiers": "x"}}, "`properties.tiers` is not a key"),
        (HUBSPOT | {"properties": {"score": "hs_score"}}, "'hs_score' cannot be one of our own"),
        (HUBSPOT | {"properties": {"score": "icp_tier"}}, "'icp_tier' is named twice"),
        (HUBSPOT | {"match": "icp_tier"}, "'icp_tier' stands among `properties` too"),
        (HUBSPOT | {"base_url": "http://api.hubapi.com"}, "use https"),
        (HUBSPOT | {"base_url": "http://127.0.0.1.evil.example"}, "use https"),
        (HUBSPOT | {"base_url": "https://user:word@api.hubapi.com"}, "give the address alone"),
        (HUBSPOT | {"base_url": "https://api.hubapi.com/crm"}, "give the address alone"),
        (HUBSPOT | {"base_url": "ftp://127.0.0.1"}, "use https"),
        (SALESFORCE | {"properties": {"tier": "Rating"}}, "'Rating' cannot be one of our own"),
        (SALESFORCE | {"match": "Name"}, "`match`"),
        (SALESFORCE | {"api_version": "62"}, "`api_version`"),
        (
            {k: v for k, v in SALESFORCE.items() if k != "base_url"},
            "`base_url`: Field required",
        ),
    ],
)
def test_crm_settings_that_make_no_sense_are_refused(crm: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_crm(yaml.safe_dump(crm), "conf/crm.yaml")
    assert str(refused.value).startswith("conf/crm.yaml: ")
    assert said in str(refused.value)
    assert not {"pat-1", "pat-na1-1", "word"} & set(re.split(r"[^\w-]", str(refused.value)))


def test_no_value_at_all_to_write_makes_no_sense() -> None:
    names = dict.fromkeys(HubspotCrm(**HUBSPOT).properties.stated)
    with pytest.raises(UsageError, match="name at least one property"):
        parse_crm(yaml.safe_dump(HUBSPOT | {"properties": names}), "conf/crm.yaml")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:80"])
def test_this_machine_may_be_called_without_https(host: str) -> None:
    crm = parse_crm(yaml.safe_dump(HUBSPOT | {"base_url": f"http://{host}/"}), "conf/crm.yaml")
    assert crm.base_url == f"http://{host}"
