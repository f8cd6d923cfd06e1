"""The curve by which answers are judged; written by ``benchmarks/calibration.py``.

Qwen2.5-Coder 0.5B: 259 answers, 77.2% right; balanced shows 75%, of which 92.2%.
Qwen2.5-Coder 1.5B: 105 answers, 83.8% right; balanced shows 76%, of which 92.5%.
Each by curves that were fitted without its problem; more in ``benchmarks/results``.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BIAS", "WEIGHTS"]

WEIGHTS: Mapping[str, tuple[float, float, float]] = {
    "total": (-0.7418, 0.5515, 1.8245),
}
"""By feature: its mean and its standard deviation, and what it counts in units of these."""

BIAS = 2.0564
