"""Where in its files a configuration says what: the line of a key, for error messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from braindata.errors import UsageError

KeyPath: TypeAlias = Sequence[int | str]
COMMAND_LINE = "the command line (--config)"


@dataclass(frozen=True)
class Document:
    """A YAML file that was read.

    Attributes
    ----------
    path : Path
        The file.
    value : Any
        What it says.
    """

    path: Path
    value: Any
    _node: yaml.Node | None

    def find(self, keys: KeyPath, values: Any) -> tuple[int, int] | None:
        """Return how many of the keys lead to something here, and the line where that stands.

        Parameters
        ----------
        keys : sequence of int or str
            Names of keys and places in lists, from the top of the file down.
        values : Any
            The merged configuration: what another file or the command line has replaced does not
            count.

        Returns
        -------
        tuple of int, or None
            The number of keys and the line, from 1; None when the file says nothing of it.
        """
        node, value, line = self._node, self.value, 1
        for depth, key in enumerate(keys):
            inner = _inner(node, key)
            try:
                value, values = value[key], values[key]
            except (KeyError, IndexError, TypeError):
                inner = None
            # Mappings of several files are merged, everything else is replaced as a whole.
            if inner is None or not (isinstance(value, dict) or _same(value, values)):
                return (depth, line) if depth else None
            line, node = inner
        return len(keys), line


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Raises
    ------
    UsageError
        When the file is missing, is no YAML, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_doubles(node, path)
        return Document(path, yaml.safe_load(text), node)
    except FileNotFoundError as error:
        raise UsageError("there is no such file", file=path) from error
    except OSError as error:
        raise UsageError(f"this file cannot be read ({error.strerror})", file=path) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"this is not valid YAML: {error}", file=path, hint="save the file in UTF-8"
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error)
        raise UsageError(
            f"this is not valid YAML: {what}",
            file=f"{path}{where}",
            hint="look there and in the line above: a colon and a space after each key, the same "
            "indent for keys of one level, no tabs, quotation marks and brackets closed",
        ) from error


def locate(keys: KeyPath, values: Mapping[str, Any], documents: Sequence[Document]) -> str | None:
    """Return where a configuration says something.

    Parameters
    ----------
    keys : sequence of int or str
        The key, from the top down; where it is missing, what it is missing from is located.
    values : mapping
        The merged configuration.
    documents : sequence of Document
        The files that were merged into it, the last one counts most.

    Returns
    -------
    str or None
        ``my.yaml, line 7``, or `COMMAND_LINE` for what no file says; None without files.
    """
    found = [
        (where[0], n, where[1]) for n, d in enumerate(documents) if (where := d.find(keys, values))
    ]
    stated = _depth(keys, values)
    if found and max(found)[0] >= stated:
        _, number, line = max(found)
        return f"{documents[number].path}, line {line}"
    if not documents:
        return None
    return COMMAND_LINE if stated else str(documents[-1].path)


def _same(one: object, other: object) -> bool:
    """Whether two values are equal, or neither is a number."""
    return one == other or (one != one and other != other)


def _inner(node: yaml.Node | None, key: int | str) -> tuple[int, yaml.Node] | None:
    """Return the line of a key or a list's entry, and what it leads to."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == str(key):
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None


def _depth(keys: KeyPath, values: Any) -> int:
    """Return how many of the keys lead to something."""
    for depth, key in enumerate(keys):
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(keys)


def _refuse_doubles(node: yaml.Node | None, path: Path) -> None:
    """Refuse a key that is there twice: YAML forbids it, but readers silently take the last."""
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for name, value in node.value:
            line = name.start_mark.line + 1
            if isinstance(name, yaml.ScalarNode) and name.value in lines:
                raise UsageError(
                    f"{name.value} is there twice, first in line {lines[name.value]}",
                    file=f"{path}, line {line}",
                    hint="put what belongs to it in one place",
                )
            if isinstance(name, yaml.ScalarNode):
                lines[name.value] = line
            _refuse_doubles(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_doubles(value, path)
