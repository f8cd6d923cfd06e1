"""The real small model finds a constant again that stands thousands of tokens before."""

from __future__ import annotations

import pytest

from benchmarks.long_context import context_tokens_for, fitted, retrieve
from midfill_engine.cancel import CancelToken
from midfill_engine.loading import load_model
from midfill_engine.local import LocalEngine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.select import choose_model
from midfill_engine.store import ModelStore
from midfill_engine.types import EngineInfo
from tests.e2e.conftest import MODEL

LENGTH = 2500


@pytest.mark.usefixtures("environment")
def test_a_key_at_the_beginning_of_a_long_file_is_found() -> None:
    options = EngineOptions(
        model=MODEL, backend="onnx", device="cpu", context_tokens=context_tokens_for(LENGTH)
    )
    store = ModelStore()
    model = load_model(choose_model(options, store), store, options, silent, CancelToken())
    engine = LocalEngine(model, EngineInfo(model_id=MODEL, backend="onnx", device="cpu"))
    try:
        case = fitted(LENGTH, 0.0, 1, lambda text: len(model.tokenizer.encode(text)))
        found = retrieve(engine, case, lambda: 0, 0)
    finally:
        engine.close()
    assert found.prompt_tokens > LENGTH * 0.9
    assert found.exact, found
