"""Answers of the quality benchmark are kept: none is asked for twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.kept import KeptRows
from benchmarks.quality_engine import KeptEngine, NotKeptError
from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import CompletionRequest, FinishReason
from tests.quality_engines import INFO, scored

REQUEST = CompletionRequest(prefix="a = ", scored=True)


def kept_engine(
    path: Path, inner: ScriptedEngine | None, settings: tuple[str, ...] = ("m",)
) -> KeptEngine:
    return KeptEngine(inner, KeptRows(path), settings, INFO)


def said(engine: KeptEngine, request: CompletionRequest = REQUEST, stop_at: str = "") -> str:
    """What is read of an answer, up to ``stop_at``."""
    cancel, text = CancelToken(), ""
    chunks = list[FinishReason | None]()
    for chunk in engine.stream(request, cancel):
        text += chunk.text
        chunks.append(chunk.finish)
        if stop_at and stop_at in text:
            cancel.cancel()
    assert [finish for finish in chunks if finish] == chunks[-1:]
    engine.settle()
    return text


def never(text: str) -> bool:
    return False


def test_an_answer_is_read_on_where_that_is_asked_for(tmp_path: Path) -> None:
    inner = ScriptedEngine("one\ntwo\nthree\n", scores=lambda text: [scored(0), scored(4)])
    engine = kept_engine(tmp_path / "kept", inner)
    assert said(engine, stop_at="one") == "one\n"
    answer = engine.answer(REQUEST)
    assert (answer.text, answer.finish) == ("one\n", FinishReason.CANCELLED)
    assert engine.read_on(REQUEST, 100, lambda text: "\n" in text) == answer
    longer = engine.read_on(REQUEST, 100, never)
    assert (longer.text, longer.finish) == ("one\ntwo\nthree\n", FinishReason.STOP)
    assert (longer.scores, longer.ends) == ((scored(0), scored(4)), (4, 14))
    assert longer.seconds == answer.seconds
    again = kept_engine(tmp_path / "kept", None)
    assert again.read_on(REQUEST, 100, never) == longer
    assert len(inner.requests) == 2


def test_what_is_kept_is_not_asked_again_and_arrives_as_it_came(tmp_path: Path) -> None:
    inner = ScriptedEngine("one\ntwo\n", scores=lambda text: [scored(at) for at in (0, 4, 8)])
    live = kept_engine(tmp_path / "kept", inner)
    first = list(live.stream(REQUEST, CancelToken()))
    live.settle()
    again = list(kept_engine(tmp_path / "kept", None).stream(REQUEST, CancelToken()))
    assert [(c.text, c.scores, c.finish) for c in again] == [
        (c.text, c.scores, c.finish) for c in first
    ]
    # How long it may be and for whom is no other question; a longer text is, and another model.
    same = replace(REQUEST, max_tokens=3, request_id="x", hints=("one",))
    assert said(kept_engine(tmp_path / "kept", inner), same) == "one\ntwo\n"
    assert len(inner.requests) == 1
    said(kept_engine(tmp_path / "kept", inner), replace(REQUEST, prefix="b = "))
    said(kept_engine(tmp_path / "kept", inner, ("other",)))
    assert len(inner.requests) == 3


def test_who_asks_gets_no_more_tokens_than_it_wants(tmp_path: Path) -> None:
    engine = kept_engine(tmp_path / "kept", ScriptedEngine("one two three four", piece=4))
    few = replace(REQUEST, max_tokens=2)
    *_, last = engine.stream(few, CancelToken())
    assert last.finish is FinishReason.LENGTH
    assert said(engine, few) == "one two "
    assert said(engine) == "one two three four"


def test_without_a_model_only_what_is_kept_is_told(tmp_path: Path) -> None:
    engine = kept_engine(tmp_path / "kept", None)
    with pytest.raises(NotKeptError):
        said(engine)
    with pytest.raises(NotKeptError):
        engine.fit(REQUEST, ["one"], "two", CancelToken())


def test_what_was_not_read_so_far_is_asked_for_without_a_seam(tmp_path: Path) -> None:
    inner = ScriptedEngine("one\ntwo\nthree\n", scores=lambda text: [scored(0), scored(4)])
    said(kept_engine(tmp_path / "kept", inner), stop_at="one")
    without = kept_engine(tmp_path / "kept", None)
    assert (said(without), without.too_short) == ("one\n", 1)
    assert said(kept_engine(tmp_path / "kept", inner)) == "one\ntwo\nthree\n"
    assert said(without) == "one\n"
    assert said(kept_engine(tmp_path / "kept", None)) == "one\ntwo\nthree\n"
    assert len(inner.requests) == 2


def test_how_well_a_text_goes_on_is_kept_too(tmp_path: Path) -> None:
    inner = ScriptedEngine("", fits=lambda answer: -float(len(answer)))
    live = kept_engine(tmp_path / "kept", inner).fit(REQUEST, ["a", "bb"], "c", CancelToken())
    again = kept_engine(tmp_path / "kept", None)
    assert again.fit(REQUEST, ["bb", "a"], "c", CancelToken()) == (live[1], live[0])
    with pytest.raises(NotKeptError):
        again.fit(REQUEST, ["a", "ccc"], "c", CancelToken())
