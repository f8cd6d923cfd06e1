"""Which width each matrix gets."""

import numpy as np
import pytest

from midfill_engine.errors import ModelError
from midfill_engine.onnx.layouts import find_layout

SAMPLE = np.zeros((1, 128), np.float32)


def mixed_bits(name: str, layers: int) -> int:
    chosen = find_layout("mixed").choose(name, SAMPLE, layers)
    assert chosen is not None
    return chosen.bits


def test_mixed_keeps_attention_and_head_at_eight_bits():
    for name in ("blk.9.attn_q.weight", "blk.9.attn_output.weight", "output.weight"):
        assert mixed_bits(name, layers=28) == 8


def test_mixed_keeps_the_costly_ends_of_the_ffn_at_eight_bits():
    wide = [
        (layer, matrix)
        for layer in range(28)
        for matrix in ("gate", "up", "down")
        if mixed_bits(f"blk.{layer}.ffn_{matrix}.weight", layers=28) == 8
    ]
    downs = [(layer, "down") for layer in (0, 1, 2)]
    ends = [(layer, matrix) for layer in (25, 26, 27) for matrix in ("gate", "up", "down")]
    assert wide == downs + ends


@pytest.mark.parametrize("layers", [0, 1, 7])
def test_a_shallow_model_has_no_ends_to_spare(layers: int):
    assert mixed_bits("blk.0.ffn_down.weight", layers) == 4


def test_an_unknown_layout_is_refused_with_the_names_there_are():
    with pytest.raises(ModelError, match=r"'mixd'.*int8.*mixed"):
        find_layout("mixd")
