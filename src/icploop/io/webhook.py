"""A notice to a webhook: JSON with a `text`, as Slack takes it, and a signature over the body."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping

from icploop.io.http import Client
from icploop.io.secrets import optional, secret
from icploop.settings import Notify

SIGNATURE, TIMESTAMP = "X-Icploop-Signature", "X-Icploop-Timestamp"
_PLACE = "conf/icp.yaml: notify"
# An act must not wait long for whoever is told of it.
PATIENCE = (1.0, 2.0)
_TIMEOUT_SECONDS = 5.0


def signature_of(secret: str, timestamp: str, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256 of `TIMESTAMP.BODY`; whoever receives it computes the same."""
    return "v1=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hexdigest()


def is_configured(notify: Notify) -> bool:
    """Whether the environment names a webhook."""
    return bool(os.environ.get(notify.url_env))


def post(notify: Notify, notice: Mapping[str, object], timestamp: int | None = None) -> None:
    """Send a notice to the webhook that the environment names.

    Raises UsageError for an address that is neither https nor on this machine, or that no address
    can be, and for a secret that cannot be one; UnavailableError when the notice is not taken
    within three tries. None tells the address, whose path is usually a secret.
    """
    url = secret(notify.url_env, _PLACE, "the webhook's address")
    signing = optional(notify.secret_env, _PLACE, "the secret that signs, or unset it")
    body = json.dumps(notice, sort_keys=True, ensure_ascii=False).encode()
    stamp = str(int(time.time()) if timestamp is None else timestamp)
    headers = {"Content-Type": "application/json", TIMESTAMP: stamp}
    if signing:
        headers[SIGNATURE] = signature_of(signing.reveal(), stamp, body)
    client = Client(
        url.reveal(),
        None,
        name=f"The webhook in {notify.url_env}",
        place=_PLACE,
        per_second=1000,
        go_on="the notice is sent again by the next act",
        also_secret=(url, signing) if signing else (url,),
        timeout=_TIMEOUT_SECONDS,
        patience=PATIENCE,
    )
    with client:
        client.deliver("", body, headers)


def digest_of(key: str) -> str:
    """A short name for a notice, by which a receiver can tell that it comes twice."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
