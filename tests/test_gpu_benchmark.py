"""The GPU benchmark: what it computes, and all of it on a processor with tiny shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.gpu_figures import compare_weights
from benchmarks.gpu_parts import PARTS
from benchmarks.gpu_setting import (
    Model,
    Setting,
    arbitrary_prompt,
    generate,
    open_model,
    shape,
    step_bytes,
)
from benchmarks.gpu_speculation import (
    ForcedSampler,
    PayingDrafter,
    best_draft,
    run_loop,
    speed_up,
)
from midfill_engine.cancel import CancelToken

NEEDS_TORCH = "needs torch: pip install torch==2.13.0"
SMALL = ["--rounds", "1", "--prompt-tokens", "20", "--answer-tokens", "6"]
SETTING = Setting(
    device="cpu", prompt_tokens=20, answer_tokens=24, rounds=1, seed=1, cancel=CancelToken()
)


@pytest.fixture
def one_thread() -> Iterator[Any]:
    """These models are so small that threads would only wait for each other."""
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(before)


def opened(weights: str, seed: int = 1) -> Model:
    setting = Setting(
        device="cpu", prompt_tokens=20, answer_tokens=24, rounds=1, seed=seed, cancel=CancelToken()
    )
    return open_model("tiny", weights, setting)


# --- What only computes --------------------------------------------------------------------------


def test_a_step_reads_every_weight_but_the_embedding_and_the_cache() -> None:
    config = shape("7b")
    read = config.matrix_weights - config.vocab * config.hidden
    # Known of Llama 2 7B: 6.74 billion weights, half a megabyte of cache a token.
    assert config.matrix_weights == pytest.approx(6.74e9, rel=0.01)
    assert step_bytes(config, "bf16", 0) == 2 * read
    assert step_bytes(config, "bf16", 1000) - step_bytes(config, "bf16", 0) == 524_288_000
    assert step_bytes(config, "int8", 0) == read
    assert step_bytes(config, "int4", 0) / read == pytest.approx(0.54, abs=0.01)


def test_the_large_target_has_the_shape_of_34b() -> None:
    config = shape("34b")
    assert (config.layers, config.hidden, config.kv_heads) == (48, 8192, 8)
    assert config.matrix_weights == pytest.approx(33.7e9, rel=0.01)


def test_the_gain_of_drafts_follows_from_costs() -> None:
    flat = {1: 10.0, 2: 10.0, 4: 10.0, 8: 10.0, 16: 10.0}
    # Everything stands and drafting is free: as many times as fast as a step has tokens.
    assert speed_up(flat, 0.0, 1.0, 7) == pytest.approx(8.0)
    # 1 + 0.8 + 0.64 + 0.512 tokens for one step and three of the draft's.
    assert speed_up(flat, 1.0, 0.8, 3) == pytest.approx(2.952 * 10 / 13)
    assert speed_up(flat, 10.0, 0.5, 1) < 1
    # A step of six tokens is padded to eight.
    assert speed_up({1: 10.0, 8: 20.0, 16: 90.0}, 0.0, 1.0, 5) == pytest.approx(3.0)


def test_drafts_are_longer_the_more_of_them_stands() -> None:
    costs = {1: 10.0, 2: 10.5, 4: 11.0, 8: 12.0, 16: 20.0}
    lengths = [best_draft(costs, 1.0, rate)[0] for rate in (0.3, 0.6, 0.8, 0.95)]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]
    length, gain = best_draft(costs, 1.0, 0.8)
    assert gain == max(speed_up(costs, 1.0, 0.8, each) for each in range(1, 16))
    assert gain == speed_up(costs, 1.0, 0.8, length)


def test_a_forced_rate_is_kept_and_what_is_rejected_is_replaced() -> None:
    sampler = ForcedSampler(0.8, seed=3)
    row = np.zeros(10, np.float32)
    row[4] = 1.0
    stood = [sampler.accept(row, 4) == 4 for _ in range(4000)]
    assert np.mean(stood) == pytest.approx(0.8, abs=0.02)
    assert {ForcedSampler(0.0, seed=1).accept(row, proposed) for proposed in (4, 5)} == {4, 5}
    assert ForcedSampler(1.0, seed=1).accept(row, 7) == 7


def test_narrow_weights_are_compared_with_16_bits_of_the_same_shape() -> None:
    figures = compare_weights({"7b": {"bf16": 200.0, "int4": 450.0}, "13b": {"int4": 300.0}})
    assert [figure.key for figure in figures] == ["7b_int4_over_bf16"]
    assert figures[0].value is not None
    assert figures[0].value.p50 == pytest.approx(2.25)
    assert figures[0].verdict == "met"


# --- With torch, on a processor ------------------------------------------------------------------


def test_a_draft_by_the_same_model_stands_whole_and_changes_nothing(one_thread: Any) -> None:
    target, draft = opened("float32"), opened("float32")
    prompt = arbitrary_prompt(target.config, SETTING)
    plain = generate(target.sequence, prompt, SETTING, chunk=256)
    drafter = PayingDrafter(draft, length=3, vocab=target.config.vocab)
    drafted = generate(target.sequence, prompt, SETTING, chunk=256, drafter=drafter, max_draft=3)
    assert drafted.tokens == plain.tokens
    assert len(plain.tokens) == SETTING.answer_tokens
    assert drafted.outcome.accepted == drafted.outcome.drafted > 0
    assert plain.outcome.drafted == 0


def test_a_draft_by_another_model_is_rolled_back_and_changes_nothing(one_thread: Any) -> None:
    target, draft = opened("float32"), opened("float32", seed=2)
    prompt = arbitrary_prompt(target.config, SETTING)
    plain = generate(target.sequence, prompt, SETTING, chunk=256)
    drafter = PayingDrafter(draft, length=3, vocab=target.config.vocab)
    drafted = generate(target.sequence, prompt, SETTING, chunk=256, drafter=drafter, max_draft=3)
    assert drafted.tokens == plain.tokens
    assert drafted.outcome.accepted < drafted.outcome.drafted


def test_the_loop_lets_stand_what_it_is_told(one_thread: Any) -> None:
    target, draft = opened("float32"), opened("float32", seed=2)

    def outcome(acceptance: float) -> tuple[int, int]:
        run = run_loop(target, draft, SETTING, acceptance=acceptance, length=3, chunk=256)
        assert len(run.drafted.tokens) == len(run.plain.tokens) == SETTING.answer_tokens
        return run.drafted.outcome.drafted, run.drafted.outcome.accepted

    drafted, accepted = outcome(1.0)
    assert accepted == drafted > 0
    assert outcome(0.0)[1] == 0
    assert outcome(0.0)[0] > drafted


def run(path: Path, *more: str) -> dict[str, Any]:
    command = ["--device", "cpu", "--shape", "tiny", "--json", str(path), *SMALL, *more]
    assert gpu.main(command) == 0
    return json.loads(path.read_text(encoding="utf-8"))["figures"]


def test_every_part_runs_and_adds_to_the_result(
    one_thread: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gpu.json"
    found = run(path, "--part", "decode", "--weights", "bf16,int4", "--no-peer")
    assert found["decode tiny bf16"]["tokens_per_s"]["value"]["p50"] > 0
    assert found["decode tiny int4"]["over_transformers"]["note"] == "left out"
    assert found["decode tiny bf16"]["floor_ms"] > 0
    assert "tiny_int4_over_bf16" in found["weights compared"]

    found = run(path, "--part", "speculation", "--target", "tiny:int8", "--draft", "tiny:int4")
    steps = [f"step_of_{width}_ms" for width in (1, 2, 4, 8, 16)]
    assert set(steps) <= set(found["steps tiny int8"])
    pair = "tiny int8 with tiny int4"
    assert set(found[f"speculation {pair}"]["computed"]) == {
        "0.5",
        "0.6",
        "0.7",
        "0.8",
        "0.9",
        "0.95",
    }
    assert found[f"loop {pair} 0.8"]["drafted"] > 0
    assert "decode tiny bf16" in found, "what an earlier run found is kept"

    found = run(path, "--part", "kernels")
    kernels = {key.partition("_")[0] for key in found["kernels tiny down"] if "_" in key}
    assert kernels == {"bf16", "int8", "int4"}
    # The last line is the result, for whoever has no file.
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["benchmark"] == "gpu"
    assert line["figures"] == found


def test_onnx_runtime_stands_beside(one_thread: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    found = run(tmp_path / "gpu.json", "--part", "onnx")
    assert found["onnx tiny int4"]["tokens_per_s"]["value"]["p50"] > 0


@pytest.mark.slow
def test_transformers_says_the_same_with_the_same_weights(one_thread: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers==4.57.6")
    found = run(tmp_path / "gpu.json", "--part", "decode", "--weights", "bf16")
    assert found["decode tiny bf16"]["over_transformers"]["peer"]["p50"] > 0
    # In 16 bits two ways of rounding may part at some token: this seed's do not.
    assert found["decode tiny bf16"]["same_tokens_as_transformers"] is True


def test_nothing_begins_when_the_time_is_over(one_thread: Any, tmp_path: Path) -> None:
    found = run(tmp_path / "gpu.json", "--minutes", "0")
    assert all(kept == {"missing": "the time was over"} for kept in list(found.values())[1:])
    assert len(found) > len(PARTS)


def test_without_a_gpu_it_says_so(one_thread: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if one_thread.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert gpu.main(["--device", "cuda"]) == 1
    assert "no CUDA device" in capsys.readouterr().err


@pytest.mark.gpu
def test_every_part_runs_on_a_gpu(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no CUDA device")
    path = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cuda", "--shape", "tiny", "--json", str(path), *SMALL]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))["figures"]
    for name in ("decode tiny int4", "steps tiny int4", "kernels tiny down"):
        assert "missing" not in found[name]
