"""What tests of the benchmarks share: sets as files, and where programs can be run."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="programs run on Linux and macOS only")


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a set: a line of JSON for each row, compressed where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
