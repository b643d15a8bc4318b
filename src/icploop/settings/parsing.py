"""From the text of a file in `conf/` to validated values, or sentences that say what is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from icploop.errors import UsageError

_Model = TypeVar("_Model", bound=BaseModel)
# libyaml's loader where it is there: it takes a tenth of the time.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# No settings are nested half as deep; what is would end in a recursion.
_DEEPEST = 50


def mapping(text: str, place: str) -> dict[str, Any]:
    """The keys and values of a YAML text.

    Raises UsageError for what is no mapping, is nested too deep, or has a key twice.
    """
    try:
        _check_depth(text, place)
        raw = yaml.load(text, _Loader)  # noqa: S506 - as safe as the loader that it is made of
    except _TwiceError as twice:
        raise UsageError(f"{place}: {twice}") from twice
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{place} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError(f"{place} must be a mapping of keys to values; see `icp init`")
    return raw


class _TwiceError(Exception):
    """A key that stands in one mapping twice; of two values one would be lost unseen."""


class _Loader(_SafeLoader):
    """YAML's safe loader, which refuses a key that stands in one mapping twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[Hashable, int] = {}
        for key, _ in node.value:
            # What a merge (`<<`) brings along may be said anew.
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line, name = key.start_mark.line + 1, self.construct_object(key)
            if name in lines:
                raise _TwiceError(
                    f"`{key.value}` stands there twice, in line {lines[name]} and in line {line}; "
                    "keep one"
                )
            lines[name] = line
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return made


def _check_depth(text: str, place: str) -> None:
    depth = 0
    for event in yaml.parse(text, _SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else "?"
            raise UsageError(
                f"{place}: line {line} is nested more than {_DEEPEST} deep, which no setting is; "
                "look for brackets that are not closed"
            )


def validated(model: type[_Model], raw: dict[str, Any], place: str) -> _Model:
    """The values as a model. Raises UsageError with a sentence for each fault, naming `place`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults = [_sentence(model, dict(fault)) for fault in error.errors()]
        raise UsageError("\n".join(f"{place}: {fault}" for fault in faults)) from error


def _sentence(model: type[BaseModel], fault: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _keys_at(model, fault["loc"][:-1])
        return f"`{where}` is not a key" + did_you_mean(str(fault["loc"][-1]), known)
    if fault["loc"][-1:] == ("[key]",) and fault["type"] == "literal_error":
        known = re.findall(r"'(\w+)'", fault["ctx"]["expected"])
        meant = did_you_mean(str(fault["input"]), known)
        return f"`{where.removesuffix('.[key]')}` is not a key" + meant
    message = fault["msg"].removeprefix("Value error, ")
    if not where:
        return message
    # What stands there by mistake may be the secret itself.
    name = str(fault["loc"][-1])
    is_unspoken = fault["type"] == "missing" or name.endswith("_env") or name == "base_url"
    given = "" if is_unspoken else f" (given: {fault['input']!r})"
    return f"`{where}`: {message}{given}"


def _keys_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The keys that the model at `path` knows, found by walking the annotations."""
    annotation: Any = model
    for part in path:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(part)].annotation
        else:
            # A list or mapping of models: the last type argument is the model of its values.
            annotation = get_args(annotation)[-1 if not isinstance(part, int) else 0]
        if hasattr(annotation, "__metadata__"):
            annotation = get_args(annotation)[0]
    fields = getattr(annotation, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def did_you_mean(word: str, known: Any) -> str:
    """The end of a sentence about an unknown word: the one that was meant, or all there are."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; known: {', '.join(known)}"
