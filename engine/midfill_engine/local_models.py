"""A model file or folder of the user's own: what it is and what it can do, from what it says.

Only headers, configurations and vocabularies are read. What a model was trained for is known by
the special tokens in its vocabulary and by its chat template; a checkpoint of the registry's is
known by its shape, for some have tokens that they were never trained with.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from midfill_engine.errors import ModelFormatError, ModelMissingError
from midfill_engine.local_files import OpenedModel, open_model
from midfill_engine.prompt.chat import CHAT_FORMATS
from midfill_engine.prompt.formats import FIM_FORMATS, FimFormat
from midfill_engine.registry import MODELS, Licence, ModelSpec, find_model
from midfill_engine.weights import ModelConfig

__all__ = ["model_at", "resolve_model"]

_UNKNOWN_LICENCE = Licence(name="unknown: see where you got it", url="")
_PROGRAMS = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
_ONLY_PREFIX = "It completes from the text before the cursor only"
# What a template has to hold to be one of these, the most particular first.
_TEMPLATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "codellama-70b": ("Source: ", "<step>"),
        "chatml": ("<|im_start|>",),
        "gemma": ("<start_of_turn>",),
        "deepseek-coder": ("### Instruction:", "<|EOT|>"),
        "codellama": ("[INST]", "<<SYS>>"),
    }
)
# Ends of answers and turns that no format here names.
_OTHER_ENDS = ("<|eot_id|>", "<|end_of_text|>", "<|end|>", "<|im_end|>", "<|endoftext|>", "</s>")


def resolve_model(name: str) -> ModelSpec:
    """Return the model that ``name`` means: a path to one, or an id of the registry.

    A path has a separator in it, begins with ``~``, ends with ``.gguf`` or is a folder with a
    ``config.json``. Raises ``UnknownModelError``, and what ``model_at`` does.
    """
    text = name.strip()
    looks_like_path = any(sign in text for sign in "/\\") or text.startswith("~")
    path = Path(text).expanduser()
    if looks_like_path or path.suffix.lower() == ".gguf" or (path / "config.json").is_file():
        return model_at(path)
    return find_model(text)


def model_at(path: Path) -> ModelSpec:
    """Describe the GGUF file or the folder of safetensors at ``path``; takes a second at most.

    What could not be recognised, and what follows from that, is in ``notes``. Raises
    ``ModelMissingError`` where there is nothing, and ``ModelFormatError``, which says what to do,
    for what cannot be used.
    """
    _check_kind(path)
    opened = open_model(path)
    config = opened.config
    relatives = [spec for spec in MODELS if _shape(spec.config) == _shape(config)]
    fim, fim_notes = _recognise_fim(opened, relatives)
    chat = _recognise_chat(opened)
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    weights_bytes = sum(file.size_bytes for file in opened.files)
    family = relatives[0].family if relatives else opened.name
    return ModelSpec(
        id=f"{_plain(opened.name)}-{digest}",
        family=family,
        config=config,
        format=opened.format,
        files=opened.files,
        path=path.resolve(),
        bits_per_weight=weights_bytes * 8 / max(config.matrix_weights, 1),
        fim=fim,
        chat=chat,
        stop_texts=_ends(opened),
        extrapolated_tokens=_common_reach(relatives),
        licence=relatives[0].licence if relatives else _UNKNOWN_LICENCE,
        notes=(*opened.notes, *fim_notes),
        head_is_copy=not config.tied and any(spec.head_is_copy for spec in relatives),
        layout="mixed" if config.matrix_weights > 1e9 else "int8",
    )


def _check_kind(path: Path) -> None:
    if not path.exists():
        known = next(
            (spec for spec in MODELS if spec.repo and spec.repo.repo == path.as_posix()), None
        )
        hint = f"; did you mean {known.id!r}, which is that model of the hub?" if known else ""
        raise ModelMissingError(f"there is no file or folder {path}{hint}")
    if path.is_dir():
        if (path / "config.json").is_file():
            return
        files = sorted(file.name for file in path.glob("*.gguf"))
        hint = f" Name one of its files: {', '.join(files)}." if files else ""
        raise ModelFormatError(
            f"{path} is no model: a folder needs config.json, tokenizer.json and safetensors.{hint}"
        )
    if path.suffix.lower() in _PROGRAMS:
        raise ModelFormatError(
            f"{path} is a pickle: a program, which midfill does not run. Get the same model as "
            "safetensors or GGUF, or convert it."
        )
    if path.suffix.lower() == ".safetensors":
        raise ModelFormatError(
            f"{path} holds weights only. Name its folder, with config.json and tokenizer.json."
        )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What tells checkpoints apart, whatever their vocabulary was padded to."""

    architecture: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    rope_theta: float


def _shape(config: ModelConfig) -> _Shape:
    return _Shape(
        config.architecture,
        config.layers,
        config.hidden,
        config.ffn,
        config.heads,
        config.kv_heads,
        round(config.rope_theta),
    )


def _recognise_fim(
    opened: OpenedModel, relatives: list[ModelSpec]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the key of its format, and what to say where there is none."""
    tokens = opened.tokens
    fitting = [key for key, fim in FIM_FORMATS.items() if _markers(fim) <= tokens]
    if not fitting:
        missing = ", ".join(sorted({fim.prefix for fim in FIM_FORMATS.values()}))
        return None, (
            f"{_ONLY_PREFIX}: its vocabulary has the fill-in markers of no known family "
            f"(looked for {missing}).",
        )
    if relatives and not any(spec.fim for spec in relatives):
        names = ", ".join(spec.id for spec in relatives if spec.variant_of is None)
        return None, (
            f"{_ONLY_PREFIX}: it is shaped as {names}, which were not trained to fill in, "
            "though the vocabulary has markers for that.",
        )
    # Several families share their markers; the others of their tokens tell them apart.
    return max(fitting, key=lambda key: len(_tokens_of(FIM_FORMATS[key]) & tokens)), ()


def _recognise_chat(opened: OpenedModel) -> str | None:
    def usable(key: str) -> bool:
        return CHAT_FORMATS[key].specials <= opened.tokens

    if opened.chat_template:
        for key, signs in _TEMPLATES.items():
            if all(sign in opened.chat_template for sign in signs) and usable(key):
                return key
        return None
    # Older files have no template; those of Code Llama say what they are in their names.
    name = opened.name.lower()
    if "llama" in name and "code" in name and "instruct" in name:
        key = "codellama-70b" if "<step>" in opened.tokens else "codellama"
        return key if usable(key) else None
    return None


def _ends(opened: OpenedModel) -> tuple[str, ...]:
    """List every special token of its vocabulary that no answer may contain."""
    known: set[str] = set(_OTHER_ENDS)
    for fim in FIM_FORMATS.values():
        known |= _tokens_of(fim)
    for chat in CHAT_FORMATS.values():
        known |= chat.specials | set(chat.stops)
    if opened.end is not None:
        known.add(opened.end)
    return tuple(sorted(known & opened.tokens))


def _markers(fim: FimFormat) -> frozenset[str]:
    return frozenset(filter(None, (fim.prefix, fim.suffix, fim.middle)))


def _tokens_of(fim: FimFormat) -> frozenset[str]:
    repo = () if fim.repo is None else (fim.repo.repo, fim.repo.file)
    more = (*repo, *fim.stops)
    return _markers(fim) | frozenset(filter(None, more))


def _common_reach(relatives: list[ModelSpec]) -> int | None:
    reaches = {spec.extrapolated_tokens for spec in relatives}
    return reaches.pop() if len(reaches) == 1 else None


def _plain(name: str) -> str:
    """Make a file name of it that is plain everywhere."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-._+") or "model"
