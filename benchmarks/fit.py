"""Who finds the customers worth having? The fit model against what companies do instead.

Run as `python -m benchmarks.fit [SEEDS]`. All peers see the same customers and choose from the same
prospects, whose truth is known because the companies are simulated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from benchmarks.worlds import Company, company
from icploop.modeling.encoding import Encoding
from icploop.modeling.fit_model import WINSORISED_AT, FitModel
from icploop.modeling.rivals import AverageCustomer

RESULTS = Path(__file__).parent / "results"
SIZES = (150, 400, 1000)


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


def fit_model(c: Company) -> np.ndarray:
    model = FitModel(c.kinds, seed=0).fit(c.features, c.sold)
    return model.predict(c.market)["expected_nrr"].to_numpy()


def true_retention(c: Company) -> np.ndarray:
    return c.truth["p_retained"].to_numpy()


PEERS: dict[str, Callable[[Company], np.ndarray]] = {
    "commonest customer traits": commonest_traits,
    "K-means, best cluster by NRR": best_cluster,
    "XGBoost classifier on churn, defaults": churn_classifier,
    "naive Bayes on retention": naive_bayes,
    "logistic regression on retention": logistic_on_retention,
    "ridge on NRR": ridge_on_nrr,
    "ranking by the true retention": true_retention,
    "icploop's fit model": fit_model,
}


def measure(seeds: range, sizes: tuple[int, ...] = SIZES) -> pd.DataFrame:
    """One row for each peer and size: mean share of the oracle's lift, its standard error, n."""
    rows = []
    for size in sizes:
        for seed in seeds:
            drawn = company(seed, size)
            for name, peer in PEERS.items():
                rows.append((size, name, drawn.share_of_oracle(peer(drawn))))
            print(f"{size} matured customers, seed {seed}", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows, columns=["matured", "peer", "share"])
    shares = table.groupby(["matured", "peer"], sort=False)["share"]
    return shares.agg(["mean", "sem", "count"]).reset_index()


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


def main(count: int = 12) -> None:
    table = measure(range(1000, 1000 + count))
    table.round(3).to_csv(RESULTS / "fit.csv", index=False)
    wide = table.pivot_table(index="peer", columns="matured", values=["mean", "sem"])
    print(wide.loc[list(PEERS)].round(2).to_string())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
