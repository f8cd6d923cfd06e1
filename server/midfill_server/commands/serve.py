"""``midfill serve``: the language server."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import logging.handlers
import os
import sys
from typing import TYPE_CHECKING

from midfill_engine.errors import MidfillError
from midfill_server.commands import Subparsers

if TYPE_CHECKING:
    from midfill_engine.engine import Engine
    from midfill_engine.options import EngineOptions
    from midfill_engine.progress import ProgressSink
    from midfill_server.server import MidfillServer

__all__ = ["add_parser", "end_session", "parse_address", "run"]

_LOG_BYTES = 1_000_000
_LOG_FILES = 3
_CLOSE_TIMEOUT_S = 1.0


def add_parser(subparsers: Subparsers) -> None:
    """Declare the options."""
    parser = subparsers.add_parser(
        "serve",
        help="start the language server (stdio by default)",
        description="Start the language server for one client.",
    )
    transport = parser.add_mutually_exclusive_group()
    transport.add_argument(
        "--stdio", action="store_true", help="standard input and output (the default)"
    )
    transport.add_argument(
        "--tcp", metavar="[HOST:]PORT", help="listen on TCP, on 127.0.0.1 if no host is given"
    )
    transport.add_argument("--ws", metavar="[HOST:]PORT", help="the same as a WebSocket")
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="listen on a host that other machines reach; nothing is encrypted, and whoever "
        "connects may use the model",
    )
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="what to log to standard error and the log file (default: info)",
    )
    # vscode-languageclient adds it; the pid also comes with the initialize request.
    parser.add_argument("--clientProcessId", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until the client leaves; returns the exit code."""
    tcp, ws = _address(args.tcp, args), _address(args.ws, args)
    _set_up_logging(str(args.log_level))
    from midfill_server.explaining import ExplanationCache, explanations_beside
    from midfill_server.server import build_server
    from midfill_server.settings import load_settings, statistics_path
    from midfill_server.statistics import Recorder
    from midfill_server.transport import serve_stdio, serve_tcp, serve_ws

    settings, problems = load_settings()
    path = statistics_path()
    recorder = None if path is None else Recorder(path)
    explanations = ExplanationCache(explanations_beside(path))
    server = build_server(_open_engine, settings, problems, recorder, explanations)
    code = 1
    try:
        if tcp is not None:
            code = serve_tcp(server, *tcp)
        elif ws is not None:
            code = serve_ws(server, *ws)
        else:
            code = serve_stdio(server)
    except KeyboardInterrupt:
        code = 130
    finally:
        end_session(server, code)
    return code


def end_session(server: MidfillServer, code: int) -> None:
    """End reading, close the engine; if that is in the midst of something long, end without it."""
    server.close_figures()
    server.close_aids()
    server.project.close()
    if server.scheduler.close(_CLOSE_TIMEOUT_S):
        return
    # A model that is being read or fetched cannot be interrupted, and Python would wait for it.
    # Everything on disk is written so that a kill at any moment does no harm.
    logging.shutdown()
    os._exit(code)


def parse_address(text: str) -> tuple[str, int]:
    """Split ``[HOST:]PORT``; an IPv6 host stands in brackets. Raises ``MidfillError``."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise MidfillError(f"{text!r} is not an address: give PORT or HOST:PORT")
    return host, int(port)


def _address(text: str | None, args: argparse.Namespace) -> tuple[str, int] | None:
    if text is None:
        return None
    host, port = parse_address(text)
    if not args.allow_remote and not _is_loopback(host):
        raise MidfillError(
            f"other machines reach {host}: add --allow-remote if that is meant, or use 127.0.0.1"
        )
    return host, port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _open_engine(options: EngineOptions, progress: ProgressSink) -> Engine:
    from midfill_engine.loading import open_engine

    return open_engine(options, progress)


def _set_up_logging(level: str) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    from midfill_server.settings import log_path

    try:
        path = log_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(
                path,
                maxBytes=_LOG_BYTES,
                backupCount=_LOG_FILES,
                encoding="utf-8",
                delay=True,
            )
        )
    except OSError as error:
        print(f"midfill: no log file: {error}", file=sys.stderr)
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
        handlers=handlers,
    )
    # pygls warns of each cancel that comes after its answer, and logs every message at info.
    logging.getLogger("pygls").setLevel(logging.DEBUG if level == "debug" else logging.ERROR)
