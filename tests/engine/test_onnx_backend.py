"""The ONNX Runtime backend: its contract at the edges."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_files import converted_gguf
from tiny_models import prompt_ids, tiny_model

from midfill_engine.backends.onnx_backend import OnnxBackend
from midfill_engine.backends.onnx_cache import HostMemory
from midfill_engine.errors import BackendUnavailableError, ModelFormatError, OutOfMemoryError
from midfill_engine.onnx.convert import OnnxManifest

MODEL = tiny_model("qwen2")
TOKENS = prompt_ids(MODEL, 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted_gguf(MODEL, tmp_path_factory.mktemp("backend"))


@pytest.fixture(scope="module")
def backend(folder: Path) -> OnnxBackend:
    return OnnxBackend(folder, threads=1)


def test_only_the_wanted_rows_come_back(backend: OnnxBackend) -> None:
    every = backend.forward(TOKENS, backend.new_cache(32), 20).copy()
    assert every.shape == (20, backend.vocab_size)
    for wanted in (0, 1, 5):
        rows = backend.forward(TOKENS, backend.new_cache(32), wanted).copy()
        assert rows.shape == (wanted, backend.vocab_size)
        np.testing.assert_allclose(rows, every[20 - wanted :], atol=1e-4)


def test_two_caches_do_not_disturb_each_other(backend: OnnxBackend) -> None:
    one, two = backend.new_cache(32), backend.new_cache(64)
    backend.forward(TOKENS[:10], one, 0)
    backend.forward(TOKENS[5:15], two, 0)
    first = backend.forward(TOKENS[10:12], one, 1).copy()
    second = backend.forward(TOKENS[15:17], two, 1).copy()
    for part, rows in ((TOKENS[:12], first), (TOKENS[5:17], second)):
        alone = backend.forward(part, backend.new_cache(32), 1)
        np.testing.assert_allclose(rows, alone, atol=1e-4)


def test_a_cache_counts_what_it_holds(backend: OnnxBackend) -> None:
    cache, config = backend.new_cache(32), MODEL.config
    assert (cache.length, cache.capacity, cache.nbytes) == (0, 32, 0)
    backend.forward(TOKENS[:3], cache, 0)
    per_token = config.layers * 2 * config.kv_heads * config.head_dim * 4
    assert (cache.length, cache.nbytes) == (3, 3 * per_token)
    # What was reached once stays resident, and counts.
    cache.truncate(1)
    assert (cache.length, cache.nbytes) == (1, 3 * per_token)
    backend.forward(TOKENS[1:5], cache, 0)
    assert (cache.length, cache.nbytes) == (5, 5 * per_token)


@pytest.mark.parametrize("length", [-1, 4])
def test_a_cache_cannot_be_cut_where_it_is_not(backend: OnnxBackend, length: int) -> None:
    cache = backend.new_cache(32)
    backend.forward(TOKENS[:3], cache, 0)
    with pytest.raises(ValueError, match=f"of 3 to {length}"):
        cache.truncate(length)


def test_a_copy_holds_the_beginning_and_nothing_else(backend: OnnxBackend) -> None:
    one, two = backend.new_cache(32), backend.new_cache(16)
    backend.forward(TOKENS[:12], one, 0)
    backend.forward(TOKENS[10:20], two, 0)
    two.copy_beginning(one, 9)
    assert two.length == 9
    # What happens to the one does not reach the other.
    one.truncate(2)
    backend.forward(TOKENS[8:16], one, 0)
    rows = backend.forward(TOKENS[9:12], two, 3).copy()
    alone = backend.forward(TOKENS[:12], backend.new_cache(32), 3)
    np.testing.assert_allclose(rows, alone, atol=1e-4)


@pytest.mark.parametrize("length", [-1, 11, 17])
def test_no_more_is_copied_than_is_there_and_fits(backend: OnnxBackend, length: int) -> None:
    one, two = backend.new_cache(32), backend.new_cache(16)
    backend.forward(TOKENS[: max(10, length)], one, 0)
    if length == 11:
        one.truncate(10)
    with pytest.raises(ValueError, match=f"cannot copy {length} positions"):
        two.copy_beginning(one, length)


def test_a_cache_that_would_overflow_is_left_as_it_was(backend: OnnxBackend) -> None:
    cache = backend.new_cache(8)
    backend.forward(TOKENS[:6], cache, 0)
    with pytest.raises(ValueError, match="9 positions in a cache of 8"):
        backend.forward(TOKENS[6:9], cache, 1)
    rows = backend.forward(TOKENS[6:8], cache, 1).copy()
    np.testing.assert_allclose(
        rows, backend.forward(TOKENS[:8], backend.new_cache(8), 1), atol=1e-4
    )


def test_a_cache_is_no_longer_than_the_model_reaches(backend: OnnxBackend) -> None:
    assert backend.new_cache(10**6).capacity == MODEL.config.context_tokens


@pytest.mark.parametrize(("tokens", "wanted"), [([], 0), ([1], 2), ([1], -1)])
def test_impossible_requests_are_refused(
    backend: OnnxBackend, tokens: list[int], wanted: int
) -> None:
    with pytest.raises(ValueError, match="rows of logits"):
        backend.forward(tokens, backend.new_cache(8), wanted)


def test_closing_twice_is_fine_and_a_closed_backend_says_so(folder: Path) -> None:
    backend = OnnxBackend(folder, threads=1)
    cache = backend.new_cache(8)
    backend.close()
    backend.close()
    with pytest.raises(ValueError, match="closed"):
        backend.forward([1], cache, 1)


def test_a_folder_without_a_conversion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="no finished conversion"):
        OnnxBackend(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "noise", "gone"])
def test_a_damaged_graph_is_refused_with_advice(damage: str, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    graph = OnnxManifest.graph_path(tmp_path)
    if damage == "gone":
        graph.unlink()
    else:
        graph.write_bytes(graph.read_bytes()[:200] if damage == "cut" else b"\x00noise" * 50)
    with pytest.raises(ModelFormatError, match="made again"):
        OnnxBackend(tmp_path, threads=1)


def test_without_the_runtime_the_error_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'midfill\[cpu\]'"):
        OnnxBackend(folder)


def test_a_cache_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(OutOfMemoryError, match="a cache of 1152921504606846976 tokens"):
        HostMemory((1, 1, 1 << 60, 1), np.float32, 2)


class FailingSession:
    """Fails as the runtime does; which of its classes it raises is not ours to know."""

    def __init__(self, message: str) -> None:
        self._message = message

    def run_with_iobinding(self, iobinding: object) -> None:
        raise RuntimeError(self._message)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Failed to allocate memory for requested buffer of size 123", OutOfMemoryError),
        ("CUDA failure 2: out of memory ; GPU=0", OutOfMemoryError),
        ("std::bad_alloc", OutOfMemoryError),
        ("Non-zero status code returned while running MatMul node", RuntimeError),
    ],
)
def test_a_step_without_memory_says_so_and_leaves_the_cache(
    folder: Path, message: str, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = OnnxBackend(folder, threads=1)
    cache = backend.new_cache(8)
    backend.forward(TOKENS[:2], cache, 0)
    with monkeypatch.context() as patched:
        patched.setattr(backend, "_session", FailingSession(message))
        with pytest.raises(expected, match=r"allocate|memory|bad_alloc|MatMul"):
            backend.forward(TOKENS[2:4], cache, 1)
    assert cache.length == 2
    rows = backend.forward(TOKENS[2:4], cache, 1).copy()
    alone = backend.forward(TOKENS[:4], backend.new_cache(8), 1)
    np.testing.assert_allclose(rows, alone, atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="the library keeps its notes elsewhere")
def test_the_runtime_collects_nothing(folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    environment.pop("XDG_CACHE_HOME", None)
    code = (
        "import sys; from pathlib import Path\n"
        "from midfill_engine.backends.onnx_backend import OnnxBackend\n"
        "OnnxBackend(Path(sys.argv[1]), threads=1).close()"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
