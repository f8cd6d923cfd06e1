"""Fixes and explanations as code actions, over the protocol; a checker that looks for words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import REQUEST_CANCELLED, LspClient, LspError
from tests.server.conftest import StartServer

URI = "file:///project/a.py"
ACTIONS: Any = {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}}
RESOLVES: Any = {**ACTIONS, "dataSupport": True, "resolveSupport": {"properties": ["edit"]}}
HEAD = f"#tell #text{json.dumps('nice')}\n"
TEXT = f"{HEAD}x = bad(1)\n"
AUTOMATIC, BY_HAND = 2, 1


def capabilities(actions: Any = RESOLVES, **midfill: bool) -> Any:
    return {
        "textDocument": {"codeAction": actions},
        "window": {"workDoneProgress": True},
        "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}},
        "experimental": {"midfill": midfill},
    }


class Editor:
    """A client with one document, and a server whose model replaces each bad word."""

    def __init__(
        self,
        start: StartServer,
        *arguments: str,
        text: str = TEXT,
        client: Any = None,
        uri: str = URI,
        **options: Any,
    ) -> None:
        self.uri, self.text = uri, text
        self.client: LspClient = start(
            "stdio", *arguments, answers={"workspace/applyEdit": {"applied": True}}
        )
        self.client.initialize(options, capabilities=client or capabilities())
        self.client.open(uri, text, language="python", version=3)

    def actions(
        self, *diagnostics: Any, trigger: int = AUTOMATIC, only: Any = None, line: int = 1
    ) -> list[Any]:
        place = {"line": line, "character": 5}
        context = {"diagnostics": diagnostics, "triggerKind": trigger, "only": only}
        params = {
            "textDocument": {"uri": self.uri},
            "range": {"start": place, "end": place},
            "context": context,
        }
        return self.client.request("textDocument/codeAction", params).result() or []

    def titles(self, *diagnostics: Any, **how: Any) -> list[str]:
        return [action["title"] for action in self.actions(*diagnostics, **how)]

    def resolve(self, action: Any) -> Any:
        return self.client.request("codeAction/resolve", action)

    def told(self) -> list[str]:
        return [each["message"] for each in self.client.params_of("window/showMessage")]


def problem(line: int = 1, **other: Any) -> dict[str, Any]:
    place = {"start": {"line": line, "character": 4}, "end": {"line": line, "character": 7}}
    return {"range": place, "message": "'bad' is bad", "code": "B1", "source": "fake", **other}


def edited(edit: Any) -> list[tuple[int, int, int, str]]:
    (change,) = edit["documentChanges"]
    assert change["textDocument"] == {"uri": URI, "version": 3}
    return [
        (
            each["range"]["start"]["line"],
            each["range"]["start"]["character"],
            each["range"]["end"]["character"],
            each["newText"],
        )
        for each in change["edits"]
    ]


def log(folder: Path) -> str:
    return (folder / "log").read_text(encoding="utf-8")


ECO = {"profile": "eco"}


def test_a_fix_is_named_at_once_and_computed_when_it_is_chosen(start: StartServer) -> None:
    editor = Editor(start, **ECO)
    action = editor.actions(problem())[0]
    assert (action["title"], action["kind"]) == ("Fix: 'bad' is bad", "quickfix")
    assert action["diagnostics"] == [problem()]
    assert "edit" not in action
    chosen = editor.resolve(action).result()
    assert edited(chosen["edit"]) == [(1, 4, 7, "nice")]
    assert editor.told() == []
    kinds = [each["value"]["kind"] for each in editor.client.params_of("$/progress")]
    assert kinds.count("begin") == kinds.count("end")


def test_a_fix_that_is_known_says_who_has_verified_it(start: StartServer) -> None:
    editor = Editor(start, **ECO)
    action = editor.actions(problem(), trigger=BY_HAND)[0]
    assert action["title"] == "Fix (verified by fake): bad → nice"
    assert action["isPreferred"] is True
    assert edited(action["edit"]) == [(1, 4, 7, "nice")]
    # Asked for by the editor itself, it is still known.
    assert editor.titles(problem())[0] == action["title"]


def test_what_is_whole_is_resolved_as_it_is(start: StartServer) -> None:
    editor = Editor(start, client=capabilities(explanations=True), **ECO)
    fix, *others = editor.actions(problem(), trigger=BY_HAND)
    assert editor.resolve(fix).result()["edit"] == fix["edit"]
    explains = others[-1]
    assert editor.resolve(explains).result()["command"] == explains["command"]
    assert editor.told() == []


def test_what_no_checker_finds_is_fixed_unverified(start: StartServer) -> None:
    editor = Editor(start, **ECO)
    other = problem(message="'bad' should be 'fine'", code="Z9")
    action = editor.actions(other)[0]
    assert "edit" in editor.resolve(action).result()
    assert "confirm" in editor.told()[0]
    action = editor.actions(other)[0]
    assert action["title"].startswith("Fix (unverified): ")
    assert "isPreferred" not in action


def test_only_verified_fixes_are_offered_where_that_is_wanted(start: StartServer) -> None:
    editor = Editor(start, fix={"onlyVerified": True}, **ECO)
    other = problem(message="'bad' should be 'fine'", code="Z9")
    assert "edit" not in editor.resolve(editor.actions(other)[0]).result()
    assert "No fix was found" in editor.told()[0]
    assert not any(title.startswith("Fix:") for title in editor.titles(other))


def test_what_is_ours_or_elsewhere_is_not_fixed(start: StartServer) -> None:
    editor = Editor(start, text=TEXT + "\n" * 9 + "y = bad\n", **ECO)
    assert editor.titles(problem(source="midfill")) == []
    assert editor.titles(problem(line=11)) == []
    assert editor.titles(problem(), problem(line=11))[0] == "Fix: 'bad' is bad"


def test_only_kinds_that_are_asked_for_are_answered(start: StartServer) -> None:
    editor = Editor(start, client=capabilities(explanations=True), **ECO)
    assert editor.titles(problem(), only=["source.fixAll", "refactor"]) == []
    titles = editor.titles(problem(), only=["quickfix"], trigger=BY_HAND)
    assert [title.partition(" ")[0] for title in titles] == ["Fix", "Fix", "Explain:"]
    assert editor.titles(problem(), only=["midfill.explain"], trigger=BY_HAND) == ["Explain"]


def test_explanations_are_offered_to_who_can_show_them(start: StartServer) -> None:
    editor = Editor(start, client=capabilities(explanations=True), **ECO)
    found = {each["title"]: each for each in editor.actions(problem())}
    command = found["Explain: 'bad' is bad"]["command"]
    assert command["command"] == "midfill.explainDiagnostic"
    answer = editor.client.request("workspace/executeCommand", command).result()
    assert "### What it means" in answer["markdown"]
    editor = Editor(start, **ECO)
    assert not any(title.startswith("Explain") for title in editor.titles(problem()))


def test_the_nearest_fix_is_looked_for_unasked(start: StartServer, tmp_path: Path) -> None:
    editor = Editor(start, profile="performance")
    assert editor.titles(problem())[0] == "Fix: 'bad' is bad"
    while not editor.titles(problem())[0].startswith("Fix (verified"):
        pass
    assert log(tmp_path).count("asked for") == 1


def test_on_battery_nothing_is_looked_for_unasked(start: StartServer, tmp_path: Path) -> None:
    editor = Editor(start, **ECO)
    for _ in range(5):
        assert editor.titles(problem())[0] == "Fix: 'bad' is bad"
    assert editor.client.shutdown() == 0
    assert "asked for" not in log(tmp_path)


def test_who_cannot_resolve_gets_the_edit_at_once(start: StartServer) -> None:
    editor = Editor(start, client=capabilities(ACTIONS), **ECO)
    assert editor.titles(problem()) == ["Fix all B1 in this file"]
    action = editor.actions(problem(), trigger=BY_HAND)[0]
    assert edited(action["edit"]) == [(1, 4, 7, "nice")]


def test_who_knows_commands_only_is_offered_nothing(start: StartServer) -> None:
    assert Editor(start, client=capabilities({}), **ECO).titles(problem()) == []


def test_what_does_not_fit_any_more_is_refused(start: StartServer) -> None:
    editor = Editor(start, **ECO)
    action = editor.actions(problem())[0]
    editor.client.change(URI, 4, {"text": HEAD + "x = 1\n"})
    assert "edit" not in editor.resolve(action).result()
    assert "has changed" in editor.told()[0]
    assert "edit" not in editor.resolve({"title": "Fix", "data": {"id": "nobody's"}}).result()
    assert "edit" not in editor.resolve({"title": "Fix", "data": 3}).result()


def test_a_search_is_cancelled_with_its_request(start: StartServer) -> None:
    editor = Editor(start, text="#hang " + TEXT, **ECO)
    for cancel_by_progress in (False, True):
        reply = editor.resolve(editor.actions(problem())[0])
        shown = editor.client.wait_for(
            "$/progress", lambda params: "fix" in str(params["value"].get("title"))
        )
        if cancel_by_progress:
            editor.client.notify("window/workDoneProgress/cancel", {"token": shown["token"]})
        else:
            editor.client.cancel(reply)
        assert reply.error_code() == REQUEST_CANCELLED
    assert editor.client.shutdown() == 0


def test_goodbye_while_a_fix_is_looked_for(start: StartServer) -> None:
    editor = Editor(start, text="#hang " + TEXT, **ECO)
    editor.resolve(editor.actions(problem())[0])
    editor.client.wait_for("$/progress")
    assert editor.client.shutdown() == 0


def test_a_completion_goes_before_a_fix(start: StartServer) -> None:
    editor = Editor(start, text="#long\nx = bad(1)\n", **ECO)
    reply = editor.resolve(editor.actions(problem())[0])
    client = editor.client
    while not client.request("midfill/test/running", {}).result():
        pass
    client.open("b", "y = ")
    items = client.complete("b", 0, 4, automatic=False).result()["items"]
    assert items[0]["insertText"] == "[4|y = |]"
    client.cancel(reply)
    reply.error_code()


def test_nothing_is_fixed_where_a_model_may_not_look(start: StartServer) -> None:
    editor = Editor(start, uri="file:///project/.env", text="x = bad\n", **ECO)
    assert editor.titles(problem(line=0), line=0, trigger=BY_HAND) == []


def test_fixes_can_be_switched_off(start: StartServer) -> None:
    editor = Editor(start, fix={"enabled": False})
    assert editor.titles(problem(), trigger=BY_HAND) == []


@pytest.mark.parametrize(
    ("options", "announced", "later", "trusted"),
    [
        ({}, {}, None, False),
        ({"trusted": True}, {}, None, True),
        ({"trusted": "yes"}, {}, None, False),
        ({}, {"workspaceTrusted": True}, None, True),
        ({}, {}, True, True),
        ({"trusted": True}, {}, False, False),
    ],
)
def test_a_workspace_is_trusted_when_the_client_says_so(
    start: StartServer,
    tmp_path: Path,
    options: Any,
    announced: Any,
    later: bool | None,
    trusted: bool,
) -> None:
    editor = Editor(start, client=capabilities(**announced), **ECO, **options)
    if later is not None:
        editor.client.notify("midfill/didChangeTrust", {"trusted": later})
    editor.actions(problem(), trigger=BY_HAND)
    assert f"trusted: {trusted}" in log(tmp_path)
    # It is none of the settings, and nobody is told that it is unknown.
    assert editor.told() == []


MANY = HEAD + "a = bad(1)\nb = 2\nc = bad(3)\nd = 4\ne = bad5\n"


def fix_all(editor: Editor, diagnostic: Any) -> Any:
    given = {"uri": URI, "diagnostic": diagnostic}
    words = {"command": "midfill.fixAll", "arguments": [given]}
    return editor.client.request("workspace/executeCommand", words)


def test_all_of_a_kind_are_fixed_as_one_edit(start: StartServer) -> None:
    editor = Editor(start, text=MANY, **ECO)
    action = editor.actions(problem())[1]
    assert action["title"] == "Fix all B1 in this file"
    answer = editor.client.request("workspace/executeCommand", action["command"]).result()
    assert answer == {"fixed": 3, "left": 0, "applied": True, "edit": None}
    (applied,) = editor.client.params_of("workspace/applyEdit")
    assert [each[0] for each in edited(applied["edit"])] == [1, 3, 5]
    assert editor.told() == ["midfill: fixed 3 of 3 (B1)."]
    assert "3 of 3" in str(editor.client.params_of("$/progress"))


def test_what_is_known_to_be_alone_is_not_offered_so(start: StartServer) -> None:
    editor = Editor(start, **ECO)
    told = {"uri": URI, "diagnostics": [problem()]}
    editor.client.notify("midfill/didChangeDiagnostics", told)
    assert editor.titles(problem()) == ["Fix: 'bad' is bad"]
    told["diagnostics"] = [problem(), problem()]
    editor.client.notify("midfill/didChangeDiagnostics", told)
    assert "Fix all B1 in this file" in editor.titles(problem())


def test_what_cannot_be_fixed_is_left(start: StartServer) -> None:
    editor = Editor(start, text=MANY.replace("nice", "bad"), **ECO)
    answer = fix_all(editor, problem()).result()
    assert (answer["fixed"], answer["left"], answer["applied"]) == (0, 3, False)
    assert editor.client.params_of("workspace/applyEdit") == []


def test_without_a_checker_not_all_are_fixed(start: StartServer) -> None:
    editor = Editor(start, text=MANY, **ECO)
    with pytest.raises(LspError, match="No tool is installed") as caught:
        fix_all(editor, problem(message="something else", code="Z9")).result()
    assert caught.value.code == -32803


def test_fixing_all_is_cancelled(start: StartServer) -> None:
    editor = Editor(start, text="#hang " + MANY, **ECO)
    reply = fix_all(editor, problem())
    editor.client.wait_for(
        "$/progress", lambda params: "fixing all" in str(params["value"].get("title"))
    )
    editor.client.cancel(reply)
    assert reply.error_code() == REQUEST_CANCELLED
    assert editor.client.params_of("workspace/applyEdit") == []
