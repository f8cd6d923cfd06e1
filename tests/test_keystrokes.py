"""The parts of the keystroke benchmark that only compute, and a replay with made-up typists."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.keystroke_figures import (
    Comparison,
    Row,
    Target,
    keystroke_rows,
    paced_rows,
    rows_as_json,
    rows_table,
    summary,
    wasted_tokens,
)
from benchmarks.keystroke_plot import cumulative
from benchmarks.keystrokes import TARGETS
from benchmarks.midfill_typist import ghost_text
from benchmarks.replay import Keystroke, PacedKeystroke, Played, Shown, type_turn
from benchmarks.typing_scripts import (
    Edit,
    Script,
    Source,
    Typed,
    code_sources,
    line_scripts,
    recorded_script,
    rest_scripts,
    size_scripts,
    typing,
)
from midfill_engine.registry import EMBEDDED_MODELS

SCRIPT = Script(part="lines", name="a.py:1", language_id="python", text="", turns=())


# What is typed


def test_a_typed_line_is_the_line_that_was_there() -> None:
    body = "".join(f"    value_{number} = {number}\n" for number in range(100))
    source = Source(name="a.py", language_id="python", text=f"def f():\n{body}")
    (script,) = line_scripts([source], 1, seed=3)
    typed = Typed(script.text)
    (turn,) = script.turns
    for edit in turn:
        assert edit.inserted.isprintable()
        typed.apply(edit)
    assert len(turn) == 14 or typed.text == source.text
    assert source.text.count("\n") == script.text.count("\n")
    line, column = typed.position(turn[0].offset)
    assert source.text.split("\n")[line].startswith(typed.text.split("\n")[line])
    assert column == 4
    assert [edit.jumps for edit in turn] == [True] + [False] * (len(turn) - 1)


def test_places_depend_on_the_seed_alone() -> None:
    def names(seed: int) -> list[str]:
        return [script.name for script in line_scripts(code_sources(seed), 6, seed)]

    assert names(1) == names(1) != names(2)
    assert any(name.startswith("samples/") for name in names(1))


def test_a_cursor_rests_in_a_new_file_and_then_far_away_in_it() -> None:
    text = "".join(f"value_{number} = compute()\n" for number in range(400))
    source = Source(name="a.py", language_id="python", text=text)
    (script,) = rest_scripts([source], 1, seed=1, rest_s=1.0)
    (turn,) = script.turns
    assert [edit.rest_s for edit in turn] == [1.0, 0, 0, 0, 1.0]
    typed = Typed(script.text)
    places = [typed.position(typed.apply(edit)) for edit in turn]
    assert places[-1][0] - places[0][0] >= 100
    # Both typed what had stood there.
    lines = text.split("\n")
    for line, column in (places[3], places[4]):
        assert typed.text.split("\n")[line] == lines[line][:column]


def test_files_of_two_sizes_are_alike_around_the_cursor() -> None:
    small, large = size_scripts((200, 2000), seed=1)
    offsets = [script.turns[0][0].offset for script in (small, large)]
    assert [script.text.count("\n") for script in (small, large)] == [200, 2000]
    assert (
        large.text[offsets[1] - 2000 : offsets[1] + 2000]
        == (small.text[offsets[0] - 2000 : offsets[0] + 2000])
    )


def test_recorded_edits_ask_where_an_editor_would(tmp_path: Path) -> None:
    patches = [
        [[0, 0, "fn f() {}\n"]],
        [[8, 0, "\n    "]],
        [[13, 0, "a"]],
        [[14, 0, "let pasted = 1;"]],
        [[13, 1, ""]],
        [[0, 0, "b"], [9, 0, "c"]],
        [[13, 0, "d"]],
        [[14, 0, "e"]],
    ]
    path = tmp_path / "rustcode.json.gz"
    transactions = [{"patches": each} for each in patches]
    with gzip.open(path, "wt") as file:
        json.dump({"startContent": "", "txns": transactions}, file)
    script = recorded_script(path, start=1, asks=3, turn_asks=2)
    assert script.text == "fn f() {}\n"
    edits = [edit for turn in script.turns for edit in turn]
    assert [edit.asks for edit in edits] == [True, True, False, False, False, False, True]
    assert [edit.jumps for edit in edits] == [True, False, False, True, True, True, True]
    assert [len(turn) for turn in script.turns] == [2, 5]


def test_an_edit_outside_of_the_text_is_refused() -> None:
    with pytest.raises(ValueError, match="up to 4"):
        Typed("abc").apply(Edit(offset=2, deleted=2))


# A replay


class ScriptedTypist:
    """Answers with given texts, and with nothing when they are used up."""

    def __init__(self, *answers: Shown | None) -> None:
        self._answers = iter(answers)

    def type(self, edit: Edit) -> Shown | None:
        return next(self._answers) if edit.asks else None


def shown(text: str, *, complete_ms: float = 10, source: str = "model", tokens: int = 0) -> Shown:
    return Shown(
        text=text, first_ms=5, complete_ms=complete_ms, source=source, generated_tokens=tokens
    )


def replayed(turn: Sequence[Edit], *answers: Shown | None) -> list[Keystroke | None]:
    return type_turn(turn, ScriptedTypist(*answers))  # type: ignore[arg-type]


def test_what_should_stay_on_the_screen() -> None:
    first, agrees, differs, other = replayed(
        typing(0, "axyz"), shown("xyz"), shown("yz"), shown("q"), shown("")
    )
    assert first is not None
    assert agrees is not None
    assert differs is not None
    assert other is not None
    assert (first.expected, first.along) == (None, False)
    assert (agrees.expected, agrees.along, agrees.flickered) == ("yz", True, False)
    # Typed along, but then another text came.
    assert (differs.expected, differs.flickered) == ("z", True)
    # Typed something else than what was shown.
    assert (other.expected, other.along, other.flickered) == (None, False, False)


def test_a_text_that_only_grows_does_not_flicker() -> None:
    _, key = replayed(typing(0, "ab"), shown("bc"), shown("cde"))
    assert key is not None
    assert key.along
    assert not key.flickered


def test_a_jump_a_deletion_and_a_paste_dismiss_the_text() -> None:
    for edit in (
        Edit(offset=9, inserted="b"),
        Edit(offset=1, deleted=1, inserted="b"),
        Edit(offset=1, inserted="long paste", asks=False),
    ):
        turn = (Edit(offset=0, inserted="a"), edit, Edit(offset=edit.offset + 1, inserted="c"))
        keys = replayed(turn, shown("bc"), *([shown("c")] * edit.asks), shown(""))
        assert keys[1] is not None
        assert keys[1].expected is None


def test_a_key_after_which_one_side_does_not_ask_keeps_its_place() -> None:
    assert [key is None for key in replayed(typing(0, "ab"), None, shown("c"))] == [True, False]


# Figures


def test_a_summary_has_nearest_ranks() -> None:
    found = summary([float(number) for number in range(1, 101)])
    assert found is not None
    assert (found.p50, found.p95, found.p99, found.mean) == (50.5, 95, 99, 50.5)
    assert summary([]) is None


def keystrokes(*texts: tuple[str, int]) -> list[Keystroke]:
    """Type the letters of the alphabet; each key brings a text for so many tokens."""
    answers = [shown(text, tokens=tokens) for text, tokens in texts]
    found = replayed(typing(0, "abcdefgh"[: len(texts)]), *answers)
    return [key for key in found if key is not None]


@pytest.mark.parametrize(
    ("texts", "wasted"),
    [
        # Everything was typed or stood there at the end.
        ([("bcd", 3), ("cd", 0)], 0),
        ([("bcd", 3)], 0),
        # Two of the three were generated, but never seen.
        ([("b", 3)], 2),
        # The same again: of the first answer only what was typed came to use.
        ([("bcd", 3), ("cd", 2)], 2),
        # Typed past: nothing of the first came to use.
        ([("xyz", 3), ("cd", 2)], 3),
        # More of the text came at no cost of its own.
        ([("bc", 4), ("cde", 0), ("de", 0)], 0),
    ],
)
def test_wasted_tokens(texts: list[tuple[str, int]], wasted: int) -> None:
    assert wasted_tokens(keystrokes(*texts), len) == wasted


def comparison(ours: list[Keystroke | None], peer: list[Keystroke | None]) -> Comparison:
    def played(keys: list[Keystroke | None]) -> Played:
        return Played(script=SCRIPT, keys=tuple(keys), cpu_s=1.0)

    return Comparison(part="lines", ours=[played(ours)], peer=[played(peer)] if peer else [])


def test_only_keys_after_which_both_ask_are_compared() -> None:
    fast, slow = shown("", complete_ms=10), shown("", complete_ms=100)
    ours = replayed(typing(0, "abc"), fast, fast, shown("", complete_ms=1000))
    peer = replayed(typing(0, "abc"), slow, shown("", complete_ms=300, source="cache"), None)
    targets = {"lines_complete_all_mean": Target(bound=20, at_least=True, of_ratio=True)}
    rows = {row.key: row for row in keystroke_rows(comparison(ours, peer), len, targets)}
    mean = rows["lines_complete_all_mean"]
    assert (mean.ours, mean.peer, mean.ratio, mean.verdict) == (10, 200, 20, "met")
    assert rows["lines_complete_model_p50"].peer == 100
    assert (rows["lines_free"].ours, rows["lines_free"].peer) == (0, 50)
    assert rows["lines_cpu_s"].ours == pytest.approx(1 / 3)


def test_without_a_peer_our_own_figures_remain() -> None:
    rows = keystroke_rows(comparison(replayed(typing(0, "a"), shown("b")), []), len, {})
    mean = next(row for row in rows if row.key == "lines_complete_all_mean")
    assert (mean.ours, mean.peer, mean.ratio) == (10, None, None)


def test_joining_a_running_answer_is_model_work_and_typing_through_is_not() -> None:
    sources = ("model", "joined", "typed-through", "prefetched", "cache")
    keys = [Keystroke(typed="a", shown=shown("b", source=source)) for source in sources]
    assert [key.needed_model for key in keys] == [True, True, False, False, False]


def test_keys_that_the_next_one_outran_have_no_time() -> None:
    keys = [PacedKeystroke(complete_ms=time_ms) for time_ms in (10.0, None, 30.0, None)]
    answered, mean, *_ = paced_rows(keys, [])
    assert (answered.ours, answered.peer) == (50, None)
    assert mean.ours == 20


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            Row(key="k", name="mean", unit="ms", ours=20.0, peer=200.0, target=Target(bound=30)),
            "mean 20 ms 200 ms 10 x ≤ 30 met",
        ),
        (
            Row(
                key="k",
                name="mean",
                unit="ms",
                ours=20.0,
                peer=100.0,
                target=Target(bound=8, at_least=True, of_ratio=True),
            ),
            "mean 20 ms 100 ms 5 x ≥ 8 x MISSED",
        ),
        (
            Row(key="k", name="mean", unit="ms", ours=20.0, target=Target(bound=8, of_ratio=True)),
            "mean 20 ms - ≤ 8 x not measured",
        ),
        (Row(key="k", name="share", unit="%", ours=0.0, peer=3.0), "share 0 % 3 %"),
    ],
)
def test_the_table(row: Row, line: str) -> None:
    assert re.sub(r" +", " ", rows_table({"title": [row]}).splitlines()[3]) == f" {line}"


def test_rows_as_json_leave_out_what_there_is_not() -> None:
    row = Row(key="k", name="mean", unit="ms", ours=2 / 3, target=Target(bound=1))
    assert rows_as_json([row]) == {
        "k": {"name": "mean", "unit": "ms", "ours": 0.66667, "target": "≤ 1", "verdict": "met"}
    }


def test_every_target_is_for_a_row_that_exists() -> None:
    assert set(TARGETS) == {spec.id for spec in EMBEDDED_MODELS}
    keys = {
        row.key
        for part in ("lines", "rest")
        for row in keystroke_rows(Comparison(part=part, ours=[], peer=[]), len, {})
    }
    for targets in TARGETS.values():
        assert set(targets) - keys == {"size_ratio", "idle_percent"}


def test_the_curve_rises_to_a_hundred_per_cent() -> None:
    assert cumulative([20.0, 10.0, 0.0, 40.0]) == (
        [0.5, 0.5, 10.0, 20.0, 40.0],
        [0.0, 25.0, 50.0, 75.0, 100.0],
    )


# Our own


def test_an_item_that_begins_before_the_cursor_is_shown_from_the_cursor_on() -> None:
    def answer(start: int) -> object:
        span = {"start": {"line": 0, "character": start}, "end": {"line": 0, "character": 6}}
        return {"items": [{"insertText": "return x"[start:], "range": span}]}

    assert ghost_text(answer(0), Typed("return")) == " x"
    assert ghost_text(answer(6), Typed("return")) == " x"
    assert ghost_text({"items": []}, Typed("")) == ghost_text(None, Typed("")) == ""
