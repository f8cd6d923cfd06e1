"""The curve by which answers are judged; written by ``benchmarks/calibration.py``.

Qwen2.5-Coder 0.5B: 450 answers, 71.3% right; balanced shows 68%, of which 89.3%.
Each by curves that were fitted without its problem; more in ``benchmarks/results``.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BIAS", "WEIGHTS"]

WEIGHTS: Mapping[str, tuple[float, float, float]] = {
    "total": (-0.7457, 0.5914, 1.7151),
    "share": (0.0, 1.0, 0.0),
}
"""By feature: its mean and its standard deviation, and what it counts in units of these."""

BIAS = 1.2678
