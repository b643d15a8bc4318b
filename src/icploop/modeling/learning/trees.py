"""Boosted trees, looked into: an account of which one field is altered costs only what it moves.

A booster that is asked about thousands of accounts with another value in one field walks all its
trees for each, although most never ask about that field. Here each tree's part of the sum is kept,
and only the trees that do ask are walked again. The sums are in the booster's order and in single
precision, so the answers are the booster's to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xgboost as xgb


@dataclass(frozen=True)
class Tree:
    """A tree by its nodes: the child on either side (-1 at a leaf), and the condition for the left.

    It holds where `column` is below `limit`, or is missing and `if_missing` says so. At a leaf
    `limit` is what the tree says.
    """

    left: list[int]
    right: list[int]
    column: list[int]
    limit: np.ndarray
    if_missing: list[int]

    @cached_property
    def asks(self) -> frozenset[int]:
        """The columns that it asks about."""
        return frozenset(c for c, left in zip(self.column, self.left, strict=True) if left >= 0)

    def says(self, columns: Mapping[int, np.ndarray]) -> np.ndarray:
        """What it says of each account; one number where it asks nothing."""
        return np.asarray(self._below(0, columns))

    def _below(self, node: int, columns: Mapping[int, np.ndarray]) -> np.ndarray | np.float32:
        if self.left[node] < 0:
            found: np.float32 = self.limit[node]
            return found
        values = columns[self.column[node]]
        holds = values < self.limit[node]
        if self.if_missing[node]:
            holds |= np.isnan(values)
        return np.where(
            holds, self._below(self.left[node], columns), self._below(self.right[node], columns)
        )


@dataclass(frozen=True)
class Change:
    """Other values in some columns of a matrix, for some of its rows (places that may repeat)."""

    rows: np.ndarray
    columns: Mapping[int, np.ndarray]


class Margins:
    """What a booster says of accounts (rows of `matrix`) before any link function, by its trees."""

    def __init__(self, booster: xgb.Booster, matrix: np.ndarray) -> None:
        model = json.loads(bytes(booster.save_raw("json")))
        self._start = _before_any_tree(model)
        self._trees = [_tree(raw) for raw in _trees(model)["trees"]]
        self._columns = dict(enumerate(np.ascontiguousarray(matrix.T)))
        self._said = [tree.says(self._columns) for tree in self._trees]
        self._rows = len(matrix)

    def all(self) -> np.ndarray:
        """What it says of each account."""
        total = np.full(self._rows, self._start)
        for said in self._said:
            total += said
        return total

    def altered(self, change: Change) -> np.ndarray:
        """What it would say of the accounts with the change."""
        asked = _Altered(self._columns, change)
        total = np.full(len(change.rows), self._start)
        for tree, said in zip(self._trees, self._said, strict=True):
            if tree.asks.isdisjoint(change.columns):
                total += said[change.rows] if said.ndim else said
            else:
                total += tree.says(asked)
        return total


class _Altered(dict[int, np.ndarray]):
    """The columns of some accounts, some of them altered; the others are looked up when asked."""

    def __init__(self, columns: Mapping[int, np.ndarray], change: Change) -> None:
        super().__init__(change.columns)
        self._all, self._rows = columns, change.rows

    def __missing__(self, column: int) -> np.ndarray:
        self[column] = self._all[column][self._rows]
        return self[column]


def _trees(model: Mapping[str, Any]) -> dict[str, Any]:
    trees: dict[str, Any] = model["learner"]["gradient_booster"]["model"]
    return trees


def _tree(raw: Mapping[str, Any]) -> Tree:
    # XGBoost keeps limits in single precision.
    limit = np.array(raw["split_conditions"], dtype="float32")
    return Tree(
        raw["left_children"],
        raw["right_children"],
        raw["split_indices"],
        limit,
        raw["default_left"],
    )


def _before_any_tree(model: Mapping[str, Any]) -> np.float32:
    """What the booster starts its sums from: what it would say without trees."""
    learner = model["learner"]
    gradient_booster = learner["gradient_booster"]
    parameters = gradient_booster["model"]["gbtree_model_param"] | {"num_trees": "0"}
    nothing = gradient_booster["model"] | {
        "trees": [],
        "tree_info": [],
        "iteration_indptr": [0],
        "gbtree_model_param": parameters,
    }
    bare = {
        **model,
        "learner": learner | {"gradient_booster": gradient_booster | {"model": nothing}},
    }
    booster = xgb.Booster()
    booster.load_model(bytearray(json.dumps(bare).encode()))
    anybody = np.zeros((1, int(learner["learner_model_param"]["num_feature"])), dtype="float32")
    found: np.float32 = booster.predict(xgb.DMatrix(anybody, nthread=1), output_margin=True)[0]
    return found
