"""What a suggestion is besides its text: an entry of a menu, and a command for who accepts it."""

from __future__ import annotations

import pytest
from lsprotocol import types
from pytest_lsp import client_capabilities

from tests.lsp.client import Client, error_code, place, texts
from tests.lsp.conftest import StartClient
from tests.server.client import INVALID_PARAMS

pytestmark = pytest.mark.asyncio

URI = "file:///project/a.txt"
VS_CODE = "visual_studio_code@v1.65.2"
# The word before the cursor begins behind characters that count differently everywhere.
LINE = '#text"nt(1)"\ne\u0301漢😀 pri'


def capabilities(spec: str, *, ghost_text: bool) -> types.ClientCapabilities:
    """Return what a client can do. None of those on record knew of inline completion."""
    known = client_capabilities(spec)
    assert known.text_document is not None
    if ghost_text:
        known.text_document.inline_completion = types.InlineCompletionClientCapabilities()
    return known


async def hello(client: Client, known: types.ClientCapabilities) -> types.ServerCapabilities:
    result = await client.initialize_session(types.InitializeParams(capabilities=known))
    return result.capabilities


def menu(client: Client, character: int) -> object:
    return client.ask(
        types.TEXT_DOCUMENT_COMPLETION,
        types.CompletionParams(
            text_document=types.TextDocumentIdentifier(uri=URI),
            position=types.Position(line=1, character=character),
            context=types.CompletionContext(trigger_kind=types.CompletionTriggerKind.Invoked),
        ),
    )


# pytest-lsp warns, which is an error here, if an entry has something that a client cannot take.
@pytest.mark.parametrize(
    ("spec", "word"),
    [("emacs@v29.1", 5), (VS_CODE, 6), ("neovim@v0.11.0", 11)],
    ids=["emacs-utf-32", "vs-code-utf-16", "neovim-utf-8"],
)
async def test_the_entry_of_a_menu_replaces_the_word_before_the_cursor(
    start: StartClient, spec: str, word: int
) -> None:
    client = await start()
    offered = await hello(client, capabilities(spec, ghost_text=False))
    assert offered.completion_provider is not None
    client.open(URI, LINE)
    answer = await menu(client, word + 3)
    assert isinstance(answer, types.CompletionList)
    assert answer.is_incomplete
    (entry,) = answer.items
    assert entry.text_edit == types.TextEdit(range=place(1, word, word + 3), new_text="print(1)")
    # By these, clients decide whether the entry fits what was typed.
    assert entry.label.startswith("pri")
    assert (entry.filter_text or entry.label).startswith("pri")
    assert entry.insert_text_format in (None, types.InsertTextFormat.PlainText)


async def test_who_shows_ghost_text_has_no_menu(start: StartClient) -> None:
    client = await start("tcp")
    offered = await hello(client, capabilities(VS_CODE, ghost_text=True))
    assert offered.completion_provider is None
    client.open(URI, "x")
    assert texts(await client.complete(URI, 0, 1)) == ["[1|x|]"]


async def test_an_accepted_item_is_told_by_its_command(start: StartClient) -> None:
    client = await start()
    offered = await hello(client, capabilities(VS_CODE, ghost_text=True))
    client.open(URI, "x")
    (item,) = (await client.complete(URI, 0, 1)).items
    assert item.command is not None
    assert offered.execute_command_provider is not None
    assert item.command.command in offered.execute_command_provider.commands
    for arguments in (item.command.arguments, item.command.arguments, [], [None], ["no", "such"]):
        params = types.ExecuteCommandParams(command=item.command.command, arguments=arguments)
        assert await client.ask(types.WORKSPACE_EXECUTE_COMMAND, params) is None
    for name in ("midfill.nothing", ""):
        refused = client.ask(
            types.WORKSPACE_EXECUTE_COMMAND, types.ExecuteCommandParams(command=name)
        )
        assert await error_code(refused) in (INVALID_PARAMS, -32601)
