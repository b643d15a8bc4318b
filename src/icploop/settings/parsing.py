"""From the text of a file in `conf/` to validated values, or sentences that say what is wrong."""

from __future__ import annotations

import difflib
import re
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from icploop.errors import UsageError

_Model = TypeVar("_Model", bound=BaseModel)


def mapping(text: str, place: str) -> dict[str, Any]:
    """The keys and values of a YAML text. Raises UsageError for what is no mapping."""
    try:
        raw = yaml.load(text, Loader=_NothingTwice)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise UsageError(f"{place} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError(f"{place} must be a mapping of keys to values; see `icp init`")
    return raw


class _NothingTwice(yaml.SafeLoader):
    """Reads YAML, and refuses a key that stands twice: the first one would be lost untold."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node. Raises ConstructorError for a key that stands twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key.value}` stands there twice; keep one", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


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
