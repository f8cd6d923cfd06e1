"""llama.vim as a peer: when it asks, what it asks for, and what its cache of answers gives.

Written from how the plugin behaves, with its own defaults: the key of an answer is all that the
request held; an answer serves later positions too, as long as what was typed since is how it
begins, up to 128 characters on. The ring of extra context from other files is left out.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Around", "Entry", "LlamaVimCache", "around", "as_accepted", "rendered", "request_body"]

PREFIX_LINES, SUFFIX_LINES = 256, 64
MAX_LINE_SUFFIX = 8
MAX_KEYS = 250
WALK_CHARACTERS = 128
FIRST_PREDICT_MS, LATER_PREDICT_MS = 250, 1000
RETRY_S = 0.1
_TRIMMED_KEYS = 3
_TIMINGS = ("timings/prompt_n", "timings/predicted_n")

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the plugin sees at a cursor; ``indent`` counts the white space that begins the line.

    ``line_before`` and ``line_after`` are the parts of the cursor's line as they are; in a line of
    nothing but white space the request has neither.
    """

    prefix: str
    middle: str
    suffix: str
    indent: int
    line_before: str
    line_after: str
    following: tuple[str, ...]

    @property
    def is_asked(self) -> bool:
        """Whether the plugin asks here by itself: not with much text behind the cursor."""
        return len(self.line_after) <= MAX_LINE_SUFFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An answer of the peer's server: the text as it came."""

    content: str


def around(text: str, offset: int) -> Around:
    """Cut the plugin's window out of a text."""
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    line_before, line_after = text[start:offset], text[offset:end]
    above = text[:start].split("\n")[:-1][-PREFIX_LINES:]
    below = tuple(text[end + 1 :].split("\n", SUFFIX_LINES)[:SUFFIX_LINES])
    blank = not (line_before + line_after).strip()
    line = line_before + line_after
    return Around(
        prefix="\n".join(above) + "\n",
        middle="" if blank else line_before,
        suffix=("" if blank else line_after) + "\n" + "\n".join(below) + "\n",
        indent=0 if blank else len(line) - len(line.lstrip()),
        line_before=line_before,
        line_after=line_after,
        following=below,
    )


def as_accepted(place: Around, shown: str) -> Around:
    """Return what the plugin would see if the text on the screen were accepted."""
    first, *rest = (place.line_before + shown).split("\n")
    lines = place.prefix.removesuffix("\n").split("\n")
    if rest:
        lines = [*lines, first, *rest[:-1]][-PREFIX_LINES:]
    line = rest[-1] if rest else first
    return Around(
        prefix="\n".join(lines) + "\n",
        middle=line,
        suffix="\n" + "\n".join(place.following) + "\n",
        indent=place.indent,
        line_before=line,
        line_after="",
        following=place.following,
    )


def rendered(content: str, place: Around) -> str:
    """Return what the plugin shows of an answer; ``""`` where it only repeats what stands there."""
    lines = content.rstrip("\n").split("\n")
    before = place.line_before
    if not (before + place.line_after).strip():
        # The line is asked for from its first column on: the answer brings its own indent.
        white = re.match(r"\s*", lines[0])
        cut = min(len(white[0]) if white else 0, len(before))
        before, lines[0] = lines[0][:cut], lines[0][cut:]
    if _repeats(lines, before, place) or not "".join(lines).strip():
        return ""
    return "\n".join(lines)


def request_body(place: Around, predict_ms: int) -> dict[str, object]:
    """Return the body of the request for a completion."""
    return {
        "id_slot": 0,
        "input_prefix": place.prefix,
        "input_suffix": place.suffix,
        "input_extra": [],
        "prompt": place.middle,
        "n_predict": 128,
        "stop": [],
        "n_indent": place.indent,
        "top_k": 40,
        "top_p": 0.9,
        "samplers": ["top_k", "top_p", "infill"],
        "stream": False,
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": predict_ms,
        "response_fields": ["content", "tokens_evaluated", *_TIMINGS],
    }


class LlamaVimCache:
    """The plugin's answers, the least recently used of which goes first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[_Key, Entry] = OrderedDict()

    def put(self, place: Around, entry: Entry) -> None:
        """Keep an answer, also for when the window has moved down by up to three lines."""
        prefix = place.prefix
        for _ in range(1 + _TRIMMED_KEYS):
            self._put((prefix + place.middle, place.suffix), entry)
            prefix = prefix.partition("\n")[2]
            if not prefix:
                break

    def get(self, place: Around) -> str | None:
        """Return the answer for exactly this place, or what is left of the best earlier one."""
        whole = place.prefix + place.middle
        entry = self._get((whole, place.suffix))
        if entry is not None:
            return entry.content
        best: str | None = None
        for count in range(1, min(WALK_CHARACTERS, len(whole)) + 1):
            entry = self._get((whole[:-count], place.suffix))
            if entry is None or not entry.content.startswith(whole[-count:]):
                continue
            rest = entry.content[count:]
            if len(rest) > len(best or ""):
                best = rest
        return best

    def has(self, place: Around) -> bool:
        """Whether there is an answer for exactly this place."""
        return (place.prefix + place.middle, place.suffix) in self._entries

    def _put(self, key: _Key, entry: Entry) -> None:
        if len(self._entries) >= MAX_KEYS:
            self._entries.popitem(last=False)
        self._entries[key] = entry
        self._entries.move_to_end(key)

    def _get(self, key: _Key) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry


def _repeats(lines: Sequence[str], before: str, place: Around) -> bool:
    """Whether the answer is only what stands behind the cursor or in the next lines."""
    following = place.following
    first, rest = lines[0], tuple(lines[1:])
    if not rest and first == place.line_after:
        return True
    if rest and not first and rest == following[: len(rest)]:
        return True
    at = next((index for index, line in enumerate(following) if line.strip()), None)
    if at is None or before + first != following[at]:
        return False
    next_lines = following[at + 1 : at + 1 + len(rest)]
    if len(rest) == 1:
        return bool(next_lines) and next_lines[0].startswith(rest[0])
    return rest == next_lines
