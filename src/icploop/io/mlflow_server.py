"""MLflow's server behind a door: `mlflow server --app-name icploop`.

pyproject.toml names `create_app` as an application of MLflow. With MLFLOW_AUTH_CONFIG_PATH in the
environment MLflow asks for its users' passwords itself, and ICP_WORKER_PASSWORD gives it a user
`worker` who is no administrator; else the door asks for ICP_PASSWORD.
"""

from __future__ import annotations

import os
from typing import Any, cast

from icploop.io.door import FOR_BASIC, Application, Door, access_from

WORKER = "worker"
_FORMS = frozenset({"/api/2.0/mlflow/users/create-ui"})
_HEALTH = frozenset({"/health"})
_PAGES = ("/", "/signup")


def create_app() -> Door:
    """MLflow's application behind a door. Raises KeyError without ICP_PAGE, and ICP_PASSWORD."""
    has_users = bool(os.environ.get("MLFLOW_AUTH_CONFIG_PATH"))
    access = access_from(
        os.environ,
        is_page=lambda path: path in _PAGES,
        forms=_FORMS,
        health=_HEALTH,
        password="" if has_users else os.environ["ICP_PASSWORD"],
        asks=not has_users,
        hand_over=FOR_BASIC,
    )
    # MLflow's own rules besides: they would let in any host of a private network. It reads them
    # when it is imported.
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join({access.host, *access.also})
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = access.origin
    return Door(_with_users() if has_users else _without_users(), access)


def _with_users() -> Application:
    from mlflow.server import auth  # noqa: PLC0415 - an extra

    application = cast(Application, auth.create_app())
    if password := os.environ.get("ICP_WORKER_PASSWORD"):
        let_in_worker(auth.store, password)
    return application


def let_in_worker(store: Any, password: str) -> None:
    """Let MLflow's user `worker` have this password, and no more rights than it was given."""
    if not store.has_user(WORKER):
        store.create_user(WORKER, password, is_admin=False)
    elif not store.authenticate_user(WORKER, password):
        store.update_user(WORKER, password=password)


def _without_users() -> Application:
    # It makes the application when it is imported, for the store that the environment then names.
    from mlflow.server.fastapi_app import app  # noqa: PLC0415

    return cast(Application, app)
