"""What a prompt shows beside the text: found once for a split, and the same for all its keys."""

from __future__ import annotations

from midfill_engine.types import ContextChunk
from midfill_server.anchors import Anchors, Split
from midfill_server.pipeline import Query
from midfill_server.scenes import Scenes
from midfill_server.syntax import Language, SyntaxTree

URI = "file:///project/src/shop.py"
HEAD = "import json\n\n\nclass Shop:\n    def sell(self, what):\n"
BODY = "".join(f"        step_{n} = what.price({n}) + self.total({n}) * 1000\n" for n in range(12))


class Around:
    """A project that says where it was asked."""

    repo = "project"

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.text = "class Stock: ...\n"

    def path_of(self, uri: str) -> str:
        return uri.rpartition("project/")[2]

    def gather(
        self,
        *,
        uri: str,
        language: Language | None,
        text: str,
        tree: SyntaxTree | None,
        cursor: int,
    ) -> tuple[ContextChunk, ...]:
        assert language is not None
        assert tree is not None
        assert tree.text == text
        self.asked.append(cursor)
        return (ContextChunk(path="src/stock.py", text=self.text),)


def split_at(scenes: Scenes, anchors: Anchors, text: str, cursor: int) -> Split:
    query = scenes.seen(Query(uri=URI, text=text, cursor=cursor, language_id="python"))
    return anchors.split(URI, text, cursor, scenes.of(query))


def test_a_scene_has_the_project_and_the_units_around() -> None:
    scenes, around = Scenes(), Around()
    scenes.neighbourhood = around
    text = HEAD + BODY + "        "
    scene = split_at(scenes, Anchors(), text + "\n\ndef other():\n    pass\n", len(text)).scene
    assert [chunk.path for chunk in scene.context] == ["src/stock.py"]
    assert (scene.path, scene.repo, scene.comment) == ("src/shop.py", "project", "#")
    kept = [text[mark.start : mark.end] for mark in scene.landmarks]
    assert any("def sell" in lines for lines in kept)
    assert any("import json" in lines for lines in kept)
    assert scene.breaks


def test_typing_along_asks_for_nothing_new_and_another_place_does() -> None:
    scenes, around, anchors = Scenes(), Around(), Anchors()
    scenes.neighbourhood = around
    text = HEAD + BODY + "        "
    first = split_at(scenes, anchors, text, len(text))
    for key in ("r", "e", "t", "\n        ", "x"):
        text += key
        assert split_at(scenes, anchors, text, len(text)).scene is first.scene
    assert len(around.asked) == 1
    split_at(scenes, anchors, text, len(HEAD))
    assert around.asked[1:] == [len(HEAD)]


def test_the_scene_that_was_prepared_is_the_one_that_is_used() -> None:
    scenes, around, anchors = Scenes(), Around(), Anchors()
    scenes.neighbourhood = around
    text = HEAD + BODY + "        "
    query = scenes.seen(Query(uri=URI, text=text, cursor=len(text), language_id="python"))
    prepared = anchors.look(URI, text, len(text), scenes.of(query))
    assert split_at(scenes, anchors, text + "a", len(text) + 1).scene is prepared.scene
    assert len(around.asked) == 1


def test_who_comes_back_from_another_document_is_shown_what_is_so_by_now() -> None:
    scenes, around, anchors = Scenes(), Around(), Anchors()
    scenes.neighbourhood = around
    text = HEAD + BODY + "        "
    first = split_at(scenes, anchors, text, len(text))
    anchors.split("file:///project/src/stock.py", "class Stock: ...\n", 0)
    assert split_at(scenes, anchors, text + "a", len(text) + 1).scene is first.scene
    anchors.split("file:///project/src/stock.py", "class Stock: ...\n", 0)
    around.text = "class Stock:\n    def count(self): ...\n"
    again = split_at(scenes, anchors, text + "ab", len(text) + 2)
    assert [chunk.text for chunk in again.scene.context] == [around.text]
    assert (again.start, again.prefix) == (first.start, first.prefix)
    assert split_at(scenes, anchors, text + "abc", len(text) + 3).scene is again.scene
    assert len(around.asked) == 3


def test_without_a_project_the_file_alone_is_shown() -> None:
    text = HEAD + "        "
    scene = split_at(Scenes(), Anchors(), text, len(text)).scene
    assert (scene.context, scene.path, scene.repo) == ((), "", "")


def test_a_text_of_no_known_language_has_a_scene_too() -> None:
    scenes, text = Scenes(), "once upon a time\n"
    query = scenes.seen(Query(uri="untitled:a", text=text, cursor=len(text)))
    assert query.tree is None
    scene = Anchors().split("untitled:a", text, len(text), scenes.of(query)).scene
    assert (scene.landmarks, scene.breaks, scene.comment) == ((), (), "")
