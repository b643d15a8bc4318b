"""Accounts as codes and numbers: what scoring works on, whether they came as a frame or from Arrow.

A text attribute becomes a code for each row and the short list of texts that the codes stand for,
so that whatever has to be known of a text is worked out once for each distinct one. Rows never
meet Python one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from icploop.domain.cells import read_kind, says_nothing, set_in_order, spelling_key
from icploop.modeling.accounts.features import TEXTS
from icploop.settings import Attribute, Kind
from icploop.settings.formats import CellFormat


@dataclass(frozen=True)
class Texts:
    """A text attribute: `codes` are positions in `distinct`, -1 where the value is missing."""

    codes: np.ndarray
    distinct: tuple[str, ...]

    @classmethod
    def of(cls, values: pd.Series) -> Texts:
        """A column of an attribute frame; a text may stand for nobody of it."""
        if isinstance(values.dtype, pd.CategoricalDtype):
            return cls(values.cat.codes.to_numpy(dtype="int64"), tuple(values.cat.categories))
        return cls.as_they_come(values)

    @classmethod
    def as_they_come(cls, values: pd.Series) -> Texts:
        """The same, with the texts in the order in which accounts have them, and no others."""
        codes, distinct = pd.factorize(values)
        return cls(codes, tuple(map(str, distinct)))

    def having(self, levels: Sequence[str], kind: Kind) -> np.ndarray:
        """Which distinct texts have each level, however they spell it, (levels, texts + 1).

        The last is for missing.
        """
        members, text = self.members(kind)
        place = {spelling_key(level): i for i, level in enumerate(levels)}
        level = np.array([place.get(spelling_key(m), -1) for m in members], dtype="int64")
        known = level >= 0
        has = np.zeros((len(levels), len(self.distinct) + 1), dtype=bool)
        has[level[known], text[known]] = True
        return has

    def members(self, kind: Kind) -> tuple[Sequence[str], np.ndarray]:
        """The levels of all distinct texts, the members of a set one by one, and whose each is."""
        if kind != "set" or not self.distinct:
            return self.distinct, np.arange(len(self.distinct))
        many = [text.count("|") + 1 for text in self.distinct]
        return "|".join(self.distinct).split("|"), np.repeat(np.arange(len(many)), many)

    def levels(self, kind: Kind) -> dict[str, int]:
        """How many accounts have each level that any has, in the order of the texts."""
        of_text = np.bincount(self.codes[self.codes >= 0], minlength=len(self.distinct))
        members, text = self.members(kind)
        found: dict[str, int] = {}
        for level, count in zip(members, of_text[text].tolist(), strict=True):
            if count:
                found[level] = found.get(level, 0) + count
        return found

    def spread(self, of_distinct: np.ndarray, missing: Any) -> np.ndarray:
        """What holds of each distinct text (rows of an array), for each account."""
        last = np.full((1, *of_distinct.shape[1:]), missing, dtype=of_distinct.dtype)
        return np.concatenate([of_distinct, last])[self.codes]


@dataclass(frozen=True)
class Coded:
    """Declared attributes of `rows` accounts: `texts` (category, set) and `numbers` (the others).

    Numbers are float64, missing is NaN; flags are 1.0 and 0.0, dates their age in days.
    """

    rows: int
    texts: dict[str, Texts]
    numbers: dict[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        """The attributes that it has."""
        return [*self.texts, *self.numbers]

    def missing(self, name: str) -> np.ndarray:
        """For which accounts an attribute is not known."""
        if name in self.texts:
            return np.asarray(self.texts[name].codes < 0)
        return np.isnan(self.numbers[name])

    def known(self, names: Sequence[str]) -> np.ndarray:
        """How many of the named attributes each account has."""
        count = np.zeros(self.rows, dtype="int64")
        for name in names:
            count += ~self.missing(name)
        return count

    def frame(self, names: Sequence[str]) -> pd.DataFrame:
        """An attribute frame of some attributes, with texts as categories."""
        columns: dict[str, Any] = {
            name: pd.Categorical.from_codes(
                self.texts[name].codes, categories=pd.Index(self.texts[name].distinct, dtype="str")
            )
            if name in self.texts
            else self.numbers[name]
            for name in names
        }
        return pd.DataFrame(columns, index=pd.RangeIndex(self.rows))

    def part(self, start: int, stop: int) -> Coded:
        """Some rows of it."""
        texts = {n: Texts(t.codes[start:stop], t.distinct) for n, t in self.texts.items()}
        numbers = {n: values[start:stop] for n, values in self.numbers.items()}
        return Coded(min(stop, self.rows) - start, texts, numbers)


def coded_frame(features: pd.DataFrame, attributes: Sequence[Attribute]) -> Coded:
    """An attribute frame (see `features.py`) as codes and numbers."""
    texts: dict[str, Texts] = {}
    numbers: dict[str, np.ndarray] = {}
    for attribute in attributes:
        values = features[attribute.name]
        if attribute.kind in TEXTS:
            texts[attribute.name] = Texts.of(values)
        else:
            numbers[attribute.name] = np.ascontiguousarray(values.to_numpy(dtype="float64"))
    return Coded(len(features), texts, numbers)


def coded_batch(
    batch: pa.RecordBatch, at: pd.Timestamp, attributes: Sequence[Attribute]
) -> tuple[Coded, dict[str, int]]:
    """A batch of raw accounts as `attributes_in` would read them, with dates aged at `at`.

    Also counts by attribute the cells that are filled in but cannot be read by its kind.
    """
    texts: dict[str, Texts] = {}
    numbers: dict[str, np.ndarray] = {}
    unreadable: dict[str, int] = {}
    given = set(batch.schema.names)
    for attribute in attributes:
        name, kind = attribute.name, attribute.kind
        if name not in given:
            column = pa.nulls(batch.num_rows, pa.string())
        else:
            column = batch.column(batch.schema.names.index(name))
        filled, read = _read(column, kind, attribute.format, at)
        if isinstance(read, Texts):
            texts[name] = read
        else:
            numbers[name] = read
        lost = filled - (batch.num_rows - int(_missing(read).sum()))
        if lost:
            unreadable[name] = lost
    return Coded(batch.num_rows, texts, numbers), unreadable


def _missing(read: Texts | np.ndarray) -> np.ndarray:
    return np.asarray(read.codes < 0 if isinstance(read, Texts) else np.isnan(read))


def _read(
    column: pa.Array, kind: Kind, how: CellFormat, at: pd.Timestamp
) -> tuple[int, Texts | np.ndarray]:
    """How many cells are filled in, and what they say."""
    type_ = column.type
    if kind == "number" and (pa.types.is_floating(type_) or pa.types.is_integer(type_)):
        numbers = _plain(column)
        filled = len(numbers) - int(np.isnan(numbers).sum())
        return filled, np.where(np.isfinite(numbers), numbers, np.nan)
    if kind == "flag" and pa.types.is_boolean(type_):
        return len(column) - column.null_count, _plain(pc.cast(column, pa.int8()))
    if kind == "date" and (pa.types.is_timestamp(type_) or pa.types.is_date(type_)):
        return len(column) - column.null_count, _ages(column, at)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        column = pc.binary_join(pc.cast(column, pa.list_(pa.string())), "|")
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = np.asarray(pc.fill_null(pc.cast(encoded.indices, pa.int64()), -1))
    words = encoded.dictionary
    if pa.types.is_string(words.type) or pa.types.is_large_string(words.type):
        words = pc.utf8_trim_whitespace(words)
        blank = np.asarray(pc.fill_null(pc.equal(words, ""), fill_value=True))
        blank = blank | says_nothing(words.to_pandas().astype("str"), how).to_numpy()
        if kind in TEXTS:
            said = [
                None if nothing else word
                for word, nothing in zip(words.to_pylist(), blank, strict=True)
            ]
            return _filled(blank, codes), _of_words(said, kind, codes, how)
    else:
        blank = np.asarray(pc.is_null(words))
    read = read_kind(words.to_pandas(), kind, how)
    if kind in TEXTS:
        texts = [text if isinstance(text, str) else None for text in read.tolist()]
        return _filled(blank, codes), _of_words(texts, "category", codes, how)
    if kind == "date":
        read = (at - read).dt.total_seconds() / 86_400
    return _filled(blank, codes), np.append(read.to_numpy(dtype="float64"), np.nan)[codes]


def _filled(blank: np.ndarray, codes: np.ndarray) -> int:
    return int((~np.append(blank, True))[codes].sum())


def _of_words(words: Sequence[str | None], kind: Kind, codes: np.ndarray, how: CellFormat) -> Texts:
    """Texts from distinct words, of which some mean the same: "x|y" and "y|x"."""
    meant = [set_in_order(word, how) if kind == "set" and word else word for word in words]
    position: dict[str, int] = {}
    again = [position.setdefault(text, len(position)) if text else -1 for text in meant]
    return Texts(np.array([*again, -1])[codes], tuple(position))


def _ages(column: pa.Array, at: pd.Timestamp) -> np.ndarray:
    """Ages in days, worked out as `attributes_in` does."""
    moments = pc.cast(column, pa.timestamp("us"), safe=False)
    since = at.value // 1000 - np.asarray(pc.fill_null(pc.cast(moments, pa.int64()), 0))
    missing = np.asarray(pc.is_null(column))
    return np.where(missing, np.nan, since / 1e6 / 86_400)


def _plain(column: pa.Array) -> np.ndarray:
    numbers = pc.cast(column, pa.float64(), safe=False)
    return np.array(numbers.to_numpy(zero_copy_only=False), dtype="float64")
