"""``textDocument/completion``: the suggestion as an entry of the completion menu.

For editors that cannot show it within the text, or where the settings ask for it. The text is
what ``textDocument/inlineCompletion`` would answer, by the same way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lsprotocol import types

from midfill_server.convert import to_offset, to_range
from midfill_server.document import Snapshot
from midfill_server.handlers import inline_completion, menu_registration

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["OPTIONS", "completion"]

# Menus open by themselves within words; after these, too, something is about to be written. Not
# after a space: who ends a line there would accept an entry with the same key.
OPTIONS = types.CompletionOptions(trigger_characters=[".", "(", "[", "{", ",", ":", "="])
"""How the method is advertised."""

_ASKER = "menu"
_MAX_LABEL_CHARACTERS = 60
# After what others offer: it sorts behind letters.
_LAST = "~midfill"
_WORD_BEFORE = re.compile(r"\w*\Z")


async def completion(
    ls: MidfillServer, params: types.CompletionParams
) -> types.CompletionList | None:
    """Answer with one entry, or with none. It changes with each key, so the list is never complete.

    Whether somebody asked by hand is not told: clients name typing an invocation too. So it is
    taken for typing.
    """
    snapshot = ls.arrived
    if snapshot is None or not menu_registration.is_wanted(ls):
        return None
    context = types.InlineCompletionContext(
        trigger_kind=types.InlineCompletionTriggerKind.Automatic
    )
    answer = await inline_completion.inline_completion(
        ls,
        types.InlineCompletionParams(
            text_document=params.text_document,
            position=params.position,
            context=context,
            work_done_token=params.work_done_token,
        ),
        asker=_ASKER,
    )
    if answer is None:
        return None
    cursor = to_offset(snapshot, params.position, ls.encoding)
    items = [_entry(ls, snapshot, cursor, item) for item in answer.items[:1]]
    return types.CompletionList(is_incomplete=True, items=items)


def _entry(
    ls: MidfillServer, snapshot: Snapshot, cursor: int, item: types.InlineCompletionItem
) -> types.CompletionItem:
    """Make an entry that replaces the word before the cursor by itself and what follows.

    Clients filter by the text from the beginning of the range on, and without that by the word.
    """
    text = str(item.insert_text)
    line_start = snapshot.text.rfind("\n", 0, cursor) + 1
    found = _WORD_BEFORE.search(snapshot.text, line_start, cursor)
    start = found.start() if found else cursor
    whole = snapshot.text[start:cursor] + text
    entry = types.CompletionItem(
        label=_label(whole),
        kind=types.CompletionItemKind.Text,
        detail="midfill",
        documentation=_documentation(ls, snapshot.language_id, whole),
        sort_text=_LAST,
        filter_text=_first_line(whole).lstrip() or whole,
        text_edit=types.TextEdit(
            range=to_range(snapshot, start, cursor, ls.encoding), new_text=whole
        ),
        command=item.command,
    )
    if _takes_texts_as_they_are(ls):
        # It is indented already; several clients would indent all but its first line again.
        entry.insert_text_mode = types.InsertTextMode.AsIs
    return entry


def _first_line(text: str) -> str:
    return re.split(r"\r?\n", text, maxsplit=1)[0]


def _label(text: str) -> str:
    """Return its first line that is not blank, shortened, with a sign where more follows."""
    first, _, more = text.strip().partition("\n")
    first = first.rstrip()
    if len(first) > _MAX_LABEL_CHARACTERS:
        return first[: _MAX_LABEL_CHARACTERS - 1] + "…"
    return f"{first} …" if more else first


def _documentation(ls: MidfillServer, language_id: str, text: str) -> types.MarkupContent | str:
    text_document = ls.client_capabilities.text_document
    menu = text_document.completion if text_document else None
    formats = menu.completion_item.documentation_format if menu and menu.completion_item else None
    if types.MarkupKind.Markdown not in (formats or ()):
        return text
    # A fence has to be longer than any within.
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return types.MarkupContent(
        kind=types.MarkupKind.Markdown, value=f"{fence}{language_id}\n{text}\n{fence}"
    )


def _takes_texts_as_they_are(ls: MidfillServer) -> bool:
    text_document = ls.client_capabilities.text_document
    menu = text_document.completion if text_document else None
    item = menu.completion_item if menu else None
    modes = item.insert_text_mode_support if item else None
    return modes is not None and types.InsertTextMode.AsIs in modes.value_set
