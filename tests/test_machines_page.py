"""The page that says which model suits which machine is what the code computes."""

from __future__ import annotations

from benchmarks.machines import MACHINES, PAGE, page
from midfill_engine.registry import MODELS


def test_the_page_is_what_the_code_computes() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "run: python -m benchmarks.machines --write"


def test_every_model_and_machine_is_on_it() -> None:
    text = page()
    assert all(machine.name in text for machine in MACHINES)
    assert all(f"`{spec.id}`" in text for spec in MODELS if spec.variant_of is None)


def test_it_says_what_was_not_measured() -> None:
    assert "No GPU figure here was measured" in " ".join(page().split())
