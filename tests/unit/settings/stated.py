"""A conf/icp.yaml with more in it: what it means, or why it is refused."""

from typing import Any

import pytest
import yaml

from icploop.errors import UsageError
from icploop.settings import Settings, parse_settings
from tests.companies import DECLARED

PLACE = "conf/icp.yaml"


def parsed(**more: Any) -> Settings:
    """What conf/icp.yaml means that declares five attributes and says more."""
    return parse_settings(yaml.safe_dump(DECLARED | more, sort_keys=False), PLACE)


def refusal(**more: Any) -> str:
    """Why such a conf/icp.yaml is refused."""
    with pytest.raises(UsageError) as refused:
        parsed(**more)
    assert refused.value.exit_status == 2
    return str(refused.value)


def line(**more: Any) -> dict[str, Any]:
    """A hypothesis of one line."""
    return {"hypothesis": [{"attribute": "employees", "points": 1} | more]}
