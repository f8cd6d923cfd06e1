"""What took long to find out, kept in a file of lines: what is there is not computed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import cast

__all__ = ["KeptRows", "key_of"]


class KeptRows:
    """JSON objects by their ``key``; each is on disk before the next one is computed.

    Several threads may add to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, Mapping[str, object]] = {}
        self._broken = False
        self._lock = Lock()
        if path.exists():
            self._read(path.read_text(encoding="utf-8"))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._rows)

    def get(self, key: str) -> Mapping[str, object] | None:
        """Return the row of that key, if there is one."""
        return self._rows.get(key)

    def add(self, row: Mapping[str, object]) -> None:
        """Keep a row; it takes the place of an earlier one of the same key."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, self.path.open("a", encoding="utf-8", newline="\n") as file:
            # A line that a kill cut short ends here, and is not read.
            file.write("\n" if self._broken else "")
            file.write(json.dumps(row) + "\n")
            self._broken = False
            self._rows[str(row["key"])] = row

    def _read(self, text: str) -> None:
        self._broken = bool(text) and not text.endswith("\n")
        for line in text.split("\n"):
            try:
                row = cast("Mapping[str, object]", json.loads(line))
                self._rows[str(row["key"])] = row
            except (ValueError, KeyError, TypeError):
                # Half a line: it will be computed again.
                continue


def key_of(*parts: object) -> str:
    """Return the name of what depends on ``parts``, of which JSON must be made."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
