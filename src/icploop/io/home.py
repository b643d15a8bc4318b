"""A home folder: where a company's `conf/`, `data/` and `mlruns/` live, and its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from icploop.domain.overrides import Override, parse_overrides
from icploop.errors import UsageError
from icploop.io.whole_file import private_folder, text_to
from icploop.settings import (
    CrmSettings,
    Settings,
    Source,
    parse_crm,
    parse_settings,
    parse_source,
)


@dataclass(frozen=True)
class Home:
    """The paths of one company's home folder."""

    root: Path

    @property
    def settings_file(self) -> Path:
        """`conf/icp.yaml`."""
        return self.root / "conf" / "icp.yaml"

    @property
    def sources_folder(self) -> Path:
        """`conf/sources`, one file a source."""
        return self.root / "conf" / "sources"

    @property
    def crm_file(self) -> Path:
        """`conf/crm.yaml`, where scores are to be written back."""
        return self.root / "conf" / "crm.yaml"

    @property
    def overrides_file(self) -> Path:
        """`conf/overrides.csv`, what people decided against the score."""
        return self.root / "conf" / "overrides.csv"

    @property
    def crm_folder(self) -> Path:
        """`data/crm`, the journals of what was written to the CRM."""
        return self.root / "data" / "crm"

    @property
    def warehouse_file(self) -> Path:
        """`data/warehouse.duckdb`."""
        return self.root / "data" / "warehouse.duckdb"

    @property
    def access_folder(self) -> Path:
        """`.icp`, with which the servers of this home let in."""
        return self.root / ".icp"

    def ticket_file(self, server: str) -> Path:
        """The ticket for the page of a server."""
        return self.access_folder / f"open-{server}"

    @property
    def mlruns(self) -> Path:
        """The embedded MLflow store."""
        return self.root / "mlruns"

    @property
    def store(self) -> str:
        """The address of the embedded MLflow store.

        Raises UsageError for a home whose path means something else in an address.
        """
        path = (self.mlruns / "mlflow.db").resolve()
        if found := re.search(r"[?#%\x00-\x1f\x7f]", str(path)):
            raise UsageError(
                f"{self.root.resolve()} has {found[0]!r} in its path, which ends or changes the "
                "address of MLflow's store; move the home to a folder without it"
            )
        return f"sqlite:///{path}"

    def settings(self) -> Settings:
        """The validated settings. Raises UsageError when they are missing or wrong."""
        return parse_settings(self._read(self.settings_file), "conf/icp.yaml")

    def sources(self) -> dict[str, Source]:
        """The configured sources by file name, in alphabetical order."""
        found = sorted(self.sources_folder.glob("*.yaml"))
        if not found:
            raise UsageError(
                f"{self.sources_folder}: no source is configured; add a file such as files.yaml "
                "(`icp init` writes one), or read a folder with `icp ingest --from DIR`"
            )
        return {
            path.stem: parse_source(self._read(path), f"conf/sources/{path.name}") for path in found
        }

    def crm(self) -> CrmSettings:
        """Where and how scores are written back. Raises UsageError when that is not stated."""
        if not self.crm_file.exists():
            raise UsageError(
                f"{self.crm_file} does not exist; state there `kind: hubspot` (or salesforce) and "
                "`token_env: NAME_OF_A_VARIABLE`, as docs/crm.md shows"
            )
        return parse_crm(self._read(self.crm_file), "conf/crm.yaml")

    def overrides(self) -> tuple[Override, ...]:
        """What people decided against the score; nothing where there is no file."""
        if not self.overrides_file.exists():
            return ()
        return parse_overrides(self._read(self.overrides_file), "conf/overrides.csv")

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            raise UsageError(
                f"{path} does not exist; make a home with `icp init {self.root}`, or name one with "
                "--home or ICP_HOME"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read as UTF-8 text: {error}") from error


def create(root: Path, texts: Mapping[str, str] = MappingProxyType({})) -> list[Path]:
    """Write the commented starter `conf/` into `root` and return the files written.

    `texts` stand in for files of it, by their names below `conf/`. Raises UsageError when a
    settings file is there already: nothing is overwritten.
    """
    home = Home(root)
    if home.settings_file.exists():
        raise UsageError(f"{home.settings_file} exists already; nothing was overwritten")
    template = _starter()
    written = []
    for source in sorted(template.rglob("*.yaml")):
        relative = source.relative_to(template)
        if relative.parts[0] == "examples":
            continue
        target = root / "conf" / relative
        private_folder(target.parent)
        text = texts.get(relative.as_posix(), source.read_text(encoding="utf-8"))
        text_to(target, text, private=True)
        written.append(target)
    private_folder(root / "data")
    private_folder(root / "data" / "inbox")
    return written


def starter_settings() -> str:
    """The commented `conf/icp.yaml` of a new home."""
    return (_starter() / "icp.yaml").read_text(encoding="utf-8")


def _starter() -> Path:
    """The commented `conf/`: inside an installed wheel, or at the root of a checkout."""
    packaged = Path(str(files("icploop"))) / "starter"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "conf"
