"""What ``auto`` chooses, on machines made up here, and what it says about it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from midfill_engine import machine as machine_module
from midfill_engine import select
from midfill_engine.errors import (
    BackendUnavailableError,
    ModelError,
    OutOfMemoryError,
    UnknownModelError,
)
from midfill_engine.estimate import LATENCY_BUDGET_MS, line_ms
from midfill_engine.machine import Machine, probe_machine, read_bandwidth
from midfill_engine.options import EngineOptions
from midfill_engine.registry import MODELS, ModelSpec, find_model
from midfill_engine.runtimes import ChosenModel, Device, Layout, conversion_folder
from midfill_engine.runtimes.layouts import llama_layouts
from midfill_engine.select import (
    choose_model,
    forms_of,
    memory_needed,
    recommend,
)
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


def pick(
    store: ModelStore, available: float = 16e9, bandwidth: float = 40e9, **options: str
) -> ChosenModel:
    return recommend(
        EngineOptions(**options),
        store,
        machine=machine(available),
        bandwidth_of=lambda cores: bandwidth,
    )


def chosen_form(model_id: str, runtime: str = "onnx") -> ChosenModel:
    spec = find_model(model_id)
    layout = spec.layout if runtime == "onnx" else "gguf"
    return ChosenModel(spec=spec, layout=layout, reason="", runtime=runtime)


def remember(store: ModelStore, model_id: str, speed: Speed, runtime: str = "onnx") -> None:
    """Leave the note of a measurement."""
    save_speed(conversion_folder(chosen_form(model_id, runtime), store), speed)


def speed_of(line_ms: float, on: str | None = None) -> Speed:
    fingerprint = machine().fingerprint if on is None else on
    return Speed(prefill_tokens_per_s=1e9, step_ms=line_ms / 16, machine=fingerprint)


def test_a_good_machine_gets_the_best_model(store: ModelStore) -> None:
    embedded = [spec for spec in MODELS if spec.embedded]
    assert max(embedded, key=lambda spec: spec.rank).id == BEST
    chosen = pick(store)
    assert (chosen.spec.id, chosen.runtime, chosen.device) == (BEST, "onnx", "cpu")
    assert chosen.layout == chosen.spec.layout
    assert "predicted from memory speed" in chosen.reason


def test_nothing_large_is_fetched_unasked(store: ModelStore) -> None:
    better = [spec.id for spec in MODELS if spec.rank > find_model(BEST).rank]
    assert better
    assert pick(store, available=900e9, bandwidth=9e12).spec.id == BEST


def test_too_little_memory_for_the_best_one(store: ModelStore) -> None:
    chosen = pick(store, available=1.2e9)
    assert chosen.spec.id == SMALL
    assert f"{BEST} (int4) needs 1.3 GB of memory, 1.2 GB are free" in chosen.reason


def test_a_narrower_layout_rather_than_a_smaller_model(store: ModelStore) -> None:
    chosen = pick(store, available=1.6e9)
    assert (chosen.spec.id, chosen.layout) == (BEST, "int4")


def test_too_slow_for_the_best_one(store: ModelStore) -> None:
    chosen = pick(store, bandwidth=16e9)
    assert chosen.spec.id == SMALL
    assert f"{BEST} is too slow here (a line takes about" in chosen.reason
    assert "predicted" in chosen.reason


def test_nothing_fits_and_still_there_is_an_answer(store: ModelStore) -> None:
    chosen = pick(store, available=1e8)
    assert (chosen.spec.id, chosen.layout) == (SMALL, "int8")
    assert chosen.reason.startswith("the smallest there is")
    assert BEST in chosen.reason
    assert f"{SMALL} (int4) needs" in chosen.reason


def test_a_measured_speed_overrules_the_predicted_one(store: ModelStore) -> None:
    remember(store, BEST, speed_of(LATENCY_BUDGET_MS * 2))
    chosen = pick(store, bandwidth=400e9)
    assert chosen.spec.id == SMALL
    assert f"{BEST} is too slow here (a line takes about 3.0 s of 1.5 s, measured)" in chosen.reason


def test_a_measured_speed_may_be_better_than_predicted(store: ModelStore) -> None:
    remember(store, BEST, speed_of(LATENCY_BUDGET_MS / 2))
    chosen = pick(store, bandwidth=1e9)
    assert chosen.spec.id == BEST
    assert "measured" in chosen.reason


def test_a_speed_measured_elsewhere_does_not_count(store: ModelStore) -> None:
    remember(store, BEST, speed_of(LATENCY_BUDGET_MS * 2, on="another machine"))
    assert pick(store).spec.id == BEST


def test_bandwidth_is_not_probed_where_all_is_measured(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "onnx")
    remember(store, BEST, speed_of(100))

    def probe(cores: int) -> float:
        raise AssertionError("probed")

    options = EngineOptions()
    found = recommend(options, store, machine=machine(), bandwidth_of=probe)
    assert found.spec.id == BEST


class AnyFile:
    """A runtime that runs every GGUF file, as llama.cpp does where it is installed."""

    def layouts(self, spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
        return llama_layouts(spec, device)


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make these the only runtimes; llama.cpp claims to be installed."""
    real = select.find_runtime
    monkeypatch.setattr(select, "runtimes_for", lambda name: names if name == "auto" else (name,))
    monkeypatch.setattr(
        select, "find_runtime", lambda name: AnyFile() if name == "llama" else real(name)
    )


def test_another_runtime_is_taken_once_it_was_measured_to_be_faster(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "onnx", "llama")
    assert pick(store).runtime == "onnx"
    remember(store, BEST, speed_of(1000))
    # Not measured yet: nothing is known of it.
    assert pick(store).runtime == "onnx"
    remember(store, BEST, speed_of(950), "llama")
    assert pick(store).runtime == "onnx"
    remember(store, BEST, speed_of(500), "llama")
    assert (pick(store).runtime, pick(store).layout) == ("llama", "gguf")
    assert pick(store, backend="onnx").runtime == "onnx"


def test_a_runtime_that_is_slow_by_wide_steps_is_not_taken_for_fast_ones(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "onnx", "llama")
    ours = replace(speed_of(960), steps_ms=((1, 60.0), (4, 80.0)))
    remember(store, BEST, ours)
    remember(store, BEST, replace(speed_of(720), steps_ms=((1, 45.0), (4, 150.0))), "llama")
    assert pick(store).runtime == "onnx"
    remember(store, BEST, replace(speed_of(720), steps_ms=((1, 45.0), (4, 70.0))), "llama")
    assert pick(store).runtime == "llama"


def test_a_gpu_is_preferred_where_a_runtime_drives_it(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "onnx", "llama")

    def found(free: float = 24e9, **options: str) -> ChosenModel:
        with_gpu = replace(machine(), accelerators=("a GPU",), accelerator_bytes=int(free))
        return recommend(
            EngineOptions(**options), store, machine=with_gpu, bandwidth_of=lambda cores: 40e9
        )

    assert (found().runtime, found().device) == ("llama", "gpu")
    assert found(device="cpu").device == "cpu"
    assert pick(store).device == "cpu"
    # What does not fit there runs on the processor.
    assert found(1e9).device == "cpu"


def test_every_way_is_listed_with_what_stands_against_it(store: ModelStore) -> None:
    forms = {form.runtime: form for form in forms_of(find_model(BEST), EngineOptions(), machine())}
    assert forms["onnx"].chosen is not None
    assert forms["onnx"].error is None
    optimum = forms["optimum"]
    assert optimum.chosen is None
    assert optimum.error is not None


def test_memory_is_more_than_the_weights() -> None:
    form = chosen_form(SMALL)
    assert memory_needed(form) > form.spec.parameters
    assert line_ms(speed_of(160)) == pytest.approx(160, rel=1e-3)


def test_choosing_by_name(store: ModelStore) -> None:
    chosen = choose_model(EngineOptions(model=SMALL.upper(), weights="int4"), store)
    assert (chosen.spec.id, chosen.layout) == (SMALL, "int4")
    assert chosen.reason == "named in the settings"
    with pytest.raises(UnknownModelError, match=SMALL):
        choose_model(EngineOptions(model="qwen2.5-coder-0.5"), store)
    with pytest.raises(ModelError, match="int8"):
        choose_model(EngineOptions(model=SMALL, weights="int7", backend="onnx"), store)
    with pytest.raises(BackendUnavailableError, match="auto, onnx, torch"):
        choose_model(EngineOptions(model=SMALL, backend="tensorflow"), store)


def test_a_small_model_that_was_named_is_tried_with_little_memory(store: ModelStore) -> None:
    chosen = choose_model(EngineOptions(model=SMALL), store, machine=machine(5e8))
    assert (chosen.spec.id, chosen.layout) == (SMALL, "int8")


def test_a_named_model_that_is_too_large_is_refused_with_what_would_fit(
    store: ModelStore,
) -> None:
    with pytest.raises(OutOfMemoryError) as caught:
        choose_model(EngineOptions(model="codellama-34b", backend="onnx"), store, machine=machine())
    said = str(caught.value)
    assert "codellama-34b (int4) needs 18" in said
    assert "16.0 GB are free" in said
    fitting = said.split("These would fit: ")[1]
    assert "34b" not in fitting
    for name in fitting.split(", "):
        (form,) = forms_of(find_model(name), EngineOptions(backend="onnx"), machine())
        assert form.chosen is not None


class Installed(ModelStore):
    """A store that claims to have some models of the registry."""

    def __init__(self, *ids: str) -> None:
        super().__init__(Path("nowhere"))
        self._ids = ids

    def model_path(self, spec: ModelSpec) -> Path | None:
        return Path(spec.id) if spec.id in self._ids else None


@pytest.mark.parametrize(
    ("installed", "download", "expected", "reason"),
    [
        ((BEST, SMALL), False, BEST, "the best one that fits"),
        ((), True, BEST, "the best one that fits"),
        # Nothing is here: the one to pull is named.
        ((), False, BEST, "the best one that fits"),
        # What is here serves, until the better one is pulled.
        ((SMALL,), False, SMALL, "best one that is installed"),
        ((SMALL,), True, BEST, "the best one that fits"),
    ],
)
def test_auto_and_what_is_installed(
    installed: tuple[str, ...],
    download: bool,
    expected: str,
    reason: str,
) -> None:
    chosen = choose_model(
        EngineOptions(download=download),
        Installed(*installed),
        machine=machine(),
        bandwidth_of=lambda cores: 40e9,
    )
    assert chosen.spec.id == expected
    assert reason in chosen.reason
    assert chosen.layout == chosen.spec.layout


def test_what_is_installed_and_cannot_run_is_no_substitute(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "llama")
    # Safetensors, of which the only runtime knows nothing.
    chosen = choose_model(
        EngineOptions(),
        Installed("codellama-7b"),
        machine=machine(),
        bandwidth_of=lambda cores: 40e9,
    )
    assert chosen.spec.id == BEST


def test_the_memory_of_a_gpu_is_what_its_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said = subprocess.CompletedProcess[str]([], 0, stdout="20000\n100\n", stderr="")
    monkeypatch.setattr(machine_module, "_accelerators", lambda: ("a GPU", "another"))
    monkeypatch.setattr(subprocess, "run", lambda *args, **named: said)
    assert probe_machine().accelerator_bytes == 20_000 * 1024 * 1024

    def gone(*args: object, **named: object) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", gone)
    assert probe_machine().accelerator_bytes is None
    # Where there is no accelerator, nobody is asked.
    monkeypatch.setattr(machine_module, "_accelerators", lambda: ())
    monkeypatch.setattr(subprocess, "run", lambda *args, **named: said)
    assert probe_machine().accelerator_bytes is None


def test_this_machine_can_be_looked_at() -> None:
    here = probe_machine()
    assert 0 < here.available_bytes <= here.memory_bytes
    assert here.cores >= 1
    assert here.fingerprint == probe_machine().fingerprint
    assert 1e8 < read_bandwidth(1) < 1e13
