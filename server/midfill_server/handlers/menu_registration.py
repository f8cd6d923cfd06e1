"""Whether clients are told of ``textDocument/completion``, and when."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["advertise", "follow_settings", "is_wanted"]

_log = logging.getLogger(__name__)

_METHOD = types.TEXT_DOCUMENT_COMPLETION
_REGISTRATION_ID = "midfill-completion-menu"


def is_wanted(ls: MidfillServer) -> bool:
    """Whether suggestions are to be offered as entries of the completion menu."""
    setting = ls.settings.completion.menu
    if setting != "auto":
        return setting == "always"
    text_document = ls.client_capabilities.text_document
    return text_document is None or text_document.inline_completion is None


def advertise(ls: MidfillServer) -> None:
    """Have the answer to ``initialize`` name the method, where it is wanted by then."""
    if is_wanted(ls):
        ls.provide(_METHOD)
        ls.menu = "advertised"


async def follow_settings(ls: MidfillServer) -> None:
    """Take the method up later, or give it up again, where the client can be told so.

    Other clients go on asking, and are answered with nothing; or never begin.
    """
    text_document = ls.client_capabilities.text_document
    menu = text_document.completion if text_document else None
    if menu is None or not menu.dynamic_registration:
        return
    try:
        if is_wanted(ls) and ls.menu is None:
            ls.menu = "registered"
            await _register(ls)
        elif not is_wanted(ls) and ls.menu == "registered":
            ls.menu = None
            gone = types.Unregistration(id=_REGISTRATION_ID, method=_METHOD)
            await ls.client_unregister_capability_async(
                types.UnregistrationParams(unregisterations=[gone])
            )
    except JsonRpcException as error:
        _log.warning("the client's completion menu stays as it is: %s", error)


async def _register(ls: MidfillServer) -> None:
    options = ls.provide(_METHOD)
    triggers = options.trigger_characters if isinstance(options, types.CompletionOptions) else None
    registration = types.Registration(
        id=_REGISTRATION_ID,
        method=_METHOD,
        register_options=types.CompletionRegistrationOptions(trigger_characters=triggers),
    )
    await ls.client_register_capability_async(
        types.RegistrationParams(registrations=[registration])
    )
