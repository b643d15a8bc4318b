"""A company's exports as bytes, in any form, and what is read of them: no home, no warehouse."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from icploop.domain.calendar import seen_by
from icploop.domain.outcomes import outcomes
from icploop.domain.tables import CONTRACTS, Tables, check_table, require_certain_numbers
from icploop.domain.understood import of_remarks, spellings, understood
from icploop.io.sources import RawTable, pull
from icploop.settings import Settings, TableName, parse_source
from tests.unit.io_fixtures import NOWHERE, require
from tests.unit.workbooks import write_workbook

DAY = date(2024, 6, 30)
SETTINGS = Settings(
    company="Tiny",
    dimensions={"firmographic": {"employees": "number", "industry": "category", "tech": "set"}},
)


@dataclass
class Export:
    """The text of cells, the settings of their tables, and how the files are written."""

    cells: dict[TableName, pd.DataFrame]
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    kind: str = ".csv"
    delimiter: str = ","
    quoting: int = 0
    ends: str = "\n"
    encoding: str = "utf-8"
    pack: Callable[[bytes], bytes] = bytes
    pieces: int = 1
    mend: Callable[[TableName, bytes], bytes] = lambda _, data: data

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the files; the settings of their source."""
        folder.mkdir(parents=True, exist_ok=True)
        said: dict[str, Any] = {}
        for name, frame in self.cells.items():
            own = dict(self.tables.get(name, {}))
            if self.pieces > 1:
                places = np.array_split(np.arange(len(frame)), self.pieces)
                (folder / name).mkdir(parents=True)
                for number, rows in enumerate(places):
                    piece = folder / name / f"part{number}{self.kind}"
                    self._write(name, frame.iloc[rows], piece)
                own["query"] = f"SELECT * FROM {name}"
            else:
                own["file"] = f"{name}{self.kind}"
                self._write(name, frame, folder / own["file"])
            said[name] = own
        return {"kind": "files", "folder": str(folder), "tables": said, **self.source}

    def _write(self, name: TableName, frame: pd.DataFrame, path: Path) -> None:
        if self.kind == ".parquet":
            frame.to_parquet(path)
        elif self.kind == ".xlsx":
            rows = frame.astype("object").where(frame != "", None).to_numpy().tolist()
            write_workbook(path, {"Export": [list(frame), *rows]})
        elif self.kind == ".jsonl":
            lines = [json.dumps(row) + "\n" for row in frame.to_dict(orient="records")]
            path.write_text("".join(lines))
        else:
            text = frame.to_csv(
                index=False, sep=self.delimiter, quoting=self.quoting, lineterminator=self.ends
            )
            path.write_bytes(self.pack(self.mend(name, text.encode(self.encoding))))


@dataclass(frozen=True)
class Read:
    """What came of an export: outcomes by account, refused rows, and the codes of what was told."""

    outcomes: pd.DataFrame
    seen: Tables
    refused: list[str]
    codes: set[str]


def read(export: Export, folder: Path, settings: Settings = SETTINGS, day: date = DAY) -> Read:
    """From bytes to outcomes, as ingest reads and cleans them. Raises DataError as it does."""
    source = parse_source(yaml.safe_dump(export.write(folder)), "files.yaml")
    given = {raw.table: raw for raw in pull(source, folder, "files.yaml", NOWHERE)}
    rows: dict[str, pd.DataFrame] = {}
    refused: list[str] = []
    found = []
    for name in CONTRACTS:
        raw = given.get(name) or RawTable(name, "", pd.DataFrame(columns=CONTRACTS[name].columns))
        assert isinstance(raw, RawTable)
        attributes = settings.attributes if name == "accounts" else ()
        require_certain_numbers(name, raw.rows, raw.formats, attributes, "files")
        checked = check_table(
            name,
            raw.rows,
            max_money=settings.ingest.max_money,
            formats=raw.formats,
            rates=settings.rates,
            attributes=attributes,
            known=None if name == "accounts" else set(rows["accounts"]["account_id"]),
            place="files",
        )
        rows[name] = checked.rows
        refused += [*checked.faults["rule"], *checked.emptied["rule"], *raw.unreadable["rule"]]
        found += of_remarks(name, checked.remarks, settings.currency)
        found += ["dialect_assumed"] * len(raw.told)
    seen = seen_by(Tables(**rows), day)
    found += understood(seen, day, settings.freshness).findings
    found += spellings(seen.accounts, settings.attributes)
    return Read(
        judged(seen, settings),
        seen,
        refused,
        {f if isinstance(f, str) else f.code for f in found},
    )


def judged(seen: Tables, settings: Settings) -> pd.DataFrame:
    """The outcomes of what a day sees, by account."""
    columns = ["account_id", "matured", "start_mrr", "end_mrr", "retained"]
    found = outcomes(seen, "default", settings.outcome).sort_values("account_id")
    return found[columns].reset_index(drop=True)


def company(customers: int = 24) -> Export:
    """Accounts with letters of Western Europe, a won deal each, and fifteen months of revenue.

    A third is lost after eight months, a third expands. Nothing in it is to be told.
    """
    ids = [f"Café {i:02}" for i in range(customers)]
    start = [f"{1000 + 37.25 * i:.2f}" for i in range(customers)]
    accounts = pd.DataFrame(
        {
            "account_id": ids,
            "name": [f"Müller & Söhne {i}" for i in range(customers)],
            "parent_id": "",
            "employees": [str(1200 + 10 * i) for i in range(customers)],
            "industry": ["Retail", "Health", ""] * (customers // 3),
            "tech": ["crm|erp", "erp", "bi|crm"] * (customers // 3),
        }
    )
    deals = pd.DataFrame(
        {
            "deal_id": [f"D{i}" for i in range(customers)],
            "account_id": ids,
            "created_at": [f"2023-02-{1 + i:02}" for i in range(customers)],
            "outcome": "won",
            "closed_at": [f"2023-03-{1 + i:02}" for i in range(customers)],
            "acv": [f"{12 * float(mrr):.2f}" for mrr in start],
            "gross_margin": "0.125",
        }
    )
    lines = []
    for i, account in enumerate(ids):
        for month in range(15):
            factor = 0.0 if i % 3 == 0 and month >= 8 else 1.1 if i % 3 == 1 and month > 5 else 1.0
            at = pd.Period("2023-04", "M") + month
            lines.append((account, f"{at}-01", f"{float(start[i]) * factor:.2f}"))
    revenue = pd.DataFrame(lines, columns=["account_id", "month", "mrr"])
    # Somebody who is not won yet, so that the deals are not old.
    accounts.loc[customers] = ["Prospect", "Prospect", "", "900", "Health", "crm"]
    open_deal = ["D-open", "Prospect", f"{DAY:%Y-%m-10}", "open", "", "", ""]
    deals.loc[customers] = open_deal
    return Export({"accounts": accounts, "deals": deals, "revenue": revenue})


def compressed(export: Export, kind: str) -> None:
    """Pack the files, and name them so."""
    export.pack = {".csv.gz": gzip.compress, ".csv.bz2": bz2.compress}[kind]
    export.kind = kind


def needs_calamine() -> None:
    """Skip a test of workbooks where their reader is not installed."""
    require("python-calamine", find_spec("python_calamine"))
