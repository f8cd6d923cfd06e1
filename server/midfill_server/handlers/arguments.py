"""Arguments of commands: whatever a client sent, as the types that the handlers want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

from cattrs.errors import BaseValidationError
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.protocol import default_converter

from midfill_server.document import Snapshot

if TYPE_CHECKING:
    from cattrs import Converter

    from midfill_server.server import MidfillServer

__all__ = [
    "RequestFailedError",
    "document_of",
    "named",
    "structured",
    "subject_of",
    "table_of",
    "unstructured",
]

T = TypeVar("T")


class RequestFailedError(JsonRpcException):
    """A request was understood and cannot be served; the message is for people (-32803)."""

    CODE = -32803
    MESSAGE = "Request failed"


def subject_of(params: object) -> str | None:
    """Return the URI of the document that a request is about: of a command, in its arguments."""
    document = getattr(params, "text_document", None)
    if document is not None:
        return cast("str", document.uri)
    arguments = getattr(params, "arguments", None)
    given = cast("Sequence[object]", arguments)[0] if arguments else None
    uri = cast("Mapping[str, object]", given).get("uri") if isinstance(given, Mapping) else None
    return uri if isinstance(uri, str) else None


def table_of(arguments: Sequence[object], command: str) -> Mapping[str, object]:
    """Return the one argument of a command. Raises ``JsonRpcInvalidParams`` without it."""
    if not arguments or not isinstance(arguments[0], Mapping):
        raise JsonRpcInvalidParams(f"{command} takes one object")
    return cast("Mapping[str, object]", arguments[0])


def document_of(ls: MidfillServer, table: Mapping[str, object], command: str) -> Snapshot:
    """Return the document ``uri`` as it was when the command came."""
    if not isinstance(table.get("uri"), str):
        raise JsonRpcInvalidParams(f"{command} takes a uri")
    if ls.arrived is None:
        raise RequestFailedError("This document is not open.")
    return ls.arrived


def named(table: Mapping[str, object], name: str, kind: type[T]) -> T | None:
    """Return what a command was given under a name; ``None`` if nothing."""
    given = table.get(name)
    return None if given is None else structured(given, kind)


def structured(given: object, kind: type[T]) -> T:
    """Return what a client sent as a type of the protocol, or as a simple one.

    Raises ``JsonRpcInvalidParams`` if it is no such thing.
    """
    if kind in (str, int, bool) and not isinstance(given, kind):
        raise JsonRpcInvalidParams(f"expected {kind.__name__}")
    try:
        return _converter().structure(given, kind)
    except (BaseValidationError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise JsonRpcInvalidParams(f"this is no {kind.__name__}") from error


def unstructured(value: object) -> object:
    """Return a type of the protocol as JSON has it."""
    return cast("object", _converter().unstructure(value))


@cache
def _converter() -> Converter:
    return default_converter()
