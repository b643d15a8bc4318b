"""Asking a server over HTTP, as every source that has one does: paced, patient, and with a token.

A call is repeated where the server may answer better a moment later: when it refuses for haste
(429), fails (5xx), hangs up, or sends half of a page. What will not change is told at once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import httpx

from icploop.errors import DataError, UsageError

# Waits between tries: 37 seconds in all, more than the ten seconds for which HubSpot counts calls.
_WAITS = (0.1, 0.3, 0.9, 2.7, 8.0, 25.0)
_LONGEST_WAIT = 60.0
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 524}

Json = dict[str, Any]


def token(name: str, place: str) -> str:
    """The secret in an environment variable. Raises UsageError, naming it, where it is not set."""
    found = os.environ.get(name, "").strip()
    if not found:
        raise UsageError(
            f"{place}: token_env: the environment has no {name}; set it to an access token that "
            "may read what this source asks for"
        )
    return found


@dataclass
class Api:
    """One server and the right to ask it; at most `per_second` calls a second.

    `must_have` is a key that every good answer to `get` or `post` has: an answer without it is half
    a page. `place` names the source's settings in errors. The token is in no message.
    """

    base_url: str
    token: str = field(repr=False)
    place: str
    per_second: float
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {self.token}", **self.headers},
            timeout=httpx.Timeout(60, connect=10),
        )
        self._free_at = 0.0
        self.last_answered = datetime(1970, 1, 1, tzinfo=UTC)

    def get(self, path: str, params: Sequence[tuple[str, str]] = (), *, must_have: str) -> Json:
        """The JSON object at a path of the server. Raises UsageError or DataError (see `_ask`)."""
        return self._ask("GET", path, must_have, params=list(params))

    def post(self, path: str, body: Json, *, must_have: str) -> Json:
        """The JSON object with which the server answers a body; only ever asks, never changes."""
        return self._ask("POST", path, must_have, json=body)

    def _ask(self, method: str, path: str, must_have: str, **what: Any) -> Json:
        """Ask until the answer is whole.

        Raises UsageError where the token is refused, DataError for a request that the server does
        not understand, or when patience is over.
        """
        trouble = ""
        for wait in (*_WAITS, None):
            self._keep_pace()
            pause = wait
            try:
                answer = self._client.request(method, self.base_url + path, **what)
                if answer.status_code in _MAY_PASS:
                    trouble = f"it answers {answer.status_code}"
                    pause = _asked_to_wait(answer, wait)
                elif answer.is_success:
                    found = answer.json()
                    if isinstance(found, dict) and must_have in found:
                        self.last_answered = _server_time(answer)
                        return found
                    trouble = f"its answer has no {must_have!r}: half a page, or a changed API"
                else:
                    self._refused(answer, path)
            except (httpx.TransportError, json.JSONDecodeError, UnicodeDecodeError) as error:
                trouble = f"{type(error).__name__}: {error}"
            if wait is not None and pause is not None:
                time.sleep(pause)
        raise DataError(
            f"{self.place}: {self.base_url}{path} gave no whole answer in {len(_WAITS) + 1} tries "
            f"({trouble}); run `icp ingest` again later: it goes on where it stopped"
        )

    def _keep_pace(self) -> None:
        now = time.monotonic()
        if now < self._free_at:
            time.sleep(self._free_at - now)
        self._free_at = max(now, self._free_at) + 1 / self.per_second

    def _refused(self, answer: httpx.Response, path: str) -> NoReturn:
        said = answer.text[:300].replace(self.token, "***")
        if answer.status_code in (401, 403):
            raise UsageError(
                f"{self.place}: {self.base_url} refuses the token for {path} "
                f"({answer.status_code}); renew it, or let it read this. It says: {said}"
            )
        raise DataError(
            f"{self.place}: {self.base_url}{path} answers {answer.status_code}; it says: {said}"
        )


def _asked_to_wait(answer: httpx.Response, otherwise: float | None) -> float | None:
    seconds = answer.headers.get("Retry-After", "")
    if otherwise is None or not seconds.replace(".", "", 1).isdigit():
        return otherwise
    return min(float(seconds), _LONGEST_WAIT)


def _server_time(answer: httpx.Response) -> datetime:
    """By the server's clock, for that is the one which dates its records."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)
