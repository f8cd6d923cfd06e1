"""From a choice of model to an engine: converted once, rebuilt when stale, safe beside others."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_files import pulled
from tiny_models import tiny_model

from midfill_engine import loading
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import NoDraft
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.errors import (
    DiskFullError,
    ModelMissingError,
    OutOfMemoryError,
    WorkCancelledError,
)
from midfill_engine.loading import (
    drafter_for,
    load_model,
    open_chosen,
    plan_for,
    prefill_chunk_for,
    prepare,
    prompt_tokens_for,
)
from midfill_engine.local import LocalEngine
from midfill_engine.machine import probe_machine
from midfill_engine.onnx.convert import OnnxManifest
from midfill_engine.onnx.writer import OpenWeight
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, silent
from midfill_engine.runtimes import ChosenModel
from midfill_engine.speed import Speed
from midfill_engine.store import ModelStore
from midfill_engine.types import EngineInfo


class Reports:
    """Keeps what progress said; may do something at the first report of a conversion."""

    def __init__(self, at_start: object = None) -> None:
        self.tasks: list[str] = []
        self._at_start = at_start

    def __call__(self, progress: Progress) -> None:
        first = self.conversions == 0
        self.tasks.append(progress.task)
        if first and self.conversions and callable(self._at_start):
            self._at_start()

    @property
    def conversions(self) -> int:
        return sum(task.startswith("Converting") for task in self.tasks)


def make(
    chosen: ChosenModel,
    store: ModelStore,
    progress: Reports | None = None,
    cancel: CancelToken | None = None,
) -> Path:
    return prepare(
        chosen,
        store,
        download=False,
        progress=progress or Reports(),
        cancel=cancel or CancelToken(),
    )


def made_of(folder: Path) -> str | None:
    manifest = OnnxManifest.read(folder)
    return None if manifest is None else manifest.source_sha256


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.parent.iterdir() if path != folder]


def test_a_model_is_converted_once(chosen: ChosenModel, store: ModelStore) -> None:
    first, second = Reports(), Reports()
    folder = make(chosen, store, first)
    assert made_of(folder) == chosen.spec.files[0].sha256
    assert first.conversions > 0
    assert make(chosen, store, second) == folder
    assert second.tasks == []
    assert leftovers(folder) == []


def test_each_layout_has_a_conversion_of_its_own(chosen: ChosenModel, store: ModelStore) -> None:
    other = ChosenModel(spec=chosen.spec, layout="mixed", reason="")
    folders = {make(chosen, store), make(other, store)}
    assert len(folders) == 2
    assert {OnnxManifest.read(folder).layout for folder in folders} == {"int8", "mixed"}


def test_another_file_is_converted_anew(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path
) -> None:
    folder = make(chosen, store)
    newer = pulled(store, tmp_path, tiny_model("llama"))
    assert make(newer, store) == folder
    assert made_of(folder) == newer.spec.files[0].sha256 != chosen.spec.files[0].sha256


@pytest.mark.parametrize(
    ("field", "value"), [("converter_version", 0), ("layout", "int4"), ("source_sha256", "00")]
)
def test_what_was_made_otherwise_is_made_anew(
    field: str, value: object, chosen: ChosenModel, store: ModelStore
) -> None:
    folder = make(chosen, store)
    note = folder / "model.json"
    fields = json.loads(note.read_text(encoding="utf-8"))
    note.write_text(json.dumps({**fields, field: value}), encoding="utf-8")
    reports = Reports()
    make(chosen, store, reports)
    assert reports.conversions > 0
    assert json.loads(note.read_text(encoding="utf-8")) == fields


def test_a_missing_model_says_how_to_get_it(chosen: ChosenModel, store: ModelStore) -> None:
    store.remove(chosen.spec)
    with pytest.raises(ModelMissingError, match="midfill models pull tiny"):
        make(chosen, store)


def test_a_cancelled_conversion_leaves_nothing(chosen: ChosenModel, store: ModelStore) -> None:
    cancel = CancelToken()
    with pytest.raises(WorkCancelledError):
        make(chosen, store, Reports(at_start=cancel.cancel), cancel)
    folder = store.conversion_dir("tiny", "int8")
    assert not folder.exists()
    assert leftovers(folder) == []


def test_a_disk_without_room_is_seen_before_anything_is_written(
    chosen: ChosenModel, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 1000))
    with pytest.raises(DiskFullError, match=r"converting tiny needs .* MIDFILL_HOME"):
        make(chosen, store)
    assert leftovers(store.conversion_dir("tiny", "int8")) == []


def test_a_disk_that_fills_up_leaves_the_old_state(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(chosen, store)
    newer = pulled(store, tmp_path, tiny_model("llama"))

    def full(self: OpenWeight, first_row: int, values: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(OpenWeight, "write", full)
        with pytest.raises(DiskFullError, match="Make room"):
            make(newer, store)
    assert made_of(folder) == chosen.spec.files[0].sha256
    assert leftovers(folder) == []
    make(newer, store)
    assert made_of(folder) == newer.spec.files[0].sha256


CHILD = """
import sys
from pathlib import Path
from midfill_engine.cancel import CancelToken
from midfill_engine.loading import prepare
from midfill_engine.runtimes import ChosenModel
from midfill_engine.store import ModelStore
from tiny_files import model_spec

waited = False

def report(progress):
    global waited
    if progress.task.startswith("Converting") and not waited:
        waited = True
        print("converting", flush=True)
        sys.stdin.readline()

chosen = ChosenModel(spec=model_spec(Path(sys.argv[2])), layout="int8", reason="")
store = ModelStore(Path(sys.argv[1]))
prepare(chosen, store, download=False, progress=report, cancel=CancelToken())
print("done", flush=True)
"""


@contextmanager
def converting(store: ModelStore, file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has begun to convert, and waits for a line before it goes on."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store.home), str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "converting\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_killed_conversion_leaves_the_old_state(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path
) -> None:
    folder = make(chosen, store)
    newer = pulled(store, tmp_path, tiny_model("llama"))
    with converting(store, tmp_path / "llama.gguf") as child:
        child.kill()
        child.wait()
    assert made_of(folder) == chosen.spec.files[0].sha256
    # What it left is swept by the next one, which also finds the lock free.
    assert leftovers(folder) == ["int8.new"]
    make(newer, store)
    assert made_of(folder) == newer.spec.files[0].sha256
    assert leftovers(folder) == []


def test_two_processes_convert_once(chosen: ChosenModel, store: ModelStore, tmp_path: Path) -> None:
    waits = threading.Event()
    reports = Reports()

    def report(progress: Progress) -> None:
        reports(progress)
        if progress.task.startswith("Waiting"):
            waits.set()

    result: list[Path] = []
    with converting(store, tmp_path / "qwen2.gguf") as child:
        second = threading.Thread(target=lambda: result.append(make(chosen, store, report)))
        second.start()
        assert waits.wait(20)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "done\n"
        second.join(20)
    assert reports.conversions == 0
    assert made_of(result[0]) == chosen.spec.files[0].sha256


def test_an_engine_opens_on_what_was_prepared(chosen: ChosenModel, store: ModelStore) -> None:
    reports = Reports()
    options = EngineOptions(threads=1)
    engine = open_chosen(chosen, store, options, reports, CancelToken())
    try:
        assert engine.info.model_id == "tiny"
        assert engine.info.reason == "for a test"
        assert "int8" in engine.info.backend
        assert reports.tasks[-1] == "Loading tiny"
        assert (store.conversion_dir("tiny", "int8") / "speed.json").is_file()
    finally:
        engine.close()


def test_speed_is_measured_once(
    chosen: ChosenModel, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_chosen(chosen, store, EngineOptions(threads=1), silent, CancelToken()).close()

    def again(*args: object) -> Speed:
        raise AssertionError("measured twice")

    monkeypatch.setattr(loading, "measure_speed", again)
    open_chosen(chosen, store, EngineOptions(threads=1), silent, CancelToken()).close()


def test_a_default_prompt_is_priced_by_what_was_measured(
    chosen: ChosenModel, store: ModelStore
) -> None:
    options = EngineOptions(threads=1, prompt_tokens=300)
    model = load_model(chosen, store, options, silent, CancelToken())
    info = EngineInfo(model_id="tiny", backend="", device="")
    speed = Speed(prefill_tokens_per_s=200.0, step_ms=1.0, machine="")
    assert LocalEngine(replace(model, speed=speed), info).cold_prompt_ms == 1500
    assert LocalEngine(replace(model, speed=None), info).cold_prompt_ms == 0
    model.backend.close()


def test_drafts_need_to_know_what_they_cost(chosen: ChosenModel, store: ModelStore) -> None:
    model = load_model(chosen, store, EngineOptions(threads=1), silent, CancelToken())
    assert isinstance(drafter_for(model), LookupDrafter)
    assert isinstance(drafter_for(replace(model, speed=None)), NoDraft)
    model.backend.close()


def test_notes_without_wide_steps_are_made_anew(chosen: ChosenModel, store: ModelStore) -> None:
    open_chosen(chosen, store, EngineOptions(threads=1), silent, CancelToken()).close()
    note = store.conversion_dir("tiny", "int8") / "speed.json"
    fields = json.loads(note.read_text(encoding="utf-8"))
    assert [tokens for tokens, _ in fields.pop("steps_ms")] == [1, 2, 4, 8, 16]
    note.write_text(json.dumps(fields), encoding="utf-8")
    open_chosen(chosen, store, EngineOptions(threads=1), silent, CancelToken()).close()
    assert json.loads(note.read_text(encoding="utf-8"))["steps_ms"]


@pytest.mark.parametrize(
    ("tokens_per_s", "expected"), [(1.0, 384), (450.0, 384), (650.0, 640), (1e6, 2048)]
)
def test_prompts_are_as_long_as_the_machine_affords(tokens_per_s: float, expected: int) -> None:
    speed = Speed(prefill_tokens_per_s=tokens_per_s, step_ms=1.0, machine="")
    assert prompt_tokens_for(speed) == expected


def test_without_memory_a_small_model_gets_little_context_and_others_none(
    chosen: ChosenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    poor = replace(probe_machine(), available_bytes=200_000_000)
    monkeypatch.setattr(loading, "probe_machine", lambda: poor)
    options = EngineOptions(context_tokens=300)
    with pytest.raises(OutOfMemoryError, match=r"tiny needs 0\.3 GB of memory, 0\.2 GB are free"):
        plan_for(chosen, options)
    embedded = replace(chosen, spec=replace(chosen.spec, embedded=True))
    assert plan_for(embedded, options).context_tokens == 300


def test_a_gpu_computes_longer_chunks() -> None:
    fast = Speed(prefill_tokens_per_s=1e6, step_ms=1.0, machine="")
    assert (prefill_chunk_for(fast), prefill_chunk_for(fast, "gpu")) == (256, 1024)


@pytest.mark.parametrize(("tokens_per_s", "expected"), [(1.0, 64), (450.0, 128), (1e6, 256)])
def test_a_chunk_takes_about_a_quarter_of_a_second(tokens_per_s: float, expected: int) -> None:
    speed = Speed(prefill_tokens_per_s=tokens_per_s, step_ms=1.0, machine="")
    assert prefill_chunk_for(speed) == expected
