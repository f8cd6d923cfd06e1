"""How much context fits, and what is refused before anything is loaded."""

from __future__ import annotations

import pytest

from midfill_engine.errors import OutOfMemoryError
from midfill_engine.plan import LEAST_CONTEXT_TOKENS, Footprint, MemoryPlan, plan_memory
from midfill_engine.registry import find_model
from midfill_engine.runtimes.layouts import onnx_layouts, torch_layouts

SMALL = Footprint(weights_bytes=1_000_000_000, kv_bytes=100_000, overhead_bytes=500_000_000)


def plan(wanted: int, available: float) -> MemoryPlan:
    return plan_memory("a-model", SMALL, wanted_tokens=wanted, available_bytes=int(available))


def test_what_was_asked_for_where_there_is_room() -> None:
    found = plan(4096, 4e9)
    assert found.context_tokens == 4096
    assert found.total_bytes == 1_500_000_000 + 4096 * 100_000
    assert "asked for" not in str(found)


def test_less_context_where_there_is_less_room() -> None:
    found = plan(100_000, 4e9)
    assert LEAST_CONTEXT_TOKENS < found.context_tokens < 100_000
    assert found.total_bytes <= 4e9
    assert "(100000 tokens were asked for)" in str(found)
    # The next token would not fit beside what is spared for others.
    assert SMALL.total_bytes(found.context_tokens + 1) > 4e9 * 0.95


def test_what_does_not_fit_is_refused_with_the_figures() -> None:
    with pytest.raises(OutOfMemoryError, match=r"a-model needs 1\.6 GB of memory, 1\.5 GB are"):
        plan(4096, 1.5e9)
    # Whoever asks for little gets it.
    assert plan(16, 1.7e9).context_tokens == 16


@pytest.mark.parametrize(
    ("model_id", "bf16_gb", "kv_mb"),
    [
        # Parameters times 2 bytes; and layers x KV heads x 128 x 2 (keys, values) x 2 bytes.
        ("codellama-7b", 13.48, 0.524),
        ("codellama-13b", 26.03, 0.819),
        ("codellama-34b", 67.49, 0.197),
        ("codellama-70b", 137.95, 0.328),
    ],
)
def test_the_footprint_of_code_llama(model_id: str, bf16_gb: float, kv_mb: float) -> None:
    layouts = {
        layout.name: layout.footprint for layout in torch_layouts(find_model(model_id), "gpu")
    }
    assert layouts["bf16"].weights_bytes / 1e9 == pytest.approx(bf16_gb, abs=0.01)
    assert layouts["bf16"].kv_bytes / 1e6 == pytest.approx(kv_mb, abs=0.001)
    assert layouts["int4"].weights_bytes < layouts["int8"].weights_bytes / 1.75


def test_a_converted_model_is_as_large_as_computed() -> None:
    """Sizes of the files that the converter really writes, in bytes, as measured."""
    for model_id, layout, size in (
        ("qwen2.5-coder-0.5b", "int8", 675_912_192),
        ("qwen2.5-coder-1.5b", "int8", 1_879_119_872),
        ("qwen2.5-coder-1.5b", "mixed", 1_387_796_480),
    ):
        layouts = {one.name: one.footprint for one in onnx_layouts(find_model(model_id), "cpu")}
        assert layouts[layout].weights_bytes == pytest.approx(size, rel=0.06)
