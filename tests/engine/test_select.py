"""What ``auto`` chooses, on machines made up here, and what it says about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tiny_models import tiny_model

from midfill_engine.errors import ModelError, UnknownModelError
from midfill_engine.machine import Machine, probe_machine, read_bandwidth
from midfill_engine.onnx.convert import CONVERTER_VERSION, OnnxManifest
from midfill_engine.options import EngineOptions
from midfill_engine.registry import MODELS, find_model
from midfill_engine.select import LATENCY_BUDGET_MS, Recommendation, estimate, recommend
from midfill_engine.speed import Speed, save_speed
from midfill_engine.store import ModelStore

BEST, SMALL = "qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"


def machine(available: float = 16e9) -> Machine:
    return Machine(
        processor="imagined",
        system="Linux x86_64",
        cores=2,
        memory_bytes=int(16e9),
        available_bytes=int(available),
        accelerators=(),
    )


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


def pick(store: ModelStore, available: float = 16e9, bandwidth: float = 40e9) -> Recommendation:
    return recommend(store, machine=machine(available), bandwidth_of=lambda cores: bandwidth)


def remember(store: ModelStore, model_id: str, speed: Speed) -> None:
    """Leave what a conversion that was measured leaves."""
    spec = find_model(model_id)
    folder = store.conversion_dir(spec.id, spec.layout)
    folder.mkdir(parents=True)
    manifest = OnnxManifest(
        source_sha256=spec.files[0].sha256,
        layout=spec.layout,
        converter_version=CONVERTER_VERSION,
        positions=512,
        config=tiny_model("qwen2").config,
    )
    (folder / "model.json").write_text(json.dumps(asdict(manifest)), encoding="utf-8")
    save_speed(folder, speed)


def speed_of(line_ms: float, on: str | None = None) -> Speed:
    fingerprint = machine().fingerprint if on is None else on
    return Speed(prefill_tokens_per_s=1e9, step_ms=line_ms / 16, machine=fingerprint)


def test_a_good_machine_gets_the_best_model(store: ModelStore) -> None:
    assert max(MODELS, key=lambda spec: spec.rank).id == BEST
    chosen = pick(store)
    assert chosen.model_id == BEST
    assert "predicted from memory speed" in chosen.reason


def test_too_little_memory_for_the_best_one(store: ModelStore) -> None:
    chosen = pick(store, available=1.2e9)
    assert chosen.model_id == SMALL
    assert f"{BEST} needs 1.9 GB of memory, 1.2 GB are free" in chosen.reason


def test_too_slow_for_the_best_one(store: ModelStore) -> None:
    chosen = pick(store, bandwidth=16e9)
    assert chosen.model_id == SMALL
    assert f"{BEST} is too slow here (a line takes about" in chosen.reason
    assert "predicted" in chosen.reason


def test_nothing_fits_and_still_there_is_an_answer(store: ModelStore) -> None:
    chosen = pick(store, available=1e8)
    assert chosen.model_id == SMALL
    assert chosen.reason.startswith("the smallest there is")
    assert BEST in chosen.reason
    assert f"{SMALL} needs" in chosen.reason


def test_a_measured_speed_overrules_the_predicted_one(store: ModelStore) -> None:
    remember(store, BEST, speed_of(LATENCY_BUDGET_MS * 2))
    chosen = pick(store, bandwidth=400e9)
    assert chosen.model_id == SMALL
    assert f"{BEST} is too slow here (a line takes about 3.0 s of 1.5 s, measured)" in chosen.reason


def test_a_measured_speed_may_be_better_than_predicted(store: ModelStore) -> None:
    remember(store, BEST, speed_of(LATENCY_BUDGET_MS / 2))
    chosen = pick(store, bandwidth=1e9)
    assert chosen.model_id == BEST
    assert "measured" in chosen.reason


def test_a_speed_measured_elsewhere_does_not_count(store: ModelStore) -> None:
    remember(store, BEST, speed_of(LATENCY_BUDGET_MS * 2, on="another machine"))
    assert pick(store).model_id == BEST


def test_bandwidth_is_not_probed_where_all_is_measured(store: ModelStore) -> None:
    remember(store, BEST, speed_of(100))

    def probe(cores: int) -> float:
        raise AssertionError("probed")

    assert recommend(store, machine=machine(), bandwidth_of=probe).model_id == BEST


def test_an_estimate_has_memory_beyond_the_file() -> None:
    spec = find_model(SMALL)
    found = estimate(spec, speed_of(160))
    assert found.memory_bytes > spec.size_bytes
    assert found.line_ms == pytest.approx(160, rel=1e-3)
    assert found.measured
    assert not estimate(spec, speed_of(160, on="")).measured


def test_choosing_by_name(store: ModelStore) -> None:
    from midfill_engine.loading import choose_model

    chosen = choose_model(EngineOptions(model=SMALL.upper(), weights="int4"), store)
    assert (chosen.spec.id, chosen.layout) == (SMALL, "int4")
    assert chosen.reason == "named in the settings"
    with pytest.raises(UnknownModelError, match=SMALL):
        choose_model(EngineOptions(model="qwen2.5-coder-0.5"), store)
    with pytest.raises(ModelError, match="int8"):
        choose_model(EngineOptions(model=SMALL, weights="int7"), store)


def test_this_machine_can_be_looked_at() -> None:
    here = probe_machine()
    assert 0 < here.available_bytes <= here.memory_bytes
    assert here.cores >= 1
    assert here.fingerprint == probe_machine().fingerprint
    assert 1e8 < read_bandwidth(1) < 1e13
