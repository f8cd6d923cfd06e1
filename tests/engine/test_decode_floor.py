"""The floor of a decode step: what it must read, and how fast memory is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_files import converted_gguf
from tiny_models import tiny_model

from benchmarks.decode_floor import ReadSpeed, step_bytes


@pytest.mark.parametrize("name", ["qwen2", "llama"])
def test_a_step_reads_each_matrix_once_and_the_context(name: str, tmp_path: Path) -> None:
    model = tiny_model(name)
    config = model.config
    folder = converted_gguf(model, tmp_path, "float32")
    attention = config.hidden * config.head_dim * 2 * (config.heads + config.kv_heads)
    ffn = 3 * config.hidden * config.ffn
    weights = config.layers * (attention + ffn) + config.vocab * config.hidden
    cached = 2 * config.layers * config.kv_heads * config.head_dim
    assert step_bytes(folder, 0) == 4 * weights
    assert step_bytes(folder, 10) == 4 * (weights + 10 * cached)


def test_fewer_bits_are_fewer_bytes(tmp_path: Path) -> None:
    model = tiny_model("qwen2")
    sizes = [
        step_bytes(converted_gguf(model, tmp_path / layout, layout), 0)
        for layout in ("int4", "int8", "float32")
    ]
    assert sizes == sorted(set(sizes))


def test_reading_has_a_speed() -> None:
    assert ReadSpeed(2, size_bytes=1 << 20).bytes_per_s() > 0
