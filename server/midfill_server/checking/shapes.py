"""Reads what other programs answer in JSON, whatever shape it really has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeAlias, cast

from midfill_server.checking.base import CheckFailedError

__all__ = ["Object", "as_number", "as_object", "as_objects", "as_text", "json_lines", "read_json"]

Object: TypeAlias = dict[str, object]


def read_json(text: str, tool: str, stderr: str = "") -> object:
    """Return what a tool wrote. Raises ``CheckFailedError`` with what it complained of instead."""
    try:
        return cast("object", json.loads(text))
    except ValueError as error:
        said = (stderr.strip() or text.strip())[:500] or "nothing"
        raise CheckFailedError(f"{tool} cannot be understood. It says: {said}") from error


def json_lines(text: str) -> Iterator[Object]:
    """Yield the objects of those lines that are JSON."""
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                yield as_object(json.loads(line))
            except ValueError:
                continue


def as_object(value: object) -> Object:
    """Return an object, empty where there is none."""
    return cast("Object", value) if isinstance(value, dict) else {}


def as_objects(value: object) -> list[Object]:
    """Return the objects of a list."""
    if not isinstance(value, list):
        return []
    return [cast("Object", one) for one in cast("list[object]", value) if isinstance(one, dict)]


def as_text(value: object) -> str:
    """Return a text or number as text, and everything else as an empty one."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def as_number(value: object) -> int | None:
    """Return a whole number, if it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
