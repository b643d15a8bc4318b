"""Sources: one file a kind. Each turns its settings into raw frames, one for each table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from icploop.errors import DataError
from icploop.io import limits
from icploop.io.http import Client, RejectedError, Sleep
from icploop.io.limits import Limits
from icploop.io.secrets import secret
from icploop.io.sources import files, hubspot, salesforce, sql, stripe
from icploop.io.sources.landing import Landing
from icploop.io.sources.raw import GivenTable, RawTable, TableInParts
from icploop.io.warehouse.staging import Staging
from icploop.settings import (
    FilesSource,
    HubSpotSource,
    SalesforceSource,
    Source,
    SqlSource,
    StripeSource,
)

__all__ = ["GivenTable", "Landing", "RawTable", "TableInParts", "pull"]

OverHttp = HubSpotSource | SalesforceSource | StripeSource
# Its name, how it tells of its limits, and what it wants to hear with every call.
_SYSTEMS: dict[str, tuple[str, Limits, Mapping[str, str]]] = {
    "hubspot": ("HubSpot", limits.HUBSPOT, {}),
    "salesforce": ("Salesforce", limits.SALESFORCE, {}),
    "stripe": ("Stripe", limits.UNTOLD, {"Stripe-Version": stripe.VERSION}),
}


def pull(
    source: Source,
    home: Path,
    place: str,
    landing: Landing,
    staging: Staging | None = None,
    sleep: Sleep = time.sleep,
) -> Sequence[GivenTable]:
    """Everything that a source has, as raw tables mapped onto canonical columns and values.

    `place` names the source's settings in errors; `landing` is where a source that is read page by
    page keeps what it has; `staging` is where large tables wait (none: all are read at once).
    Raises UsageError for a secret that is missing, cannot be one or is refused, and DataError for
    what cannot be read.
    """
    if isinstance(source, FilesSource):
        return files.pull(source, home, place, staging)
    if isinstance(source, SqlSource):
        return sql.pull(source, place)
    with _client(source, place, sleep) as api:
        try:
            return _asked(source, api, landing)
        except RejectedError as error:
            raise DataError(str(error)) from error


def _client(source: OverHttp, place: str, sleep: Sleep) -> Client:
    name, told, headers = _SYSTEMS[source.kind]
    use = "an access token that may read what this source asks for"
    return Client(
        source.base_url,
        secret(source.token_env, f"{place}: token_env", use),
        name=name,
        place=place,
        per_second=source.calls_per_second,
        headers=headers,
        limits=told,
        sleep=sleep,
    )


def _asked(source: OverHttp, api: Client, landing: Landing) -> list[RawTable]:
    if isinstance(source, HubSpotSource):
        return hubspot.pull(source, api, landing)
    if isinstance(source, SalesforceSource):
        return salesforce.pull(source, api, landing)
    return stripe.pull(source, api, landing)
