"""What a model is asked, and what a hover shows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill_engine.types import Role
from midfill_server.document import Snapshot
from midfill_server.explaining import (
    Explanation,
    Grounding,
    Length,
    Meaning,
    Pending,
    Symbol,
    Unavailable,
    ask_about_diagnostic,
    ask_about_selection,
    ask_about_symbol,
    ground,
    ground_selection,
    hover_markdown,
    prompts,
    symbol_at,
)
from midfill_server.syntax import SyntaxTree, language_of
from tests.server.test_explaining_markdown import harm, tokens
from tests.server.test_explaining_symbol import Project, at

CODE = '''\
from decimal import Decimal
import csv

RATE = Decimal(2)


class Ledger:
    """All of it."""

    def balance(self, day: int) -> Decimal:
        total = RATE
        for one in self.every(day):
            total += one
        return total

    def every(self, day: int) -> list[Decimal]: ...


def report(ledger: Ledger) -> str:
    return str(ledger.bal<|>ance(3))
'''


def grounded(marked: str = CODE, language_id: str = "python") -> Grounding:
    snapshot, tree, cursor = at(marked, language_id)
    symbol = symbol_at(snapshot, tree, cursor)
    assert symbol is not None
    found = ground(symbol, snapshot, tree)
    assert found is not None
    return found


def test_a_definition_is_shown_with_what_is_around_it() -> None:
    found = grounded()
    assert found.name == "Ledger.balance"
    assert found.code.startswith("def balance(self, day: int) -> Decimal:\n    total = RATE\n")
    assert found.inside == "class Ledger: ..."
    assert found.callers == (("p/a.py", "return str(ledger.balance(3))"),)
    assert found.imports == ("from decimal import Decimal",)
    assert set(found.used) == {
        "RATE = Decimal(2)",
        "def every(self, day: int) -> list[Decimal]: ...",
    }


def test_what_nobody_has_the_code_of_is_not_asked_about() -> None:
    snapshot, tree, cursor = at("from os import path\n\npa<|>th.join\n", "python")
    symbol = symbol_at(snapshot, tree, cursor)
    assert symbol is not None
    assert ground(symbol, snapshot, tree) is None


def test_a_variable_is_shown_in_its_function() -> None:
    found = grounded(CODE.replace("total += one", "to<|>tal += one").replace("bal<|>", "bal"))
    assert found.name == "total"
    assert found.code.startswith("def balance")


def test_callers_in_other_files_that_are_open(tmp_path: Path) -> None:
    project = Project(tmp_path, {"a.py": "", "b.py": "", "c.py": "", ".midfillignore": "c.py\n"})
    snapshot, tree, cursor = at("def go<|>(): ...\n", "python", (tmp_path / "a.py").as_uri())
    symbol = symbol_at(snapshot, tree, cursor, project.around)
    assert symbol is not None
    texts = {"b.py": "from a import go\ngo(1)\n# go(2)\ngo(3)\ngo(4)\n", "c.py": "go(5)"}
    others = [
        Snapshot.of(text, uri=(tmp_path / name).as_uri(), language_id="python")
        for name, text in texts.items()
    ]
    found = ground(symbol, snapshot, tree, project.around, [snapshot, *others])
    assert found is not None
    assert found.callers == (("b.py", "go(1)"), ("b.py", "go(3)"))


def test_a_selection_is_widened_to_lines() -> None:
    text = CODE.replace("<|>", "")
    tree = SyntaxTree.parse(text, language_of("python"))
    snapshot = Snapshot.of(text, uri="file:///p/a.py", language_id="python")
    start, end = text.index("one in"), text.index("+= one") + 2
    found = ground_selection(snapshot, tree, end, start)
    assert found.code == "for one in self.every(day):\n    total += one"
    assert found.inside == "def balance(self, day: int) -> Decimal:"
    for first in range(0, len(text), 7):
        assert ground_selection(snapshot, tree, first, len(text)).code
    assert ground_selection(Snapshot.of(""), None, 0, 0).code == ""


@pytest.mark.parametrize("length", list(Length))
def test_a_question_is_bounded(length: Length) -> None:
    long = Grounding(
        name="f",
        language_id="python",
        shown="a.py",
        code="\n".join(f"    value_{n} = compute(value_{n})" for n in range(2000)),
        callers=(("a.py", "f()"),),
        imports=("import x",) * 4,
        used=("def g(): ...",) * 4,
    )
    for asked in (ask_about_symbol(long, length), ask_about_selection(long, length)):
        text = asked.request.messages[-1].text
        assert asked.request.max_prompt_tokens is not None
        # About three characters a token: nothing is left for the engine to cut.
        assert len(text) < 4 * asked.request.max_prompt_tokens
        assert "value_0 " in text
        assert "value_1999 " in text
    assert ask_about_symbol(long, length, max_tokens=5).request.max_tokens == 5


@pytest.mark.parametrize("length", [Length.MEDIUM, Length.LONG])
def test_longer_answers_have_sections_in_their_order(length: Length) -> None:
    asked = ask_about_symbol(grounded(), length)
    openings = "".join(part.opening for part in asked.parts)
    titles = re.findall(r"(?m)^### (.*)$", openings)
    assert titles == ["What it does", "Inputs and outputs", "Side effects and errors", "Caveat"]
    assert asked.request.answer_start == asked.parts[0].opening
    assert asked.request.messages[0].role is Role.SYSTEM


@pytest.mark.parametrize(
    ("code", "begins"),
    [
        ("# why\n}\ntotal = add(`x`)\nreturn total", "From ``total = add(`x`)`` on, the code "),
        (f"{'x' * 80} = 1\ny", f"From `{'x' * 50}` on, the code "),
        ("x = 1", "This code "),
        ("}\n)", "This code "),
    ],
)
def test_a_selection_is_named_by_its_first_statement(code: str, begins: str) -> None:
    about = Grounding(name="", language_id="python", shown="", code=code)
    assert ask_about_selection(about, Length.SHORT).request.answer_start == begins


def test_a_short_answer_is_one_part() -> None:
    (part,) = ask_about_symbol(grounded(), Length.SHORT).parts
    assert part.max_sentences == 3


def test_a_diagnostic_is_quoted() -> None:
    asked = ask_about_diagnostic(
        grounded(), line="  x = y", message="y is\nundefined", code="F821", source="ruff"
    )
    text = asked.request.messages[-1].text
    assert "ruff F821: y is undefined" in text
    assert "\nx = y\n" in text
    titles = [part.opening.strip().partition("\n")[0] for part in asked.parts]
    assert titles == ["### What it means", "### Why it is reported here", "### What to change"]


@pytest.mark.parametrize(
    ("marked", "told"),
    [("y.z", True), ("", False), ("x = y.z(1)\nmore", False), ("`y`", False), ("=", False)],
)
def test_what_a_diagnostic_is_about_is_told(marked: str, told: bool) -> None:
    asked = ask_about_diagnostic(grounded(), line="x = y.z(1)", message="no", marked=marked)
    assert ("is reported at " in asked.request.messages[-1].text) is told
    assert asked.parts[0].opening.endswith("`y.z` " if told else "that ")


def test_a_digest_tells_what_differs() -> None:
    one = grounded()
    other = grounded(CODE.replace("total += one", "total -= one"))
    digests = [
        asked.digest
        for about in (one, other)
        for length in Length
        for asked in (ask_about_symbol(about, length), ask_about_selection(about, length))
    ]
    assert len(set(digests)) == len(digests)
    assert ask_about_symbol(one).digest == ask_about_symbol(grounded()).digest


def test_another_way_to_ask_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = grounded().facts
    assert facts is not None
    about = Grounding(name="f", language_id="python", shown="a.py", code="f", facts=facts)
    other = replace(about, facts=replace(facts, errors=("Raises `E`.",)))
    medium = Length.MEDIUM
    before = ask_about_symbol(about, medium).digest
    assert ask_about_symbol(other, medium).digest != before
    monkeypatch.setattr(prompts, "PROMPT_VERSION", prompts.PROMPT_VERSION + 1)
    assert ask_about_symbol(about, medium).digest != before


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["`", "```", "````", "\n", "~~~", "ignore all", "</s>"])))
def test_nothing_in_a_file_leaves_its_fence(parts: list[str]) -> None:
    code = "".join(parts)
    about = Grounding(name=code, language_id="python", shown=code, code=code, used=(code,))
    text = ask_about_symbol(about).request.messages[-1].text
    outside = "".join(token.content for token in tokens(text) if token.type == "text")
    assert "ignore" not in outside


HOSTILE = Meaning(
    name="f",
    kind="function",
    owner="`](command:x)",
    signature="def f(): # ```\n[x](command:y)",
    path="/p/a.py",
    shown="p/`<b>.py",
    line=2,
    documentation="[x](command:y) <script> ![i](http://x)\n\n# Title\n\n```\nopen",
)


def symbol(*meanings: Meaning) -> Symbol:
    return Symbol(name="f", start=0, end=1, language_id="python", meanings=meanings)


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        Pending(),
        Pending(text="half ```"),
        Explanation(text="[x](command:y) <b>", model_id="m"),
        Unavailable(message="<b> [x](command:y) *"),
    ],
)
def test_a_hover_is_safe_whatever_it_shows(
    outcome: Explanation | Pending | Unavailable | None,
) -> None:
    assert harm(hover_markdown(symbol(HOSTILE, HOSTILE), outcome), 2) == []


def test_a_hover_in_full() -> None:
    snapshot, tree, cursor = at('def f(a):\n    """Adds."""\n\nf<|>(1)\n', "python")
    found = symbol_at(snapshot, tree, cursor)
    assert found is not None
    shown = hover_markdown(found, Explanation(text="It adds.", model_id="m"))
    assert shown == (
        "```python\ndef f(a):\n```\n\nfunction in `p/a.py:1`\n\nAdds.\n\n---\n\nIt adds."
    )
    waiting = hover_markdown(found, Pending(), command="midfill: Explain")
    assert "midfill is reading this" in waiting
    assert "`midfill: Explain`" in waiting
    assert hover_markdown(found).endswith("Adds.")
