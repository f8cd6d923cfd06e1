"""Where nothing is suggested, whatever a model may say there, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from midfill_server.exclusion.ignore import midfillignore_names
from midfill_server.exclusion.secrets import holds_private_key, keeps_secrets
from midfill_server.settings import CompletionSettings

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["closes_only", "refusal"]

# Nobody writes such a text by hand: it was made by a program, and is read by one.
_MAX_CHARACTERS = 2_000_000
_MAX_LINE_CHARACTERS = 5_000
_MAX_MEAN_LINE_CHARACTERS = 1_000
# A short file may be one long line for good reasons: a paragraph, or some lines of data.
_MINIFIED_FROM_CHARACTERS = 20_000

# What closes, ends or opens a block may follow the cursor: "foo(|);", "if (|) {", "<b>|</b>".
_CLOSING = re.compile(
    r"""(?: [\s)\]}>'"`;,:\\] | \*[/)] | --> | -\} | [%?/]> | </[\w.:-]*> | \#\} )*
        (?: =>\s* )? \{?""",
    re.VERBOSE,
)
_REST_OF_LINE = re.compile(r"[^\r\n]*")


def refusal(
    *,
    path: str,
    language_id: str,
    text: str,
    cursor: int,
    settings: CompletionSettings,
    roots: Sequence[str] = (),
    invoked: bool = False,
) -> str | None:
    """Return why nothing is suggested at the offset ``cursor`` of ``text``; ``None``: go ahead.

    ``path`` is the document's, ``""`` if it has none; ``roots`` are the folders of the project.
    ``invoked``: somebody asked by hand, and only what was forbidden is refused. The reason is for
    people, and holds no code. Never raises.
    """
    # No system knows such a path, and some functions raise for it.
    path = "" if "\0" in path else path
    name = path.replace("\\", "/").rpartition("/")[2]
    if keeps_secrets(path) or (language_id == "dotenv" and not name):
        return f"{name or 'a file of variables'} is a file for secrets"
    if holds_private_key(text):
        return "this is a private key"
    if language_id.casefold() in (each.casefold() for each in settings.disabled_languages):
        return f"{language_id} is in completion.disabled_languages"
    if path and _is_disabled(path, roots, settings.disabled_files):
        return f"{name} is in completion.disabled_files"
    if path and midfillignore_names(path, roots):
        return f"{name} is named in a .midfillignore"
    if invoked:
        return None
    return _made_by_program(text, cursor) or _amid_text(text, cursor, settings)


def closes_only(rest: str) -> bool:
    """Tell whether ``rest`` of a line only closes, ends or opens what begins before it."""
    # Long rests are no closers; not to look at them bounds the time.
    return len(rest) <= _MAX_LINE_CHARACTERS and _CLOSING.fullmatch(rest.strip()) is not None


def _made_by_program(text: str, cursor: int) -> str | None:
    size = len(text)
    if size > _MAX_CHARACTERS:
        return f"the file has more than {_MAX_CHARACTERS:,} characters"
    # Most files end their lines with "\n", with or without "\r"; few with "\r" alone.
    lines = 1 + (text.count("\n") or text.count("\r"))
    if size > _MINIFIED_FROM_CHARACTERS and size > lines * _MAX_MEAN_LINE_CHARACTERS:
        return "the file's lines are very long, as a program writes them"
    before = text[max(cursor - _MAX_LINE_CHARACTERS, 0) : cursor]
    if len(re.split(r"[\r\n]", before)[-1] + _rest(text, cursor)) >= _MAX_LINE_CHARACTERS:
        return "the line is very long, as a program writes it"
    return None


def _amid_text(text: str, cursor: int, settings: CompletionSettings) -> str | None:
    rest = _rest(text, cursor)
    # Code points such as "é" written as two are parts of words too.
    if re.match(r"[\w\u0300-\u036f]", rest):
        return "the cursor stands before the rest of a word"
    if not settings.mid_line and not closes_only(rest):
        return "text that closes nothing follows the cursor on its line"
    return None


def _rest(text: str, cursor: int) -> str:
    """Return what follows the cursor on its line, as much of it as is looked at."""
    # One character more than that, so that a rest that is too long can be told.
    found = _REST_OF_LINE.match(text, cursor, cursor + _MAX_LINE_CHARACTERS + 1)
    return found.group() if found else ""


def _is_disabled(path: str, roots: Sequence[str], patterns: tuple[str, ...]) -> bool:
    if not patterns:
        return False
    spec = _compiled(patterns)
    path = path.replace("\\", "/")
    inside = (_below(root.replace("\\", "/"), path) for root in roots)
    relative = next((each for each in inside if each), path.lstrip("/"))
    return spec.match_file(relative)


def _below(root: str, path: str) -> str:
    """Return ``path`` as seen from the folder ``root``, ``""`` if it is not in there."""
    root = root.rstrip("/") + "/"
    return path[len(root) :] if path.startswith(root) else ""


@lru_cache(maxsize=8)
def _compiled(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    usable: list[str] = []
    for pattern in patterns:
        try:
            GitIgnoreSpec.from_lines([pattern])
        except ValueError:
            # One that means nothing, as "!", must not keep the others from counting.
            continue
        usable.append(pattern)
    return GitIgnoreSpec.from_lines(usable)
