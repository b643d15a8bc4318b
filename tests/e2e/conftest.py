"""What the unit tests train is broken and killed here too."""

from tests.unit.conftest import (  # noqa: F401 - fixtures
    _environment_says_nothing,
    challenged,
    made_once,
    migrated,
    trained,
)
