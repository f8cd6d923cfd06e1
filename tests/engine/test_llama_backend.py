"""The llama.cpp backend: exact, the same however it is driven, and quiet."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_identity import FIM, PLENTY, TOKENIZER, Decided, ask, replay
from tiny_files import write_gguf
from tiny_models import TINY_MODELS, Floats, golden, prompt_ids, tiny_model
from token_corpus import corpus

from midfill_engine.backends import llama_library
from midfill_engine.backends.base import KVCache, Logits
from midfill_engine.backends.llama_backend import LlamaBackend, LlamaKVCache, offloads
from midfill_engine.cache.store import PrefixStore
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.decode.pace import StepCosts
from midfill_engine.errors import BackendUnavailableError, ModelFormatError, OutOfMemoryError
from midfill_engine.gguf.reader import open_gguf
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.tokenizer import build_tokenizer
from midfill_engine.types import CompletionRequest, EngineInfo

pytest.importorskip(
    "llama_cpp.llama_cpp", reason="llama.cpp is compiled on installation: midfill[llama]"
)

MODEL = tiny_model("qwen2")
TOKENS = prompt_ids(MODEL, 40)
TOLERANCE = 1e-5
"""Of the largest logit."""
GELU_TOLERANCE = 1e-3
"""llama.cpp looks this function up in a table of float16."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llama")


def gguf(folder: Path, name: str = "qwen2") -> Path:
    path = folder / f"{name}.gguf"
    return path if path.exists() else write_gguf(tiny_model(name), path)


def opened(path: Path, cells: int = 4096, places: int = 16) -> LlamaBackend:
    return LlamaBackend(path, capacity=1024, cells=cells, places=places, threads=1, kv_type="f32")


@pytest.fixture(scope="module")
def backend(folder: Path) -> LlamaBackend:
    return opened(gguf(folder))


def logits_of(backend: LlamaBackend, tokens: Sequence[int]) -> Floats:
    """What a cold cache gives for all of them at once."""
    return backend.forward(tokens, backend.new_cache(1024), len(tokens)).copy()


def compute(backend: LlamaBackend, tokens: Sequence[int], cache: KVCache, wanted: int) -> Floats:
    """One step, whose logits outlast the next one."""
    return backend.forward(tokens, cache, wanted).copy()


def assert_close(rows: Logits, expected: Floats, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_allclose(
        rows, expected, rtol=0, atol=tolerance * np.abs(expected).max(initial=0)
    )


# Of the models that have a sliding window, see below.
@pytest.mark.parametrize(
    "name", [name for name in TINY_MODELS if tiny_model(name).config.window is None]
)
def test_logits_and_greedy_answers_are_those_of_transformers(name: str, folder: Path) -> None:
    reference, backend = golden(name), opened(gguf(folder, name))
    prompt = reference["prompt"]
    every = logits_of(backend, prompt)
    tolerance = GELU_TOLERANCE if tiny_model(name).config.activation == "gelu" else TOLERANCE
    expected = np.array(reference["logits"], np.float32)
    assert_close(every[reference["positions"]], expected, tolerance)
    cache, token = backend.new_cache(1024), None
    logits = backend.forward(prompt, cache, 1)
    for expected in reference["greedy"]:
        token = int(logits[0].argmax())
        assert token == expected
        logits = backend.forward([token], cache, 1)
    backend.close()


def test_no_sequence_is_longer_than_a_window_that_the_library_leaves_out(folder: Path) -> None:
    name = "starcoder2"
    reference, backend = golden(name), opened(gguf(folder, name))
    window = tiny_model(name).config.window
    cache = backend.new_cache(1024)
    assert cache.capacity == window
    first, *_ = reference["positions"]
    assert first < window
    every = backend.forward(reference["prompt"][:window], cache, window)
    assert_close(every[first], np.array(reference["logits"][0], np.float32), GELU_TOLERANCE)


def test_the_vocabulary_is_that_of_the_tokenizer(backend: LlamaBackend, folder: Path) -> None:
    tokenizer = build_tokenizer(open_gguf(gguf(folder)).metadata)
    assert backend.vocab_size == tokenizer.vocab_size == MODEL.config.vocab


@pytest.mark.parametrize("wanted", [0, 1, 5, 40])
def test_only_the_wanted_rows_come_back(backend: LlamaBackend, wanted: int) -> None:
    rows = compute(backend, TOKENS, backend.new_cache(64), wanted)
    assert rows.shape == (wanted, backend.vocab_size)
    assert rows.dtype == np.float32
    assert_close(rows, logits_of(backend, TOKENS)[40 - wanted :])


def test_one_call_may_be_longer_than_a_batch(backend: LlamaBackend) -> None:
    tokens = prompt_ids(MODEL, 700)
    pieces = backend.new_cache(1024)
    parts = [backend.forward([token], pieces, 1).copy() for token in tokens]
    expected = np.concatenate(parts)
    for wanted in (0, 1, 150, 700):
        rows = compute(backend, tokens, backend.new_cache(1024), wanted)
        assert_close(rows, expected[700 - wanted :])


def test_a_rolled_back_cache_goes_on_as_if_nothing_had_been(backend: LlamaBackend) -> None:
    cache = backend.new_cache(64)
    backend.forward(TOKENS[:20], cache, 0)
    backend.forward(TOKENS[30:38], cache, 8)
    cache.truncate(20)
    assert_close(compute(backend, TOKENS[20:], cache, 20), logits_of(backend, TOKENS)[20:])


def test_a_copy_shares_cells_and_nothing_else(backend: LlamaBackend) -> None:
    one, two = backend.new_cache(64), backend.new_cache(48)
    backend.forward(TOKENS[:30], one, 0)
    backend.forward(TOKENS[10:20], two, 0)
    alone = one.nbytes
    two.copy_beginning(one, 24)
    assert two.length == 24
    assert one.nbytes + two.nbytes == alone
    one.truncate(2)
    backend.forward(TOKENS[8:20], one, 0)
    assert_close(compute(backend, TOKENS[24:], two, 16), logits_of(backend, TOKENS)[24:])
    again = [*TOKENS[:2], *TOKENS[8:20], 7]
    assert_close(compute(backend, [7], one, 1), logits_of(backend, again)[-1:])


def test_a_copy_of_itself_is_a_cut(backend: LlamaBackend) -> None:
    cache = backend.new_cache(64)
    backend.forward(TOKENS[:20], cache, 0)
    cache.copy_beginning(cache, 12)
    assert_close(compute(backend, TOKENS[12:], cache, 28), logits_of(backend, TOKENS)[12:])


def test_bytes_are_those_of_the_cells_in_use(folder: Path) -> None:
    config = MODEL.config
    each = config.kv_values * 4
    backend = opened(gguf(folder))
    one, two = backend.new_cache(64), backend.new_cache(64)
    assert (one.length, one.capacity, one.nbytes) == (0, 64, 0)
    backend.forward(TOKENS[:10], one, 0)
    two.copy_beginning(one, 6)
    assert (one.nbytes, two.nbytes) == (7 * each, 3 * each)
    # Whoever is left holds all of it.
    del one
    assert backend.new_cache(64).length == 0
    assert two.nbytes == 6 * each
    two.truncate(1)
    assert two.nbytes == each


def test_narrower_keys_and_values_take_less_room(folder: Path) -> None:
    sizes = {}
    for kind in ("f32", "f16", "q8_0"):
        narrow = LlamaBackend(gguf(folder), capacity=64, cells=64, threads=1, kv_type=kind)
        cache = narrow.new_cache(64)
        rows = narrow.forward(TOKENS, cache, 1)
        assert np.isfinite(rows).all()
        sizes[kind] = cache.nbytes
    assert sizes["f32"] == 2 * sizes["f16"]
    assert sizes["f16"] > 1.8 * sizes["q8_0"]


@pytest.mark.parametrize("length", [-1, 4])
def test_a_cache_cannot_be_cut_where_it_is_not(backend: LlamaBackend, length: int) -> None:
    cache = backend.new_cache(32)
    backend.forward(TOKENS[:3], cache, 0)
    with pytest.raises(ValueError, match=f"of 3 to {length}"):
        cache.truncate(length)


@pytest.mark.parametrize("length", [-1, 11, 17])
def test_no_more_is_copied_than_is_there_and_fits(backend: LlamaBackend, length: int) -> None:
    one, two = backend.new_cache(32), backend.new_cache(16)
    backend.forward(TOKENS[: max(10, length)], one, 0)
    if length == 11:
        one.truncate(10)
    with pytest.raises(ValueError, match=f"cannot copy {length} positions"):
        two.copy_beginning(one, length)


def test_a_cache_of_another_backend_is_refused(backend: LlamaBackend, folder: Path) -> None:
    other = opened(gguf(folder)).new_cache(8)
    with pytest.raises(TypeError, match="another backend"):
        backend.new_cache(8).copy_beginning(other, 0)


def test_a_cache_that_would_overflow_is_left_as_it_was(backend: LlamaBackend) -> None:
    cache = backend.new_cache(8)
    backend.forward(TOKENS[:6], cache, 0)
    with pytest.raises(ValueError, match="9 positions in a cache of 8"):
        backend.forward(TOKENS[6:9], cache, 1)
    assert_close(compute(backend, TOKENS[6:8], cache, 1), logits_of(backend, TOKENS[:8])[-1:])


def test_a_cache_is_no_longer_than_the_backend_allows(backend: LlamaBackend) -> None:
    assert backend.new_cache(10**6).capacity == 1024


@pytest.mark.parametrize(("tokens", "wanted"), [([], 0), ([1], 2), ([1], -1)])
def test_impossible_requests_are_refused(
    backend: LlamaBackend, tokens: list[int], wanted: int
) -> None:
    with pytest.raises(ValueError, match="rows of logits"):
        backend.forward(tokens, backend.new_cache(8), wanted)


@pytest.mark.parametrize("stranger", [-1, 384])
def test_an_id_outside_of_the_vocabulary_changes_nothing(
    backend: LlamaBackend, stranger: int
) -> None:
    cache = backend.new_cache(1024)
    backend.forward(TOKENS[:6], cache, 0)
    # In the second batch of the call: the first one must be taken back as well.
    with pytest.raises(ValueError, match="refuses the tokens"):
        backend.forward([*prompt_ids(MODEL, 600), stranger], cache, 1)
    assert cache.length == 6
    assert_close(compute(backend, TOKENS[6:8], cache, 1), logits_of(backend, TOKENS[:8])[-1:])


def test_a_full_pool_says_so_and_changes_nothing(folder: Path) -> None:
    backend = opened(gguf(folder), cells=1024)
    one, two = backend.new_cache(1024), backend.new_cache(1024)
    backend.forward(prompt_ids(MODEL, 1000), one, 0)
    backend.forward(TOKENS[:20], two, 0)
    with pytest.raises(OutOfMemoryError, match="5 more tokens do not fit"):
        backend.forward(TOKENS[20:25], two, 1)
    assert two.length == 20
    one.truncate(500)
    assert_close(compute(backend, TOKENS[20:25], two, 1), logits_of(backend, TOKENS[:25])[-1:])


def test_a_cache_that_nobody_holds_makes_room_for_another(folder: Path) -> None:
    backend = opened(gguf(folder), cells=1024, places=2)
    caches: list[LlamaKVCache | None] = [backend.new_cache(1024) for _ in range(2)]
    with pytest.raises(OutOfMemoryError, match="another sequence"):
        backend.new_cache(1024)
    for turn in range(6):
        cache = caches[turn % 2]
        assert cache is not None
        backend.forward(prompt_ids(MODEL, 900), cache, 0)
        # In a cycle, as an engine may be: then it is Python's collector that lets go of it.
        cycle: list[object] = [cache]
        cycle.append(cycle)
        caches[turn % 2] = cache = None
        del cycle
        gc.collect()
        caches[turn % 2] = backend.new_cache(1024)


def test_places_of_a_store_fit_into_budget_and_one_sequence(folder: Path) -> None:
    capacity, each = 256, MODEL.config.kv_values * 4
    backend, cold = opened(gguf(folder), cells=1024), opened(gguf(folder))
    random = np.random.default_rng(3)
    store = PrefixStore(backend, capacity, (1024 - capacity) * each)
    beginning = random.integers(0, 384, 100).tolist()
    last: list[int] = []
    for _ in range(60):
        last = [*beginning[: random.integers(20, 100)], *random.integers(0, 384, 80).tolist()]
        sequence = store.take(last)
        logits = sequence.forward(last[sequence.length :], 1).copy()
        assert_close(logits, logits_of(cold, last)[-1:])
        sequence.keep_ending(logits)
    assert store.shared_with(last) == len(last)
    assert store.nbytes > 3 * capacity * each


@pytest.mark.parametrize(("seed", "cache_bytes"), [(1, 0), (2, 1_500_000), (3, PLENTY)])
def test_edits_are_answered_as_by_a_cold_engine(folder: Path, seed: int, cache_bytes: int) -> None:
    backend = opened(gguf(folder), cells=16384, places=64)
    cold = Decided(backend)
    replay(backend, seed, steps=50, cache_bytes=cache_bytes, cold_backend=cold)
    assert cold.least_gap > 1e-4, "pick another seed"


def test_what_is_looked_up_changes_nothing(folder: Path) -> None:
    def engine(drafter: LookupDrafter | None) -> LocalEngine:
        model = LoadedModel(
            backend=opened(gguf(folder)),
            tokenizer=TOKENIZER,
            fim=FIM,
            stop_ids=FIM.stop_ids,
            context_tokens=512,
            prompt_tokens=256,
        )
        info = EngineInfo(model_id="tiny", backend="llama", device="cpu")
        return LocalEngine(model, info, drafter=drafter)

    text = corpus()["python"][:300]
    request = CompletionRequest(prefix=text, suffix="\n", max_tokens=60)
    plain, finish, timings = ask(engine(None), request, CancelToken())
    assert not timings.drafted_tokens
    # The answer itself as the hint: most of what is looked up then stands.
    hinted = replace(request, hints=(plain,))
    costs = StepCosts([(1, 10.0), (8, 10.0), (16, 11.0)])
    drafted = ask(engine(LookupDrafter(costs)), hinted, CancelToken())
    assert drafted[:2] == (plain, finish)
    assert drafted[2].accepted_tokens > 0


def test_closing_twice_is_fine_and_a_closed_backend_says_so(folder: Path) -> None:
    backend = opened(gguf(folder))
    cache = backend.new_cache(8)
    backend.forward([1, 2], cache, 1)
    backend.close()
    backend.close()
    with pytest.raises(ValueError, match="closed"):
        backend.forward([1], cache, 1)
    with pytest.raises(ValueError, match="closed"):
        cache.truncate(1)
    del cache
    backend.new_cache(8)


@pytest.mark.parametrize("damage", ["cut", "noise", "gone"])
def test_a_damaged_file_is_refused_and_named(damage: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    if damage != "gone":
        content = gguf(folder).read_bytes()
        path.write_bytes(content[:-5000] if damage == "cut" else b"\x00noise" * 50)
    with pytest.raises(ModelFormatError, match=r"cannot load .*model\.gguf: .+"):
        opened(path)


def test_layers_go_to_a_gpu_only_where_there_is_one(folder: Path) -> None:
    if offloads():
        pytest.skip("this build drives a GPU")
    with pytest.raises(BackendUnavailableError, match="built for the CPU only"):
        LlamaBackend(gguf(folder), capacity=64, cells=64, gpu_layers=None)


def test_without_the_library_the_error_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_library, "_load_library", llama_library._load_library.__wrapped__)
    monkeypatch.setitem(sys.modules, "llama_cpp.llama_cpp", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'midfill\[llama\]'"):
        opened(gguf(folder))


def test_nothing_is_written_to_the_standard_streams(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from midfill_engine.backends.llama_backend import LlamaBackend\n"
        "from midfill_engine.errors import ModelFormatError\n"
        "backend = LlamaBackend(Path(sys.argv[1]), capacity=64, cells=64)\n"
        "backend.forward([1, 2, 3], backend.new_cache(64), 1)\n"
        "try: LlamaBackend(Path('absent.gguf'), capacity=64, cells=64)\n"
        "except ModelFormatError: pass"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(gguf(folder))],
        env=environment,
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")
