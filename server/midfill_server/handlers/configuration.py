"""Settings that come from the client, and what is said about those that cannot be used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from midfill_server.handlers import engine_loading, menu_registration
from midfill_server.settings import Problem, parse

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["apply", "did_change", "pull", "register", "report"]

_log = logging.getLogger(__name__)

SECTION = "midfill"

# A client that offers configuration and never answers must not keep the model from loading.
_PULL_TIMEOUT_S = 2.0


def did_change(ls: MidfillServer, params: types.DidChangeConfigurationParams) -> None:
    """Ask for the settings again, or take those that came along."""
    if _can_pull(ls):
        ls.spawn(_refresh(ls))
        return
    pushed: object = params.settings
    if isinstance(pushed, Mapping):
        apply(ls, cast("Mapping[str, object]", pushed).get(SECTION))
        _reopen_if_needed(ls)
        ls.spawn(menu_registration.follow_settings(ls))


async def pull(ls: MidfillServer) -> None:
    """Fetch the section ``midfill`` if the client offers that."""
    if not _can_pull(ls):
        return
    params = types.ConfigurationParams(items=[types.ConfigurationItem(section=SECTION)])
    try:
        async with asyncio.timeout(_PULL_TIMEOUT_S):
            sections = await ls.workspace_configuration_async(params)
    except (TimeoutError, JsonRpcException) as error:
        _log.warning("workspace/configuration failed: %r", error)
        return
    apply(ls, sections[0] if sections else None)


async def register(ls: MidfillServer) -> None:
    """Ask to hear of changes, where the client tells only those who asked."""
    workspace = ls.client_capabilities.workspace
    changes = workspace.did_change_configuration if workspace else None
    if changes is None or not changes.dynamic_registration:
        return
    registration = types.Registration(
        id="midfill-configuration",
        method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
        register_options=types.DidChangeConfigurationRegistrationOptions(section=SECTION),
    )
    try:
        await ls.client_register_capability_async(
            types.RegistrationParams(registrations=[registration])
        )
    except JsonRpcException as error:
        _log.warning("client/registerCapability failed: %s", error)


def apply(ls: MidfillServer, section: object) -> None:
    """Lay the client's section over the settings below it. ``None`` means: nothing is set."""
    if not isinstance(section, Mapping):
        section = {}
    data = cast("Mapping[str, object]", section)
    before = ls.settings
    ls.settings, problems = parse(data, ls.base_settings)
    if ls.settings.model != before.model:
        ls.chosen_model = None
    if ls.settings.completion != before.completion:
        # What was cut and judged by the settings before is no answer now.
        ls.completer.start_over()
    report(ls, problems)


def report(ls: MidfillServer, problems: Sequence[Problem]) -> None:
    """Show what could not be used, in one message; the same message only once."""
    if not problems:
        return
    text = "\n".join(f"midfill setting {p}" if p.key else f"midfill: {p}" for p in problems)
    _log.warning("%s", text)
    ls.tell_once(text, text, types.MessageType.Warning)


async def _refresh(ls: MidfillServer) -> None:
    await pull(ls)
    _reopen_if_needed(ls)
    await menu_registration.follow_settings(ls)


def _reopen_if_needed(ls: MidfillServer) -> None:
    ls.apply_profile()
    if ls.startup is not None:
        ls.open_project()
    # Before the first opening there is nothing to do: it takes the settings as they are then.
    if ls.opened_with is not None and ls.opened_with != engine_loading.wanted(ls):
        engine_loading.begin(ls)


def _can_pull(ls: MidfillServer) -> bool:
    workspace = ls.client_capabilities.workspace
    return bool(workspace and workspace.configuration)
