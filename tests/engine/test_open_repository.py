"""From a row that names a repository, or from a path, to an engine that answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_sources import FakeHub, FakeRepo, use_fake_hub
from tiny_files import vocabulary, write_gguf, write_safetensors
from tiny_models import tiny_model

from midfill_engine import loading, registry
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import ModelFormatError
from midfill_engine.loading import open_engine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.registry import HubRepo, Licence, ModelSpec
from midfill_engine.speed import Speed
from midfill_engine.tokenizer.pretokenize import PRE_TOKENIZERS
from midfill_engine.types import CompletionRequest

MODEL = tiny_model("llama")
SPEC = ModelSpec(
    id="tiny-checkpoint",
    family="Tiny",
    config=MODEL.config,
    format="safetensors",
    repo=HubRepo(repo="midfill-tests/tiny"),
    fim="qwen2.5-coder",
    stop_texts=("<|endoftext|>",),
    licence=Licence(name="none", url=""),
)
REQUEST = CompletionRequest(prefix="def add(a, b):\n    return ", suffix="\n", max_tokens=24)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The tiny model as the hub would have it: three shards, with a tokenizer."""
    folder = write_safetensors(MODEL, tmp_path / "checkpoint", shards=3)
    tokens = list(enumerate(vocabulary()["tokenizer.ggml.tokens"]))
    types = vocabulary()["tokenizer.ggml.token_type"]
    words = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in PRE_TOKENIZERS["qwen2"].patterns
    ]
    letters = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    tokenizer = {
        "model": {
            "type": "BPE",
            "vocab": {token: at for at, token in tokens if types[at] == 1},
            "merges": vocabulary()["tokenizer.ggml.merges"],
        },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*words, letters]},
        "added_tokens": [
            {"id": at, "content": token, "special": types[at] == 3}
            for at, token in tokens
            if types[at] != 1
        ],
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    settings = json.dumps({"eos_token": "<|endoftext|>"})
    (folder / "tokenizer_config.json").write_text(settings, encoding="utf-8")
    return folder


@pytest.fixture
def hub(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(registry, "MODELS", (SPEC,))
    # How fast the machine is says nothing here, and takes long to find out.
    speed = Speed(prefill_tokens_per_s=1000, step_ms=1, machine="")
    monkeypatch.setattr(loading, "remembered_speed", lambda *args: speed)
    with use_fake_hub(monkeypatch) as hub:
        files = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
        small = tuple(name for name in files if name.endswith(".json"))
        hub.repo = FakeRepo("midfill-tests/tiny", files, by_git_id=small)
        yield hub


def answer(home: Path, model: str, *, download: bool = False) -> SimpleNamespace:
    """Open ``model``, have it answer, and close it."""
    options = EngineOptions(
        model=model,
        home=home,
        backend="onnx",
        device="cpu",
        weights="float32",
        threads=1,
        context_tokens=256,
        download=download,
        stand_in="never",
        draft="never",
    )
    engine = open_engine(options, silent)
    try:
        text = "".join(chunk.text for chunk in engine.stream(REQUEST, CancelToken()))
        return SimpleNamespace(id=engine.info.model_id, text=text)
    finally:
        engine.close()


def test_a_repository_is_pulled_converted_and_answers_and_then_needs_no_hub(
    hub: FakeHub, tmp_path: Path
) -> None:
    first = answer(tmp_path / "home", SPEC.id, download=True)
    assert (first.id, bool(first.text)) == (SPEC.id, True)
    hub.asked.clear()
    assert answer(tmp_path / "home", SPEC.id) == first
    assert hub.asked == []


def test_the_same_model_answers_the_same_wherever_it_comes_from(
    hub: FakeHub, tmp_path: Path, checkpoint: Path
) -> None:
    home = tmp_path / "home"
    pulled = answer(home, SPEC.id, download=True)
    file = write_gguf(MODEL, tmp_path / "tiny.gguf")
    for path in (checkpoint, file):
        own = answer(home, str(path))
        assert own.text == pulled.text
        assert own.id.startswith(path.stem)


def test_a_repository_that_holds_another_model_is_not_run(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deeper = dataclasses.replace(SPEC, config=dataclasses.replace(MODEL.config, layers=3))
    monkeypatch.setattr(registry, "MODELS", (deeper,))
    with pytest.raises(ModelFormatError, match="it has layers 2, and that has 3"):
        answer(tmp_path / "home", SPEC.id, download=True)
