"""The MLflow registry: one registered model per lineage, one version for each ICP, and its aliases.

A version's pieces are plain JSON, NumPy arrays without objects, and XGBoost's own format; nothing
runs on load. The package's code goes along, so a version serves without this repository.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

import icploop
from icploop.errors import RefusedError, UsageError
from icploop.io.home import Home
from icploop.io.serving import CODE, CONTENT, code_hash, read_parts
from icploop.io.tracking import connect, tells_silence
from icploop.io.versions import LONGEST_NUMBER, PARTS, Registered, model_name
from icploop.modeling.scoring.version import IcpVersion, content_hash

_DOUBLES = {
    "fit_score",
    "expected_nrr",
    "expected_nrr_low",
    "expected_nrr_high",
    "p_retained",
    "p_win",
    "expected_value",
    "coverage",
}
_SERVING_PACKAGES = ("numpy", "pandas", "pydantic", "pyyaml", "scikit-learn", "mlflow")


@tells_silence
def register(
    home: Home,
    version: IcpVersion,
    *,
    run_id: str,
    description: str,
    tags: Mapping[str, str],
    example: pd.DataFrame,
) -> Registered:
    """Log the version as a model of the run and register it. `example` is a few raw accounts.

    What cannot be read back from its parts and score the example is not registered.
    """
    client = connect(home)
    parts = version.parts()
    # MLflow tries the same, but only warns; whoever approved such a version could not go on.
    IcpVersion.from_parts(parts).score(example, version.as_of, "example", with_reasons=False)
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id):
        data = Path(folder) / PARTS
        data.mkdir()
        for name, content in parts.items():
            (data / name).write_bytes(content)
        package = Path(icploop.__file__).parent
        hashes = {CONTENT: content_hash(parts), CODE: code_hash(package)}
        info = mlflow.pyfunc.log_model(
            name="icp",
            loader_module="icploop.io.serving",
            data_path=str(data),
            code_paths=[str(package)],
            metadata=hashes,
            signature=_signature(version),
            # MLflow scores the example once; tables for reasons would be built for that alone.
            input_example=(example, {"reasons": False}),
            pip_requirements=_requirements(),
        )
    name = model_name(version.lineage)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    all_tags = {**tags, **hashes}
    # In one call, so that no version is ever seen without its verdict.
    created = client.create_model_version(
        name,
        source=info.model_uri,
        run_id=run_id,
        tags=all_tags,
        description=description,
        model_id=info.model_id,
    )
    return Registered(str(created.version), run_id, all_tags, description)


@tells_silence
def aliases(home: Home, lineage: str) -> dict[str, str]:
    """The aliases of a lineage's model, alias to version number; empty before the first one."""
    client = connect(home)
    try:
        found = client.get_registered_model(model_name(lineage)).aliases
        return {alias: str(number) for alias, number in found.items()}
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise


@tells_silence
def set_aliases(home: Home, lineage: str, wanted: Mapping[str, str | None]) -> None:
    """Point aliases at versions one after the other, or take them away (None)."""
    client = connect(home)
    found = aliases(home, lineage)
    for alias, number in wanted.items():
        if found.get(alias) == number:
            continue
        if number is None:
            client.delete_registered_model_alias(model_name(lineage), alias)
        else:
            client.set_registered_model_alias(model_name(lineage), alias, number)


@tells_silence
def tag_version(home: Home, lineage: str, number: str, tags: Mapping[str, str]) -> None:
    """Add tags to a version."""
    client = connect(home)
    for key, value in tags.items():
        client.set_model_version_tag(model_name(lineage), number, key, value)


@tells_silence
def describe(home: Home, lineage: str, which: str) -> Registered:
    """The version that a number (`7`, `v7`) or an alias names. Raises UsageError without one."""
    found = _find(home, lineage, which)
    return Registered(
        str(found.version), str(found.run_id), dict(found.tags), str(found.description or "")
    )


@tells_silence
def tags_of_model(home: Home, lineage: str) -> dict[str, str] | None:
    """The tags of a lineage's registered model; None before its first version."""
    found = connect(home).search_registered_models(f"name = '{model_name(lineage)}'")
    return dict(found[0].tags) if found else None


@tells_silence
def tag_model(home: Home, lineage: str, tags: Mapping[str, str]) -> None:
    """Add tags to a lineage's registered model."""
    client = connect(home)
    for key, value in tags.items():
        client.set_registered_model_tag(model_name(lineage), key, value)


@tells_silence
def untag_version(home: Home, lineage: str, number: str, key: str) -> None:
    """Take a tag from a version."""
    connect(home).delete_model_version_tag(model_name(lineage), number, key)


@tells_silence
def versions(home: Home, lineage: str) -> dict[str, Registered]:
    """Every version of a lineage by its number."""
    found = connect(home).search_model_versions(f"name='{model_name(lineage)}'")
    return {
        str(v.version): Registered(
            str(v.version), str(v.run_id), dict(v.tags), str(v.description or "")
        )
        for v in sorted(found, key=lambda v: int(v.version))
    }


@tells_silence
def delete_version(home: Home, lineage: str, number: str) -> None:
    """Delete a version; its number is not given again."""
    connect(home).delete_model_version(model_name(lineage), number)


@tells_silence
def load(home: Home, lineage: str, which: str, content: str | None = None) -> IcpVersion:
    """The ICP version that a number or an alias names.

    Raises RefusedError when its pieces are not those that were registered, or not those with the
    hash `content`, where one is asked for.
    """
    found = _find(home, lineage, which)
    local = mlflow.artifacts.download_artifacts(f"models:/{model_name(lineage)}/{found.version}")
    parts = read_parts(Path(local) / "data" / PARTS)
    asked, stored = content or found.tags.get("content_hash", ""), content_hash(parts)
    if stored != asked:
        raise RefusedError(
            f"Version {found.version} of {model_name(lineage)} was altered after its verdict (its "
            f"content hash is {stored[:12]}, not {asked[:12]}); train again with `icp retrain "
            "--force`"
        )
    return IcpVersion.from_parts(parts)


def _find(home: Home, lineage: str, which: str) -> ModelVersion:
    client = connect(home)
    number = which.removeprefix("v")
    if not number.isdecimal():
        number = aliases(home, lineage).get(which, number)
    try:
        if len(number) <= LONGEST_NUMBER:
            return client.get_model_version(model_name(lineage), number)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    known = sorted(
        int(v.version) for v in client.search_model_versions(f"name='{model_name(lineage)}'")
    )
    raise UsageError(
        f"{which!r} is no version of {model_name(lineage)}; versions: "
        f"{', '.join(map(str, known)) or 'none yet, run `icp retrain`'}"
    )


def _signature(version: IcpVersion) -> ModelSignature:
    types = {"number": "double", "flag": "boolean"}
    inputs: list[Any] = [ColSpec("string", "account_id")] + [
        ColSpec(types.get(a.kind, "string"), a.name, required=False) for a in version.attributes
    ]
    outputs: list[Any] = [
        ColSpec("double" if c in _DOUBLES else "string", c) for c in version.score_columns
    ]
    # The day at whose end dates are aged; empty means the day of the call.
    params = ParamSchema(
        [ParamSpec("as_of", "string", ""), ParamSpec("reasons", "boolean", default=True)]
    )
    return ModelSignature(Schema(inputs), Schema(outputs), params)


def _requirements() -> list[str]:
    xgboost = "xgboost" if sys.platform == "darwin" else "xgboost-cpu"
    return [f"{name}=={installed_version(name)}" for name in (*_SERVING_PACKAGES, xgboost)]
