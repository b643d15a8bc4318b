"""The CRMs to which scores are written back, behind one small interface (`records.Crm`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from icploop.errors import UnfinishedError
from icploop.io import limits
from icploop.io.crm import hubspot, salesforce
from icploop.io.crm.records import Crm
from icploop.io.http import Client, Sleep
from icploop.io.secrets import secret
from icploop.settings import CrmSettings, HubspotCrm

_PLACE = "conf/crm.yaml"


@contextmanager
def opened(settings: CrmSettings, sleep: Sleep = time.sleep) -> Iterator[tuple[Crm, Client]]:
    """The CRM of the settings, and the client by which it is reached.

    Raises UsageError for a token that is missing or cannot be one.
    """
    is_hubspot = isinstance(settings, HubspotCrm)
    client = Client(
        settings.base_url,
        secret(settings.token_env, f"{_PLACE}: token_env", "the access token (docs/crm.md)"),
        name="HubSpot" if is_hubspot else "Salesforce",
        place=_PLACE,
        per_second=settings.calls_per_second,
        limits=limits.HUBSPOT if is_hubspot else limits.SALESFORCE,
        reserve=settings.reserve,
        stops=UnfinishedError,
        go_on="run the same command again to go on",
        sleep=sleep,
    )
    with client:
        if isinstance(settings, HubspotCrm):
            yield hubspot.Hubspot(settings, client), client
        else:
            yield salesforce.Salesforce(settings, client), client
