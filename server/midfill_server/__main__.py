"""``python -m midfill_server``: the same as the command ``midfill``."""

from __future__ import annotations

import sys

from midfill_server.cli import main

if __name__ == "__main__":
    sys.exit(main())
