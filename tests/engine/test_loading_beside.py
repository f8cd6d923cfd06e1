"""Two models at once: a smaller one stands in for a better one that loads, and drafts for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_files import mixed_types, model_spec, write_gguf
from tiny_models import tiny_model

from midfill_engine import drafting, loading
from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import ModelError, ModelMissingError, UnknownModelError
from midfill_engine.loading import open_chosen, open_engine, prepare
from midfill_engine.local import LocalEngine
from midfill_engine.machine import probe_machine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import ProgressSink, silent
from midfill_engine.runtimes import ChosenModel
from midfill_engine.select import memory_needed
from midfill_engine.store import ModelStore
from midfill_engine.types import CompletionRequest


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


def make(chosen: ChosenModel, store: ModelStore) -> None:
    prepare(chosen, store, download=False, progress=silent, cancel=CancelToken())


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


def test_nothing_stands_in_for_a_model_that_has_to_be_pulled_by_hand(
    chosen: ChosenModel, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(beside_a_smaller_one(chosen, store, tmp_path, monkeypatch), store)
    store.remove(chosen.spec)
    with pytest.raises(ModelMissingError):
        first_to_serve(store)


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
