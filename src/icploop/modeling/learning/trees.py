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

    def holds(self, node: int, values: np.ndarray) -> np.ndarray:
        """Where the condition of a node holds, given the values of its column."""
        found = values < self.limit[node]
        return found | np.isnan(values) if self.if_missing[node] else found

    @cached_property
    def below(self) -> list[frozenset[int]]:
        """The columns that each node and all below it ask about."""
        asked = [frozenset[int]()] * len(self.left)
        # A child comes after its parent.
        for node in reversed(range(len(self.left))):
            if self.left[node] >= 0:
                asked[node] = asked[self.left[node]] | asked[self.right[node]] | {self.column[node]}
        return asked


@dataclass(frozen=True)
class Change:
    """Other values in some columns of a matrix, for some of its rows (places that may repeat)."""

    rows: np.ndarray
    columns: Mapping[int, np.ndarray]


class Margins:
    """What a booster says of accounts (rows of `matrix`) before any link function, by its trees."""

    def __init__(self, booster: xgb.Booster, matrix: np.ndarray) -> None:
        model = json.loads(bytes(booster.save_raw("json")))
        columns = np.ascontiguousarray(matrix.T)
        self._start = _before_any_tree(model)
        self._walked = [_Walked.of(_tree(raw), columns) for raw in _trees(model)["trees"]]
        self._rows = len(matrix)

    def all(self) -> np.ndarray:
        """What it says of each account."""
        total = np.full(self._rows, self._start)
        for walked in self._walked:
            total += walked.said[0]
        return total

    def altered(self, change: Change) -> np.ndarray:
        """What it would say of the accounts with the change."""
        total = np.full(len(change.rows), self._start)
        for walked in self._walked:
            total += walked.altered(0, change)
        return total


@dataclass(frozen=True)
class _Walked:
    """A tree with where its conditions hold, and what it says from each node down."""

    tree: Tree
    held: list[np.ndarray]
    said: list[np.ndarray]

    @classmethod
    def of(cls, tree: Tree, columns: np.ndarray) -> _Walked:
        """The tree as it goes for accounts (columns x accounts)."""
        nodes = range(len(tree.left))
        held, said = [np.empty(0, dtype=bool)] * len(nodes), [np.empty(0)] * len(nodes)
        for node in reversed(nodes):
            if tree.left[node] < 0:
                said[node] = np.asarray(tree.limit[node])
                continue
            held[node] = tree.holds(node, columns[tree.column[node]])
            said[node] = np.where(held[node], said[tree.left[node]], said[tree.right[node]])
        return cls(tree, held, said)

    def altered(self, node: int, change: Change) -> np.ndarray:
        """What it says from a node down with the change: new only where it asks about that."""
        tree = self.tree
        if tree.below[node].isdisjoint(change.columns):
            said = self.said[node]
            return said[change.rows] if said.ndim else said
        column = tree.column[node]
        if column in change.columns:
            holds = tree.holds(node, change.columns[column])
        else:
            holds = self.held[node][change.rows]
        return np.where(
            holds, self.altered(tree.left[node], change), self.altered(tree.right[node], change)
        )


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
