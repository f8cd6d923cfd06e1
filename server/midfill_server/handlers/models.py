"""Which models there are, and fetching one: ``midfill/models``, ``midfill.download``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pygls.exceptions import JsonRpcInvalidParams

from midfill_engine.errors import UnknownModelError
from midfill_server.handlers import engine_loading, lifecycle
from midfill_server.handlers.status import State
from midfill_server.model_choice import ModelRow, model_rows, own_model

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["DOWNLOAD_COMMAND", "MODELS_METHOD", "download", "models"]

MODELS_METHOD = "midfill/models"
"""Request without params, answered with ``{current, models: [{id, installed, downloadBytes,
memoryBytes, recommended, note}]}``; ``current`` is the model that serves, or ``null``."""

DOWNLOAD_COMMAND = "midfill.download"
"""``workspace/executeCommand`` with a model's id, or without for the one that the settings mean:
fetches it if need be, and opens it. Answered with ``null`` at once."""


async def models(ls: MidfillServer, params: object) -> dict[str, object]:
    """Tell what can be chosen. Looks at the disk and at the machine, so not on the loop."""
    options = engine_loading.wanted(ls)
    rows = await asyncio.to_thread(model_rows, options, bandwidth_of=ls.bandwidth_of)
    latest = ls.status.latest
    current = latest.model if latest.state is State.READY else None
    if current is not None and own_model(options.model):
        # What it calls itself is no value of the setting.
        current = options.model
    return {"current": current, "models": [_shown(row) for row in rows]}


def download(ls: MidfillServer, arguments: Sequence[object]) -> None:
    """Begin to fetch and open a model: calling this is the leave to fetch it."""
    named = arguments[0] if arguments else None
    ls.spawn(_open(ls, None if named is None else _known(named)))


async def _open(ls: MidfillServer, model_id: str | None) -> None:
    # The first opening is by the settings, and must not come after this one.
    await asyncio.shield(lifecycle.started(ls))
    if model_id is not None:
        ls.chosen_model = model_id
    engine_loading.begin(ls, download=True)


def _known(named: object) -> str:
    from midfill_engine.registry import find_model

    if not isinstance(named, str):
        raise JsonRpcInvalidParams(f"{DOWNLOAD_COMMAND} takes a model's id")
    try:
        return find_model(named).id
    except UnknownModelError as error:
        raise JsonRpcInvalidParams(str(error)) from error


def _shown(row: ModelRow) -> dict[str, object]:
    return {
        "id": row.model_id,
        "installed": row.installed,
        "downloadBytes": row.download_bytes,
        "memoryBytes": row.memory_bytes,
        "recommended": row.recommended,
        "note": row.note,
    }
