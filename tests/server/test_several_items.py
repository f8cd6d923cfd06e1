"""Several items for somebody who asks by hand, as a client and as the completer sees them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from midfill_server.scheduler import SupersededError
from tests.server.client import LspClient
from tests.server.conftest import StartServer
from tests.server.desk import Desk, query, tell

URI = "file:///project/a.txt"
STATS = "midfill/completionStats"
PROGRESS = "midfill/inlineCompletionProgress"
ALL = ["alpha(one)", "alpha(two)", "beta(one)"]


def at(line: int, character: int) -> dict[str, int]:
    return {"line": line, "character": character}


def items(client: LspClient, line: int, character: int, **more: Any) -> list[dict[str, Any]]:
    answer = client.complete(URI, line, character, **more).result()
    return list(answer["items"])


def texts(client: LspClient, line: int, character: int, **more: Any) -> list[str]:
    return [item["insertText"] for item in items(client, line, character, **more)]


def opened(start: StartServer, text: str, **options: object) -> LspClient:
    client = start()
    client.initialize(options)
    client.open(URI, text, language="plaintext")
    return client


def test_by_hand_there_is_a_choice_and_by_itself_there_is_none(start: StartServer) -> None:
    client = opened(start, "#choose #tell\nx = \n")
    assert texts(client, 1, 4) == ALL[:1]
    assert texts(client, 1, 4, automatic=False) == ALL
    assert texts(client, 1, 4) == ALL[:1]


def test_every_item_replaces_the_same_range(start: StartServer) -> None:
    client = opened(start, "#choose\nx = al\n")
    selected = {"range": {"start": at(1, 4), "end": at(1, 6)}, "text": "_"}
    place = {"start": at(1, 4), "end": at(1, 6)}
    given = items(client, 1, 6, automatic=False, selected=selected)
    assert [(item["insertText"], item["range"]) for item in given] == [
        (f"_{text}", place) for text in ALL
    ]


def test_the_costs_are_those_of_the_first_item(start: StartServer) -> None:
    client = opened(start, "#choose\nx = \n", streaming=True)
    assert texts(client, 1, 4, automatic=False) == ALL
    (stats,) = client.params_of(STATS)
    assert stats["source"] == "model"
    assert all(ALL[0].startswith(each["text"]) for each in client.params_of(PROGRESS))


def test_what_is_typed_along_any_item_costs_nothing(start: StartServer) -> None:
    client = opened(start, "#choose\nx = \n", streaming=True)
    assert texts(client, 1, 4, automatic=False) == ALL
    for version, typed in enumerate(("be", "alpha(t", "alpha(o", ""), start=2):
        text = f"#choose\nx = {typed}\n"
        client.change(URI, version, {"text": text})
        expected = next(each for each in ALL if each.startswith(typed))[len(typed) :]
        assert texts(client, 1, 4 + len(typed)) == [expected]
        assert client.params_of(STATS)[-1]["source"] == "typed-through"


def test_where_no_more_can_be_had_there_is_the_first(start: StartServer) -> None:
    client = opened(start, "plain\n")
    assert texts(client, 0, 5, automatic=False) == ["[5|plain|]"]
    assert client.params_of("window/showMessage") == []


async def choosing(desk: Desk) -> asyncio.Task[tuple[str, ...]]:
    """Be answered, ask what else there is, and return while the engine works on that."""
    marked = "x = <|>\n"
    first = desk.ask(marked)
    await desk.gate.arrival()
    desk.gate.let_go()
    others = asyncio.create_task(desk.completer.alternatives(query(marked), await first))
    await desk.gate.arrival()
    return others


def test_a_new_question_ends_the_search() -> None:
    async def story(desk: Desk) -> None:
        others = await choosing(desk)
        newer = await desk.begun("y = <|>\n")
        with pytest.raises(SupersededError):
            await others
        desk.gate.open()
        assert (await newer).text == "left"

    tell(story, "left", shut=True)


def test_who_types_on_is_not_shown_a_choice() -> None:
    async def story(desk: Desk) -> None:
        others = await choosing(desk)
        # Known without the engine, which goes on with the other one.
        assert await desk.text("x = l<|>\n") == "eft"
        desk.gate.open()
        with pytest.raises(SupersededError):
            await others

    tell(story, "left", shut=True)
