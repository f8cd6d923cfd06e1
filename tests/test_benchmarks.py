"""The parts of the benchmarks that only compute: what they say must be right, too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.engine_speed import CONTEXT_TOKENS, EngineSpeed, OurSpeed
from benchmarks.latency import GOALS, engine_figures
from benchmarks.null_server import NullBackend
from benchmarks.overhead import keystrokes, lengthen
from benchmarks.peer_llama import PeerError, link_targets, open_peer, samples_ns
from benchmarks.report import Figure, Goal, as_json, json_line, spread, table, write_json
from midfill_engine.registry import EMBEDDED_MODELS


def test_a_spread_has_only_values_that_were_measured_but_for_an_even_median() -> None:
    found = spread([4.0, 1.0, 3.0, 2.0])
    assert (found.p50, found.p95, found.least, found.most, found.count) == (2.5, 4.0, 1.0, 4.0, 4)
    assert spread([float(number) for number in range(1, 101)]).p95 == 95
    assert spread([7.0]).p95 == 7
    with pytest.raises(ValueError, match="nothing"):
        spread([])


@pytest.mark.parametrize(
    ("goal", "values", "expected"),
    [
        (Goal(bound=1.8, at_least=True), [1.8], "met"),
        (Goal(bound=1.8, at_least=True), [1.79], "missed"),
        (Goal(bound=0.9), [0.5, 0.9, 2.0], "met"),
        (Goal(bound=0.9, of="p95"), [0.5, 0.9, 2.0], "missed"),
        (Goal(bound=0.9), [], "not measured"),
        (None, [1.0], ""),
    ],
)
def test_verdicts(goal: Goal | None, values: list[float], expected: str) -> None:
    value = spread(values) if values else None
    assert Figure(key="k", name="k", unit="s", value=value, goal=goal).verdict == expected


def check_row(figure: Figure, expected: str) -> None:
    """``expected`` is the figure's line, its cells parted by single spaces."""
    line = table("title", [figure]).splitlines()[2]
    assert re.sub(r" +", " ", line) == expected


def test_the_table_shows_value_target_and_verdict() -> None:
    check_row(
        Figure(key="k", name="start", unit="s", value=spread([2.5, 3.25, 4]), goal=Goal(bound=3)),
        "start 3.25 s 2.5-4 4 ≤ 3 MISSED",
    )
    check_row(
        Figure(
            key="k",
            name="prefill",
            unit="tok/s",
            value=spread([2.0]),
            ours=spread([450.4]),
            peer=spread([225.2]),
            goal=Goal(bound=1.8, at_least=True),
        ),
        "prefill 2 x 2-2 2 450 tok/s 225 tok/s ≥ 1.8 met",
    )
    check_row(
        Figure(key="k", name="prefill", unit="tok/s", value=None, ours=spread([0.0123])),
        "prefill - - - 0.0123 tok/s",
    )


def test_notes_stand_below_the_table() -> None:
    figure = Figure(key="k", name="start", unit="s", value=spread([1.0]), note="with a cold cache")
    assert table("title", [figure]).endswith("\n  start: with a cold cache")


def test_the_result_is_one_line_of_json(tmp_path: Path) -> None:
    figure = Figure(key="start", name="start", unit="s", value=spread([1 / 3]), goal=Goal(bound=1))
    line = json_line("latency", {"commit": None}, {"model": as_json([figure])})
    assert "\n" not in line
    found = json.loads(line)["figures"]["model"]["start"]
    assert found["value"]["p50"] == 0.333333
    assert found["verdict"] == "met"
    assert "peer" not in found
    write_json(tmp_path / "results" / "latency.json", line)
    assert json.loads((tmp_path / "results" / "latency.json").read_text()) == json.loads(line)


def test_ratios_are_made_of_neighbouring_pairs() -> None:
    speed = EngineSpeed(
        prefill_tokens_per_s=[400.0, 200.0],
        peer_prefill_tokens_per_s=[200.0, 80.0],
        step_ms=[10.0, 20.0],
        width_ms={2: [12.0, 14.0]},
        peer_failure="it broke",
    )
    prefill, step, width = engine_figures(speed, GOALS["qwen2.5-coder-0.5b"], has_peer=True)
    assert prefill.value == spread([2.0, 2.5])
    assert prefill.verdict == "met"
    assert (step.value, step.ours, step.note) == (None, spread([10.0, 20.0]), "it broke")
    assert step.verdict == "not measured"
    assert (width.key, width.value) == ("step_of_2", spread([12.0, 14.0]))


def test_every_model_has_goals() -> None:
    assert set(GOALS) == {spec.id for spec in EMBEDDED_MODELS}


def test_our_speeds_count_tokens_and_steps() -> None:
    ticks = iter(range(1000))
    ours = OurSpeed(NullBackend(100, 7), clock=lambda: next(ticks))
    # The clock moves by one second from one look to the next.
    assert ours.prefill_tokens_per_s() == CONTEXT_TOKENS
    assert ours.step_ms() == 1000 / 16
    assert ours.width_ms(4) == 1000


def test_what_llama_bench_says() -> None:
    assert samples_ns('[{"samples_ns": [5, 7], "avg_ts": 1.0}]') == [5, 7]
    for wrong in ("", "[]", "[{}]", "no", '[{"samples_ns": [1]}, {"samples_ns": [2]}]'):
        with pytest.raises(PeerError, match="unexpected"):
            samples_ns(wrong)


def test_links_to_links_are_followed_to_files() -> None:
    links = {"a.so": "a.so.1", "a.so.1": "a.so.1.2", "b": "c", "c": "b"}
    assert link_targets(links) == {"a.so": "a.so.1.2", "a.so.1": "a.so.1.2"}


def test_a_peer_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="does not exist"), open_peer(tmp_path):
        pass


def test_keys_are_typed_one_after_the_other_and_go_on_in_the_next_line() -> None:
    keys = [(key.line, key.character, key.text) for key in keystrokes("ab", line=5, count=5)]
    assert keys == [(5, 0, "a"), (5, 1, "b"), (5, 2, "\n"), (6, 0, "a"), (6, 1, "b")]


@pytest.mark.parametrize("text", ["a\nb\n", "a\nb"])
def test_lengthening(text: str) -> None:
    assert lengthen(text, 5) == "a\nb\na\nb\na\n"
    assert lengthen(text, 1) == "a\n"
