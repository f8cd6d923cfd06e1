"""Reads of a GGUF file or a checkpoint folder what tells which model it is; no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from midfill_engine.architectures import ARCHITECTURES
from midfill_engine.errors import ModelFormatError
from midfill_engine.registry import ModelFile
from midfill_engine.weights import ModelConfig

__all__ = ["OpenedModel", "open_model"]

_EXPORTED = "Its architecture, {!r}, is run through optimum's exporter: midfill[optimum]."
_LLAMA_CPP = "Only llama.cpp runs its architecture, {!r}: midfill[llama]."


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """What a model says of itself.

    ``tokens`` are those that its embedding has a row for; ``end`` is the one that ends a text.
    ``chat_template`` is empty where there is none.
    """

    name: str
    format: Literal["gguf", "safetensors"]
    config: ModelConfig
    files: tuple[ModelFile, ...]
    tokens: frozenset[str]
    end: str | None
    chat_template: str
    notes: tuple[str, ...]


def open_model(path: Path) -> OpenedModel:
    """Read the GGUF file or the checkpoint folder at ``path``.

    Raises ``ModelFormatError`` where it is damaged, incomplete or of a kind that nothing here
    can run.
    """
    return _open_folder(path) if path.is_dir() else _open_gguf(path)


def _open_gguf(path: Path) -> OpenedModel:
    from midfill_engine.gguf.reader import open_gguf
    from midfill_engine.gguf.weights import GgufWeights

    file = open_gguf(path)
    metadata = file.metadata
    kind, parts = metadata.get("general.type", "model"), metadata.get("split.count", 1)
    if kind != "model":
        raise ModelFormatError(f"{path} is no language model but of the kind {kind!r}.")
    if isinstance(parts, int) and parts > 1:
        raise ModelFormatError(
            f"{path} is one of {parts} parts. Join them first: llama-gguf-split --merge."
        )
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list):
        raise ModelFormatError(f"{path} has no vocabulary. Get a GGUF file that was made with it.")
    name = str(metadata.get("general.architecture", "unknown"))
    known = name in ARCHITECTURES
    config = GgufWeights(path).config if known else _gguf_config(path, metadata, len(tokens))
    end = metadata.get("tokenizer.ggml.eos_token_id")
    is_there = isinstance(end, int) and 0 <= end < len(tokens)
    return OpenedModel(
        name=path.stem,
        format="gguf",
        config=config,
        files=(ModelFile(name=path.name, size_bytes=path.stat().st_size),),
        tokens=frozenset(map(str, tokens[: config.vocab])),
        end=str(tokens[cast("int", end)]) if is_there else None,
        chat_template=str(metadata.get("tokenizer.chat_template", "")),
        notes=() if known else (_LLAMA_CPP.format(name),),
    )


def _open_folder(folder: Path) -> OpenedModel:
    from midfill_engine.safetensors_weights import SafetensorsWeights

    fields = _read_json(folder / "config.json")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelFormatError(
            f"{folder} holds no safetensors. Checkpoints of other kinds (.bin, .pt) are programs, "
            "which midfill does not run: get or make safetensors of it."
        )
    name = str(fields.get("model_type", "unknown"))
    known = name in ARCHITECTURES
    config = SafetensorsWeights(folder).config if known else _folder_config(folder, name, fields)
    settings = _read_json(folder / "tokenizer_config.json")
    return OpenedModel(
        name=folder.resolve().name,
        format="safetensors",
        config=config,
        files=tuple(ModelFile(name=file.name, size_bytes=file.stat().st_size) for file in weights),
        tokens=_tokens_in(folder, config.vocab),
        end=_content(settings.get("eos_token")),
        chat_template=_chat_template(folder, settings),
        notes=() if known else (_EXPORTED.format(name),),
    )


def _tokens_in(folder: Path, vocab: int) -> frozenset[str]:
    """List the tokens of the folder's tokenizer that the embedding has a row for."""
    if (folder / "tokenizer.json").is_file():
        content = _read_json(folder / "tokenizer.json")
        ids = dict(_object(_object(content.get("model")).get("vocab")))
        for entry in map(_object, cast("list[object]", content.get("added_tokens") or [])):
            ids[str(entry.get("content"))] = entry.get("id")
        return frozenset(token for token, at in ids.items() if isinstance(at, int) and at < vocab)
    if (folder / "tokenizer.model").is_file():
        from midfill_engine.tokenizer.sentencepiece import read_sentencepiece

        found = read_sentencepiece(folder / "tokenizer.model")["tokenizer.ggml.tokens"]
        return frozenset(map(str, cast("list[object]", found)[:vocab]))
    raise ModelFormatError(
        f"{folder} has no tokenizer. Put tokenizer.json there, from where the model came from."
    )


def _chat_template(folder: Path, settings: Mapping[str, object]) -> str:
    """Return the text of the template, the default one of several."""
    apart = folder / "chat_template.jinja"
    if apart.is_file():
        return apart.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = map(_object, cast("list[object]", template))
        template = next((t.get("template") for t in named if t.get("name") == "default"), None)
    return template if isinstance(template, str) else ""


def _folder_config(folder: Path, name: str, fields: Mapping[str, object]) -> ModelConfig:
    """Read the shape of an architecture that only the exporter knows: it says how large it is."""

    def number(*keys: str, default: int | None = None) -> int:
        values = [fields[key] for key in keys if isinstance(fields.get(key), int)]
        value = values[0] if values else default
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise ModelFormatError(
                f"{folder} holds a model of type {name!r}, which midfill cannot run: its "
                f"config.json has no {' or '.join(keys)}. Known types: {', '.join(ARCHITECTURES)}, "
                "and decoders that optimum exports."
            )
        return value

    hidden = number("hidden_size", "n_embd", "d_model")
    heads = number("num_attention_heads", "n_head", "n_heads")
    one_for_all = fields.get("multi_query") is True
    return _other_config(
        name,
        layers=number("num_hidden_layers", "n_layer", "n_layers"),
        hidden=hidden,
        ffn=number("intermediate_size", "n_inner", default=4 * hidden),
        heads=heads,
        kv_heads=1 if one_for_all else number("num_key_value_heads", default=heads),
        vocab=number("vocab_size"),
        context_tokens=number(
            "max_position_embeddings", "n_positions", "max_seq_len", default=2048
        ),
    )


def _gguf_config(path: Path, metadata: Mapping[str, object], vocab: int) -> ModelConfig:
    """Read the shape of an architecture that only llama.cpp knows."""
    name = str(metadata.get("general.architecture", "unknown"))

    def number(key: str, default: int | None = None) -> int:
        value = metadata.get(f"{name}.{key}", default)
        if isinstance(value, list):
            # Some architectures have a number for each layer.
            value = max(cast("list[int]", value), default=0)
        if not isinstance(value, int) or value <= 0:
            raise ModelFormatError(
                f"{path} is a model of architecture {name!r} without {key}: no decoder that "
                f"midfill can run. Known are {', '.join(ARCHITECTURES)}, and what llama.cpp knows."
            )
        return value

    hidden, heads = number("embedding_length"), number("attention.head_count")
    return _other_config(
        name,
        layers=number("block_count"),
        hidden=hidden,
        ffn=number("feed_forward_length", 4 * hidden),
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        head_dim=number("attention.key_length", hidden // heads),
        vocab=vocab,
        context_tokens=number("context_length"),
    )


def _other_config(
    name: str,
    *,
    layers: int,
    hidden: int,
    ffn: int,
    heads: int,
    kv_heads: int,
    vocab: int,
    context_tokens: int,
    head_dim: int | None = None,
) -> ModelConfig:
    """Describe what another runtime computes: only its size matters here."""
    return ModelConfig(
        architecture=name,
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim or hidden // heads,
        vocab=vocab,
        context_tokens=context_tokens,
        rope_theta=1e4,
        rope_interleaved=False,
        norm_epsilon=1e-5,
    )


def _read_json(path: Path) -> Mapping[str, object]:
    """Read an object; a file that is not there is an empty one."""
    try:
        return _object(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error


def _object(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _content(token: object) -> str | None:
    """Return a token's text: settings have it as such, or in an object."""
    text = _object(token).get("content", token)
    return text if isinstance(text, str) else None
