"""Who finds the customers worth having? The fit model against what companies do instead.

Run as `python -m benchmarks.fit [SEEDS] [SCENARIO ...]`. All peers see the same customers and
choose from the same prospects, whose truth is known because the companies are simulated: what is
true of them is drawn anew for each seed. Every cell is a mean over SEEDS companies (12) with its
standard error.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier

from benchmarks.experts import expert
from benchmarks.worlds import PURSUED, Company, company, declared_kinds
from icploop.domain.outcomes import WINSORISED_AT
from icploop.modeling.accounts.encoding import Encoding
from icploop.modeling.judging.comparison import skill
from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.learning.rivals import AverageCustomer
from icploop.modeling.page.scorecard import learn_scorecard
from icploop.modeling.statistics.cross_fit import out_of_fold

RESULTS = Path(__file__).parent / "results"
FIRST_SEED = 1000


def commonest_traits(c: Company) -> np.ndarray:
    return AverageCustomer(c.kinds).fit(c.features, c.sold).predict(c.market).to_numpy()


def best_cluster(c: Company) -> np.ndarray:
    known, asked = _standardised(c)
    clusters = KMeans(5, n_init=5, random_state=0).fit(known)
    worth = pd.Series(_nrr(c)).groupby(clusters.labels_).mean()
    return worth.loc[clusters.predict(asked)].to_numpy()


def churn_classifier(c: Company) -> np.ndarray:
    encoding = Encoding.learn(c.features, c.kinds)
    known, asked = encoding.tree(c.features).to_numpy(), encoding.tree(c.market).to_numpy()
    model = XGBClassifier(n_jobs=1).fit(known, 1 - _retained(c))
    return -model.predict_proba(asked)[:, 1]


def naive_bayes(c: Company) -> np.ndarray:
    known, asked = _standardised(c)
    return GaussianNB(var_smoothing=1e-2).fit(known, _retained(c)).predict_log_proba(asked)[:, 1]


def logistic_on_retention(c: Company) -> np.ndarray:
    known, asked = _standardised(c)
    model = LogisticRegression(C=0.01, max_iter=1000).fit(known, _retained(c))
    return model.predict_proba(asked)[:, 1]


def ridge_on_nrr(c: Company) -> np.ndarray:
    known, asked = _standardised(c)
    return RidgeCV(np.geomspace(30, 30_000, 13)).fit(known, _nrr(c)).predict(asked)


def true_retention(c: Company) -> np.ndarray:
    return c.truth["p_retained"].to_numpy()


def fit_model(c: Company) -> np.ndarray:
    return _fitted(c)["expected_nrr"].to_numpy()


def page_points(c: Company) -> np.ndarray:
    """The readable page of the fit model: what a person adds up in the head."""
    model = FitModel(c.kinds, c.outcome).fit(c.features, c.sold)
    asked = pd.concat([c.market, c.features])
    said = model.predict(asked)["expected_nrr"]
    card = learn_scorecard(asked, said, declared_kinds(c.kinds), PURSUED)
    points = card.points(c.market)
    # Ties are chosen among at random, always in the same way.
    return (points + np.random.default_rng(0).random(len(points)) / 2).to_numpy()


def with_expert(good: bool) -> Callable[[Company], np.ndarray]:
    def scores(c: Company) -> np.ndarray:
        model = FitModel(c.kinds, c.outcome, expert(c, good)).fit(c.features, c.sold)
        return model.predict(c.market)["expected_nrr"].to_numpy()

    return scores


def with_half_life(months: float) -> Callable[[Company], np.ndarray]:
    def scores(c: Company) -> np.ndarray:
        age = (c.day - c.sold["at"]).dt.days / (365.25 / 12)
        weighted = c.sold.assign(weight=0.5 ** (age / months))
        model = FitModel(c.kinds, c.outcome).fit(c.features, weighted)
        return model.predict(c.market)["expected_nrr"].to_numpy()

    return scores


def of_matured(c: Company) -> np.ndarray:
    return fit_model(c.matured)


Peer = Callable[[Company], np.ndarray]
OURS = "icploop's fit model"
PAGE = "its page, by points"
FEW: dict[str, Peer] = {
    "XGBoost classifier on churn, defaults": churn_classifier,
    "ridge on NRR": ridge_on_nrr,
    "ranking by the true retention": true_retention,
    OURS: fit_model,
}
ALL: dict[str, Peer] = {
    "commonest customer traits": commonest_traits,
    "K-means, best cluster by NRR": best_cluster,
    "XGBoost classifier on churn, defaults": churn_classifier,
    "naive Bayes on retention": naive_bayes,
    "logistic regression on retention": logistic_on_retention,
    "ridge on NRR": ridge_on_nrr,
    "ranking by the true retention": true_retention,
    OURS: fit_model,
    PAGE: page_points,
    "the same with a good expert's lines": with_expert(good=True),
    "the same with a poor expert's lines": with_expert(good=False),
}
UNRIPE: dict[str, Peer] = {
    f"{OURS}, matured customers only": of_matured,
    OURS: fit_model,
    "half-life of 24 months": with_half_life(24),
    "half-life of 12 months": with_half_life(12),
}


@dataclass(frozen=True)
class Scenario:
    """Companies of some sizes (matured customers), and who chooses for them."""

    sizes: tuple[int, ...]
    peers: dict[str, Peer]
    spec: dict[str, Any]
    shuffled: bool = False


_YEAR_AGO = {"shift_month": 36}
SCENARIOS: dict[str, Scenario] = {
    "mixed": Scenario((150, 400, 1000, 3000, 20_000), ALL, {}),
    "market shifted a year ago": Scenario((400, 1000), FEW, _YEAR_AGO),
    "main effects only": Scenario((400, 1000), FEW, {"structure": "main"}),
    "interactions only": Scenario((400, 1000), FEW, {"structure": "interactions"}),
    "weak signal": Scenario((400, 1000), FEW, {"signal": 0.5}),
    "strong hidden factor": Scenario((400, 1000), FEW, {"hidden": 0.7}),
    "pure noise": Scenario((150, 400, 1000), FEW, {}, shuffled=True),
    "60% matured": Scenario((135, 360, 900), UNRIPE, {"unripe": True}),
    "60% matured, shifted a year ago": Scenario(
        (135, 360, 900), UNRIPE, {"unripe": True} | _YEAR_AGO
    ),
}


def measure(seeds: int, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of the oracle's lift by scenario, size and peer; and the fit model's own numbers."""
    jobs = [
        (name, size, FIRST_SEED + number)
        for name in names
        for size in SCENARIOS[name].sizes
        for number in range(seeds)
    ]
    shares, own = [], []
    with Pool(os.cpu_count()) as pool:
        for done, (of_peers, of_model) in enumerate(pool.imap(_one_company, jobs), start=1):
            shares += of_peers
            own += of_model
            print(f"{done} of {len(jobs)} companies", end="\r", file=sys.stderr, flush=True)
    table = pd.DataFrame(shares, columns=["scenario", "matured", "peer", "share"])
    numbers = pd.DataFrame(own, columns=["scenario", "matured", "measure", "value"])
    return _summary(table, "peer", "share"), _summary(numbers, "measure", "value")


def _summary(table: pd.DataFrame, kind: str, value: str) -> pd.DataFrame:
    grouped = table.groupby(["scenario", "matured", kind], sort=False)[value]
    return grouped.agg(["mean", "sem", "count"]).reset_index()


def _one_company(job: tuple[str, int, int]) -> tuple[list[Any], list[Any]]:
    name, size, seed = job
    scenario = SCENARIOS[name]
    drawn = company(seed, size, **scenario.spec)
    if scenario.shuffled:
        drawn = drawn.shuffled(seed)
    with threadpool_limits(1):
        return _measured(name, size, drawn)


def _measured(name: str, size: int, drawn: Company) -> tuple[list[Any], list[Any]]:
    shares = [
        (name, size, peer, drawn.share_of_oracle(chooses(drawn)))
        for peer, chooses in SCENARIOS[name].peers.items()
    ]
    numbers = {}
    if name == "mixed":
        numbers = _calibration(drawn)
    if name == "pure noise":
        numbers = {"says no better than the average customer": _says_nothing(drawn)}
    return shares, [(name, size, what, value) for what, value in numbers.items()]


def _calibration(c: Company) -> dict[str, float]:
    """Of expectations against the truth of the prospects."""
    predicted = _fitted(c)
    said, true = predicted["p_retained"], c.truth["p_retained"]
    tenth = pd.qcut(said.rank(method="first"), 10, labels=False)
    error = (said.groupby(tenth).mean() - true.groupby(tenth).mean()).abs().mean()
    slope = np.polyfit(predicted["expected_nrr"], c.truth["expected_nrr"], 1)[0]
    return {
        "calibration error of P(retained)": float(error),
        "slope of true on expected NRR": float(slope),
    }


def _says_nothing(c: Company) -> float:
    """1 if a round would say that its expectations cannot be told from chance."""
    fair = out_of_fold(lambda: FitModel(c.kinds), c.features, c.sold, seed=0)
    return float(not skill(c.sold, fair["expected_nrr"]).is_shown)


def speed(repeats: int = 3) -> pd.DataFrame:
    """Seconds to fit on this machine, with nothing else running; rows like those of `measure`."""
    rows = []
    for size in (150, 1000, 3000, 20_000):
        drawn = company(FIRST_SEED, size)
        for _ in range(repeats):
            with threadpool_limits(1):
                start = time.perf_counter()
                FitModel(drawn.kinds).fit(drawn.features, drawn.sold)
            rows.append(("mixed", size, "seconds to fit", time.perf_counter() - start))
    table = pd.DataFrame(rows, columns=["scenario", "matured", "measure", "value"])
    return _summary(table, "measure", "value")


def _fitted(c: Company) -> pd.DataFrame:
    return FitModel(c.kinds, c.outcome).fit(c.features, c.sold).predict(c.market)


def _standardised(c: Company) -> tuple[np.ndarray, np.ndarray]:
    encoding = Encoding.learn(c.features, c.kinds)
    scaler = StandardScaler().fit(encoding.linear(c.features).to_numpy())
    return (
        scaler.transform(encoding.linear(c.features).to_numpy()),
        scaler.transform(encoding.linear(c.market).to_numpy()),
    )


def _nrr(c: Company) -> np.ndarray:
    return c.sold["nrr"].clip(upper=WINSORISED_AT).to_numpy()


def _retained(c: Company) -> np.ndarray:
    return c.sold["retained"].to_numpy().astype(int)


def main(seeds: int = 12, *names: str) -> None:
    """Measure the scenarios that are named, or all, and keep the tables of a whole run."""
    if unknown := set(names) - set(SCENARIOS):
        sys.exit(f"unknown scenario {', '.join(unknown)}; known: {', '.join(SCENARIOS)}")
    shares, numbers = measure(seeds, list(names) or list(SCENARIOS))
    if not names:
        numbers = pd.concat([numbers, speed()], ignore_index=True)
    for table, kind, file in ((shares, "peer", "fit"), (numbers, "measure", "fit-model")):
        if table.empty:
            continue
        if not names:
            table.round(3).to_csv(RESULTS / f"{file}.csv", index=False)
        shown = table["mean"].map("{:.2f}".format) + " ± " + table["sem"].map("{:.2f}".format)
        wide = table.assign(shown=shown).pivot_table(
            "shown", ["scenario", kind], "matured", aggfunc="first", sort=False
        )
        print(wide.fillna("").to_string(), end="\n\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
