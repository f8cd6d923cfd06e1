"""Write the server's settings into package.json: ``python editors/vscode/scripts/settings.py``.

They are declared once, in ``midfill_server.settings``. The extension's own settings, the group
``midfill.client``, are written by hand and stay. ``--check`` only says whether all is up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from midfill_server.settings_schema import settings_schema

__all__ = ["PACKAGE", "with_settings"]

PACKAGE = Path(__file__).resolve().parent.parent / "package.json"

_BY_HAND = "midfill.client"
# In the order in which the editor lists them; settings without a group are the first's.
_GROUPS = {
    "general": "General",
    "completion": "Completion",
    "context": "Context",
    "explain": "Explanations",
    "fix": "Fixes",
    "engine": "Engine",
}
# What suits one machine suits no other: not synchronised, and set apart for remote windows.
_OF_THE_MACHINE = ("model", "profile", "download", "engine")


def with_settings(manifest: Mapping[str, object]) -> dict[str, object]:
    """Return the manifest with the server's settings as they are now, and who may change them."""
    contributes = dict(cast("Mapping[str, object]", manifest["contributes"]))
    groups = cast("Sequence[Mapping[str, object]]", contributes["configuration"])
    kept = [group for group in groups if group["id"] == _BY_HAND]
    contributes["configuration"] = generated = [*_generated(), *kept]
    capabilities = cast("Mapping[str, Mapping[str, object]]", manifest["capabilities"])
    untrusted = {
        **capabilities["untrustedWorkspaces"],
        "restrictedConfigurations": _not_for_strangers(generated),
    }
    return {
        **manifest,
        "capabilities": {**capabilities, "untrustedWorkspaces": untrusted},
        "contributes": contributes,
    }


def _generated() -> list[dict[str, object]]:
    groups: dict[str, dict[str, object]] = {name: {} for name in _GROUPS}
    for key, schema in settings_schema().items():
        first, _, rest = key.removeprefix("midfill.").partition(".")
        group = groups[first if rest else "general"]
        scope = "machine-overridable" if first in _OF_THE_MACHINE else "window"
        group[key] = {"scope": scope, **{name: _plain(value) for name, value in schema.items()}}
    return [
        {"id": f"midfill.{name}", "title": title, "order": order, "properties": groups[name]}
        for order, (name, title) in enumerate(_GROUPS.items(), start=1)
    ]


def _not_for_strangers(groups: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the settings that a workspace has no say in until it is trusted.

    They decide what runs on this machine, and what is fetched onto it.
    """
    properties = [
        cast("Mapping[str, Mapping[str, object]]", group["properties"]) for group in groups
    ]
    return [
        key
        for group in properties
        for key, schema in group.items()
        if schema["scope"] == "machine-overridable"
    ]


def _plain(value: object) -> object:
    """Spell whole numbers as npm does when it rewrites the file."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite or compare; returns 1 if a comparison finds a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    args = parser.parse_args(argv)
    before = PACKAGE.read_text(encoding="utf-8")
    after = json.dumps(with_settings(json.loads(before)), indent=2, ensure_ascii=False) + "\n"
    if before == after:
        return 0
    if args.check:
        print(f"{PACKAGE.name} does not declare the server's settings: run {Path(__file__).name}")
        return 1
    PACKAGE.write_text(after, encoding="utf-8")
    print(f"Rewrote {PACKAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
