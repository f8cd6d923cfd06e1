"""Who drafts for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from midfill_engine.drafting import own_draft
from midfill_engine.registry import MODELS, ModelSpec, find_model
from midfill_engine.store import ModelStore


class Here(ModelStore):
    """A store that claims to have some models."""

    def __init__(self, *ids: str) -> None:
        super().__init__(Path("nowhere"))
        self._ids = ids

    def model_path(self, spec: ModelSpec) -> Path | None:
        return Path(spec.id) if spec.id in self._ids else None


@pytest.mark.parametrize(
    ("target", "here", "expected"),
    [
        ("codellama-34b", ("codellama-7b", "codellama-13b"), "codellama-7b"),
        ("codellama-34b-python", ("codellama-7b", "codellama-7b-python"), "codellama-7b-python"),
        ("codellama-34b", ("codellama-7b-python", "codellama-7b"), "codellama-7b"),
        (
            "codellama-34b-python-q4_k_m",
            ("codellama-7b-q4_k_m", "codellama-7b-python-q4_k_m"),
            "codellama-7b-python-q4_k_m",
        ),
        (
            "codellama-70b-instruct",
            ("codellama-7b", "codellama-7b-instruct"),
            "codellama-7b-instruct",
        ),
        ("qwen2.5-coder-1.5b", ("qwen2.5-coder-0.5b",), "qwen2.5-coder-0.5b"),
        # Half the size is too large, another family means other things by its ids.
        ("codellama-13b", ("codellama-7b",), None),
        ("codellama-34b", ("qwen2.5-coder-0.5b",), None),
        ("codellama-34b", (), None),
    ],
)
def test_the_smallest_of_the_family_and_of_the_same_kind(
    target: str, here: tuple[str, ...], expected: str | None
) -> None:
    found = own_draft(find_model(target), Here(*here))
    assert (found and found.id) == expected


def test_nothing_drafts_for_itself() -> None:
    everything = Here(*(spec.id for spec in MODELS))
    for spec in MODELS:
        found = own_draft(spec, everything)
        assert found is None or found.parameters * 2 < spec.parameters
