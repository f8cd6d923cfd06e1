"""Scripted engines for the tests of the quality benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.kept import KeptRows
from benchmarks.quality_engine import KeptEngine
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import EngineInfo, TokenScore

INFO = EngineInfo(model_id="tiny-0.5b", backend="toy", device="cpu")


def scored(at: int, logprob: float = -0.1) -> TokenScore:
    return TokenScore(
        at=at, logprob=logprob, stop_logprob=-9.0, runner_up="", runner_up_logprob=-5.0
    )


def engine_saying(
    text: str, path: Path, logprob: float = -0.01
) -> tuple[KeptEngine, ScriptedEngine]:
    def scores(whole: str) -> Sequence[TokenScore]:
        return [scored(at, logprob) for at in range(0, len(whole), 4)]

    inner = ScriptedEngine(text, scores=scores)
    return KeptEngine(inner, KeptRows(path), ("m",), INFO), inner
