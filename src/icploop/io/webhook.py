"""A notice to a webhook: JSON with a `text`, as Slack takes it, and a signature over the body."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from icploop.errors import UnavailableError, UsageError
from icploop.settings import Notify

SIGNATURE, TIMESTAMP = "X-Icploop-Signature", "X-Icploop-Timestamp"
_TRIES = 3
_TIMEOUT_SECONDS = 5.0


def signature_of(secret: str, timestamp: str, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256 of `TIMESTAMP.BODY`; whoever receives it computes the same."""
    return "v1=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hexdigest()


def is_configured(notify: Notify) -> bool:
    """Whether the environment names a webhook."""
    return bool(os.environ.get(notify.url_env))


def post(notify: Notify, notice: Mapping[str, object], timestamp: int | None = None) -> None:
    """Send a notice to the webhook that the environment names.

    Raises UsageError for an address that is neither https nor on this machine, and UnavailableError
    when it does not take the notice within three tries. Neither tells the address, whose path is
    usually a secret.
    """
    url = os.environ[notify.url_env]
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise UsageError(f"The address in {notify.url_env} must begin with https://")
    body = json.dumps(notice, sort_keys=True, ensure_ascii=False).encode()
    stamp = str(int(time.time()) if timestamp is None else timestamp)
    headers = {"Content-Type": "application/json", TIMESTAMP: stamp}
    if secret := os.environ.get(notify.secret_env):
        headers[SIGNATURE] = signature_of(secret, stamp, body)
    told = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(0.5 * 2**attempt)
        try:
            answer = httpx.post(url, content=body, headers=headers, timeout=_TIMEOUT_SECONDS)
        except httpx.HTTPError as error:
            told = type(error).__name__
            continue
        if answer.is_success:
            return
        told = f"status {answer.status_code}"
    raise UnavailableError(
        f"The webhook in {notify.url_env} did not take the notice ({told}); it is sent again by "
        "the next act"
    )


def digest_of(key: str) -> str:
    """A short name for a notice, by which a receiver can tell that it comes twice."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
