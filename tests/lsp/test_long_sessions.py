"""What one client sees in a long session, over each transport and in each position encoding.

A server stays for all tests here with the same transport and encoding, as it does for a person;
each test has documents of its own.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest
import pytest_asyncio
from lsprotocol import types

from tests.lsp.client import PROGRESS, STATS, STATUS, TIMEOUT_S, Client, error_code, place, texts
from tests.server.client import INVALID_PARAMS, REQUEST_CANCELLED
from tests.server.conftest import environment
from tests.server.scripted_server import RUNNING_METHOD

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHOD_NOT_FOUND = -32601

ENCODINGS = ("utf-8", "utf-16", "utf-32")

# Letters with marks of their own, a family of joined emoji, and what str.splitlines takes for a
# line end and LSP does not.
WORDS = (
    "漢字",
    "e\u0301a\u0308",
    "👩‍👩‍👧",
    "x",
    "ab c",
    "é",
    "\u2028",
    "\x0c",
    "😀😀",
    "\U00010400",
)

_numbers = count()


class Peer(Client):
    """A client with an encoding."""

    encoding: str

    def width(self, text: str) -> int:
        """Return how wide a text is in the units of this session's positions."""
        if self.encoding == "utf-32":
            return len(text)
        if self.encoding == "utf-8":
            return len(text.encode())
        return len(text.encode("utf-16-le")) // 2

    def position(self, text: str, offset: int) -> types.Position:
        """Return where an offset is; only LSP's three line ends count."""
        ends = [end.end() for end in re.finditer(r"\r\n|\n|\r", text[:offset])]
        return types.Position(
            line=len(ends), character=self.width(text[ends[-1] if ends else 0 : offset])
        )

    async def answer_at(self, uri: str, text: str, offset: int) -> str:
        """Return what a user who asks there is offered."""
        where = self.position(text, offset)
        (item,) = texts(await self.complete(uri, where.line, where.character, invoked=True))
        return item


def _combinations() -> Iterator[object]:
    for transport in ("stdio", "tcp", "ws"):
        for encoding in ENCODINGS:
            # The others differ in nothing but how bytes travel.
            slow = () if transport == "stdio" else (pytest.mark.slow,)
            yield pytest.param((transport, encoding), id=f"{transport}-{encoding}", marks=slow)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=_combinations())
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    transport, encoding = request.param
    peer = Peer()
    peer.encoding = encoding
    await peer.start(transport, environment())
    answer = await peer.initialize_session(
        types.InitializeParams(
            capabilities=types.ClientCapabilities(
                general=types.GeneralClientCapabilities(
                    position_encodings=[encoding, types.PositionEncodingKind.Utf16]
                ),
                text_document=types.TextDocumentClientCapabilities(
                    inline_completion=types.InlineCompletionClientCapabilities()
                ),
                experimental={"midfill": {"status": True}},
            ),
            initialization_options={"streaming": True},
        )
    )
    assert answer.capabilities.position_encoding == encoding
    yield peer
    assert peer.messages == []
    assert await peer.leave() == 0
    await peer.clean_up()


@pytest.fixture(autouse=True)
def all_valid(peer: Peer) -> Iterator[None]:
    yield
    # Each request was answered once, and with nothing that LSP 3.18 does not know.
    assert peer.answered.keys() == peer.asked.keys()
    assert set(peer.answered.values()) <= {1}
    assert peer.invalid == []


@pytest.fixture
def uri() -> str:
    return f"file:///project/{next(_numbers)}.txt"


async def test_edits_and_positions_mean_the_same_text_on_both_sides(peer: Peer, uri: str) -> None:
    dice = random.Random(6)
    text = "漢字 = 1\r\nx\ry\n"
    peer.open(uri, text)
    for version in range(2, 42):
        changes: list[tuple[types.Range | None, str]] = []
        # Several changes in one notification: each is meant for the text after those before it.
        for _ in range(dice.randrange(1, 4)):
            start, end = sorted(dice.choices(_places(text), k=2))
            end = min(end, start + dice.randrange(4)) if end in _places(text) else start
            if end not in _places(text):
                end = start
            span = types.Range(start=peer.position(text, start), end=peer.position(text, end))
            new = dice.choice((*WORDS, "\n", "\r\n", ""))
            changes.append((span, new))
            text = text[:start] + new + text[end:]
        peer.change(uri, version, *changes)
        if version % 4 == 0:
            offset = dice.choice(_places(text))
            before = re.split(r"\n", text[:offset])[-1][-40:]
            answer = await peer.answer_at(uri, text, offset)
            assert answer.startswith(f"[{offset}|{before}|"), f"in {text!r} at {offset}"


def _places(text: str) -> list[int]:
    """Return the offsets that are a position of their own: none is inside a line end."""
    return [at for at in range(len(text) + 1) if text[at - 1 : at + 1] != "\r\n" or at == 0]


async def test_a_position_past_an_end_means_that_end(peer: Peer, uri: str) -> None:
    text = "a漢😀\nlast 😀"
    peer.open(uri, text)
    far = 2**31 - 1
    for line, character, offset in (
        (0, 99, 3),
        (0, far, 3),
        (1, far, 10),
        (7, 0, 10),
        (far, 5, 10),
    ):
        (item,) = texts(await peer.complete(uri, line, character, invoked=True))
        assert item.startswith(f"[{offset}|"), f"{line}:{character}"
    # In the midst of a character means before it, whatever the units are.
    inside = peer.width("last 😀") - 1
    if peer.encoding != "utf-32":
        (item,) = texts(await peer.complete(uri, 1, inside, invoked=True))
        assert item.startswith("[9|last |😀")
    # An edit is clamped in the same way.
    peer.change(uri, 2, (types.Range(types.Position(0, 99), types.Position(far, far)), "!"))
    assert await peer.answer_at(uri, "a漢😀!", 4) == "[4|a漢😀!|]"


async def test_the_answer_replaces_the_range_in_the_units_of_the_session(
    peer: Peer, uri: str
) -> None:
    peer.open(uri, "漢😀e\u0301.pa")
    line = peer.width("漢😀e\u0301.")
    span = place(0, line, line + 2)
    answer = await peer.ask(
        types.TEXT_DOCUMENT_INLINE_COMPLETION,
        types.InlineCompletionParams(
            text_document=types.TextDocumentIdentifier(uri=uri),
            position=span.end,
            context=types.InlineCompletionContext(
                trigger_kind=types.InlineCompletionTriggerKind.Automatic,
                selected_completion_info=types.SelectedCompletionInfo(range=span, text="path"),
            ),
        ),
    )
    (item,) = answer.items
    assert item.range == span
    assert item.insert_text == "path[9|漢😀e\u0301.path|]"


async def test_a_storm_of_cancels_leaves_every_request_answered_once_and_the_engine_idle(
    peer: Peer, uri: str
) -> None:
    dice = random.Random(18)
    documents = [f"{uri}.{number}" for number in range(4)]
    for document in documents:
        peer.open(document, "#slow\n")
    # Ids are numbers or strings, and a number is not the string of its digits.
    ids = [f"{uri}-{number}" if number % 3 else 10_000 + number for number in range(40)]
    answers = {msg_id: peer.complete(dice.choice(documents), 1, 0, msg_id=msg_id) for msg_id in ids}
    # While it runs: the last is the one that the engine works on by now.
    await peer.until(lambda: any(one["token"] in answers for one in peer.params_of(PROGRESS)))
    for msg_id in dice.sample(ids, len(ids)):
        peer.cancel(msg_id)
        peer.cancel(f"nobody-asked-{msg_id}")
    for msg_id in ids[:5]:
        peer.cancel(msg_id)
    codes = {await error_code(answer) for answer in answers.values()}
    # A request that a newer one had replaced by then was answered with null.
    assert REQUEST_CANCELLED in codes
    assert codes <= {REQUEST_CANCELLED, None}
    # Nobody wants those texts any more: soon nobody writes them, and the status says so.
    async with asyncio.timeout(TIMEOUT_S):
        while await peer.ask(RUNNING_METHOD, None):
            pass
    await peer.until(lambda: peer.params_of(STATUS)[-1]["working"] is False)
    peer.open(uri, "fast")
    assert texts(await peer.complete(uri, 0, 4)) == ["[4|fast|]"]


async def test_position_and_text_agree_while_edits_race(peer: Peer, uri: str) -> None:
    peer.open(uri, "")
    versions = range(2, 32)
    seen = len(peer.params_of(STATS))
    answers = []
    for version in versions:
        # Each text has a length of its own, so that a stale one would show.
        text = "漢" * version
        peer.change(uri, version, (None, text))
        answers.append(peer.complete(uri, 0, peer.width(text)))
    peer.change(uri, 99, (None, ""))
    for version, answer in zip(versions, answers, strict=True):
        assert texts(await answer) in ([], [f"[{version}|{'漢' * version}|]"])
    assert texts(await answers[-1])
    for stats in peer.params_of(STATS)[seen:]:
        assert stats["position"]["character"] == peer.width("漢") * stats["version"]


async def test_the_latest_request_of_a_document_wins(peer: Peer, uri: str) -> None:
    peer.open(uri, "#slow\n")
    old = peer.complete(uri, 1, 0, token=uri)
    await peer.until(lambda: any(one["token"] == uri for one in peer.params_of(PROGRESS)))
    peer.change(uri, 2, (None, "new"))
    new = peer.complete(uri, 0, 3)
    assert await old is None
    assert texts(await new) == ["[3|new|]"]


async def test_documents_do_not_mix(peer: Peer, uri: str) -> None:
    names = [f"{uri}/{name}" for name in "abc"]
    for name in names:
        peer.open(name, name[-1])
    for version in range(2, 6):
        for name in names:
            end = place(0, version - 1, version - 1)
            peer.change(name, version, (end, name[-1]))
    answers = [peer.complete(name, 0, 5) for name in names]
    assert [texts(await answer) for answer in answers] == [
        ["[5|aaaaa|]"],
        ["[5|bbbbb|]"],
        ["[5|ccccc|]"],
    ]
    peer.close(names[0])
    assert await peer.complete(names[0], 0, 5) is None
    peer.open(names[0], "again")
    assert texts(await peer.complete(names[0], 0, 5)) == ["[5|again|]"]


async def test_what_was_never_opened_has_no_completions(peer: Peer, uri: str) -> None:
    peer.change(uri, 2, (None, "x"))
    peer.close(uri)
    assert await peer.complete(uri, 0, 1) is None


async def test_the_progress_of_a_request_carries_its_token(peer: Peer, uri: str) -> None:
    peer.open(uri, "x")
    for token in (f"token of {uri}", 4_000_000 + next(_numbers)):
        await peer.complete(uri, 0, 1, token=token)
        (stats,) = [one for one in peer.params_of(STATS) if one["token"] == token]
        assert (stats["uri"], stats["version"]) == (uri, 1)


MALFORMED = [
    {},
    {"a": 1},
    {"textDocument": {"uri": 5}, "position": {"line": 0, "character": 0}, "context": {}},
    {"textDocument": {"uri": "x"}, "position": {"line": "0", "character": 0}, "context": {}},
    {"textDocument": {"uri": "x"}, "position": {"line": -1, "character": 0}},
    {
        "textDocument": {"uri": "x"},
        "position": {"line": 0, "character": 0},
        "context": {"triggerKind": 17},
    },
]


async def test_requests_that_make_no_sense_are_refused(peer: Peer, uri: str) -> None:
    peer.open(uri, "x")
    for method in ("midfill/nothing", "$/nothing", types.WORKSPACE_SYMBOL):
        assert await error_code(peer.ask_raw(method, {"query": "x"})) == METHOD_NOT_FOUND, method
    for params in MALFORMED:
        refused = peer.ask_raw(types.TEXT_DOCUMENT_INLINE_COMPLETION, params)
        assert await error_code(refused) == INVALID_PARAMS, params
    assert texts(await peer.complete(uri, 0, 1)) == ["[1|x|]"]


async def test_notifications_that_make_no_sense_do_no_harm(peer: Peer, uri: str) -> None:
    peer.open(uri, "x")
    document = {"uri": uri, "version": 2}
    for method, params in (
        ("midfill/nothing", {"x": 1}),
        ("$/nothing", None),
        ("textDocument/willSave", {"textDocument": {"uri": uri}, "reason": 1}),
        (types.TEXT_DOCUMENT_DID_OPEN, {}),
        (types.TEXT_DOCUMENT_DID_CHANGE, {"textDocument": document}),
        (types.TEXT_DOCUMENT_DID_CHANGE, {"textDocument": document, "contentChanges": [3]}),
        (types.TEXT_DOCUMENT_DID_CLOSE, {"textDocument": {}}),
        (types.CANCEL_REQUEST, {}),
        (types.CANCEL_REQUEST, {"id": "none"}),
        (types.WORKSPACE_DID_CHANGE_CONFIGURATION, {"settings": [1]}),
        ("midfill/didMoveCursor", {"textDocument": 1}),
        ("midfill/didChangeDiagnostics", {"uri": uri, "diagnostics": [None, {"range": 1}]}),
    ):
        peer.tell_raw(method, params)
        assert texts(await peer.complete(uri, 0, 1)) == ["[1|x|]"], method
