"""Other places shown before a file, in the family's own way or as comments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midfill_engine.prompt.formats import PATH, ResolvedFim
from midfill_engine.prompt.window import head_window
from midfill_engine.tokenizer import Tokenizer
from midfill_engine.types import CompletionRequest, ContextChunk

__all__ = ["Context", "pack_context"]

_MIN_CUT_CHUNK_TOKENS = 64
_HEADER_CHARS = 256
_DEFAULT_COMMENT = "#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The ids of the chunks that fit, with all markers and headers.

    ``outside`` stand before the file's own text and its marker, ``inside`` right before the prefix.
    ``body_tokens`` are the ids of the chunks' own text.
    """

    outside: tuple[int, ...] = ()
    inside: tuple[int, ...] = ()
    body_tokens: int = 0
    dropped_chunks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """What stands around the chunks: ``head`` before all, ``mark`` and ``header`` before each.

    The current file's own header is ``outer``, outside of the prefix marker, or ``inner``.
    ``inside``: the chunks stand inside as well. Where ``comment`` is not empty they are comments.
    """

    head: tuple[int, ...] = ()
    mark: tuple[int, ...] = ()
    header: str
    outer: tuple[int, ...] = ()
    inner: tuple[int, ...] = ()
    inside: bool
    comment: str = ""


def pack_context(
    request: CompletionRequest, fim: ResolvedFim | None, room_tokens: int, tokenizer: Tokenizer
) -> Context:
    """Take chunks in their ranking while they fit; the last may be cut to its first lines.

    ``fim=None``: the model knows no markers.
    """
    chunks = request.context
    frame = _frame(request, fim, tokenizer) if chunks else None
    if frame is None:
        return Context(dropped_chunks=len(chunks))
    room_tokens -= len(frame.head) + len(frame.outer) + len(frame.inner)
    taken: list[tuple[ContextChunk, tuple[int, ...], Sequence[int]]] = []
    for chunk in chunks:
        title = (*frame.mark, *_header(frame.header, chunk.path, tokenizer))
        room = room_tokens - len(title)
        body = head_window(_body(chunk.text, frame.comment), room, tokenizer=tokenizer)
        if (
            not chunk.text.strip()
            or room <= 0
            or (body.dropped_chars and room < _MIN_CUT_CHUNK_TOKENS)
        ):
            continue
        room_tokens = room - len(body.tokens)
        taken.append((chunk, title, body.tokens))
    if not taken:
        return Context(dropped_chunks=len(chunks))
    # Ranks change from one key to the next, paths do not; and before what changes often stands
    # what seldom does. This order keeps the cache alive.
    taken.sort(key=lambda item: (item[0].volatile, item[0].path, item[0].text))
    files = [token_id for _, title, body in taken for token_id in (*title, *body)]
    return Context(
        outside=(*frame.head, *(() if frame.inside else files), *frame.outer),
        inside=(*(files if frame.inside else ()), *frame.inner),
        body_tokens=sum(len(body) for _, _, body in taken),
        dropped_chunks=len(chunks) - len(taken),
    )


def _frame(
    request: CompletionRequest, fim: ResolvedFim | None, tokenizer: Tokenizer
) -> _Frame | None:
    """Return how the chunks are written; ``None`` where the vocabulary cannot say it."""
    style = None if fim is None else fim.format.repo
    if fim is None or style is None:
        comment = request.comment or _DEFAULT_COMMENT
        header = f"{comment} {PATH}\n"
        inner = _header(header, request.path, tokenizer) if request.path else ()
        return _Frame(header=header, inner=inner, inside=True, comment=comment)
    if style.file is not None and fim.file is None:
        return None
    mark = () if fim.file is None else (fim.file,)
    header = _header(style.header, request.path, tokenizer) if request.path else ()
    head: tuple[int, ...] = ()
    if fim.repo is not None and request.repo:
        head = (fim.repo, *_header(f"{PATH}\n", request.repo, tokenizer))
    # Its own marker tells the file from the last one before it, also where it has no name.
    outer = (*mark, *(() if style.header_inside else header))
    return _Frame(
        head=head,
        mark=mark,
        header=style.header,
        outer=() if style.inside else outer,
        inner=header if style.inside or style.header_inside else (),
        inside=style.inside,
    )


def _header(template: str, path: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    # A path is one line: a newline in it would start the file's text.
    line = " ".join(path.splitlines())[-_HEADER_CHARS:]
    return tuple(tokenizer.encode_fragment(template.replace(PATH, line)))


def _body(text: str, comment: str) -> str:
    """Return whole lines; as comments if there is something that begins one."""
    if comment:
        text = "\n".join(f"{comment} {line}".rstrip() for line in text.splitlines())
    return text if text.endswith("\n") else text + "\n"
