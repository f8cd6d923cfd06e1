"""The command line: finds the subcommand, imports only that, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from midfill_engine import __version__
from midfill_engine.errors import MidfillError

__all__ = ["main"]

# The lines of `midfill --help` stand here too, so that it need not import each module.
_COMMANDS = {
    "serve": "start the language server (stdio by default)",
    "complete": "complete at FILE:LINE:COL and print the result",
    "models": "list, fetch, remove and describe models",
    "doctor": "check this installation and say what to do about each problem",
    "stats": "show how fast completions were, and how many cost no waiting",
}

_INTERRUPTED = 130
_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    1 for an error that midfill raised on purpose, 2 for wrong arguments, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A Windows console or a pipe may not know every character; an odd one must not end us.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except MidfillError as error:
        print(f"midfill: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return code


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="midfill",
        description="Code completion by a model on your own machine, as a language server.",
    )
    parser.add_argument("--version", action="version", version=f"midfill {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    module = None
    for name, summary in _COMMANDS.items():
        if name == chosen:
            module = importlib.import_module(f"midfill_server.commands.{name}")
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    args = parser.parse_args(arguments)
    if module is None:
        parser.print_help()
        return 0
    return int(module.run(args))
