"""What stays and what goes when somebody types on: what a model was shown is not changed lightly.

A change in front of the text costs the computed prompt, so what was given last is preferred unless
something that the cursor's line needs is missing, or something else is clearly better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midfill_server.context.outlines import Key, Thing, outline, still_true
from midfill_server.context.passages import Passage
from midfill_server.context.scope import Scope
from midfill_server.context.similar import Scored
from midfill_server.syntax import Language

__all__ = ["apart", "chosen_outlines", "chosen_passages"]

# A thing that the cursor's line uses is worth more of the room than another.
_MAX_OUTLINE_CHARS, _MAX_URGENT_CHARS = 600, 1000
# What is shown stays until something else is so many times as alike.
_CLEARLY = 1.4


def chosen_outlines(
    found: Sequence[Thing],
    scope: Scope,
    language: Language,
    given: Mapping[Key, str],
    room: int,
) -> dict[Key, str]:
    """Return the outlines of things, the most useful first, of ``room`` characters at most.

    ``found`` are the things that may be shown, the nearest first; ``given`` is what this returned
    last for the document: it stays, but for what was changed since.
    """
    known = {thing.key: thing for thing in found}
    # One thing must not take the room of all the others.
    urgent_chars = min(_MAX_URGENT_CHARS, room * 2 // 3)
    outline_chars = min(_MAX_OUTLINE_CHARS, room // 2)
    urgent = [key for key, thing in known.items() if _is_urgent(thing, scope)]
    old = {
        key: text
        for key, text in given.items()
        if key in known
        and still_true(known[key], text, language.id)
        and not (key in urgent and _lacks(known[key], text, scope))
    }
    order = dict.fromkeys((*urgent, *old, *known))
    taken: dict[Key, str] = {}
    for key in order:
        most = urgent_chars if key in urgent else outline_chars
        text = old.get(key) or outline(
            known[key],
            language.id,
            used=scope.names,
            max_characters=min(most, room),
            marker=language.line_comment,
        )
        if len(text) + 1 <= room:
            room -= len(text) + 1
            taken[key] = text
    if taken.keys() <= given.keys() and all(given[key] == text for key, text in taken.items()):
        # In the order of last time; what is not used any more may be used again.
        left = room
        kept: dict[Key, str] = {}
        for key, text in given.items():
            if key in taken:
                kept[key] = text
            elif len(text) + 1 <= left:
                left -= len(text) + 1
                kept[key] = text
        return kept
    return taken


def _is_urgent(thing: Thing, scope: Scope) -> bool:
    return thing.head.name in scope.urgent


def _lacks(thing: Thing, text: str, scope: Scope) -> bool:
    """Return whether an outline lacks a member that the cursor's line uses."""
    return any(
        member.name in scope.urgent and member.text.rstrip(" :{;") not in text
        for member in thing.members
    )


def chosen_passages(
    given: Sequence[Passage], best: Sequence[Scored], ranked: Sequence[Scored], room: int
) -> tuple[Passage, ...]:
    """Return the passages to show, of ``room`` characters at most: ``best``, or those as last time.

    ``ranked`` are all that there are now, with what was given last among them if it still is.
    """
    scores = {one.passage: one.score for one in ranked}
    old = [scores.get(passage, 0.0) for passage in given]
    if old and best:
        stays = best[0].score <= max(old) * _CLEARLY and best[-1].score <= min(old) * _CLEARLY
        best = () if stays else best
    elif old and min(old) > 0:
        # Nothing else is alike either: to take it away would cost as much as to exchange it.
        best = ()
    taken: list[Passage] = []
    for passage in [one.passage for one in best] or given:
        if len(passage.text) <= room:
            room -= len(passage.text)
            taken.append(passage)
    return tuple(taken)


def apart(ranked: Sequence[Scored]) -> list[Scored]:
    """Return the passages without those that have lines in common with a better one."""
    taken: dict[str, list[range]] = {}
    found: list[Scored] = []
    for one in ranked:
        line = one.passage.line
        lines = range(line, line + one.passage.text.count("\n"))
        others = taken.setdefault(one.passage.path, [])
        if not any(lines.start < other.stop and other.start < lines.stop for other in others):
            others.append(lines)
            found.append(one)
    return found
