"""What papers say of the models on the same sets, to stand beside what is measured here.

Only numbers of the same protocol stand beside each other: the tests of infilled Python are run
in one set, the first line is compared in the other, though both are called HumanEval-FIM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Published", "published_for"]

_CODE_LLAMA = "arXiv 2308.12950"
_QWEN = "arXiv 2409.12186"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Per cent by group (``humaneval``, ``single-line``, ``santacoder python``, …).

    ``infill`` is by FIM order, ``psm`` or ``spm``. ``note`` says what is different about it.
    """

    source: str
    completion: Mapping[str, float]
    infill: Mapping[str, Mapping[str, float]]
    note: str = ""

    def percent(self, group: str, order: str) -> float | None:
        """Return what is published for a group, asked in an order; ``None`` if nothing is."""
        return self.completion.get(group, self.infill.get(order, {}).get(group))


# Size and kind: HumanEval, MBPP (three shots).
_LLAMA_COMPLETION = {
    ("7b", "base"): (33.5, 41.4),
    ("13b", "base"): (36.0, 47.0),
    ("34b", "base"): (48.8, 55.0),
    ("70b", "base"): (53.0, 62.4),
    ("7b", "python"): (38.4, 47.6),
    ("13b", "python"): (43.3, 49.0),
    ("34b", "python"): (53.7, 56.2),
    ("70b", "python"): (57.3, 65.6),
    ("7b", "instruct"): (34.8, 44.4),
    ("13b", "instruct"): (42.7, 49.4),
    ("34b", "instruct"): (41.5, 57.0),
    ("70b", "instruct"): (67.8, 62.2),
}
_INFILL_GROUPS = (
    "single-line",
    "multi-line",
    "random-span",
    "santacoder py",
    "santacoder java",
    "santacoder js",
)
# Released base models; the last three are the exact matches of set (b).
_LLAMA_INFILL = {
    ("7b", "psm"): (74.1, 48.2, 59.7, 67.6, 74.3, 80.2),
    ("7b", "spm"): (83.3, 50.8, 39.0, 72.7, 77.6, 82.6),
    ("13b", "psm"): (75.9, 51.0, 63.6, 68.3, 77.6, 80.7),
    ("13b", "spm"): (85.6, 56.1, 41.9, 74.5, 80.0, 85.0),
}
_QWEN_INFILL = {
    "0.5b": (70.3, 78.1, 81.2, 77.7),
    "1.5b": (77.0, 85.6, 85.0, 83.5),
    "7b": (79.7, 88.5, 87.6, 86.2),
}
_QWEN_GROUPS = ("santacoder py", "santacoder java", "santacoder js", "santacoder")


def published_for(model_id: str) -> Published | None:
    """Return what is published of a model, by its registry id or hub name; ``None``: nothing."""
    name = model_id.lower().replace("code-llama", "codellama")
    size = re.search(r"(?<![\d.])(\d+(?:\.\d+)?b)(?![a-z0-9])", name)
    if size is None:
        return None
    if "codellama" in name:
        return _code_llama(size[1], name)
    if "qwen2.5-coder" in name and size[1] in _QWEN_INFILL:
        numbers: dict[str, float] = dict(zip(_QWEN_GROUPS, _QWEN_INFILL[size[1]], strict=True))
        return Published(
            source=_QWEN,
            completion={},
            infill={"psm": numbers},
            note="of the base model, in 16 bits; none is published for the Instruct model",
        )
    return None


def _code_llama(size: str, name: str) -> Published | None:
    kind = "python" if "python" in name else "instruct" if "instruct" in name else "base"
    completion = _LLAMA_COMPLETION.get((size, kind))
    if completion is None:
        return None
    infill: dict[str, dict[str, float]] = {
        order: dict(zip(_INFILL_GROUPS, numbers, strict=True))
        for (of, order), numbers in _LLAMA_INFILL.items()
        if of == size and kind == "base"
    }
    return Published(
        source=_CODE_LLAMA,
        completion=dict(zip(("humaneval", "mbpp"), completion, strict=True)),
        infill=infill,
        note="greedy, in 16 bits",
    )
