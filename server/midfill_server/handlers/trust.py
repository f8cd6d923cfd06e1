"""Whether what lies in the workspace may be run: programs, and settings that are code.

A client that says nothing has a workspace that is not trusted. It is no setting, because some
editors take settings from files of the workspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from midfill_server.handlers.announced import announces

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["OPTION", "TRUST_METHOD", "did_change", "take"]

TRUST_METHOD = "midfill/didChangeTrust"
"""Notification ``{trusted}``: the user trusts the workspace from now on, or no longer."""

OPTION = "trusted"
"""Key of the initialization options; it is none of the settings."""


def take(ls: MidfillServer, options: Mapping[str, object]) -> None:
    """Hear at the beginning whether the workspace is trusted."""
    ls.trusted = options.get(OPTION) is True or announces(ls, "workspaceTrusted")


def did_change(ls: MidfillServer, params: object) -> None:
    """Hear it later. What cannot be read is ignored."""
    given = getattr(params, "trusted", None)
    if isinstance(given, bool) and given != ls.trusted:
        ls.trusted = given
        # What no checker could confirm before, one may now; or the other way round.
        ls.fixes.forget()
