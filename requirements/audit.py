"""Hold the locks against published advisories (osv.dev): `make audit`.

    python requirements/audit.py                       asks https://api.osv.dev
    python requirements/audit.py --advisories all.zip  reads its archive, without network

Exit status 1 where a locked version has an advisory that accepted.txt does not name, 0 otherwise.
Where advisories cannot be reached that is said, with status 0: nothing is known then.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from packaging.version import InvalidVersion, Version

HERE = Path(__file__).parent
LOCKS = ("run.txt", "dev.txt", "build.txt")
ASK = "https://api.osv.dev/v1/querybatch"
ECOSYSTEM = "PyPI"
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)
AT_ONCE = 500


def pins(texts: Iterable[str]) -> dict[str, str]:
    """Each locked package with its version; the locks name the same one."""
    return {plain(name): version for text in texts for name, version in PIN.findall(text)}


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(locked: dict[str, str]) -> dict[str, list[str]]:
    """The advisories of each locked package, as the service knows them. Raises OSError."""
    names = list(locked)
    found = {}
    for start in range(0, len(names), AT_ONCE):
        part = names[start : start + AT_ONCE]
        queries = [
            {"package": {"name": name, "ecosystem": ECOSYSTEM}, "version": locked[name]}
            for name in part
        ]
        body = json.dumps({"queries": queries}).encode()
        request = Request(ASK, body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=20) as answer:  # noqa: S310 - a constant address
            results = json.load(answer)["results"]
        for name, result in zip(part, results, strict=True):
            found[name] = [told["id"] for told in result.get("vulns", [])]
    return found


def looked_up(locked: dict[str, str], archive: Path) -> dict[str, list[str]]:
    """The same from an archive of advisories: a zip with one JSON file each."""
    found: dict[str, list[str]] = {name: [] for name in locked}
    with zipfile.ZipFile(archive) as advisories:
        for name in advisories.namelist():
            advisory = json.loads(advisories.read(name))
            if advisory.get("withdrawn"):
                continue
            for package in affected(advisory, locked):
                found[package].append(advisory["id"])
    return found


def affected(advisory: dict[str, Any], locked: dict[str, str]) -> Iterator[str]:
    """Which of the locked packages an advisory in OSV's form is about."""
    for about in advisory.get("affected", []):
        package = about.get("package", {})
        name = plain(package.get("name", ""))
        if package.get("ecosystem") != ECOSYSTEM or name not in locked:
            continue
        version = locked[name]
        ranges = [r["events"] for r in about.get("ranges", []) if r.get("type") == "ECOSYSTEM"]
        if version in about.get("versions", []) or any(within(version, r) for r in ranges):
            yield name


def within(version: str, events: list[dict[str, str]]) -> bool:
    """Whether a version lies in a range of OSV: introduced, then fixed, or last affected."""
    ours = Version(version)
    is_in = False
    for event in events:
        try:
            if "introduced" in event:
                is_in |= event["introduced"] == "0" or ours >= Version(event["introduced"])
            elif "fixed" in event:
                is_in &= ours < Version(event["fixed"])
            elif "last_affected" in event:
                is_in &= ours <= Version(event["last_affected"])
        except InvalidVersion:
            continue
    return is_in


def main(words: list[str] | None = None) -> int:
    """Say what was found; the exit status."""
    parser = argparse.ArgumentParser(description="Hold the locks against published advisories.")
    parser.add_argument("--advisories", type=Path, help="an archive instead of the network")
    given = parser.parse_args(words)
    locked = pins((HERE / name).read_text(encoding="utf-8") for name in LOCKS)
    try:
        found = looked_up(locked, given.advisories) if given.advisories else asked(locked)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        print(f"audit: advisories could not be reached ({error}); nothing is known of the locks")
        return 0
    accepted = dict(
        line.split(maxsplit=1)
        for line in (HERE / "accepted.txt").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    )
    open_ones = 0
    for name, advisories in sorted(found.items()):
        for advisory in sorted(set(advisories)):
            why = accepted.get(advisory)
            open_ones += why is None
            said = f" (accepted: {why})" if why else ""
            print(f"audit: {name} {locked[name]}: {advisory}{said}")
    print(f"audit: {len(locked)} packages, {open_ones} open advisories")
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
