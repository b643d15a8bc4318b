"""What is declared of an account, and conditions on it: attributes, hypothesis, exclusions."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from icploop.settings.base import Dimension, Frozen, Kind
from icploop.settings.formats import PLAIN, CellFormat
from icploop.settings.parsing import did_you_mean


def _kind_alone(value: Any) -> Any:
    """`employees: number` is short for `employees: {kind: number}`."""
    return {"kind": value} if isinstance(value, str) else value


class _Declared(Frozen):
    kind: Kind
    label: str = ""
    keep: tuple[str, ...] = ()


class Attribute(Frozen):
    """One declared attribute of an account: only declared attributes are ever features.

    `keep` are words that mean nothing elsewhere (`NA`, `unknown`) and mean something in it.
    """

    name: str
    dimension: Dimension
    kind: Kind
    label: str
    keep: tuple[str, ...] = ()

    @property
    def format(self) -> CellFormat:
        """How its cells are read where no source says more."""
        return PLAIN.keeping(self.keep)

    @property
    def is_number_like(self) -> bool:
        """Whether its feature is a number on a scale (a date is its age in days)."""
        return self.kind in ("number", "date")


class Condition(Frozen):
    """A condition on an account, as people write it in the settings.

    Exactly one of `between` (numbers, an end may be open; for dates the age in days), `any_of`
    (categories, sets) and `is_true` (flags) is given.
    """

    attribute: str
    between: tuple[float | None, float | None] | None = None
    any_of: tuple[str, ...] | None = None
    is_true: bool | None = None

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        given = [c for c in (self.between, self.any_of, self.is_true) if c is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of `between`, `any_of`, `is_true`")
        if self.between:
            low, high = self.between
            if low is None and high is None:
                raise ValueError("`between` is [low, high]; give at least one of the two")
            if low is not None and high is not None and not low <= high:
                raise ValueError("`between` is [low, high], with low not above high")
        return self


class HypothesisLine(Condition):
    """One line of the ICP that people believed in before there was data.

    `points` is a whole number from -3 to 3.
    """

    points: int = Field(ge=-3, le=3)


class Exclusion(Condition):
    """Accounts that are never to be pursued, and why: a written line of the anti-ICP."""

    reason: str = Field(min_length=1)


Declarations = dict[str, Annotated[_Declared, BeforeValidator(_kind_alone)]]


def check_condition(condition: Condition, kinds: dict[str, Kind], place: str) -> None:
    """Raises ValueError, naming `place`, unless the condition fits the kind of its attribute."""
    name = condition.attribute
    if name not in kinds:
        raise ValueError(
            f"{place}: `{name}` is not declared under dimensions" + did_you_mean(name, kinds)
        )
    kind = kinds[name]
    fits = {"number": "between", "date": "between", "flag": "is_true"}.get(kind, "any_of")
    if getattr(condition, fits) is None:
        raise ValueError(f"{place}: `{name}` is a {kind}; give `{fits}`")
