"""Makes a tokenizer from the files of a Hugging Face folder, or from Meta's own.

``tokenizer.json`` is put into the terms of GGUF metadata first, as GGUF converters do it, so that
both ways to a tokenizer are one from there on. Format: https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.reader import MetaValue
from midfill_engine.tokenizer.build import build_tokenizer
from midfill_engine.tokenizer.core import Tokenizer
from midfill_engine.tokenizer.pretokenize import NUMBER, PRE_TOKENIZERS, WORDS
from midfill_engine.tokenizer.sentencepiece import read_sentencepiece

__all__ = ["build_from_folder"]

_Json: TypeAlias = Mapping[str, object]

_SPACE = "▁"
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 3, 4, 5, 6
_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
# Text stays as it is (see build_tokenizer), so what composes letters is left out.
_LEFT_OUT = frozenset({"NFC", "NFKC", "NFD", "NFKD"})


def build_from_folder(folder: Path) -> Tokenizer:
    """Make the tokenizer of a folder with ``tokenizer.json`` or ``tokenizer.model``.

    ``config.json`` says how many ids the model has: tokens beyond them are left out. What begins
    and ends a text is taken from ``tokenizer_config.json``, else from ``config.json`` and
    ``generation_config.json``. Raises ``ModelFormatError`` where there is no tokenizer, or one of
    a kind that is not known.
    """
    settings, config = _read(folder / "tokenizer_config.json"), _read(folder / "config.json")
    if (folder / "tokenizer.json").is_file():
        metadata = _from_json(_read(folder / "tokenizer.json"))
    elif (folder / "tokenizer.model").is_file():
        metadata = read_sentencepiece(folder / "tokenizer.model")
    else:
        raise ModelFormatError(
            f"{folder} has no tokenizer: neither tokenizer.json nor tokenizer.model is there."
        )
    _name_ends(metadata, settings, (config, _read(folder / "generation_config.json")))
    limit = config.get("vocab_size")
    if isinstance(limit, int):
        _resize(metadata, limit)
    return build_tokenizer(metadata)


def _from_json(content: _Json) -> dict[str, MetaValue]:
    model = _object(content.get("model"))
    kind = model.get("type", "BPE")
    if kind != "BPE" or "merges" not in model:
        raise ModelFormatError(f"The model's tokenizer is of kind {kind!r}; midfill knows 'BPE'.")
    steps = [*_steps(content.get("pre_tokenizer"))]
    byte_level = any(step.get("type") == "ByteLevel" for step in steps)
    metadata: dict[str, MetaValue] = {
        "tokenizer.ggml.model": "gpt2" if byte_level else "llama",
        "tokenizer.ggml.merges": [_merge(merge) for merge in _list(model.get("merges"))],
    }
    if byte_level:
        metadata["tokenizer.ggml.pre"] = _pre_tokenization(steps, model.get("ignore_merges"))
    else:
        metadata["tokenizer.ggml.add_space_prefix"] = _has_space_prefix(content, steps, model)
    _add_tokens(metadata, _object(model.get("vocab")), _list(content.get("added_tokens")))
    if _begins_with_special(content.get("post_processor")):
        metadata["tokenizer.ggml.add_bos_token"] = True
    return metadata


def _add_tokens(metadata: dict[str, MetaValue], vocabulary: _Json, added: Sequence[object]) -> None:
    """List all tokens by id, with their types; ids that nothing is said of are unused."""
    tokens: dict[int, str] = {}
    types: dict[int, int] = {}
    for token, token_id in vocabulary.items():
        if isinstance(token_id, int):
            tokens[token_id] = token
            types[token_id] = _BYTE if token in _BYTES else _NORMAL
    for entry in map(_object, added):
        token, token_id = entry.get("content"), entry.get("id")
        if isinstance(token, str) and isinstance(token_id, int):
            tokens[token_id] = token
            types[token_id] = _CONTROL if entry.get("special") is True else _USER_DEFINED
    ids = range(max(tokens, default=-1) + 1)
    metadata["tokenizer.ggml.tokens"] = [tokens.get(at, f"[PAD{at}]") for at in ids]
    metadata["tokenizer.ggml.token_type"] = [types.get(at, _UNUSED) for at in ids]


def _pre_tokenization(steps: Sequence[_Json], ignores_merges: object) -> str:
    """Return the key of ``PRE_TOKENIZERS`` that cuts as ``steps`` do."""
    patterns: list[str] = []
    for step in steps:
        match step.get("type"):
            case "Split" if step.get("behavior") == "Isolated" and not step.get("invert"):
                patterns.append(str(_object(step.get("pattern")).get("Regex")))
            case "Digits" if step.get("individual_digits") is True:
                patterns.append(NUMBER)
            case "ByteLevel" if step.get("add_prefix_space") is not True:
                patterns += [WORDS] if step.get("use_regex", True) is True else []
            case _:
                raise _unknown_words(step)
    for key, kind in PRE_TOKENIZERS.items():
        if list(kind.patterns) == patterns and kind.ignore_merges == (ignores_merges is True):
            return key
    raise _unknown_words(patterns)


def _unknown_words(found: object) -> ModelFormatError:
    return ModelFormatError(
        f"The model's tokenizer cuts words in an unknown way, {str(found)[:200]}; midfill knows "
        f"those of: {', '.join(PRE_TOKENIZERS)}."
    )


def _has_space_prefix(content: _Json, steps: Sequence[_Json], model: _Json) -> bool:
    """Return whether a text gets a space before it; refuse what is not SentencePiece's way."""
    if model.get("byte_fallback") is not True:
        raise _unknown_words("neither by bytes nor with a fallback to them")
    prefix = spaces = False
    for step in (*_steps(content.get("normalizer")), *steps):
        match step.get("type"):
            case "Prepend" if step.get("prepend") == _SPACE:
                prefix = True
            case "Replace" if step.get("content") == _SPACE:
                spaces = True
            case "Metaspace" if step.get("replacement", _SPACE) == _SPACE:
                spaces = True
                scheme = step.get("prepend_scheme", "always")
                prefix = scheme != "never" and step.get("add_prefix_space", True) is True
            case "Split" if spaces and step.get("pattern") == {"String": " "}:
                # No space is left to split at.
                continue
            case kind if kind in _LEFT_OUT:
                continue
            case _:
                raise _unknown_words(step)
    if not spaces:
        raise _unknown_words("spaces are no part of its pieces")
    return prefix


def _steps(step: object) -> Iterator[_Json]:
    """Yield the steps of a normalizer or pre-tokenizer, which may be a sequence of others."""
    if step is None:
        return
    content = _object(step)
    if content.get("type") != "Sequence":
        yield content
        return
    for part in _list(content.get("pretokenizers", content.get("normalizers"))):
        yield from _steps(part)


def _begins_with_special(processor: object) -> bool:
    """Return whether the post-processor, or one of several, puts a special token first."""
    if processor is None:
        return False
    content = _object(processor)
    if content.get("type") == "Sequence":
        return any(map(_begins_with_special, _list(content.get("processors"))))
    template = _list(content.get("single", []))
    return bool(template) and "SpecialToken" in _object(template[0])


def _name_ends(metadata: dict[str, MetaValue], settings: _Json, configs: Sequence[_Json]) -> None:
    """Write down which ids begin and end a text, and whether prompts begin with the first."""
    tokens = _list(metadata["tokenizer.ggml.tokens"])
    for name in ("bos", "eos"):
        named = settings.get(f"{name}_token")
        if isinstance(named, Mapping):
            named = _object(cast("object", named)).get("content")
        found = [tokens.index(named)] if named in tokens else []
        for config in configs:
            ids = config.get(f"{name}_token_id")
            every = cast("list[object]", ids) if isinstance(ids, list) else [ids]
            found += [token_id for token_id in every if isinstance(token_id, int)]
        if found:
            metadata[f"tokenizer.ggml.{name}_token_id"] = found[0]
    wants_bos = settings.get("add_bos_token")
    if isinstance(wants_bos, bool):
        metadata["tokenizer.ggml.add_bos_token"] = wants_bos


def _resize(metadata: dict[str, MetaValue], size: int) -> None:
    """Leave as many tokens as the model has ids, so that no text becomes one that it lacks."""
    tokens = _list(metadata["tokenizer.ggml.tokens"])
    types = _list(metadata["tokenizer.ggml.token_type"])
    gone = set(tokens[size:])
    unused = range(len(tokens), size)
    metadata["tokenizer.ggml.tokens"] = _values([*tokens[:size], *(f"[PAD{at}]" for at in unused)])
    metadata["tokenizer.ggml.token_type"] = _values([*types[:size], *(_UNUSED for _ in unused)])
    if "tokenizer.ggml.scores" in metadata:
        scores = _list(metadata["tokenizer.ggml.scores"])
        metadata["tokenizer.ggml.scores"] = _values([*scores[:size], *(0.0 for _ in unused)])
    if gone and "tokenizer.ggml.merges" in metadata:
        merges = map(str, _list(metadata["tokenizer.ggml.merges"]))
        metadata["tokenizer.ggml.merges"] = [
            merge
            for merge in merges
            if not gone.intersection((*merge.split(" "), merge.replace(" ", "")))
        ]


def _values(items: Sequence[object]) -> MetaValue:
    return cast("MetaValue", list(items))


def _merge(merge: object) -> str:
    """Return a merge as one string; newer files list it as two."""
    return merge if isinstance(merge, str) else " ".join(map(str, _list(merge)))


def _object(value: object) -> _Json:
    if not isinstance(value, dict):
        raise ModelFormatError(
            f"The model's tokenizer has {value!r:.80} where an object should be."
        )
    return cast("_Json", value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ModelFormatError(f"The model's tokenizer has {value!r:.80} where a list should be.")
    return cast("list[object]", value)


def _read(path: Path) -> _Json:
    """Return the object in a JSON file; an empty one where there is no such file."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read ({error}).") from error
    return _object(content)
