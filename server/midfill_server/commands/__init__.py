"""One module per subcommand: ``add_parser(subparsers)`` and ``run(args) -> exit code``.

Owns: arguments, what is printed, exit codes. Must never know: LSP messages or tensors. A module is
imported only when its command runs, and what it needs only when it is needed.
"""

from __future__ import annotations

import argparse
from typing import Protocol

__all__ = ["Subparsers"]


class Subparsers(Protocol):
    """What ``ArgumentParser.add_subparsers`` returns, whose own type argparse keeps private."""

    def add_parser(
        self, name: str, *, help: str = ..., description: str = ...
    ) -> argparse.ArgumentParser:
        """Declare a subcommand."""
        ...
