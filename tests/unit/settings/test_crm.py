import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from icploop.errors import UsageError
from icploop.settings import (
    HubspotCrm,
    SalesforceCrm,
    parse_crm,
)

SHIPPED = Path(__file__).parents[3] / "conf"


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
