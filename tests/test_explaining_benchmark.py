"""The benchmark of explanations: where it points, what it reads in hovers, what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.explaining import Pair, hover_figures, stream_figures, typing_figures
from benchmarks.explaining_places import ProjectFile, copied_project, functions_in, names_in
from benchmarks.explaining_session import Hovered, Hovers, Streamed, Turn, said
from benchmarks.replay import Keystroke, Shown
from benchmarks.report import Figure, spread
from midfill_server.explaining import Meaning, Symbol, hover_markdown
from midfill_server.explaining.explainer import Explanation, Outcome, Pending

CODE = '''\
class Ledger:
    """A ledger of names, quoted."""

    def total(self, rows):
        amount = "words here"
        return sum(row.amount for row in rows)
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> list[ProjectFile]:
    return copied_project(tmp_path_factory.mktemp("project") / "copy", 1)


def key(ms: float, *, text: str = "x", source: str = "model", prefilled: int = 1) -> Keystroke:
    shown = Shown(text=text, first_ms=ms, complete_ms=ms, source=source, prefilled_tokens=prefilled)
    return Keystroke(typed="a", shown=shown)


def by_key(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.key: figure for figure in figures}


def value(figure: Figure) -> float:
    assert figure.value is not None
    return figure.value.p50


def test_the_project_has_files_in_five_languages(project: list[ProjectFile]) -> None:
    assert {file.language_id for file in project} == {"cpp", "go", "python", "rust", "typescript"}
    assert all(file.path.is_file() for file in project)
    # A short run meets several of them, too.
    assert len({file.language_id for file in project[:9]}) > 2


def test_the_same_seed_points_at_the_same_names(project: list[ProjectFile]) -> None:
    file = project[0]
    assert names_in(file, 10, 1) == names_in(file, 10, 1) != names_in(file, 10, 2)


def test_enough_names_for_a_full_run(project: list[ProjectFile]) -> None:
    assert sum(len(names_in(file, 10, 1)) for file in project) >= 320


def test_names_are_those_of_the_code_and_not_of_its_texts() -> None:
    file = ProjectFile(path=Path("/a.py"), language_id="python", text=CODE)
    found = {CODE[place.start : place.end] for place in names_in(file, 99, 1)}
    assert found == {"Ledger", "total", "self", "rows", "amount", "sum", "row"}
    assert file.position(CODE.index("amount")) == {"line": 4, "character": 8}


def test_functions_come_from_all_files_in_turn(project: list[ProjectFile]) -> None:
    places = functions_in(project[:8], 1)
    assert len({place.file.path for place in places[:5]}) == 5
    assert len({(place.file.path, place.start) for place in places}) == len(places) > 60


@pytest.mark.parametrize(
    ("documentation", "outcome", "expected"),
    [
        ("", None, Hovered(ms=1, signature=True)),
        ("It adds.", None, Hovered(ms=1, signature=True, documentation=True)),
        ("", Pending(), Hovered(ms=1, signature=True, pending=True)),
        ("", Pending(text="`f` "), Hovered(ms=1, signature=True, pending=True)),
        (
            "It adds.",
            Explanation(text="`f` adds.", model_id="m"),
            Hovered(ms=1, signature=True, documentation=True, explained=True),
        ),
    ],
)
def test_what_a_hover_says_is_read_from_what_the_server_writes(
    documentation: str, outcome: Outcome | None, expected: Hovered
) -> None:
    assert said(hover_markdown(_symbol(documentation), outcome), 1) == expected


def test_a_hover_without_an_answer_says_nothing() -> None:
    assert said("", 2) == Hovered(ms=2)


def test_the_slowest_hover_of_many_decides() -> None:
    quick = [Hovered(ms=5, signature=True)] * 98
    figures = by_key(hover_figures(Hovers(alone=[*quick, *[Hovered(ms=200)] * 2])))
    assert figures["hover"].verdict == "missed"
    assert value(figures["hover_any"]) == 98
    assert figures["hover_beside"].value is None
    figures = by_key(hover_figures(Hovers(alone=quick, beside=quick)))
    assert figures["hover"].verdict == "met"


def test_keys_beside_a_stream_are_compared_with_the_same_ones_without() -> None:
    known = key(1, source="cache", prefilled=0)
    pair = Pair(
        without=[Turn(keys=(key(900), key(100), known))],
        beside=[Turn(keys=(key(990), key(150, text="y", prefilled=5), known), watched=3, grew=7)],
    )
    figures = by_key(typing_figures(pair))
    assert value(figures["all_p95"]) == pytest.approx(1.1)
    assert figures["all_p95"].verdict == "met"
    # The first key of a place computes its prompt and would hide what the others cost.
    assert value(figures["later_model_p95"]) == pytest.approx(1.5)
    assert figures["later_model_p95"].verdict == "missed"
    assert value(figures["tokens_prefilled"]) == pytest.approx(3)
    assert value(figures["same_text"]) == pytest.approx(200 / 3)
    assert value(figures["watched"]) == 100


def test_explanations_are_told_by_their_length() -> None:
    streams = [Streamed(first_s=1, whole_s=4, chars=300), Streamed(first_s=3, whole_s=6, chars=100)]
    figures = by_key(stream_figures({"short": streams}))
    assert figures["short_first"].value == spread([1, 3])
    assert figures["short_whole"].value == spread([4, 6])


def _symbol(documentation: str) -> Symbol:
    meaning = Meaning(
        name="f",
        kind="function",
        owner="",
        signature="def f(a, b)",
        path="/project/a.py",
        shown="a.py",
        line=0,
        documentation=documentation,
    )
    return Symbol(name="f", start=0, end=1, language_id="python", meanings=(meaning,))
