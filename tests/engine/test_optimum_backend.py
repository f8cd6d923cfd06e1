"""The backend for exported graphs: its contract, on graphs written here; no exporter is needed.

A graph's logits are the sum of what all tokens so far say, which comes out of the cache: a wrong
cut, a wrong copy or a wrong order of positions shows as other logits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midfill_engine.backends.optimum_backend import OptimumBackend
from midfill_engine.errors import BackendUnavailableError, ModelFormatError
from midfill_engine.export import EXPORTER_VERSION, ExportManifest

Floats = npt.NDArray[np.float32]

VOCAB, WIDTH, POSITIONS = 11, 4, 48
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
RANDOM = np.random.default_rng(3)
WORDS = RANDOM.standard_normal((VOCAB, WIDTH)).astype(np.float32)
PLACES = RANDOM.standard_normal((POSITIONS, WIDTH)).astype(np.float32)
HEAD = RANDOM.standard_normal((WIDTH, VOCAB)).astype(np.float32)


def expected(tokens: Sequence[int]) -> Floats:
    seen = np.cumsum(WORDS[list(tokens)] + PLACES[: len(tokens)], axis=0)
    return seen @ HEAD


def write_graph(folder: Path, *, fused: bool = False, **changes: str) -> Path:
    """A graph named and shaped as optimum does it: keys beside values, or both in one array."""
    folder.mkdir(parents=True, exist_ok=True)
    heads = changes.get("heads", 1)
    extents = ("batch_size", "past", WIDTH) if fused else ("batch_size", heads, "past", WIDTH)
    axis = extents.index("past")
    kinds = ["key_value"] if fused else ["key", "value"]
    value = helper.make_tensor_value_info
    integers = ("batch_size", "sequence_length")
    names = ["input_ids", "position_ids", "attention_mask", *filter(None, [changes.get("extra")])]
    inputs = [value(name, TensorProto.INT64, integers) for name in names]
    outputs = [value("logits", TensorProto.FLOAT, ("batch_size", "sequence_length", VOCAB))]
    small = {
        "words": WORDS,
        "places": PLACES,
        "head": HEAD,
        "axis": np.array(1),
        "heads": np.array([1]),
        "start": np.array([0]),
        "stop": np.array([2**31]),
        "axes": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("Gather", ["places", "position_ids"], ["place"]),
        helper.make_node("Add", ["word", "place"], ["new3"]),
        helper.make_node("Unsqueeze", ["new3", "heads"], ["new4"]),
    ]
    for kind in kinds:
        past, present = f"past_key_values.0.{kind}", f"present.0.{kind}"
        inputs.append(value(past, TensorProto.FLOAT, extents))
        if changes.get("forget") == kind:
            continue
        outputs.append(value(present, TensorProto.FLOAT, extents))
        new = "new3" if fused else "new4"
        nodes.append(helper.make_node("Concat", [past, new], [present], axis=axis))
    whole = f"present.0.{kinds[-1]}"
    if not fused:
        nodes.append(helper.make_node("Squeeze", [whole, "heads"], ["whole"]))
        whole = "whole"
    nodes += [
        helper.make_node("CumSum", [whole, "axis"], ["sums"]),
        # The sums of the new positions are the last ones, as many as there are ids.
        helper.make_node("Shape", ["input_ids"], ["count"], start=1, end=2),
        helper.make_node("Neg", ["count"], ["first"]),
        helper.make_node("Slice", ["sums", "first", "stop", "axes"], ["last"]),
        helper.make_node("MatMul", ["last", "head"], ["logits"]),
    ]
    initializers = [numpy_helper.from_array(np.asarray(v), name) for name, v in small.items()]
    graph = helper.make_graph(nodes, "sum", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return write_manifest(folder)


def write_manifest(folder: Path, positions: int | None = POSITIONS) -> Path:
    manifest = ExportManifest(
        identity="made here",
        exporter_version=EXPORTER_VERSION,
        architecture="sum",
        positions=positions,
        versions={"onnx": onnx.__version__},
    )
    (folder / "export.json").write_text(json.dumps(asdict(manifest)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=["apart", "fused"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_graph(tmp_path_factory.mktemp("graph"), fused=request.param == "fused")


@pytest.fixture(scope="module")
def backend(folder: Path) -> OptimumBackend:
    return OptimumBackend(folder, threads=1)


def same(rows: Floats, tokens: Sequence[int]) -> None:
    np.testing.assert_allclose(rows, expected(tokens)[-len(rows) :], rtol=1e-4, atol=1e-4)


def test_only_the_wanted_rows_come_back(backend: OptimumBackend) -> None:
    assert backend.vocab_size == VOCAB
    for wanted in (0, 1, 5, 12):
        rows = backend.forward(TOKENS, backend.new_cache(32), wanted)
        assert rows.shape == (wanted, VOCAB)
        if wanted:
            same(rows, TOKENS)


def test_in_steps_of_any_width_it_is_the_same(backend: OptimumBackend) -> None:
    cache = backend.new_cache(32)
    at = 0
    for width in (5, 1, 1, 3, 2):
        rows = backend.forward(TOKENS[at : at + width], cache, width)
        at += width
        same(rows, TOKENS[:at])
    assert cache.length == at == len(TOKENS)


def test_what_is_cut_off_is_forgotten(backend: OptimumBackend) -> None:
    cache = backend.new_cache(32)
    backend.forward([*TOKENS[:6], 7, 7, 7], cache, 0)
    cache.truncate(8)
    cache.truncate(6)
    same(backend.forward(TOKENS[6:8], cache, 2), TOKENS[:8])
    cache.truncate(0)
    same(backend.forward([2, 2], cache, 1), [2, 2])


def test_a_copy_and_its_source_go_on_apart(backend: OptimumBackend) -> None:
    one, two = backend.new_cache(32), backend.new_cache(16)
    backend.forward(TOKENS, one, 0)
    backend.forward([1, 1, 1], two, 0)
    one.truncate(10)
    two.copy_beginning(one, 9)
    assert (two.length, one.length) == (9, 10)
    same(backend.forward([7], one, 1), [*TOKENS[:10], 7])
    same(backend.forward(TOKENS[9:], two, 3), TOKENS)


def test_a_cache_counts_what_it_holds(backend: OptimumBackend, folder: Path) -> None:
    arrays = sum(name.startswith("past") for name in map(str, _input_names(folder)))
    cache = backend.new_cache(32)
    assert (cache.length, cache.capacity, cache.nbytes) == (0, 32, 0)
    backend.forward(TOKENS[:3], cache, 0)
    assert (cache.length, cache.nbytes) == (3, 3 * arrays * WIDTH * 4)


def _input_names(folder: Path) -> list[str]:
    return [value.name for value in onnx.load(folder / "model.onnx").graph.input]


@pytest.mark.parametrize("length", [-1, 4])
def test_a_cache_cannot_be_cut_where_it_is_not(backend: OptimumBackend, length: int) -> None:
    cache = backend.new_cache(32)
    backend.forward(TOKENS[:3], cache, 0)
    with pytest.raises(ValueError, match=f"of 3 to {length}"):
        cache.truncate(length)


@pytest.mark.parametrize("length", [-1, 11, 17])
def test_no_more_is_copied_than_is_there_and_fits(backend: OptimumBackend, length: int) -> None:
    one, two = backend.new_cache(32), backend.new_cache(16)
    backend.forward([1] * max(10, length), one, 0)
    if length == 11:
        one.truncate(10)
    with pytest.raises(ValueError, match=f"cannot copy {length} positions"):
        two.copy_beginning(one, length)


def test_a_cache_that_would_overflow_is_left_as_it_was(backend: OptimumBackend) -> None:
    cache = backend.new_cache(8)
    backend.forward(TOKENS[:6], cache, 0)
    with pytest.raises(ValueError, match="9 positions in a cache of 8"):
        backend.forward(TOKENS[6:9], cache, 1)
    same(backend.forward(TOKENS[6:8], cache, 1), TOKENS[:8])


def test_a_step_that_fails_leaves_the_cache_as_it_was(backend: OptimumBackend) -> None:
    cache = backend.new_cache(8)
    backend.forward(TOKENS[:4], cache, 0)
    with pytest.raises(Exception, match="indices"):
        # No such id: the runtime's own error, of a class that only it has.
        backend.forward([VOCAB], cache, 1)
    same(backend.forward(TOKENS[4:6], cache, 2), TOKENS[:6])


def test_a_cache_is_no_longer_than_the_positions_reach(folder: Path, tmp_path: Path) -> None:
    assert OptimumBackend(folder, threads=1).new_cache(10**6).capacity == POSITIONS
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    endless = OptimumBackend(write_manifest(tmp_path, positions=None), threads=1)
    assert endless.new_cache(10**6).capacity == 10**6


@pytest.mark.parametrize(("tokens", "wanted"), [([], 0), ([1], 2), ([1], -1)])
def test_impossible_requests_are_refused(
    backend: OptimumBackend, tokens: list[int], wanted: int
) -> None:
    with pytest.raises(ValueError, match="rows of logits"):
        backend.forward(tokens, backend.new_cache(8), wanted)


def test_closing_twice_is_fine_and_a_closed_backend_says_so(folder: Path) -> None:
    backend = OptimumBackend(folder, threads=1)
    cache = backend.new_cache(8)
    backend.close()
    backend.close()
    with pytest.raises(ValueError, match="closed"):
        backend.forward([1], cache, 1)
    with pytest.raises(ValueError, match="closed"):
        backend.new_cache(8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": "token_type_ids"}, "token_type_ids"),
        ({"forget": "key"}, r"present\.0\.key"),
        ({"heads": "any"}, "no cache"),
    ],
)
def test_a_graph_of_another_kind_is_refused(
    changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelFormatError, match=message):
        OptimumBackend(write_graph(tmp_path, **changes), threads=1)


def test_a_folder_without_an_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="no finished export"):
        OptimumBackend(tmp_path)


def test_a_damaged_graph_is_refused_with_advice(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:100])
    with pytest.raises(ModelFormatError, match="made again"):
        OptimumBackend(write_manifest(tmp_path), threads=1)


def test_without_the_runtime_the_error_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'midfill\[cpu\]'"):
        OptimumBackend(folder)
