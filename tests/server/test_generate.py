"""``midfill.generate``: code below what a comment or docstring asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midfill_server.syntax import SyntaxTree, language_of
from midfill_server.wanted import place_for_code
from tests.server.client import LspClient, LspError
from tests.server.conftest import StartServer

URI = "file:///project/a.py"
APPLIES = {"workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}}}
ANSWER = "return a + b"
HEAD = f"#text{json.dumps(ANSWER)}\n\n"
TEXT = f'{HEAD}def add(a, b):\n    """Add two numbers."""\n'
AT_DOCSTRING = {"line": 3, "character": 10}


def check(marked: str, language_id: str = "python") -> str | None:
    """Return the text with a ``|`` where code goes, for the cursor at ``<|>``."""
    before, _, after = marked.partition("<|>")
    language = language_of(language_id, "")
    text = before + after
    tree = SyntaxTree.parse(text, language)
    place = place_for_code(text, len(before), tree, language)
    if place is None:
        return None
    return text[: place.start] + place.new + "|" + text[place.end :]


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("# sort <|>the list", "# sort the list\n|"),
        ("def f():\n    # one<|>\n    # two\n", "def f():\n    # one\n    # two\n    |\n"),
        ("# one<|>\n\n# two\n", "# one\n|\n\n# two\n"),
        ('def f():\n    """Do <|>it."""\n', 'def f():\n    """Do it."""\n    |\n'),
        ('def f():\n    """Do it."""<|>\n', 'def f():\n    """Do it."""\n    |\n'),
        (
            'def f():\n    """Do <|>it.\n\n    Now.\n    """\n',
            'def f():\n    """Do it.\n\n    Now.\n    """\n    |\n',
        ),
        ("# sort\n<|>\nx = 1\n", "# sort\n|\nx = 1\n"),
        ("def f():\n    # sort\n    <|>\n", "def f():\n    # sort\n    |\n"),
        ("# sort<|>\r\nx = 1\r\n", "# sort\r\n|\r\nx = 1\r\n"),
        ("x = <|>1\n", None),
        ("x = 'a <|>string'\n", None),
        ("<|>", None),
        ("x = 1\n<|>\n", None),
    ],
)
def test_where_code_goes_in_python(marked: str, expected: str | None) -> None:
    assert check(marked) == expected


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("// sort <|>it\n", "// sort it\n|\n"),
        ("{\n  /* sort\n   * <|>it */\n}\n", "{\n  /* sort\n   * it */\n   |\n}\n"),
        ("f('// no<|>')\n", None),
    ],
)
def test_where_code_goes_elsewhere(marked: str, expected: str | None) -> None:
    assert check(marked, "typescript") == expected


def begin(start: StartServer, capabilities: Any = None, *, applied: bool = True) -> LspClient:
    client = start(answers={"workspace/applyEdit": {"applied": applied}})
    client.initialize(capabilities=capabilities)
    client.open(URI, TEXT, language="python", version=7)
    return client


def run(client: LspClient, position: Any = AT_DOCSTRING) -> Any:
    given = {"uri": URI, "position": position}
    words = {"command": "midfill.generate", "arguments": [given]}
    return client.request("workspace/executeCommand", words)


def test_code_is_applied_to_the_version_that_it_was_made_for(start: StartServer) -> None:
    client = begin(start, APPLIES)
    assert run(client).result() == {"applied": True, "edit": None}
    (change,) = client.params_of("workspace/applyEdit")[0]["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": URI, "version": 7}
    end = {"line": 3, "character": 26}
    (edit,) = change["edits"]
    assert edit == {"range": {"start": end, "end": end}, "newText": f"\n    {ANSWER}"}


def test_a_client_that_applies_nothing_is_given_the_edit(start: StartServer) -> None:
    answer = run(begin(start)).result()
    assert answer["applied"] is False
    assert answer["edit"]["changes"][URI][0]["newText"] == f"\n    {ANSWER}"


def test_what_the_client_does_not_apply_is_not_said_to_be(start: StartServer) -> None:
    with pytest.raises(LspError, match="changed"):
        run(begin(start, APPLIES, applied=False)).result()


def test_without_a_comment_it_says_what_to_do(start: StartServer) -> None:
    client = begin(start, APPLIES)
    with pytest.raises(LspError, match="comment or a docstring") as caught:
        run(client, {"line": 2, "character": 2}).result()
    assert caught.value.code == -32803
    assert client.params_of("workspace/applyEdit") == []
