"""From a model's files to an engine that answers, by each runtime that is installed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_files import model_spec, write_gguf
from tiny_models import tiny_model

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import BackendUnavailableError, ModelError, ModelFormatError
from midfill_engine.loading import load_model, open_chosen
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.runtimes import ChosenModel, conversion_folder, find_runtime
from midfill_engine.store import ModelStore
from midfill_engine.types import CompletionRequest

REQUEST = CompletionRequest(prefix="def add(a, b):\n    return ", suffix="\n", max_tokens=24)
MODULES = {"onnx": "onnxruntime", "torch": "torch", "llama": "llama_cpp"}


def chosen(store: ModelStore, folder: Path, runtime: str, name: str = "qwen2") -> ChosenModel:
    path = write_gguf(tiny_model(name), folder / f"{name}.gguf")
    spec = model_spec(path)
    store.pull(spec, progress=silent, cancel=CancelToken(), from_path=path)
    layout = "gguf" if runtime == "llama" else "float32"
    return ChosenModel(spec=spec, layout=layout, reason="for a test", runtime=runtime)


def answer(form: ChosenModel, store: ModelStore) -> str:
    options = EngineOptions(threads=1, prompt_tokens=64)
    engine = open_chosen(form, store, options, silent, CancelToken())
    try:
        assert engine.info.backend.startswith(form.runtime)
        return "".join(chunk.text for chunk in engine.stream(REQUEST, CancelToken()))
    finally:
        engine.close()


@pytest.mark.parametrize("name", ["qwen2", "llama"])
@pytest.mark.parametrize("runtime", ["torch", "llama"])
def test_every_runtime_says_the_same(
    runtime: str, name: str, store: ModelStore, tmp_path: Path
) -> None:
    if importlib.util.find_spec(MODULES[runtime]) is None:
        pytest.skip(f"{MODULES[runtime]} is not installed (make test-reference installs it)")
    form = chosen(store, tmp_path, runtime, name)
    expected = answer(replace(form, runtime="onnx", layout="float32"), store)
    assert expected
    assert answer(form, store) == expected
    # What was learned of its speed is remembered, also where nothing was converted.
    assert (conversion_folder(form, store) / "speed.json").is_file()


def test_a_runtime_that_is_not_installed_says_how_to_get_it(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = chosen(store, tmp_path, "onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for runtime, extra in (("onnx", "cpu"), ("torch", "torch"), ("llama", "llama")):
        with pytest.raises(BackendUnavailableError, match=rf"pip install 'midfill\[{extra}\]'"):
            find_runtime(runtime).layouts(form.spec, "cpu")
    with pytest.raises(BackendUnavailableError, match=r"midfill\[cuda\]"):
        find_runtime("onnx").layouts(form.spec, "gpu")


def test_what_a_runtime_cannot_run_it_refuses(store: ModelStore, tmp_path: Path) -> None:
    spec = chosen(store, tmp_path, "onnx").spec
    strange = replace(spec, config=replace(spec.config, architecture="mamba"))
    with pytest.raises(ModelError, match=r"kind mamba.*midfill\[optimum\]"):
        find_runtime("onnx").layouts(strange, "cpu")
    with pytest.raises(BackendUnavailableError, match="no backend 'tensorflow'"):
        find_runtime("tensorflow")


def test_a_file_that_is_not_the_model_it_is_taken_for(store: ModelStore, tmp_path: Path) -> None:
    form = chosen(store, tmp_path, "onnx")
    other = replace(form.spec, config=replace(form.spec.config, layers=99))
    with pytest.raises(ModelFormatError, match="it has layers 2, and that has 99"):
        load_model(
            replace(form, spec=other), store, EngineOptions(threads=1), silent, CancelToken()
        )
