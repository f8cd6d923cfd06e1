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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_files import mixed_types, model_spec, write_gguf
from tiny_models import TinyModel, tiny_model

from midfill_engine import drafting, loading
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import NoDraft
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.engine import Engine
from midfill_engine.errors import (
    DiskFullError,
    ModelError,
    ModelMissingError,
    OutOfMemoryError,
    UnknownModelError,
    WorkCancelledError,
)
from midfill_engine.loading import (
    drafter_for,
    load_model,
    open_chosen,
    open_engine,
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
from midfill_engine.progress import Progress, ProgressSink, silent
from midfill_engine.runtimes import ChosenModel
from midfill_engine.select import memory_needed
from midfill_engine.speed import Speed
from midfill_engine.store import ModelStore
from midfill_engine.types import CompletionRequest, EngineInfo


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


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "home")


@pytest.fixture
def chosen(store: ModelStore, tmp_path: Path) -> ChosenModel:
    """A tiny model that is pulled already."""
    return pulled(store, tmp_path, tiny_model("qwen2"))


def pulled(
    store: ModelStore, tmp_path: Path, model: TinyModel, layout: str = "int8"
) -> ChosenModel:
    path = write_gguf(model, tmp_path / f"{model.name}.gguf", mixed_types)
    spec = model_spec(path, layout=layout)
    store.pull(spec, progress=silent, cancel=CancelToken(), from_path=path)
    return ChosenModel(spec=spec, layout=layout, reason="for a test")


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


def beside_a_smaller_one(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ChosenModel:
    """Make ``chosen`` what is asked for, and return a worse model that is pulled as well."""
    path = write_gguf(tiny_model("llama"), tmp_path / "small.gguf", mixed_types)
    spec = replace(model_spec(path), id="smaller", rank=chosen.spec.rank - 1, embedded=True)
    store.pull(spec, progress=silent, cancel=CancelToken(), from_path=path)
    monkeypatch.setattr(loading, "MODELS", (chosen.spec, spec))
    monkeypatch.setattr(loading, "choose_model", lambda options, store: chosen)
    return ChosenModel(spec=spec, layout=spec.layout, reason="for a test")


def first_to_serve(store: ModelStore, *, stand_in: str = "loading") -> str:
    options = EngineOptions(home=store.home, threads=1, stand_in=stand_in)
    engine = open_engine(options, silent)
    try:
        return engine.info.model_id
    finally:
        engine.close()


def test_a_smaller_model_stands_in_once_it_only_has_to_be_loaded(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller = beside_a_smaller_one(chosen, store, tmp_path, monkeypatch)
    assert first_to_serve(store) == "tiny"
    make(smaller, store)
    assert first_to_serve(store, stand_in="never") == "tiny"

    gate = threading.Event()
    real = loading.open_chosen

    def opens(which: ChosenModel, *args: object, **named: object) -> Engine:
        # The better one waits, so that it cannot take over before this test has looked.
        assert which is not chosen or gate.wait(20)
        return real(which, *args, **named)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(loading, "open_chosen", opens)
    engine = open_engine(EngineOptions(home=store.home, threads=1, stand_in="loading"), silent)
    assert engine.info.model_id == "smaller"
    assert "until tiny is ready" in engine.info.reason
    gate.set()
    engine.close()


def test_the_smaller_model_stays_where_it_is_of_use_and_there_is_room(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller = beside_a_smaller_one(chosen, store, tmp_path, monkeypatch)
    make(smaller, store)
    needed = memory_needed(chosen) + memory_needed(smaller)
    here = probe_machine()
    answers: list[bool] = []
    budgets_mb: list[int] = []
    real = loading.open_chosen

    def opens(
        which: ChosenModel,
        store: ModelStore,
        options: EngineOptions,
        *rest: object,
        beside: LocalEngine | None = None,
    ) -> LocalEngine:
        budgets_mb.append(options.cache_mb)
        # What is asked here is who stays for the sake of prompts, not of drafts.
        return real(which, store, options, *rest)  # type: ignore[arg-type]  # as they came

    def stand_in_engine(
        small: Engine,
        open_better: Callable[[CancelToken], Engine],
        progress: ProgressSink,
        *,
        stays: Callable[[Engine], bool],
    ) -> Engine:
        better = open_better(CancelToken())
        answers.append(stays(better))
        small.close()
        return better

    monkeypatch.setattr(loading, "open_chosen", opens)
    monkeypatch.setattr(loading, "StandInEngine", stand_in_engine)
    for stand_in, memory, prompt_ms, stays in (
        ("always", 1.1, 601, True),
        ("always", 1.1, 600, False),
        ("loading", 9, 601, False),
        ("auto", 3.1, 601, True),
        ("auto", 2.9, 601, False),
        ("auto", 3.1, 600, False),
    ):
        machine = replace(here, available_bytes=int(needed * memory))
        monkeypatch.setattr(loading, "probe_machine", lambda machine=machine: machine)
        monkeypatch.setattr(LocalEngine, "cold_prompt_ms", prompt_ms)
        options = EngineOptions(home=store.home, threads=1, stand_in=stand_in, cache_mb=100)
        open_engine(options, silent).close()
        assert answers.pop() is stays
    assert budgets_mb[:2] == [50, 100]


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


def test_nothing_stands_in_for_a_model_that_has_to_be_pulled_by_hand(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(beside_a_smaller_one(chosen, store, tmp_path, monkeypatch), store)
    store.remove(chosen.spec)
    with pytest.raises(ModelMissingError):
        first_to_serve(store)


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


REQUEST = CompletionRequest(prefix="def add(a, b):\n    return ", suffix="\n", max_tokens=40)


def text_of(engine: Engine) -> str:
    return "".join(chunk.text for chunk in engine.stream(REQUEST, CancelToken()))


def opened(
    chosen: ChosenModel, store: ModelStore, *, beside: LocalEngine | None = None, draft: str
) -> LocalEngine:
    options = EngineOptions(home=store.home, threads=1, draft=draft, prompt_tokens=64)
    return open_chosen(chosen, store, options, silent, CancelToken(), beside=beside)


def test_the_stand_in_drafts_for_the_better_model_and_changes_no_token(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller = beside_a_smaller_one(chosen, store, tmp_path, monkeypatch)
    alone = opened(chosen, store, draft="never")
    small = opened(smaller, store, draft="never")
    both = opened(chosen, store, beside=small, draft="smaller")
    assert (alone.drafts_beside, both.drafts_beside) == (False, True)
    assert text_of(both) == text_of(alone)
    assert text_of(small)
    # The one that drafts belongs to somebody else.
    both.close()
    assert text_of(small)
    # Unasked nothing drafts on a processor.
    for draft in ("never", "auto"):
        assert not opened(chosen, store, beside=small, draft=draft).drafts_beside


def test_a_model_that_was_named_drafts_and_goes_with_the_engine(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path
) -> None:
    path = write_gguf(tiny_model("llama"), tmp_path / "draft.gguf", mixed_types)
    alone, drafted = (opened(chosen, store, draft=name) for name in ("never", str(path)))
    assert text_of(drafted) == text_of(alone)
    assert not drafted.drafts_beside
    companion = drafted._companion
    assert companion is not None
    drafted.close()
    with pytest.raises(ValueError, match="closed"):
        companion.backend.forward([1], companion.backend.new_cache(4), 1)


def test_a_model_that_cannot_draft_is_refused_with_the_reason(
    chosen: ChosenModel, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownModelError, match="there is no model 'nothing-of-the-kind'"):
        opened(chosen, store, draft="nothing-of-the-kind")
    monkeypatch.setattr(drafting, "check_pair", lambda target, draft: "token 3 differs")
    small = opened(chosen, store, draft="never")
    with pytest.raises(ModelError, match="cannot draft for the other: token 3 differs"):
        opened(chosen, store, beside=small, draft=small.info.model_id)
