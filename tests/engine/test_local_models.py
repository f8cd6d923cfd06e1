"""Models of the user's own: what they are recognised as, and what is said where they are not."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from midfill_engine.errors import ModelFormatError, ModelMissingError, UnknownModelError
from midfill_engine.local_models import model_at, resolve_model
from midfill_engine.prompt.chat import CHAT_FORMATS
from midfill_engine.prompt.formats import FIM_FORMATS
from midfill_engine.registry import Capability, find_model
from midfill_engine.weights import ModelConfig

TINY = ModelConfig(
    architecture="llama",
    layers=2,
    hidden=64,
    ffn=128,
    heads=4,
    kv_heads=2,
    head_dim=16,
    vocab=0,
    context_tokens=512,
    rope_theta=1e4,
    rope_interleaved=True,
    norm_epsilon=1e-5,
)
WORDS = [f"word{number}" for number in range(20)]
CODE_LLAMA = ["<s>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"]
CODE_LLAMA_CHAT = "{{ '<s>[INST] <<SYS>>\n' + system + '\n<</SYS>>' }}"


def write_file(
    path: Path,
    tokens: Sequence[str],
    config: ModelConfig = TINY,
    **metadata: str | int,
) -> Path:
    """A GGUF file with everything but the weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, config.architecture)
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context_tokens)
    writer.add_embedding_length(config.hidden)
    writer.add_feed_forward_length(config.ffn)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_layer_norm_eps(config.norm_epsilon)
    writer.add_tokenizer_model("llama")
    if tokens:
        writer.add_token_list([*WORDS, *tokens])
    for key, value in metadata.items():
        name = key.replace("__", ".")
        if isinstance(value, int):
            writer.add_uint32(name, value)
        else:
            writer.add_string(name, value)
    rows = len(WORDS) + len(tokens)
    writer.add_tensor("token_embd.weight", np.zeros((rows, config.hidden), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_folder(
    folder: Path,
    tokens: Sequence[str],
    config: ModelConfig = TINY,
    *,
    rows: int | None = None,
    settings: dict[str, Any] | None = None,
    **fields: Any,
) -> Path:
    """A checkpoint with everything but the weights of its layers."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = {
        "model_type": config.architecture,
        "hidden_size": config.hidden,
        "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "max_position_embeddings": config.context_tokens,
        "rope_theta": config.rope_theta,
    }
    (folder / "config.json").write_text(json.dumps(shape | fields), encoding="utf-8")
    tokenizer = {
        "model": {"type": "BPE", "vocab": {word: at for at, word in enumerate(WORDS)}},
        "added_tokens": [
            {"id": at, "content": token} for at, token in enumerate(tokens, start=len(WORDS))
        ],
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    text = json.dumps(settings or {})
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    rows = len(WORDS) + len(tokens) if rows is None else rows
    size = rows * config.hidden * 2
    header = {
        "model.embed_tokens.weight": {
            "dtype": "BF16",
            "shape": (rows, config.hidden),
            "data_offsets": (0, size),
        }
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    weights = struct.pack("<Q", len(text)) + text + bytes(size)
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def every_token_of(key: str) -> list[str]:
    fim = FIM_FORMATS[key]
    repo = (fim.repo.repo, fim.repo.file) if fim.repo else ()
    parts = (fim.prefix, fim.suffix, fim.middle, *repo, *fim.stops)
    return list(dict.fromkeys(part for part in parts if part is not None))


def markers_only(key: str) -> list[str]:
    fim = FIM_FORMATS[key]
    return [part for part in (fim.prefix, fim.suffix, fim.middle) if part is not None]


@pytest.mark.parametrize("key", FIM_FORMATS)
@pytest.mark.parametrize("write", [write_file, write_folder])
def test_each_format_is_recognised_by_its_tokens(tmp_path: Path, key: str, write: Any) -> None:
    spec = model_at(write(tmp_path / "model.gguf", every_token_of(key)))
    assert spec.fim is not None
    # Two names may stand for the same tokens; the order in which they are written is a choice.
    found, expected = FIM_FORMATS[spec.fim], FIM_FORMATS[key]
    assert dataclasses.replace(found, order=expected.order) == expected
    assert spec.notes == ()
    assert set(every_token_of(key)) <= set(spec.stop_texts)
    assert not set(WORDS) & set(spec.stop_texts)


@pytest.mark.parametrize("key", FIM_FORMATS)
def test_a_format_that_lacks_a_marker_is_none(tmp_path: Path, key: str) -> None:
    for number, missing in enumerate(markers_only(key)):
        tokens = [token for token in every_token_of(key) if token != missing]
        spec = model_at(write_file(tmp_path / f"{number}.gguf", tokens))
        assert spec.fim is None
        assert "completes from the text before the cursor only" in spec.notes[0]
        assert FIM_FORMATS[key].prefix in spec.notes[0]
        assert Capability.FIM not in spec.capabilities


def test_a_file_describes_its_model(tmp_path: Path) -> None:
    path = write_file(tmp_path / "My Model.gguf", CODE_LLAMA, tokenizer__ggml__eos_token_id=3)
    spec = model_at(path)
    assert (spec.format, spec.path) == ("gguf", path.resolve())
    assert spec.config.vocab == len(WORDS) + len(CODE_LLAMA)
    assert (spec.context_tokens, spec.reach_tokens) == (512, 512)
    assert spec.size_bytes == path.stat().st_size
    assert spec.id.startswith("My-Model-")
    assert "word3" in spec.stop_texts, "what the file calls its end is one, whatever it looks like"
    assert not spec.embedded
    assert spec.id != model_at(write_file(tmp_path / "other" / "My Model.gguf", CODE_LLAMA)).id


def test_a_folder_describes_its_model(tmp_path: Path) -> None:
    spec = model_at(
        write_folder(tmp_path / "mine", CODE_LLAMA, settings={"eos_token": {"content": "word4"}})
    )
    assert (spec.format, spec.fim) == ("safetensors", "codellama")
    assert spec.id.startswith("mine-")
    assert "word4" in spec.stop_texts
    assert spec.size_bytes == (tmp_path / "mine" / "model.safetensors").stat().st_size


def test_a_token_beyond_the_embedding_is_none(tmp_path: Path) -> None:
    """The tokenizer of Code Llama's 34B and Python models has markers that they lack."""
    spec = model_at(write_folder(tmp_path / "mine", CODE_LLAMA, rows=len(WORDS) + 2))
    assert spec.fim is None
    assert spec.stop_texts == ("</s>", "<s>")


@pytest.mark.parametrize(
    ("model_id", "fills_in", "reach"),
    [
        ("codellama-7b", True, 100_000),
        ("codellama-13b", True, 100_000),
        ("codellama-34b", False, 100_000),
        ("codellama-70b", True, 100_000),
        ("codellama-70b-instruct", False, 4096),
    ],
)
def test_a_checkpoint_is_known_by_its_shape_whatever_its_vocabulary_says(
    tmp_path: Path, model_id: str, fills_in: bool, reach: int
) -> None:
    known = find_model(model_id)
    spec = model_at(write_file(tmp_path / "renamed.gguf", CODE_LLAMA, known.config))
    assert (spec.fim is not None) == fills_in
    assert spec.reach_tokens == reach
    assert (spec.family, spec.licence) == (known.family, known.licence)
    if not fills_in:
        assert f"it is shaped as {model_id.removesuffix('-instruct')}" in spec.notes[0]
        assert "▁<EOT>" in spec.stop_texts


@pytest.mark.parametrize(
    ("key", "template"),
    [
        ("codellama", CODE_LLAMA_CHAT),
        ("codellama-70b", "{{ '<s>Source: system' + content + '<step>' }}"),
        ("chatml", "{{ '<|im_start|>' + role }}"),
        ("gemma", "{{ '<start_of_turn>' + role }}"),
        ("deepseek-coder", "{{ '### Instruction:\\n' + content + '<|EOT|>' }}"),
    ],
)
def test_a_chat_is_recognised_by_its_template(tmp_path: Path, key: str, template: str) -> None:
    specials = sorted(CHAT_FORMATS[key].specials)
    with_template = {"tokenizer__chat_template": template}
    path = write_file(tmp_path / "one.gguf", specials, **with_template)
    assert model_at(path).chat == key
    assert set(specials) <= set(model_at(path).stop_texts)
    # Its tokens are needed as well: they are placed by id.
    assert model_at(write_file(tmp_path / "two.gguf", ["</x>"], **with_template)).chat is None
    folder = write_folder(tmp_path / "three", specials, settings={"chat_template": template})
    assert model_at(folder).chat == key
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}]
    folder = write_folder(tmp_path / "four", specials, settings={"chat_template": several})
    assert model_at(folder).chat == key
    folder = write_folder(tmp_path / "five", specials)
    assert model_at(folder).chat is None
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    assert model_at(folder).chat == key


def test_an_old_file_without_a_template_is_recognised_by_its_name(tmp_path: Path) -> None:
    tokens = ["<s>", "</s>"]
    for name, chat in (
        ("codellama-7b-instruct.Q4_K_M.gguf", "codellama"),
        ("codellama-7b.Q4_K_M.gguf", None),
        ("llama-7b-instruct.gguf", None),
    ):
        assert model_at(write_file(tmp_path / name, tokens)).chat == chat
    path = write_file(tmp_path / "codellama-70b-instruct.gguf", [*tokens, "<step>"])
    assert model_at(path).chat == "codellama-70b"


def test_an_architecture_that_only_llama_cpp_knows_is_taken_and_said(tmp_path: Path) -> None:
    other = dataclasses.replace(TINY, architecture="falcon-h1")
    spec = model_at(write_file(tmp_path / "other.gguf", every_token_of("starcoder2"), other))
    assert (spec.config.architecture, spec.config.layers) == ("falcon-h1", 2)
    assert spec.fim == "starcoder2"
    assert "Only llama.cpp runs its architecture, 'falcon-h1'" in spec.notes[0]


def test_an_architecture_for_the_exporter_is_taken_and_said(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "santa", every_token_of("starcoder2"))
    fields = {"model_type": "gpt_bigcode", "n_embd": 64, "n_head": 4, "n_layer": 2}
    fields |= {"n_positions": 256, "vocab_size": 100, "multi_query": True}
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    spec = model_at(folder)
    config = spec.config
    assert (config.architecture, config.kv_heads, config.ffn) == ("gpt_bigcode", 1, 256)
    assert (config.context_tokens, config.vocab) == (256, 100)
    assert "optimum" in spec.notes[0]


def check_refused(path: Path, expected: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        model_at(path)
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_a_pickle_is_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04")
    check_refused(tmp_path / name, "a program, which midfill does not run")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    check_refused(tmp_path, "programs, which midfill does not run")


def test_what_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("hello", encoding="utf-8")
    check_refused(text, "is not a GGUF file")
    part = write_file(tmp_path / "part.gguf", CODE_LLAMA, split__count=3)
    check_refused(part, "llama-gguf-split --merge")
    adapter = write_file(tmp_path / "adapter.gguf", CODE_LLAMA, general__type="adapter")
    check_refused(adapter, "no language model")
    check_refused(write_file(tmp_path / "bare.gguf", []), "has no vocabulary")
    check_refused(tmp_path, "Name one of its files: adapter.gguf, bare.gguf, part.gguf, text.gguf")
    folder = write_folder(tmp_path / "folder", CODE_LLAMA)
    check_refused(folder / "model.safetensors", "Name its folder")
    (folder / "tokenizer.json").unlink()
    check_refused(folder, "has no tokenizer")
    check_refused(
        write_folder(tmp_path / "vision", CODE_LLAMA, model_type="clip", hidden_size=None),
        "'clip', which midfill cannot run",
    )


def test_a_name_is_an_id_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_model(" CodeLlama-7B ") is find_model("codellama-7b")
    with pytest.raises(UnknownModelError, match="codellama-7b"):
        resolve_model("codelama-7b")
    path = write_file(tmp_path / "mine.gguf", CODE_LLAMA)
    write_folder(tmp_path / "codellama", CODE_LLAMA)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("mine.gguf", "./mine.gguf", "~/mine.gguf", str(path)):
        assert resolve_model(name).path == path.resolve()
    assert resolve_model("codellama").path == (tmp_path / "codellama").resolve()


def test_a_path_with_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="no file or folder"):
        resolve_model(str(tmp_path / "typo.gguf"))
    with pytest.raises(ModelMissingError, match="did you mean 'codellama-7b'"):
        resolve_model("codellama/CodeLlama-7b-hf")
