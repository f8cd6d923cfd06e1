"""Code Llama's tokenizer, from a file that is not in the repository, as GGUF metadata."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest

from midfill_engine.gguf.reader import MetaValue
from midfill_engine.tokenizer import Tokenizer, build_tokenizer


def tokenizer_file(name: str) -> Path:
    """The file ``name``; skips the test where the data folder is not there."""
    default = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("MIDFILL_DATA", default)) / "tokenizers" / name
    if not path.is_file():
        pytest.skip(f"{name} is not under $MIDFILL_DATA/tokenizers")
    return path


@cache
def sentencepiece_model():
    """The reference: SentencePiece itself."""
    reference = pytest.importorskip("sentencepiece", reason="the reference is not installed")
    return reference.SentencePieceProcessor(
        model_file=str(tokenizer_file("codellama-tokenizer.model"))
    )


def metadata() -> dict[str, MetaValue]:
    """What llama.cpp's converter writes for it."""
    model = sentencepiece_model()
    ids = range(model.get_piece_size())

    def kind(token_id: int) -> int:
        if model.is_unknown(token_id):
            return 2
        if model.is_control(token_id):
            return 3
        return 6 if model.is_byte(token_id) else 1

    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [model.id_to_piece(token_id) for token_id in ids],
        "tokenizer.ggml.scores": [model.get_score(token_id) for token_id in ids],
        "tokenizer.ggml.token_type": [kind(token_id) for token_id in ids],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


@cache
def codellama() -> Tokenizer:
    """The tokenizer under test, made once."""
    return build_tokenizer(metadata())


def infill_golden() -> list[dict[str, object]]:
    """Prefixes and suffixes with the ids that Meta's formula gives them."""
    return json.loads(tokenizer_file("codellama_infill_golden.json").read_text(encoding="utf-8"))
