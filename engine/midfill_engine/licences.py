"""Which licences the user has agreed to: asked once each, noted below the home folder."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from midfill_engine.registry import Licence

__all__ = ["accept_licence", "has_accepted"]


def has_accepted(home: Path, licence: Licence) -> bool:
    """Tell whether ``licence`` needs no asking, or was agreed to on this machine."""
    return not licence.must_accept or _note(home, licence).is_file()


def accept_licence(home: Path, licence: Licence) -> None:
    """Note that the user agreed; raises ``OSError`` where nothing can be written."""
    note = _note(home, licence)
    note.parent.mkdir(parents=True, exist_ok=True)
    agreed = {
        "name": licence.name,
        "url": licence.url,
        "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    note.write_text(json.dumps(agreed, indent=2), encoding="utf-8")


def _note(home: Path, licence: Licence) -> Path:
    name = re.sub(r"[^a-z0-9]+", "-", licence.name.lower()).strip("-")
    return home / "licences" / f"{name}.json"
