"""Made-up weights: the true shapes, and the same numbers however they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import TINY_MODELS, tiny_model

from midfill_engine.errors import ModelFormatError
from midfill_engine.synthetic_weights import SyntheticWeights


@pytest.mark.parametrize("name", TINY_MODELS)
def test_it_has_the_tensors_of_a_model_of_that_shape(name: str) -> None:
    model = tiny_model(name)
    made = SyntheticWeights(model.config)
    for tensor, values in model.weights.items():
        assert made.shape(tensor) == values.shape
    for absent in ("blk.99.attn_q.weight", "blk.0.attn_sinks.weight", "rope_freqs.weight"):
        assert made.shape(absent) is None
    assert (made.shape("output.weight") is None) == model.tied
    assert (made.shape("blk.0.ffn_gate.weight") is None) == (not model.config.gated)
    for bias in ("blk.0.attn_q.bias", "blk.1.ffn_down.bias", "output_norm.bias"):
        assert (made.shape(bias) is None) == (bias not in model.weights)


def test_any_slice_gives_the_same_numbers() -> None:
    made = SyntheticWeights(tiny_model("llama").config, seed=3)
    whole = np.asarray(made.rows("blk.1.ffn_up.weight", 0, 512))
    assert whole.shape == (512, 256)
    assert np.array_equal(made.rows("blk.1.ffn_up.weight", 100, 130), whole[100:130])
    again = SyntheticWeights(tiny_model("llama").config, seed=3)
    assert np.array_equal(again.rows("blk.1.ffn_up.weight", 0, 512), whole)
    assert len(again.rows("blk.1.ffn_up.weight", 500, 600)) == 12
    # What a caller does with its slice stays there.
    again.rows("blk.1.ffn_up.weight", 0, 512)[:] = 0
    assert np.array_equal(again.rows("blk.1.ffn_up.weight", 0, 512), whole)


def test_tensors_differ_and_are_of_a_trained_models_size() -> None:
    made = SyntheticWeights(tiny_model("llama").config)
    first, second = (np.asarray(made.rows(f"blk.{at}.ffn_up.weight", 0, 512)) for at in (0, 1))
    assert not np.array_equal(first, second)
    assert first.std() == pytest.approx(256**-0.5, rel=0.05)
    assert abs(made.vector("blk.0.attn_norm.weight").mean() - 1) < 0.02
    other = SyntheticWeights(tiny_model("llama").config, seed=1)
    assert not np.array_equal(other.rows("blk.0.ffn_up.weight", 0, 512), first)


def test_a_name_the_model_does_not_have() -> None:
    made = SyntheticWeights(tiny_model("llama").config)
    with pytest.raises(ModelFormatError, match="ffn_gate_inp"):
        made.rows("blk.0.ffn_gate_inp.weight", 0, 1)
