"""What a client tells of the items that it was given: shown, accepted in part, accepted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from lsprotocol import types

from midfill_server.document import Snapshot
from midfill_server.offers import Place
from midfill_server.pipeline import Completion

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = [
    "ACCEPTED_COMMAND",
    "PARTLY_ACCEPTED_METHOD",
    "SHOWN_METHOD",
    "did_accept",
    "did_partially_accept",
    "did_show",
    "offered",
]

ACCEPTED_COMMAND = "midfill.didAccept"
"""``workspace/executeCommand`` with the item's id: clients run it when an item was inserted."""

SHOWN_METHOD = "textDocument/didShowCompletion"
"""Notification ``{item}``: the item is on the screen. Several editors' plugins know it."""

PARTLY_ACCEPTED_METHOD = "textDocument/didPartiallyAcceptCompletion"
"""Notification ``{item, acceptedLength}``: so much of the item's ``insertText`` has been accepted
so far, in UTF-16 units."""


def offered(
    ls: MidfillServer,
    snapshot: Snapshot,
    start: int,
    texts: Sequence[str],
    *,
    completion: Completion | None,
    invoked: bool,
    at_s: float,
) -> list[types.Command]:
    """Note the ``texts`` that are offered from offset ``start`` on; returns what accepts each.

    No texts say that nothing is offered in the document any more. ``completion`` is what the first
    text came from, ``at_s`` when the request came. The commands' arguments are the items' ids.
    """
    place = Place(
        uri=snapshot.uri,
        text=snapshot.text,
        start=start,
        language_id=snapshot.language_id,
        invoked=invoked,
        at_s=at_s,
    )
    ids = ls.offers.make(
        place,
        texts,
        model_id=completion.model_id if completion else "",
        sureness=completion.sureness if completion else None,
    )
    return [
        types.Command(title="Accepted", command=ACCEPTED_COMMAND, arguments=[each]) for each in ids
    ]


def did_accept(ls: MidfillServer, arguments: Sequence[object]) -> None:
    """Note that an item was inserted. What cannot be read is ignored."""
    if arguments and isinstance(arguments[0], str):
        ls.offers.accept(arguments[0])


def did_show(ls: MidfillServer, params: object) -> None:
    """Note that an item is shown. What cannot be read is ignored."""
    offer_id = _id_of(getattr(params, "item", None))
    if offer_id is not None:
        ls.offers.show(offer_id)


def did_partially_accept(ls: MidfillServer, params: object) -> None:
    """Note that the beginning of an item was inserted. What cannot be read is ignored."""
    item, length = getattr(params, "item", None), getattr(params, "acceptedLength", None)
    offer_id, text = _id_of(item), getattr(item, "insertText", None)
    if offer_id is not None and isinstance(text, str) and isinstance(length, int):
        ls.offers.accept_part(offer_id, text, _characters(text, length))


def _id_of(item: object) -> str | None:
    """Return what ``did_accept`` would be given for an item that a client sends back."""
    command = getattr(item, "command", None)
    arguments = getattr(command, "arguments", None)
    if not isinstance(arguments, list) or not arguments:
        return None
    first = cast("list[object]", arguments)[0]
    return first if isinstance(first, str) else None


def _characters(text: str, units: int) -> int:
    """Return how many characters the first ``units`` UTF-16 units of ``text`` are, rounded down."""
    for index, character in enumerate(text):
        units -= 2 if character > "\uffff" else 1
        if units < 0:
            return index
    return len(text)
