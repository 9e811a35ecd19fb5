"""What is wrong in a configuration, in words for people: key, place, what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from braindata.config_lines import Document, KeyPath, locate
from braindata.errors import UsageError

# pydantic's words for what YAML calls otherwise.
_WORDS = {"valid tuple": "list", "valid list": "list", "valid dictionary": "mapping of keys"}
_LONGEST_VALUE = 60


def wrong(
    error: ValidationError,
    model: type[BaseModel],
    values: Mapping[str, Any],
    documents: Sequence[Document],
    base: KeyPath = (),
    *,
    of: object = None,
) -> UsageError:
    """Return the error that names each wrong key, where it stands, and what is allowed.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    model : type of BaseModel
        What was validated.
    values : mapping
        The whole configuration.
    documents : sequence of Document
        The files that were merged into it.
    base : sequence of int or str
        Where in `values` the model stands.
    of : object
        The name of what is wrong, where the keys do not say it.
    """
    part: Any = values
    for key in base:
        part = part[key]
    # A key that is stated for all of a file, as `level` is, stands above the part.
    own = {**values, **part}
    faults: dict[tuple[int | str, ...], list[str]] = {}
    places: dict[tuple[int | str, ...], KeyPath] = {}
    details = error.errors()
    suggested = {_suggestion(model, detail) for detail in details}
    for detail in details:
        path = _key_path(detail, own)
        if detail["type"] == "too_short" and len(details) > 1:
            # pydantic counts only the valid entries of a list: the fault is in one of the others.
            continue
        if detail["type"] == "missing" and path in suggested:
            # It is there, with a slip of the pen, which is the fault that is told.
            continue
        place: KeyPath = detail["loc"]
        if detail["type"] == "missing" and isinstance(path[-1], int):
            # Of a list with too few entries: the list is at fault, not what is not there.
            path, place = path[:-1], place[:-1]
        places.setdefault(path, place)
        faults.setdefault(path, []).append(_explain(detail, path, place, model))
    told = []
    for path, texts in faults.items():
        # Where several types are allowed there is one text for each of them.
        is_above = bool(path) and path[0] in values and path[0] not in part
        whole = path if is_above else (*base, *path)
        text = " or ".join(dict.fromkeys(texts))
        told.append((locate(whole, values, documents), f"region {of}: {text}" if of else text))
    if len(told) == 1:
        where, text = told[0]
        return UsageError(text, file=where, hint=_description(model, next(iter(places.values()))))
    lines = [f"  {where}: {text}" if where else f"  {text}" for where, text in told]
    return UsageError("\n".join([f"{len(told)} faults in the configuration", *lines]))


def _key_path(detail: ErrorDetails, values: Any) -> tuple[int | str, ...]:
    """Return the keys that lead to a fault: without pydantic's names of the types that it tried."""
    path: list[int | str] = []
    tagged: Any = None
    for number, part in enumerate(detail["loc"]):
        if isinstance(values, dict) and values is not tagged and values.get("kind") == part:
            # pydantic names the chosen model by its tag, which may be a key of it as well.
            tagged = values
            continue
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            if detail["type"] != "missing" or number + 1 < len(detail["loc"]):
                continue
        path.append(part)
    return tuple(path)


def _suggestion(model: type[BaseModel], detail: ErrorDetails) -> tuple[int | str, ...] | None:
    """Return the key that was meant by an unknown one."""
    if detail["type"] != "extra_forbidden":
        return None
    *above, key = detail["loc"]
    near = difflib.get_close_matches(str(key), _known_keys(model, above), n=1)
    return (*above, near[0]) if near else None


def _explain(detail: ErrorDetails, path: KeyPath, place: KeyPath, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in path)
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _explain_kind(detail, key)
    length = _length(model, place)
    if detail["type"] in ("missing", "too_long", "too_short") and length is not None:
        given = detail["input"]
        shown = f" is {given!r}" if len(repr(given)) <= _LONGEST_VALUE else ""
        return f"{key}{shown}; it must have {length} entries"
    if detail["type"] == "extra_forbidden":
        meant = _suggestion(model, detail)
        known = ", ".join(_known_keys(model, detail["loc"][:-1]))
        return f"{key} is not known; " + (
            f"did you mean {meant[-1]}?" if meant else f"known: {known}"
        )
    if detail["type"] == "missing":
        return f"{key} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    given = repr(detail["input"])
    value = f" is {given}" if len(given) <= _LONGEST_VALUE else ""
    if message.startswith("Input should be "):
        must = f"must be {message.removeprefix('Input should be ')}"
        return f"{key}{value}; it {must}" if value else f"{key} {must}"
    return f"{key}{value}: {message}" if key else message


def _explain_kind(detail: ErrorDetails, key: str) -> str:
    """Return what is wrong with the key that says which of several models is meant."""
    context = detail.get("ctx", {})
    name = str(context["discriminator"]).strip("'")
    known = re.findall(r"'([^']+)'", str(context.get("expected_tags", "")))
    if "tag" not in context:
        return f"{key}.{name} is missing"
    tag = str(context["tag"])
    near = difflib.get_close_matches(tag, known, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{key}.{name} is {tag!r}, which is not known; {meant}known: {', '.join(known)}"


def _length(model: type[BaseModel], place: KeyPath) -> int | None:
    """Return how many entries a list must have, if its number is fixed."""
    keys = list(place)
    while keys and isinstance(keys[-1], int):
        keys.pop()
    *above, key = keys or [""]
    holder = _model_at(model, above)
    field = None if holder is None else fields_of(holder).get(str(key))
    annotation = None if field is None else field.annotation
    for _ in range(len(place) - len(keys)):
        # An entry of a list of lists.
        annotation = next(iter(get_args(annotation)), None)
    arguments = get_args(annotation) if get_origin(annotation) is tuple else ()
    return len(arguments) if arguments and Ellipsis not in arguments else None


def _known_keys(model: type[BaseModel], location: KeyPath) -> list[str]:
    """Return the keys that are allowed at a place within a model."""
    inner = _model_at(model, location)
    return [] if inner is None else sorted(fields_of(inner))


def _description(model: type[BaseModel], path: KeyPath) -> str | None:
    """Return what the documentation says of a key."""
    for length in range(len(path), 0, -1):
        *above, key = path[:length]
        holder = _model_at(model, above)
        if holder is not None and key in fields_of(holder):
            text = fields_of(holder)[str(key)].description
            return f"{key}: {text}" if text else None
    return None


def _model_at(model: type[BaseModel], location: KeyPath) -> type[BaseModel] | None:
    current = [model]
    for part in location:
        if isinstance(part, int):
            continue
        if len(current) > 1:
            # pydantic names the one of several models that was chosen by its tag.
            current = [one for one in current if _tag(one) == part]
        elif current and part in fields_of(current[0]):
            current = models_in(fields_of(current[0])[part].annotation)
    return current[0] if len(current) == 1 else None


def _tag(model: type[BaseModel]) -> object:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the names that files have for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the models within a type: `Dataset` in ``tuple[Dataset, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]
