"""Names of runs, as people read them in Prefect."""

from __future__ import annotations

from prefect.runtime import flow_run


def motion_and_day() -> str:
    """`new-business as of 2026-03-31`, or the motion alone where the day is today."""
    stated = flow_run.parameters
    day = stated.get("as_of")
    return f"{stated['motion']} as of {day}" if day else str(stated["motion"])
