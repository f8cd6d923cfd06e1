"""Which files a model may be shown something of, and what their paths are called there."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from midfill_server.context.index import WorkspaceIndex
from midfill_server.exclusion.ignore import midfillignore_names
from midfill_server.exclusion.secrets import holds_private_key, keeps_secrets

__all__ = ["may_be_named", "may_be_shown", "path_of", "shown_path"]

_INSTALLED = "site-packages"


@lru_cache(maxsize=512)
def path_of(uri: str) -> str | None:
    """Return the path that a URI means on this system; ``None`` for what is no file."""
    try:
        parts = urlsplit(uri)
        path = unquote(parts.path, errors="strict")
        # Paths that no file can have.
        os.fsencode(path)
    except ValueError:
        return None
    if parts.scheme != "file" or not path or "\0" in path:
        return None
    if parts.netloc and parts.netloc != "localhost":
        path = f"//{parts.netloc}{path}"
    elif os.name == "nt" and re.match(r"/[A-Za-z]:", path):
        path = path[1:]
    return os.path.normpath(path)


def shown_path(path: str, roots: Sequence[str]) -> str:
    """Return a path as a repository has it: from its root, with slashes on all systems."""
    holding = [root for root in roots if _lies_in(path, root)]
    if holding:
        return os.path.relpath(path, max(holding, key=len)).replace(os.sep, "/")
    parts = path.replace(os.sep, "/").split("/")
    if _INSTALLED in parts:
        return "/".join(parts[parts.index(_INSTALLED) + 1 :])
    return "/".join(parts[-2:]).lstrip("/")


def may_be_named(path: str, own: str, roots: Sequence[str]) -> bool:
    """Return whether what a file defines may be shown in the file ``own``.

    Who imports it means it: that git ignores generated code or a virtual environment does not
    count. That somebody does not want a model to see it does.
    """
    return path != own and not keeps_secrets(path) and not midfillignore_names(path, roots)


def may_be_shown(path: str, text: str, index: WorkspaceIndex) -> bool:
    """Return whether lines of a file, ``text``, may be shown."""
    if keeps_secrets(path) or holds_private_key(text):
        return False
    if any(_lies_in(path, root) for root in index.roots):
        return not index.ignored(path)
    # Somebody opened it, although it lies elsewhere.
    return not midfillignore_names(path, index.roots)


def _lies_in(path: str, folder: str) -> bool:
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    return path.startswith(folder.rstrip(os.sep) + os.sep)
