"""The fit model against its peers on real deals, whose truth nobody knows: hence intervals.

Run as `python -m benchmarks.olist FOLDER` with the folder of the Olist tables (docs/olist.md).
Every matured seller is scored by models that saw neither it nor its siblings, and each peer pursues
its best quarter.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.fit import ALL, RESULTS
from benchmarks.worlds import PURSUED, Company
from icploop.domain.calendar import last_moment, seen_by
from icploop.domain.follow_up import follow_up
from icploop.domain.outcomes import outcomes
from icploop.domain.profile import kinds_of
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.modeling.accounts.features import attributes_at
from icploop.modeling.judging.comparison import compare, skill
from icploop.modeling.statistics.folds import folds_by_parent
from icploop.pipelines.ingest import ingest
from icploop.settings import Settings

EXAMPLE = Path(__file__).parents[1] / "conf" / "examples" / "olist"
AS_OF = date(2018, 8, 31)
_HIDDEN = ("ranking by the true retention", "the same with")


def sellers(folder: Path) -> tuple[Company, Settings]:
    """The sellers as the last day saw them; there is no truth about the others."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Home(Path(temporary) / "home")
        shutil.copytree(EXAMPLE, home.root / "conf")
        source = home.root / "conf" / "sources" / "files.yaml"
        source.write_text(source.read_text().replace("../data/olist", str(folder.resolve())))
        ingest(home)
        settings = home.settings()
        seen = seen_by(Warehouse(home.warehouse_file).tables(), AS_OF)
    sold = outcomes(seen, settings.motions[0], settings.outcome)
    sold = sold.set_index("account_id", drop=False).rename_axis(None)
    sold = sold.join(follow_up(seen, sold, settings.outcome))
    sold = sold[sold["months_at_risk"] >= 1]
    features = attributes_at(seen.accounts, sold, settings.attributes)
    known = Company(
        kinds=kinds_of(settings.attributes),
        features=features,
        sold=sold,
        market=features,
        truth=pd.DataFrame(),
        day=last_moment(AS_OF),
        outcome=settings.outcome,
    )
    return known, settings


def measure(known: Company, settings: Settings) -> pd.DataFrame:
    """One row a peer: NRR of its best quarter, and the difference to choosing at random."""
    fold = folds_by_parent(known.sold["parent"], settings.seed)
    judged = known.matured.sold
    nothing = pd.Series(0.0, index=judged.index)
    rows = []
    for name, chooses in ALL.items():
        if name.startswith(_HIDDEN):
            continue
        scores = pd.Series(np.nan, index=known.sold.index)
        for number in np.unique(fold):
            rest, asked = fold != number, fold == number
            part = replace(
                known,
                features=known.features[rest],
                sold=known.sold[rest],
                market=known.features[asked],
            )
            # What judges NRR or retention cannot learn from sellers who have not matured.
            learned = part if "icploop" in name else part.matured
            scores[asked] = chooses(learned)
        found = compare(
            judged,
            scores[judged.index],
            nothing,
            rival="random choice",
            capacity=PURSUED,
            interval=0.9,
            draws=2000,
            seed=settings.seed,
        )
        d, goes_with = found.nrr, skill(judged, scores)
        rows.append(
            {
                "peer": name,
                "sellers": len(judged),
                "nrr": found.challenger.nrr,
                "uplift": d.estimate,
                "low": d.low,
                "high": d.high,
                "correlation": goes_with.correlation,
                "correlation_low": goes_with.low,
                "correlation_high": goes_with.high,
            }
        )
    return pd.DataFrame(rows)


def main(folder: str) -> None:
    """Measure, print, and keep the table."""
    table = measure(*sellers(Path(folder))).round(3)
    table.to_csv(RESULTS / "olist.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1])
