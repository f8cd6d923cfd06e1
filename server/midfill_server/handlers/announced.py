"""What a client says of itself in ``capabilities.experimental.midfill``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["announces"]


def announces(ls: MidfillServer, name: str) -> bool:
    """Whether the client's ``capabilities.experimental.midfill`` has ``name`` as ``true``."""
    given: object = ls.client_capabilities.experimental
    for key in ("midfill", name):
        if not isinstance(given, Mapping):
            return False
        given = cast("Mapping[str, object]", given).get(key)
    return given is True
