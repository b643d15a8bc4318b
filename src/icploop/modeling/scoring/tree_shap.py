"""Shapley values of small trees, by looking them up.

What a tree gives an attribute depends only on which of the tree's conditions an account fulfils,
and a small tree has few of them. So the values of every combination are worked out once (path
dependent TreeSHAP: Lundberg et al. 2018, the same numbers as XGBoost's `pred_contribs`), and an
account costs a few look-ups for each tree instead of a walk through all its branches.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

# A table has an entry for each combination of so many conditions.
_MOST_CONDITIONS = 8
# So many rows at a time stay in the processor's cache; so many values are looked up at once.
_TILE, _LANES = 8192, 8
# So many bundles of leaves are worked out at once.
_BUNDLES = 256


@dataclass(frozen=True)
class _Step:
    """A condition on the way to a leaf: `bit` and column, whether it must hold, who is kept.

    `kept` is the share of the training accounts at the node that go on to the leaf's side.
    """

    bit: int
    column: int
    holds: bool
    kept: float


@dataclass(frozen=True)
class _Leaf:
    value: float
    path: tuple[_Step, ...]


@dataclass(frozen=True)
class _Table:
    """`values[i]` (combinations, lanes) belong to the block `blocks[i]` of groups."""

    bits: tuple[int, ...]
    blocks: tuple[int, ...]
    values: tuple[np.ndarray, ...]


class TreeShap:
    """What groups of columns add to the mean of boosters, against the boosters' average.

    `group` numbers the group (attribute) of each column of the boosters' matrix from 0. The trees
    must be shallow: ValueError beyond a depth of eight.
    """

    def __init__(self, boosters: Sequence[xgb.Booster], group: Sequence[int]) -> None:
        self._groups = max(group, default=-1) + 1
        # A condition: the column, what it must be below, whether a missing value fulfils it.
        self._conditions: dict[tuple[int, float, bool], int] = {}
        bundles = [
            bundle
            for booster in boosters
            for tree in _trees(booster)
            for bundle in _bundles(tree, self._conditions)
        ]
        used = Counter(group[s.column] for b in bundles for leaf in b for s in leaf.path)
        # Groups that occur together often are looked up together.
        order = sorted(range(self._groups), key=lambda g: (-used[g], g))
        self._place = np.argsort(order, kind="stable")
        self._tables: list[_Table] = []
        by_size: dict[int, list[list[_Leaf]]] = {}
        for bundle in bundles:
            by_size.setdefault(len(_bits_of(bundle)), []).append(bundle)
        for alike in by_size.values():
            for start in range(0, len(alike), _BUNDLES):
                self._tables += _tables(
                    alike[start : start + _BUNDLES], np.array(group), self._place, len(boosters)
                )

    def values(self, matrix: np.ndarray) -> np.ndarray:
        """What each group adds (groups, rows), in single precision; `matrix` as for boosters."""
        found = np.empty((self._groups, len(matrix)), dtype="float32")
        for start in range(0, len(matrix), _TILE):
            part = slice(start, start + _TILE)
            found[:, part] = self._of_tile(np.ascontiguousarray(matrix[part].T))
        return found

    def _of_tile(self, columns: np.ndarray) -> np.ndarray:
        rows = columns.shape[1]
        fulfilled = self._fulfilled(columns)
        code, position = np.empty(rows, dtype="uint8"), np.empty(rows, dtype="intp")
        total = np.zeros((-(-self._groups // _LANES), rows, _LANES), dtype="float32")
        found = np.empty((rows, _LANES), dtype="float32")
        for table in self._tables:
            code[:] = fulfilled[table.bits[0]]
            for bit in table.bits[1:]:
                np.left_shift(code, 1, out=code)
                np.bitwise_or(code, fulfilled[bit], out=code)
            position[:] = code
            for block, values in zip(table.blocks, table.values, strict=True):
                # Codes are within bounds; clipping only spares NumPy a copy.
                values.take(position, axis=0, out=found, mode="clip")
                sums = total[block]
                np.add(sums, found, out=sums)
        return total.transpose(0, 2, 1).reshape(-1, rows)[self._place]

    def _fulfilled(self, columns: np.ndarray) -> np.ndarray:
        """For each condition and row 1 or 0."""
        fulfilled = np.empty((len(self._conditions), columns.shape[1]), dtype="uint8")
        missing: dict[int, np.ndarray] = {}
        for (column, limit, if_missing), bit in self._conditions.items():
            values = columns[column]
            np.less(values, np.float32(limit), out=fulfilled[bit].view(bool))
            if if_missing:
                if column not in missing:
                    missing[column] = np.isnan(values).view("uint8")
                np.bitwise_or(fulfilled[bit], missing[column], out=fulfilled[bit])
        return fulfilled


def _tables(
    bundles: list[list[_Leaf]], group: np.ndarray, place: np.ndarray, boosters: int
) -> Iterator[_Table]:
    """The tables of bundles that have equally many conditions."""
    bits = [_bits_of(bundle) for bundle in bundles]
    leaves = [(number, leaf) for number, bundle in enumerate(bundles) for leaf in bundle]
    steps = max(len(leaf.path) for _, leaf in leaves)
    shape = (len(leaves), steps)
    # Paths are filled up with steps that everybody takes: they change no Shapley value.
    shift, holds = np.zeros(shape, dtype="int64"), np.zeros(shape, dtype=bool)
    player, kept = np.full(shape, -1), np.ones(shape)
    of_group = np.zeros(shape, dtype="int64")
    for row, (number, leaf) in enumerate(leaves):
        players: dict[int, int] = {}
        for i, step in enumerate(leaf.path):
            who = players.setdefault(step.column, len(players))
            shift[row, i] = len(bits[number]) - 1 - bits[number].index(step.bit)
            holds[row, i], player[row, i] = step.holds, who
            kept[row, who] *= step.kept
            of_group[row, who] = group[step.column]
    combination = np.arange(2 ** len(bits[0]))
    taken = ((combination >> shift[..., None]) & 1).astype(bool) == holds[..., None]
    leads = np.zeros((len(leaves), len(combination)), dtype="int64")
    for who in range(steps):
        # A column may be asked about twice on the way: it leads there if all its steps do.
        all_taken = (taken | (player != who)[..., None]).all(axis=1)
        leads |= all_taken.astype("int64") << who
    worth = np.array([leaf.value / boosters for _, leaf in leaves])
    shapley = _shapley(kept) * worth[:, None, None]
    values = np.take_along_axis(shapley, leads[:, None, :], axis=2)
    bundle_of = np.array([number for number, _ in leaves])[:, None]
    keys, values = _summed(bundle_of * len(place) + place[of_group], values)
    blocks: list[dict[int, np.ndarray]] = [{} for _ in bundles]
    for key, value in zip(keys.tolist(), values, strict=True):
        bundle, where = divmod(key, len(place))
        empty = np.zeros((len(combination), _LANES), dtype="float32")
        blocks[bundle].setdefault(where // _LANES, empty)[:, where % _LANES] = value
    for of_bundle, found in zip(bits, blocks, strict=True):
        yield _Table(of_bundle, tuple(found), tuple(found.values()))


def _summed(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys, and the sums of the values that belong to each."""
    flat = keys.ravel()
    order = np.argsort(flat, kind="stable")
    distinct, starts = np.unique(flat[order], return_index=True)
    return distinct, np.add.reduceat(values.reshape(len(flat), -1)[order], starts, axis=0)


def _shapley(kept: np.ndarray) -> np.ndarray:
    """Shapley values (leaves, players, combinations) of leaves worth 1.

    Bit i of a combination says whether player i leads to the leaf; where its value counts as
    unknown, a share `kept` (leaves, players) of accounts is led there.
    """
    leaves, many = kept.shape
    leads = (np.arange(2**many)[None, :] >> np.arange(many)[:, None]) & 1
    values = np.empty((leaves, many, 2**many))
    weights = np.array(
        [math.factorial(k) * math.factorial(many - k - 1) for k in range(many)]
    ) / math.factorial(many)
    for i in range(many):
        # by_size[k] sums over all coalitions of k of the other players.
        by_size = np.zeros((many, leaves, 2**many))
        by_size[0] = 1.0
        for j in range(many):
            if j != i:
                larger = np.zeros_like(by_size)
                larger[1:] = by_size[:-1] * leads[j]
                by_size = by_size * kept[:, j, None] + larger
        values[:, i] = (leads[i] - kept[:, i, None]) * np.tensordot(weights, by_size, 1)
    return values


def _bits_of(leaves: Sequence[_Leaf]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(step.bit for leaf in leaves for step in leaf.path))


def _trees(booster: xgb.Booster) -> Iterator[Mapping[str, Any]]:
    model = json.loads(bytes(booster.save_raw("json")))
    yield from model["learner"]["gradient_booster"]["model"]["trees"]


def _bundles(
    tree: Mapping[str, Any], conditions: dict[tuple[int, float, bool], int]
) -> Iterator[list[_Leaf]]:
    """The leaves of a tree, in bundles whose paths have few enough conditions together.

    New conditions are added to `conditions`, with the next number.
    """
    left, right = tree["left_children"], tree["right_children"]
    columns, weight = tree["split_indices"], tree["sum_hessian"]
    # As XGBoost keeps them: in single precision.
    limits = np.array(tree["split_conditions"], dtype="float32").tolist()

    def below(node: int, path: tuple[_Step, ...]) -> Iterator[tuple[int, tuple[_Step, ...]]]:
        condition = (columns[node], limits[node], bool(tree["default_left"][node]))
        bit = conditions.setdefault(condition, len(conditions))
        for child, holds in ((left[node], True), (right[node], False)):
            yield child, (*path, _Step(bit, columns[node], holds, weight[child] / weight[node]))

    def leaves(node: int, path: tuple[_Step, ...]) -> list[_Leaf]:
        if left[node] < 0:
            return [_Leaf(limits[node], path)] if path else []
        return [leaf for child, longer in below(node, path) for leaf in leaves(child, longer)]

    def bundled(node: int, path: tuple[_Step, ...]) -> Iterator[list[_Leaf]]:
        found = leaves(node, path)
        if len(_bits_of(found)) <= _MOST_CONDITIONS:
            if found:
                yield found
        elif left[node] < 0:
            raise ValueError(
                f"a path of more than {_MOST_CONDITIONS} conditions; trees are shallow"
            )
        else:
            for child, longer in below(node, path):
                yield from bundled(child, longer)

    return bundled(0, ())
