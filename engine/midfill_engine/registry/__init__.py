"""Which models midfill knows: what each is, what it can do, and where its bytes come from.

Owns: a row per model, and finding one by its id. Data only: nothing here touches the disk or the
network (``store`` does), and what makes a file right is its hash, whoever delivered it.
Must never know: how a model is run, or what is on this machine.
"""

from __future__ import annotations

import difflib

from midfill_engine.errors import UnknownModelError
from midfill_engine.registry.codellama import CODE_LLAMA
from midfill_engine.registry.others import CODE_GEMMA, DEEPSEEK_CODER, STAR_CODER
from midfill_engine.registry.qwen import QWEN
from midfill_engine.registry.spec import (
    Capability,
    HubRepo,
    HubSource,
    Licence,
    ModelFile,
    ModelSpec,
    PackagePart,
    PackageSource,
    count_parameters,
)

__all__ = [
    "EMBEDDED_MODELS",
    "MODELS",
    "Capability",
    "HubRepo",
    "HubSource",
    "Licence",
    "ModelFile",
    "ModelSpec",
    "PackagePart",
    "PackageSource",
    "count_parameters",
    "find_model",
]

MODELS: tuple[ModelSpec, ...] = (*QWEN, *CODE_LLAMA, *DEEPSEEK_CODER, *STAR_CODER, *CODE_GEMMA)
EMBEDDED_MODELS: tuple[ModelSpec, ...] = tuple(spec for spec in MODELS if spec.embedded)
"""Those that ``auto`` may fetch by itself."""


def find_model(model_id: str) -> ModelSpec:
    """Return the model of that id; case does not matter.

    Raises ``UnknownModelError``, which names the nearest id.
    """
    by_id = {spec.id: spec for spec in MODELS}
    wanted = model_id.strip().lower()
    if wanted in by_id:
        return by_id[wanted]
    near = difflib.get_close_matches(wanted, by_id, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "see: midfill models list --all"
    raise UnknownModelError(f"there is no model {model_id!r}; {hint}")
