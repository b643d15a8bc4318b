"""The CRMs to which scores are written back, behind one small interface (`records.Crm`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from icploop.io.crm import hubspot, salesforce
from icploop.io.crm.calls import Calls, Sleep
from icploop.io.crm.records import Crm
from icploop.settings import CrmSettings, HubspotCrm


@contextmanager
def opened(settings: CrmSettings, sleep: Sleep = time.sleep) -> Iterator[tuple[Crm, Calls]]:
    """The CRM of the settings, and the calls by which it is reached."""
    if isinstance(settings, HubspotCrm):
        with Calls(settings, "HubSpot", hubspot.LIMITS, sleep) as calls:
            yield hubspot.Hubspot(settings, calls), calls
    else:
        with Calls(settings, "Salesforce", salesforce.LIMITS, sleep) as calls:
            yield salesforce.Salesforce(settings, calls), calls
