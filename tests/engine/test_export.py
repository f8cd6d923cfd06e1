"""Exported models compute what transformers computes, whatever the cache went through.

These run optimum's exporter, which needs torch and transformers: some seconds for each model.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from midfill_engine.backends.optimum_backend import OptimumBackend
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.loop import Limits, decode
from midfill_engine.decode.sampling import Sampler
from midfill_engine.errors import (
    BackendUnavailableError,
    DiskFullError,
    ModelFormatError,
    WorkCancelledError,
)
from midfill_engine.export import ExportManifest, export, is_exported
from midfill_engine.progress import Progress, silent
from midfill_engine.types import Sampling

NEEDS = "the exporter needs optimum, torch and transformers: pip install 'midfill[cpu,optimum]'"
torch = pytest.importorskip("torch", reason=NEEDS)
transformers = pytest.importorskip("transformers", reason=NEEDS)
pytest.importorskip("optimum.exporters.onnx", reason=NEEDS)

# A process that imports these three takes seconds, and each export is one.
pytestmark = pytest.mark.slow

Floats = npt.NDArray[np.float32]

VOCAB, POSITIONS = 96, 128
TOLERANCE = 1e-4
"""Of the largest logit."""


def bigcode() -> Any:
    """SantaCoder and StarCoder in small: one key and value for all heads, learned positions."""
    config = transformers.GPTBigCodeConfig(
        vocab_size=VOCAB,
        n_positions=POSITIONS,
        n_embd=64,
        n_layer=3,
        n_head=4,
        n_inner=128,
        multi_query=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPTBigCodeForCausalLM(config)


def neox() -> Any:
    """GPT-NeoX: rotary positions on a part of each head, attention beside the FFN."""
    config = transformers.GPTNeoXConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=POSITIONS,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPTNeoXForCausalLM(config)


MODELS = {"gpt_bigcode": bigcode, "gpt_neox": neox}


def made(name: str) -> Any:
    """The model with weights large enough that its tokens and their places matter."""
    torch.manual_seed(7)
    with warnings.catch_warnings():
        # What the library does with torch is its own affair.
        warnings.simplefilter("ignore")
        model = MODELS[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.25)
    return model


class Exported:
    """A model in transformers, its folder, and what our exporter and backend make of it."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.reference = made(name)
        self.folder = root / name
        self.reference.save_pretrained(self.folder)
        (self.folder / "tokenizer.json").write_text("{}", encoding="utf-8")
        self.into = root / "made" / name
        self.told: list[Progress] = []
        self.manifest = export(
            self.folder,
            self.into,
            identity=name,
            progress=self.told.append,
            cancel=CancelToken(),
        )
        self.backend = OptimumBackend(self.into, threads=1)

    def logits(self, tokens: Sequence[int]) -> Floats:
        with torch.no_grad():
            return self.reference(torch.tensor([list(tokens)])).logits[0].numpy()


@pytest.fixture(scope="module", params=list(MODELS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(request.param, tmp_path_factory.mktemp("export"))


def prompt(seed: int, count: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(0, VOCAB, count)]


def close(rows: Floats, reference: Floats) -> None:
    assert rows.shape == reference.shape
    assert np.abs(rows - reference).max() <= TOLERANCE * np.abs(reference).max()


def test_the_folder_is_whole(exported: Exported) -> None:
    names = {path.name for path in exported.into.iterdir()}
    assert {"model.onnx", "export.json", "config.json", "tokenizer.json"} <= names
    assert exported.manifest == ExportManifest.read(exported.into)
    assert exported.manifest.architecture == exported.name
    assert exported.manifest.positions == POSITIONS
    assert [path.name for path in exported.into.parent.iterdir()] == [exported.name]
    assert [progress.done for progress in exported.told] == [0, 1]


def test_an_export_belongs_to_one_checkpoint(exported: Exported) -> None:
    assert is_exported(exported.into, exported.name)
    assert not is_exported(exported.into, "another")
    assert not is_exported(exported.folder, exported.name)


@pytest.mark.parametrize("count", [1, 2, 50, POSITIONS])
def test_logits_are_those_of_transformers(exported: Exported, count: int) -> None:
    tokens = prompt(count, count)
    rows = exported.backend.forward(tokens, exported.backend.new_cache(POSITIONS), count)
    close(rows, exported.logits(tokens))


def test_steps_of_any_width_over_any_past_are_the_same(exported: Exported) -> None:
    tokens, backend = prompt(1, 60), exported.backend
    reference, cache, at = exported.logits(tokens), backend.new_cache(POSITIONS), 0
    for width in (1, 7, 1, 16, 3, 32):
        close(backend.forward(tokens[at : at + width], cache, width), reference[at : at + width])
        at += width


def test_after_a_cut_and_after_a_copy_too(exported: Exported) -> None:
    tokens, backend = prompt(2, 40), exported.backend
    cache, other = backend.new_cache(POSITIONS), backend.new_cache(50)
    backend.forward([*tokens[:25], 1, 1, 1, 1], cache, 0)
    cache.truncate(25)
    backend.forward([5, 5], other, 0)
    other.copy_beginning(cache, 20)
    reference = exported.logits(tokens)
    close(backend.forward(tokens[25:], cache, 15), reference[25:])
    close(backend.forward(tokens[20:], other, 3), reference[37:])


def test_the_capacity_is_that_of_the_positions(exported: Exported) -> None:
    assert exported.backend.new_cache(10_000).capacity == POSITIONS
    assert exported.backend.new_cache(30).capacity == 30


class Guesser(NoDraft):
    """Proposes what it was told, right for a while and then wrong."""

    def __init__(self, truth: Sequence[int], seed: int) -> None:
        self._truth = list(truth)
        self._random = np.random.default_rng(seed)
        self.kept = 0

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        guess = self._truth[len(tokens) :][: self._random.integers(0, limit + 1)]
        right = self._random.integers(0, len(guess) + 1)
        return [token if at < right else VOCAB - 1 - token for at, token in enumerate(guess)]

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        self.kept += accepted


def answer(
    sequence: CachedSequence, tokens: Sequence[int], chunk: int, drafter: Drafter | None = None
) -> list[int]:
    limits = Limits(stop_ids=frozenset(), max_tokens=24, prefill_chunk=chunk)
    return list(
        decode(
            sequence,
            tokens,
            limits=limits,
            sampler=Sampler(Sampling()),
            drafter=drafter or NoDraft(),
            cancel=CancelToken(),
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_greedy_answers_are_the_same_however_they_come_about(exported: Exported, seed: int) -> None:
    tokens, backend = prompt(seed, 60), exported.backend
    plain = answer(CachedSequence(backend, POSITIONS), tokens, 1000)
    reference = [*tokens, *plain]
    assert plain == exported.logits(reference)[59:-1].argmax(axis=-1).tolist()
    assert len(set(plain)) > 4
    warm = CachedSequence(backend, POSITIONS)
    assert answer(warm, tokens, 7) == plain
    # Another end on the same beginning, and back again.
    warm.truncate(30)
    other = [*tokens[:30], *prompt(seed + 50, 20)]
    assert answer(warm, other, 16) == answer(CachedSequence(backend, POSITIONS), other, 1000)
    warm.truncate(30)
    copy = CachedSequence(backend, POSITIONS)
    copy.copy_beginning(warm, 29)
    guesser = Guesser(reference, seed)
    assert answer(warm, tokens, 16) == plain
    assert answer(copy, tokens, 16, guesser) == plain
    assert guesser.kept > 5


# What cannot be exported.


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "bigcode"
    made("gpt_bigcode").save_pretrained(folder)
    return folder


def refused(folder: Path, into: Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        export(folder, into, identity="x", progress=silent, cancel=CancelToken())
    assert not into.exists()
    assert not list(into.parent.glob("*.new")), "nothing half made is left"


class Trap:
    """Loading it as a pickle would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


def test_a_pickle_is_not_opened(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    config = (checkpoint / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config, encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused(folder, tmp_path / "out", ModelFormatError, "no safetensors")
    # Nor when something else has the right ending.
    (folder / "other.safetensors").write_bytes(b"")
    refused(folder, tmp_path / "out", ModelFormatError, "cannot be exported")
    assert not (tmp_path / "sprung").exists()


def test_code_that_comes_with_a_checkpoint_is_not_run(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "coded"
    folder.mkdir()
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {
        "model_type": "unheard_of",
        "auto_map": {"AutoConfig": "trap.C", "AutoModelForCausalLM": "trap.M"},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    code = f"import pathlib; pathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n"
    (folder / "trap.py").write_text(code, encoding="utf-8")
    refused(folder, tmp_path / "out", ModelFormatError, "does not know its architecture")
    assert not (tmp_path / "sprung").exists()


def test_an_architecture_that_optimum_lacks_is_named_as_such(tmp_path: Path) -> None:
    config = transformers.Starcoder2Config(
        vocab_size=VOCAB,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.Starcoder2ForCausalLM(config).save_pretrained(tmp_path / "star")
    refused(tmp_path / "star", tmp_path / "out", ModelFormatError, "does not know its arch")


def test_an_old_export_stays_until_the_new_one_is_whole(checkpoint: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    into.mkdir()
    (into / "old").touch()
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(WorkCancelledError):
        export(checkpoint, into, identity="x", progress=silent, cancel=cancel)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_a_full_disk_is_told_before_the_work(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    refused(checkpoint, tmp_path / "out", DiskFullError, "MIDFILL_HOME")


def test_without_the_exporter_the_error_says_what_to_install(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(checkpoint, tmp_path / "out", BackendUnavailableError, r"midfill\[cpu,optimum\]")
