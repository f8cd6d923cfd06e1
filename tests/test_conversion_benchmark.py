"""The checkpoints that the conversion benchmark makes up are what their files say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.conversion import convert_alone, large_figures
from benchmarks.large_checkpoints import SHAPES, open_source, write_checkpoint
from midfill_engine.weights import WeightSource

# Everything as in the real shape but the numbers, which keep a block of 256 to a row. The epsilon
# is one that float32 has, as GGUF files keep it.
TINY = replace(SHAPES["7b"], layers=2, hidden=256, ffn=512, heads=4, kv_heads=2, head_dim=64)
SMALL = replace(TINY, vocab=300, context_tokens=512, norm_epsilon=2.0**-17)


def values(source: WeightSource, name: str) -> np.ndarray:
    shape = source.shape(name)
    assert shape is not None
    rows = source.rows(name, 0, shape[0])
    return rows if isinstance(rows, np.ndarray) else rows.values()


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_a_made_up_checkpoint_opens_and_looks_like_weights(kind: str, tmp_path: Path) -> None:
    made = write_checkpoint(SMALL, kind, tmp_path, shard_bytes=500_000)
    assert made.path is not None
    source = open_source(kind, str(made.path))
    assert source.config == replace(SMALL, rope_interleaved=kind == "gguf")
    names = ["token_embd", "output", "blk.0.attn_k", "blk.1.attn_k", "blk.1.ffn_down"]
    found = {name: values(source, f"{name}.weight") for name in names}
    for name, matrix in found.items():
        assert 0.005 < matrix.std() < 0.05, name
        assert abs(matrix.mean()) < 0.005, name
    assert not np.array_equal(found["blk.0.attn_k"], found["blk.1.attn_k"])
    assert source.vector("output_norm.weight").shape == (SMALL.hidden,)
    weights_bytes = SMALL.matrix_weights * (2 if kind == "safetensors" else 144 / 256)
    assert weights_bytes < made.size_bytes < weights_bytes + 50_000


def test_safetensors_come_in_shards(tmp_path: Path) -> None:
    write_checkpoint(SMALL, "safetensors", tmp_path, shard_bytes=500_000)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    assert shards[0].name == f"model-00001-of-{len(shards):05}.safetensors"


def test_weights_that_lie_nowhere_have_the_shape_that_was_asked_for(tmp_path: Path) -> None:
    made = write_checkpoint(SMALL, "synthetic", tmp_path)
    assert (made.path, made.size_bytes) == (None, 0)
    source = open_source("synthetic", "", SMALL)
    assert source.config == SMALL
    assert 0.005 < values(source, "blk.1.ffn_down.weight").std() < 0.1
    with pytest.raises(ValueError, match="need a shape"):
        open_source("synthetic", "")


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of safetensors"):
        write_checkpoint(SMALL, "pickle", tmp_path)


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_a_conversion_alone_tells_what_it_cost(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "from"
    folder.mkdir()
    made = write_checkpoint(SMALL, kind, folder)
    done = convert_alone(kind, made.path, "int4", within=tmp_path)
    # Half a byte a weight, scales, and an embedding of a byte a weight.
    assert SMALL.matrix_weights / 2 < done.written_bytes < SMALL.matrix_weights * 2
    assert 20e6 < done.peak_bytes < 500e6
    assert list(tmp_path.iterdir()) == [folder], "what was converted is deleted"
    assert [figure.verdict for figure in large_figures(done)] == ["", "met", ""]


def test_the_shapes_are_those_of_the_sizes_they_are_called_by() -> None:
    for name, config in SHAPES.items():
        assert config.matrix_weights == pytest.approx(float(name[:-1]) * 1e9, rel=0.05)
