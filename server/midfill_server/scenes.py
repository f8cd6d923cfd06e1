"""What a prompt shows beside the text around the cursor, found when its split is made.

It lasts as long as somebody types there: a key must not change what stands before it in the prompt.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Protocol

from midfill_engine.types import ContextChunk
from midfill_server.anchors import Scene, SceneOf, Split
from midfill_server.landmarks import breaks, landmarks
from midfill_server.pipeline import Query
from midfill_server.syntax import Language, SyntaxTree, Trees, language_of

__all__ = ["Neighbourhood", "Scenes"]


class Neighbourhood(Protocol):
    """What is known of the project around a document."""

    @property
    def repo(self) -> str:
        """The name of the project, ``""`` where there is none."""
        ...

    def path_of(self, uri: str) -> str:
        """Return the document's path within the project, with ``/``."""
        ...

    def gather(
        self,
        *,
        uri: str,
        language: Language | None,
        text: str,
        tree: SyntaxTree | None,
        cursor: int,
    ) -> tuple[ContextChunk, ...]:
        """Return pieces of other places that may help at the cursor, the most useful first."""
        ...


class Scenes:
    """Keeps the trees of the documents of a session; belongs to the event loop's thread.

    ``neighbourhood`` is ``None`` where only the file itself is shown.
    """

    def __init__(self) -> None:
        self.neighbourhood: Neighbourhood | None = None
        self._trees = Trees()

    def seen(self, query: Query) -> Query:
        """Return ``query`` with the tree of its text."""
        tree = self._trees.tree(query.uri, query.language_id, query.text)
        return replace(query, tree=tree)

    def forget(self, uri: str) -> None:
        """Forget a document that was closed."""
        self._trees.forget(uri)

    def of(self, query: Query) -> SceneOf:
        """Return what finds the scene for a split of ``query``, which has been seen."""
        return partial(self._scene, query)

    def _scene(self, query: Query, split: Split) -> Scene:
        language = language_of(query.language_id, query.uri)
        begins = split.start - len(split.prefix)
        scene = Scene(
            landmarks=landmarks(query.tree, begins, split.start),
            breaks=breaks(query.tree, query.cursor, len(split.suffix)),
            comment=language.line_comment if language else "",
        )
        around = self.neighbourhood
        if around is None:
            return scene
        context = around.gather(
            uri=query.uri, language=language, text=query.text, tree=query.tree, cursor=query.cursor
        )
        return replace(scene, context=context, path=around.path_of(query.uri), repo=around.repo)
