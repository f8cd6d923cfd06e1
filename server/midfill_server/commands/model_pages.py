"""What ``midfill models list`` and ``info`` print."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from midfill_engine.registry import MODELS, Capability, HubSource, ModelFile, ModelSpec
from midfill_engine.sources.base import human_bytes
from midfill_engine.store import ModelState, ModelStore, StoredModel

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["print_info", "print_list"]

_EXPLANATION = """\
~: computed; the repository tells the exact size when it is pulled. Context: what it was trained
for, in tokens, and in brackets what it is good for beyond that. The id of a smaller file is the
model's with what stands there, as in codellama-7b-q4_k_m.
More of each: midfill models info MODEL. To fetch one: midfill models pull MODEL"""
_SMALLER = "smaller files, GB"
_MARGIN = 12
_COLUMNS = 500


def print_list(store: ModelStore, *, every: bool, as_json: bool) -> None:
    """Print what is here and what may be fetched unasked, then the others by their families.

    ``every``: all of them in one table. ``as_json``: all of them for programs.
    """
    rows = [(spec, store.describe(spec)) for spec in MODELS]
    if as_json:
        print(json.dumps([_summary(spec, stored) for spec, stored in rows], indent=2))
        return
    near = [
        (spec, stored)
        for spec, stored in rows
        if every or spec.embedded or stored.state is not ModelState.MISSING
    ]
    _print(_table(near))
    shown = {spec.id for spec, _ in near}
    others = [spec for spec in MODELS if spec.id not in shown and spec.variant_of is None]
    if not others:
        return
    for family in dict.fromkeys(spec.family for spec in others):
        _print_family(family, [spec for spec in others if spec.family == family], shown)
    print(f"\n{_EXPLANATION}")


def _table(rows: Iterable[tuple[ModelSpec, StoredModel]]) -> Table:
    table = _plain_table("model", "size", "licence", "can", "context", "state", "path")
    for spec, stored in rows:
        table.add_row(
            spec.id,
            _size(spec, stored),
            spec.licence.name,
            _abilities(spec),
            _context(spec),
            _state_text(stored),
            str(stored.path or ""),
        )
    return table


def _print_family(family: str, specs: list[ModelSpec], shown: set[str]) -> None:
    """Print one line for each model of a family, with its smaller forms at the end of it."""
    licences = dict.fromkeys(spec.licence.name for spec in specs)
    print(f"\n{family} ({', '.join(licences)})" if len(licences) == 1 else f"\n{family}")
    variants = [spec for spec in MODELS if spec.variant_of and spec.id not in shown]
    smaller = {
        spec.id: ", ".join(
            f"{one.id.removeprefix(f'{spec.id}-')} {one.size_bytes / 1e9:.3g}"
            for one in variants
            if one.variant_of == spec.id
        )
        for spec in specs
    }
    columns = {
        "model": [spec.id for spec in specs],
        "size": [_size(spec) for spec in specs],
        "can": [_abilities(spec) for spec in specs],
        "context": [_context(spec) for spec in specs],
        _SMALLER: [smaller[spec.id] for spec in specs],
        "licence": [spec.licence.name for spec in specs] if len(licences) > 1 else [],
    }
    columns = {heading: cells for heading, cells in columns.items() if any(cells)}
    table = _plain_table(*columns)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    _print(table)


def _plain_table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading == "size" else "left")
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    # A row is one line, whatever reads it: an id or a path that is cut or folded cannot be copied.
    # Told of a terminal, the library would believe what that one says of its width.
    plain = Console(width=_COLUMNS, force_terminal=False, highlight=False, markup=False)
    plain.print(table)


def print_info(store: ModelStore, spec: ModelSpec, *, as_json: bool) -> None:
    """Print everything that is known of one model."""
    stored = store.describe(spec)
    if as_json:
        print(json.dumps(_details(store, spec, stored), indent=2))
        return
    config = spec.config
    where = stored.path or (spec.path or f"below {store.home} once pulled")
    variants = [other.id for other in MODELS if other.variant_of == spec.id]
    lines = {
        "model": spec.id + (f", a form of {spec.variant_of}" if spec.variant_of else ""),
        "family": f"{spec.family}, {spec.parameters / 1e9:.2f} billion parameters",
        "shape": f"{config.architecture}: {config.layers} layers, width {config.hidden}, "
        f"feed-forward {config.ffn}, {config.heads} heads ({config.kv_heads} of keys), "
        f"vocabulary {config.vocab}",
        "can": _abilities_in_words(spec),
        "notes": "\n".join(spec.notes),
        "context": _context_in_words(spec),
        "licence": _licence_in_words(store, spec),
        "forms": ", ".join(variants),
        "size": _size(spec, stored).replace("~", "about "),
        "state": _state_text(stored),
        "path": str(where),
        "converted": human_bytes(stored.conversion_bytes) if stored.conversion_bytes else "no",
        "files": "\n".join(_file_lines(spec, store.files(spec))),
        "sources": "\n".join(_source_lines(spec)),
    }
    for name, text in lines.items():
        if text:
            print(f"{name:<{_MARGIN}}" + text.replace("\n", "\n" + " " * _MARGIN))


def _size(spec: ModelSpec, stored: StoredModel | None = None) -> str:
    """Write its size; ``~`` where it is computed from its shape and not known."""
    if stored is not None and stored.size_bytes is not None:
        return human_bytes(stored.size_bytes)
    if spec.size_is_exact:
        return human_bytes(spec.size_bytes)
    return f"~{spec.size_bytes / 1e9:.3g} GB"


def _abilities(spec: ModelSpec) -> str:
    completes = () if Capability.FIM in spec.capabilities else ("prefix",)
    return ", ".join((*completes, *sorted(spec.capabilities)))


def _abilities_in_words(spec: ModelSpec) -> str:
    completes = "fills in between what is before and after the cursor"
    if Capability.FIM not in spec.capabilities:
        completes = "completes from the text before the cursor"
    return completes + (", explains, fixes" if Capability.INSTRUCT in spec.capabilities else "")


def _context(spec: ModelSpec) -> str:
    reach = f" ({_thousands(spec.reach_tokens)})" if spec.reach_tokens > spec.context_tokens else ""
    return _thousands(spec.context_tokens) + reach


def _thousands(tokens: int) -> str:
    return f"{tokens // (1000 if tokens % 1000 == 0 else 1024)}k" if tokens >= 1000 else str(tokens)


def _context_in_words(spec: ModelSpec) -> str:
    text = f"{spec.context_tokens} tokens"
    if spec.reach_tokens > spec.context_tokens:
        text += f", up to {spec.reach_tokens} by extrapolation"
    return text


def _licence_in_words(store: ModelStore, spec: ModelSpec) -> str:
    licence = spec.licence
    text = f"{licence.name}\n{licence.url}" if licence.url else licence.name
    if licence.must_accept and spec.path is None:
        agreed = store.has_accepted(licence)
        text += "\nyou agreed to it" if agreed else "\nto be agreed to before it is fetched"
    return text


def _file_lines(spec: ModelSpec, files: tuple[ModelFile, ...]) -> list[str]:
    if not files and spec.repo is not None:
        what = "safetensors, configuration and tokenizer"
        what = what if spec.format == "safetensors" else spec.repo.wanted[0]
        return [f"{what}, as the repository lists them when it is pulled"]
    lines: list[str] = []
    for file in files:
        lines.append(f"{file.name}, {human_bytes(file.size_bytes)}")
        if file.sha256 or file.git_id:
            lines.append(f"sha256 {file.sha256}" if file.sha256 else f"git id {file.git_id}")
    return lines


def _source_lines(spec: ModelSpec) -> list[str]:
    if spec.repo is not None:
        return [f"{spec.repo.repo} at {spec.repo.revision}"]
    return [
        f"{source.repo} at {source.revision[:12]}"
        if isinstance(source, HubSource)
        else f"{len(source.distributions)} Python packages, "
        f"{source.distributions[0].requirement} and so on"
        for file in spec.files
        for source in file.sources
    ]


def _summary(spec: ModelSpec, stored: StoredModel) -> dict[str, object]:
    return {
        "id": spec.id,
        "family": spec.family,
        "size_bytes": stored.size_bytes or spec.size_bytes,
        "size_is_exact": stored.size_bytes is not None or spec.size_is_exact,
        "licence": spec.licence.name,
        "capabilities": sorted(spec.capabilities),
        "context_tokens": spec.context_tokens,
        "reach_tokens": spec.reach_tokens,
        "variant_of": spec.variant_of,
        "embedded": spec.embedded,
        "state": stored.state,
        "verified": stored.verified,
        "fetched_bytes": stored.fetched_bytes,
        "conversion_bytes": stored.conversion_bytes,
        "path": str(stored.path) if stored.path else None,
    }


def _details(store: ModelStore, spec: ModelSpec, stored: StoredModel) -> dict[str, object]:
    from dataclasses import asdict

    return _summary(spec, stored) | {
        "home": str(store.home),
        "format": spec.format,
        "parameters": spec.parameters,
        "config": asdict(spec.config),
        "fim": spec.fim,
        "chat": spec.chat,
        "stop_texts": list(spec.stop_texts),
        "notes": list(spec.notes),
        "licence_url": spec.licence.url,
        "licence_accepted": store.has_accepted(spec.licence),
        "repository": spec.repo and {"repo": spec.repo.repo, "revision": spec.repo.revision},
        "files": [
            {
                "name": file.name,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "git_id": file.git_id,
                "sources": [
                    {"repo": source.repo, "revision": source.revision, "filename": source.filename}
                    if isinstance(source, HubSource)
                    else {"packages": [part.requirement for part in source.distributions]}
                    for source in file.sources
                ],
            }
            for file in store.files(spec)
        ],
    }


def _state_text(stored: StoredModel) -> str:
    match stored.state:
        case ModelState.READY:
            return "ready" if stored.verified else "ready, not verified"
        case ModelState.PARTIAL:
            # Never 100 %: what is whole but not verified yet is not ready.
            done, total = stored.fetched_bytes, stored.size_bytes or 0
            return f"partial {min(99, done * 100 // max(total, 1))} %"
        case ModelState.MISSING:
            return "not pulled"
