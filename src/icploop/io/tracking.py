"""MLflow tracking: what a round leaves behind for people who live in the MLflow UI."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.types.schema import ColSpec, Schema
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from pandas.api.types import is_numeric_dtype
from sqlalchemy.exc import SQLAlchemyError

from icploop.errors import UnavailableError, UsageError
from icploop.io.home import Home
from icploop.io.secrets import Secret, address, passwords, stated
from icploop.io.store import make_ready

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Tables and schema migrations are announced at INFO, on every first run of every process.
for _talkative in ("mlflow", "alembic"):
    logging.getLogger(_talkative).setLevel(logging.WARNING)


_DPI = 110
# What MLflow's own tags say of where a run came from.
_OF_WHO_AND_WHENCE = ("mlflow.user", "mlflow.source.")
# The tag that marks the run of a round before its verdict is in the ledger.
ROUND_KEY = "round_key"
# With MLflow's own seven retries a store that is down is only told after minutes.
_RETRIES = "3"
_ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_SENT_ENCODED = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
_TOKENS = ("MLFLOW_TRACKING_TOKEN",)
_SILENT = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"}

_P = ParamSpec("_P")
_R = TypeVar("_R")


def tells_silence(act: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let an act on MLflow raise UnavailableError where the store or its disk does not answer."""

    @wraps(act)
    def answered(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return act(*args, **kwargs)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if isinstance(error, MlflowException) and error.error_code not in _SILENT:
                raise
            told = _first_line(error)
        raise UnavailableError(
            f"MLflow stopped answering: {told}; when it is back, or has room, run the same command "
            "again: what was begun is finished or undone"
        )

    return answered


@dataclass(frozen=True)
class Dataset:
    """The data that a run learned from, as MLflow shows it: a frame, its name and its hash."""

    frame: pd.DataFrame
    name: str
    digest: str


@dataclass(frozen=True)
class RunRecord:
    """Everything to be logged of one run; figures, tables and texts by artifact path."""

    name: str
    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    dataset: Dataset | None = None
    children: tuple[RunRecord, ...] = ()


def connect(home: Home) -> MlflowClient:
    """Use the store that MLFLOW_TRACKING_URI names, or the one embedded in the home folder.

    Raises UnavailableError when the store does not answer when it is first asked; whether it still
    does, the calls that follow tell (`tells_silence`). Raises UsageError for credentials in the
    environment that cannot be ones.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    _credentials()
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        make_ready(home)
        uri = home.store
    _use(uri)
    return _answering(uri)


@lru_cache(maxsize=8)
def _answering(uri: str) -> MlflowClient:
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError) as error:
        told = _first_line(error)
    else:
        return client
    raise UnavailableError(
        f"MLflow does not answer at {_without_password(uri)}: {told}; start it, or unset "
        "MLFLOW_TRACKING_URI to use the store in mlruns/"
    )


def _credentials() -> list[Secret]:
    """What MLflow reads of the environment by itself, checked before it sends it."""
    place = "MLflow"
    places = [address(n, place, "the store's address") for n in _ADDRESSES if os.environ.get(n)]
    return [*places, *passwords(_SENT_ENCODED, place), *stated(_TOKENS, place)]


def _use(uri: str) -> None:
    """Let MLflow work on a store.

    MLflow writes it into the environment as well, for child processes; there it would pass for the
    user's own choice, and be taken for every other home and for the place of artifacts.
    """
    chosen = {name: os.environ[name] for name in _ADDRESSES if name in os.environ}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    for name in _ADDRESSES:
        os.environ.pop(name, None)
    os.environ.update(chosen)


def _first_line(error: Exception) -> str:
    """What an error says first, without the credentials of the store."""
    told = (str(error).splitlines() or [type(error).__name__])[0]
    for hidden in _credentials():
        told = hidden.hidden_in(told)
    return told


@tells_silence
def log_run(record: RunRecord, experiment: str, home: Home) -> str:
    """Log a run with its children, and return its id."""
    client = connect(home)
    found = client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id
        if found
        else client.create_experiment(experiment, artifact_location=_artifacts(home))
    )
    # Tags from the start: a run that is killed half way can be told by them.
    with mlflow.start_run(
        experiment_id=experiment_id, run_name=record.name, tags=dict(record.tags)
    ) as run:
        _log(client, run, record)
        for child in record.children:
            _log_child(client, run, child)
    return str(run.info.run_id)


@tells_silence
def unknown_runs(home: Home, experiment: str, known: Collection[str | None]) -> dict[str, str]:
    """The runs of rounds that never reached the ledger, whose runs are `known`: id to round key."""
    client = connect(home)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return {}
    newest = client.search_runs([found.experiment_id], f"tags.{ROUND_KEY} LIKE '%'", max_results=50)
    return {
        run.info.run_id: run.data.tags[ROUND_KEY] for run in newest if run.info.run_id not in known
    }


@tells_silence
def delete_run(home: Home, run_id: str) -> None:
    """Delete a run and its children."""
    client = connect(home)
    run = client.get_run(run_id)
    children = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    for child in children:
        client.delete_run(child.info.run_id)
    client.delete_run(run_id)


@tells_silence
def tag_run(home: Home, run_id: str, tags: Mapping[str, str]) -> None:
    """Add tags to a run that has ended."""
    client = connect(home)
    for key, value in tags.items():
        client.set_tag(run_id, key, value)


def _log(client: MlflowClient, run: Run, record: RunRecord) -> None:
    """Log everything of a run, all numbers in one call and all artifacts in another."""
    run_id = run.info.run_id
    if record.dataset is not None:
        mlflow.log_input(_TypedDataset.of(record.dataset), context="training")
    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(k, float(v), now, 0) for k, v in record.metrics.items() if pd.notna(v)],
        params=[Param(key, str(value)) for key, value in record.params.items()],
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in record.texts.items():
            (folder / path).write_text(text, encoding="utf-8")
        for path, table in record.tables.items():
            table.to_csv(folder / path, index=False, float_format="%.6g")
        for path, figure in record.figures.items():
            figure.savefig(folder / path, dpi=_DPI)
        if any(folder.iterdir()):
            client.log_artifacts(run_id, name)


def _log_child(client: MlflowClient, parent: Run, record: RunRecord) -> None:
    """Log a run as a child of one that is under way, by the same user from the same source."""
    inherited = {k: v for k, v in parent.data.tags.items() if k.startswith(_OF_WHO_AND_WHENCE)}
    tags = inherited | dict(record.tags) | {MLFLOW_PARENT_RUN_ID: parent.info.run_id}
    child = client.create_run(parent.info.experiment_id, run_name=record.name, tags=tags)
    _log(client, child, record)
    client.set_terminated(child.info.run_id)


class _TypedDataset(PandasDataset):
    """A dataset whose schema is that of its types: MLflow would read every cell."""

    @classmethod
    def of(cls, dataset: Dataset) -> _TypedDataset:
        """The dataset. An MLflow digest has at most 36 characters; the whole hash is a tag."""
        source = CodeDatasetSource(tags=resolve_tags())
        return cls(dataset.frame, source, name=dataset.name, digest=dataset.digest[:36])

    @cached_property
    def schema(self) -> Schema:
        """Texts and numbers; a column without an empty cell is required."""
        return Schema(
            [
                ColSpec(
                    "double" if is_numeric_dtype(values) else "string",
                    str(name),
                    required=bool(values.notna().all()),
                )
                for name, values in self.df.items()
            ]
        )


def _artifacts(home: Home) -> str | None:
    """Where an embedded store keeps artifacts; a server decides for itself."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    return Path(home.mlruns / "artifacts").resolve().as_uri()


def _without_password(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else scheme


def artifact(home: Home, run_id: str, path: str) -> str:
    """The text of a run's artifact. Raises UsageError where the run has none of that name."""
    connect(home)
    try:
        return mlflow.artifacts.load_text(f"runs:/{run_id}/{path}")
    except MlflowException as error:
        raise UsageError(
            f"Run {run_id} has no artifact {path}; its version is older than that, train again"
        ) from error
