from __future__ import annotations

import argparse
import importlib.util
import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from midfill_engine import machine, registry, select, store
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import ModelFormatError
from midfill_engine.machine import Machine
from midfill_engine.onnx.convert import CONVERTER_VERSION
from midfill_engine.progress import ProgressSink, silent
from midfill_engine.registry import ModelSpec
from midfill_engine.runtimes import ChosenModel, conversion_folder
from midfill_engine.speed import Speed, load_speed, save_speed
from midfill_engine.store import ModelStore
from midfill_server.commands import doctor
from midfill_server.commands.diagnosis import NetworkReport
from midfill_server.commands.trials import Trial, faster_of
from tests.server.models import make_spec

MACHINE = Machine(
    processor="Test Processor",
    system="Linux x86_64",
    cores=2,
    memory_bytes=8_000_000_000,
    available_bytes=4_000_000_000,
    accelerators=(),
)
SMALL, LARGE = (
    make_spec(
        model_id,
        file_name=f"{model_id}.gguf",
        content=model_id.encode(),
        rank=rank,
    )
    for rank, model_id in enumerate(("small-coder", "large-coder"), start=1)
)
FAST = Speed(prefill_tokens_per_s=400, step_ms=20, machine=MACHINE.fingerprint)
SLOW = Speed(prefill_tokens_per_s=50, step_ms=200, machine=MACHINE.fingerprint)


@dataclass
class Bench:
    """Stands in for loading a model: knows how fast, or how broken, each one is."""

    speeds: dict[str, Speed | Exception]
    busy_percent: float = 0.0
    tried: list[str] = field(default_factory=list)

    def __call__(
        self, chosen: ChosenModel, store: ModelStore, threads: int | None, progress: ProgressSink
    ) -> Trial:
        self.tried.append(chosen.spec.id)
        speed = self.speeds[chosen.spec.id]
        if isinstance(speed, Exception):
            raise speed
        save_speed(store.conversion_dir(chosen.spec.id, chosen.layout), speed)
        return Trial(speed=speed, busy_percent=self.busy_percent)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home on a quiet machine, and a registry with two tiny models."""
    home = tmp_path / "home"
    monkeypatch.setenv("MIDFILL_HOME", str(home))
    monkeypatch.setenv("MIDFILL_CONFIG", "")
    for module in (registry, select, store):
        monkeypatch.setattr(module, "MODELS", (SMALL, LARGE))
    for module in (machine, select):
        monkeypatch.setattr(module, "probe_machine", lambda: MACHINE)
    set_installed(monkeypatch, onnxruntime="1.31.1", numpy="2.4.6")
    return home


def set_installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Make these, with dashes for underscores, the only distributions that are installed."""
    known = {name.replace("_", "-"): version for name, version in versions.items()}

    def version(name: str) -> str:
        if name not in known:
            raise metadata.PackageNotFoundError(name)
        return known[name]

    modules = {"onnxruntime" for name in known if name.startswith("onnxruntime")}
    modules |= {"llama_cpp" for name in known if name.startswith("llama-cpp")}
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: (
            (object() if name in modules else None)
            if name in ("onnxruntime", "torch", "llama_cpp", "optimum")
            else find_spec(name)
        ),
    )


def install(tmp_path: Path, spec: ModelSpec, *, speed: Speed | None = None) -> Path:
    """Put a model there, fetched and converted; return the folder of its conversion."""
    source = tmp_path / spec.files[0].name
    source.write_bytes(spec.id.encode())
    models = ModelStore()
    models.pull(spec, progress=silent, cancel=CancelToken(), from_path=source)
    folder = models.conversion_dir(spec.id, spec.layout)
    folder.mkdir(parents=True)
    shape = dict.fromkeys(
        (
            "architecture",
            "layers",
            "hidden",
            "ffn",
            "heads",
            "kv_heads",
            "head_dim",
            "vocab",
            "context_tokens",
            "rope_theta",
            "rope_interleaved",
            "norm_epsilon",
        )
    )
    manifest = {
        "source_sha256": spec.files[0].sha256,
        "layout": spec.layout,
        "converter_version": CONVERTER_VERSION,
        "positions": 1024,
        "config": shape,
    }
    (folder / "model.json").write_text(json.dumps(manifest))
    if speed is not None:
        save_speed(folder, speed)
    return folder


def run(
    *words: str, bench: Bench | None = None, network: Callable[[], object] | None = None
) -> int:
    parser = argparse.ArgumentParser("midfill")
    doctor.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["doctor", *words])
    return doctor.run(args, bench or Bench(speeds={}), network)  # type: ignore[arg-type]


def examine(
    capsys: pytest.CaptureFixture[str], *words: str, bench: Bench | None = None
) -> SimpleNamespace:
    """Run with ``--json``; return the exit code and what was printed."""
    code = run("--json", *words, bench=bench)
    found = json.loads(capsys.readouterr().out)
    return SimpleNamespace(code=code, **found)


def test_nothing_installed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(speeds={})
    assert run(bench=bench) == 1
    out = capsys.readouterr().out
    assert "large-coder would be used, but it is not on this machine" in out
    assert "Do: midfill models pull large-coder\n" in out
    assert "midfill cannot complete code yet." in out
    assert not bench.tried
    assert not home.exists(), "looking must not make anything"


def test_a_working_installation(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, LARGE)
    assert run(bench=Bench(speeds={"large-coder": FAST})) == 0
    out = capsys.readouterr().out
    assert "used       large-coder, onnx on the cpu, int8 weights\n" in out
    assert "prefill 400 tokens/s, decode 20.0 ms a token" in out
    assert "measured now" in out
    assert "up to 384 tokens" in out
    assert out.endswith("\nmidfill can complete code here.\n")
    assert "Do:" not in out


def test_a_terminal_gets_the_same_in_colours(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    install(tmp_path, LARGE, speed=FAST)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    assert run("--quick") == 0
    written = terminal.getvalue()
    assert "\x1b[" in written
    plain = re.sub(r"\x1b\[[0-9;]*m", "", written)
    assert re.search(r"(?m)^used +large-coder, onnx on the cpu, int8 weights *$", plain)


def test_the_shape_of_the_json(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, LARGE)
    found = examine(capsys, bench=Bench(speeds={"large-coder": FAST}))
    assert (found.code, found.can_complete, found.troubles) == (0, True, [])
    assert found.versions["onnxruntime"] == "1.31.1"
    assert found.machine == {**asdict(MACHINE), "accelerators": []}
    assert [(model["id"], model["state"]) for model in found.models] == [
        ("small-coder", "missing"),
        ("large-coder", "ready"),
    ]
    assert list(found.models[1]["conversions"]) == ["int8"]
    assert found.chosen["id"] == "large-coder"
    assert found.chosen["prefill_tokens_per_s"] == 400
    assert found.chosen["measured_now"] is True
    assert found.chosen["reason"]
    assert found.paths["home"] == str(home)
    assert found.paths["settings"] is None
    assert found.paths["log"].endswith("server.log")
    assert found.network is None


def test_quick_loads_nothing_and_shows_what_is_remembered(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, LARGE, speed=FAST)
    bench = Bench(speeds={})
    found = examine(capsys, "--quick", bench=bench)
    assert (found.code, bench.tried) == (0, [])
    assert found.chosen["step_ms"] == 20
    assert found.chosen["measured_now"] is False


def test_two_runtimes_disturb_each_other(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, LARGE)
    set_installed(monkeypatch, onnxruntime="1.31.1", onnxruntime_gpu="1.31.0")
    found = examine(capsys, bench=Bench(speeds={"large-coder": FAST}))
    (trouble,) = found.troubles
    assert "onnxruntime and onnxruntime-gpu are both installed" in trouble["message"]
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in trouble["remedy"]
    assert found.code == 0, "it may work all the same"


def test_without_a_runtime_nothing_is_tried(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, LARGE)
    set_installed(monkeypatch, numpy="2.4.6")
    bench = Bench(speeds={})
    found = examine(capsys, bench=bench)
    assert (found.code, bench.tried) == (1, [])
    assert 'pip install "midfill[cpu]"' in found.troubles[0]["remedy"]


def test_a_model_that_was_measured_on_a_busy_machine_gets_another_chance(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, SMALL, speed=FAST)
    install(tmp_path, LARGE, speed=SLOW)
    assert examine(capsys, "--quick").chosen["id"] == "small-coder"
    bench = Bench(speeds={"small-coder": FAST, "large-coder": FAST})
    assert examine(capsys, bench=bench).chosen["id"] == "large-coder"
    assert bench.tried == ["large-coder"]


def test_a_model_that_turns_out_slow_makes_way_and_the_other_is_measured_too(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, SMALL)
    install(tmp_path, LARGE, speed=FAST)
    bench = Bench(speeds={"small-coder": FAST, "large-coder": SLOW})
    found = examine(capsys, bench=bench)
    assert bench.tried == ["large-coder", "small-coder"]
    assert (found.chosen["id"], found.chosen["measured_now"]) == ("small-coder", True)
    assert "large-coder is too slow here" in found.chosen["reason"]


def test_a_slow_model_that_was_named_is_pointed_out(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('model = "large-coder"\n')
    monkeypatch.setenv("MIDFILL_CONFIG", str(config))
    install(tmp_path, LARGE)
    bench = Bench(speeds={"large-coder": SLOW}, busy_percent=90)
    found = examine(capsys, bench=bench)
    busy, slow = found.troubles
    assert "90 % busy" in busy["message"]
    assert "large-coder is slow here" in slow["message"]
    assert 'model = "small-coder"' in slow["remedy"]
    assert found.code == 0


def test_a_model_that_does_not_load_is_fatal(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, LARGE)
    bench = Bench(speeds={"large-coder": ModelFormatError("it is damaged")})
    found = examine(capsys, bench=bench)
    assert found.code == 1
    assert "it is damaged" in found.troubles[0]["message"]
    assert "midfill models pull large-coder" in found.troubles[0]["remedy"]


def test_settings_that_cannot_be_used(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "config.toml"
    monkeypatch.setenv("MIDFILL_CONFIG", str(config))
    config.write_text("[completion]\nmax_tokns = 3\n")
    found = examine(capsys, "--quick")
    assert "did you mean completion.max_tokens?" in found.troubles[0]["message"]
    assert str(config) in found.troubles[0]["remedy"]

    config.write_text('model = "large-codr"\n')
    found = examine(capsys, "--quick")
    assert (found.code, found.chosen) == (1, None)
    assert "did you mean 'large-coder'?" in found.troubles[0]["message"]


def test_too_little_room_is_told_before_a_pull_fails_of_it(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=20))
    messages = [trouble["message"] for trouble in examine(capsys, "--quick").troubles]
    assert any(str(home) in message and "20 B are free" in message for message in messages)


def test_the_network_is_asked_only_on_demand(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> tuple[NetworkReport, ...]:
        raise AssertionError("nobody asked for that")

    def unreachable() -> tuple[NetworkReport, ...]:
        return (
            NetworkReport(url="https://hub.example", failure="ConnectionError"),
            NetworkReport(url="https://index.example", failure="no answer"),
        )

    install(tmp_path, LARGE, speed=FAST)
    assert run("--quick", network=refuse) == 0
    assert "https://" not in capsys.readouterr().out
    assert run("--quick", "--network", network=unreachable) == 0
    out = capsys.readouterr().out
    assert "https://hub.example: ConnectionError" in out
    assert "midfill models pull ID --from PATH" in out


def test_a_busy_measurement_displaces_nothing_better() -> None:
    mixed = replace(SLOW, prefill_tokens_per_s=500)
    assert faster_of(FAST, mixed) == replace(FAST, prefill_tokens_per_s=500)


def test_the_remembered_speed_is_that_of_this_machine(home: Path, tmp_path: Path) -> None:
    folder = install(tmp_path, LARGE)
    run(bench=Bench(speeds={"large-coder": FAST}))
    assert load_speed(folder, MACHINE.fingerprint) == FAST


def test_all_ways_to_run_the_model_are_compared(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, LARGE, speed=FAST)
    found = {one["backend"]: one for one in examine(capsys, "--quick").backends}
    assert found["onnx"]["is_used"]
    assert found["onnx"]["step_ms"] == FAST.step_ms
    assert "pip install 'midfill[llama]'" in found["llama"]["objection"]

    set_installed(monkeypatch, onnxruntime="1.31.1", llama_cpp_python="0.3.0")

    class Faster(Bench):
        def __call__(self, chosen: ChosenModel, *rest: object) -> Trial:
            self.tried.append(chosen.runtime)
            speed = FAST if chosen.runtime == "onnx" else replace(FAST, step_ms=5)
            save_speed(conversion_folder(chosen, ModelStore()), speed)
            return Trial(speed=speed, busy_percent=0)

    bench = Faster(speeds={})
    diagnosis = examine(capsys, bench=bench)
    assert bench.tried == ["llama"]
    assert diagnosis.chosen["backend"] == "llama"
    found = {one["backend"]: one for one in diagnosis.backends}
    assert (found["llama"]["is_used"], found["onnx"]["is_used"]) == (True, False)
    assert found["llama"]["step_ms"] == 5
    assert run("--quick") == 0
    assert "llama, cpu, gguf weights: prefill 400 tokens/s, decode 5.0 ms" in (
        capsys.readouterr().out
    )
