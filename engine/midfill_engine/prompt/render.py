"""Assembles one prompt: context, prefix and suffix within the budget, in the family's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from midfill_engine.errors import RequestError
from midfill_engine.prompt.formats import FimOrder, ResolvedFim
from midfill_engine.prompt.window import Window, head_window, tail_window
from midfill_engine.tokenizer import Tokenizer
from midfill_engine.types import CompletionRequest, ContextChunk

__all__ = ["MAX_TYPED_TOKENS", "Dropped", "Prompt", "render"]

MAX_TYPED_TOKENS = 2048
"""However long a prompt is, this much of what was typed comes on top of it at most."""

_MIN_TEXT_TOKENS = 8
_MIN_CUT_CHUNK_TOKENS = 64
_HEADER_CHARS = 256
# Where prefix and typed text are one, this much of the prefix may be healed as well.
_HEALABLE_PREFIX_TOKENS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What the budget had no room for."""

    prefix_chars: int = 0
    suffix_chars: int = 0
    typed_chars: int = 0
    context_chunks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The ids to show the model; the counts leave out markers, headers and what was typed.

    The last ``healable_tokens`` are text right before the cursor: the word there may go on. They
    change as somebody types; those before them seldom do. ``opens_text``: the model has seen no
    text that its answer goes on, so SentencePiece writes the space there that begins a text.
    """

    tokens: tuple[int, ...]
    prefix_tokens: int
    suffix_tokens: int
    context_tokens: int
    healable_tokens: int
    opens_text: bool = False
    dropped: Dropped


def render(
    request: CompletionRequest,
    *,
    tokenizer: Tokenizer,
    fim: ResolvedFim | None,
    budget_tokens: int,
    file_path: str = "",
    repo_name: str = "",
) -> Prompt:
    """Pack ``request`` into at most ``budget_tokens`` (and ``request.max_prompt_tokens``) ids.

    Of ``typed`` the end comes on top, in half as many ids (``MAX_TYPED_TOKENS`` at most): typing
    never moves what else is shown. ``fim=None``: the model cannot fill in; prefix and ``typed``
    only. ``file_path`` and ``repo_name`` are shown only with context. The suffix gets a quarter of
    the room, context as much (a half, where the file is small), the prefix the rest, and what one
    leaves the others may take. Raises ``RequestError`` when the budget is absurdly small.
    """
    if request.max_prompt_tokens is not None:
        budget_tokens = min(budget_tokens, request.max_prompt_tokens)
    bos = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    room = budget_tokens - len(bos) - (0 if fim is None else 2 + (fim.middle is not None))
    if room < _MIN_TEXT_TOKENS:
        raise RequestError(f"A prompt of {budget_tokens} tokens has no room for any code.")
    typed = tail_window(request.typed, _typed_room(room), tokenizer=tokenizer, fragment=True)
    if typed.dropped_chars and (fim is None or fim.format.continues_prefix):
        # They are one text, and that has one end to cut.
        request = replace(request, prefix=request.prefix + request.typed, typed="")
        typed = Window(tokens=(), dropped_chars=0)
    if fim is None:
        return _prefix_only(request, typed, room, bos, tokenizer)
    frame = _frame(request.context, fim, file_path, repo_name, tokenizer)
    context, prefix, suffix = _share(request, frame, room, tokenizer)
    before, ending, healable = prefix.tokens, typed.tokens, len(typed.tokens)
    if joined := fim.format.continues_prefix:
        before = _joined(request, prefix, room, tokenizer, fragment=context.inside_prefix)
        ending, healable = (), min(len(before), healable + _HEALABLE_PREFIX_TOKENS)
    return Prompt(
        tokens=(*bos, *_assemble(fim, frame, context, before, suffix.tokens), *ending),
        prefix_tokens=len(prefix.tokens),
        suffix_tokens=len(suffix.tokens),
        context_tokens=sum(map(len, context.bodies)),
        healable_tokens=healable,
        opens_text=joined and not (before or context.inside_prefix),
        dropped=Dropped(
            prefix_chars=prefix.dropped_chars,
            suffix_chars=suffix.dropped_chars,
            typed_chars=typed.dropped_chars,
            context_chunks=context.dropped_chunks,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """What stands around the context: ``head`` before it, ``outer`` after it and outside of the
    prefix marker, ``inner`` inside. ``possible`` is false where there can be no context."""

    possible: bool
    inside: bool = False
    head: tuple[int, ...] = ()
    file: tuple[int, ...] = ()
    header: str = ""
    outer: tuple[int, ...] = ()
    inner: tuple[int, ...] = ()

    @property
    def before_prefix(self) -> bool:
        """Whether text stands between the prefix and its marker."""
        return self.possible and (self.inside or bool(self.inner))

    @property
    def cost(self) -> int:
        return len(self.head) + len(self.outer) + len(self.inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """The chunks that fit, each with its marker and header in ``parts``; ``cost`` has it all.

    ``inside_prefix``: text of it stands between the prefix and its marker.
    """

    parts: tuple[tuple[int, ...], ...] = ()
    bodies: tuple[Sequence[int], ...] = ()
    cost: int = 0
    inside_prefix: bool = False
    dropped_chunks: int = 0


def _typed_room(room: int) -> int:
    """Return how many tokens of what was typed are shown beside ``room`` tokens of other text."""
    return min(room // 2, MAX_TYPED_TOKENS)


def _prefix_only(
    request: CompletionRequest,
    typed: Window,
    room: int,
    bos: tuple[int, ...],
    tokenizer: Tokenizer,
) -> Prompt:
    prefix = tail_window(request.prefix, room, tokenizer=tokenizer)
    text = _joined(request, prefix, room, tokenizer)
    tokens = (*bos, *text)
    if not tokens and tokenizer.eos_id is not None:
        # There is nothing to continue, and a model cannot run on nothing: a document starts.
        tokens = (tokenizer.eos_id,)
    return Prompt(
        tokens=tokens,
        prefix_tokens=len(prefix.tokens),
        suffix_tokens=0,
        context_tokens=0,
        healable_tokens=min(len(text), len(typed.tokens) + _HEALABLE_PREFIX_TOKENS),
        opens_text=not text,
        dropped=Dropped(
            prefix_chars=prefix.dropped_chars,
            suffix_chars=len(request.suffix),
            context_chunks=len(request.context),
        ),
    )


def _joined(
    request: CompletionRequest,
    prefix: Window,
    room: int,
    tokenizer: Tokenizer,
    *,
    fragment: bool = False,
) -> Sequence[int]:
    """Encode the part of the prefix that is shown and what was typed after it as one text.

    ``fragment``: other text precedes it.
    """
    if not request.typed:
        return prefix.tokens
    encode = tokenizer.encode_fragment if fragment else tokenizer.encode
    ids = encode(request.prefix[prefix.dropped_chars :] + request.typed)
    # Joining seldom makes more tokens, but it can, and the room is a promise.
    return ids[-(len(prefix.tokens) + _typed_room(room)) :]


def _share(
    request: CompletionRequest, frame: _Frame, room: int, tokenizer: Tokenizer
) -> tuple[_Context, Window, Window]:
    """Share ``room`` out between context, prefix and suffix."""
    context = _pack_context(request.context, frame, room // 2, tokenizer)
    reserved = min(context.cost, room // 4)
    prefix, suffix = _split(request, room - reserved, context, tokenizer)
    # The file grows with every key; what it leaves to the context shrinks in steps only.
    step = max(1, room // 16)
    left = (room - len(prefix.tokens) - len(suffix.tokens)) // step * step
    cap = min(room // 2, max(reserved, left))
    if context.cost > cap:
        context = _pack_context(request.context, frame, cap, tokenizer)
        if not context.parts:
            # Nothing precedes the prefix then, and what was kept free is the file's.
            prefix, suffix = _split(request, room, context, tokenizer)
    return context, prefix, suffix


def _split(
    request: CompletionRequest, room: int, context: _Context, tokenizer: Tokenizer
) -> tuple[Window, Window]:
    """Give the suffix a quarter of ``room``, the prefix the rest, either what the other leaves."""
    suffix = head_window(request.suffix, room // 4, tokenizer=tokenizer)
    prefix = tail_window(
        request.prefix,
        room - len(suffix.tokens),
        tokenizer=tokenizer,
        fragment=context.inside_prefix,
    )
    if suffix.dropped_chars and not prefix.dropped_chars:
        suffix = head_window(request.suffix, room - len(prefix.tokens), tokenizer=tokenizer)
    return prefix, suffix


def _frame(
    context: Sequence[ContextChunk],
    fim: ResolvedFim,
    file_path: str,
    repo_name: str,
    tokenizer: Tokenizer,
) -> _Frame:
    style = fim.format.repo
    if not context or (style.file is not None and fim.file is None):
        return _Frame(possible=False)
    file = () if fim.file is None else (fim.file,)
    header = _header(style.header, file_path, tokenizer) if file_path else ()
    head: tuple[int, ...] = ()
    if fim.repo is not None and repo_name:
        head = (fim.repo, *_header("{path}\n", repo_name, tokenizer))
    within = style.inside or style.header_inside
    return _Frame(
        possible=True,
        inside=style.inside,
        head=head,
        file=file,
        header=style.header,
        outer=file if within else (*file, *header),
        inner=header if within else (),
    )


def _header(template: str, path: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    # A path is one line: a newline in it would start the file's text.
    line = " ".join(path.split("\n"))[-_HEADER_CHARS:]
    return tuple(tokenizer.encode_fragment(template.format(path=line)))


def _pack_context(
    context: Sequence[ContextChunk], frame: _Frame, cap_tokens: int, tokenizer: Tokenizer
) -> _Context:
    """Take chunks in their ranking while they fit; the last may be cut to its first lines."""
    cost = frame.cost
    taken: list[tuple[ContextChunk, tuple[int, ...], Sequence[int]]] = []
    for chunk in context if frame.possible else ():
        title = (*frame.file, *_header(frame.header, chunk.path, tokenizer))
        room = cap_tokens - cost - len(title)
        text = chunk.text if chunk.text.endswith("\n") else chunk.text + "\n"
        body = head_window(text, room, tokenizer=tokenizer)
        if body.dropped_chars and room < _MIN_CUT_CHUNK_TOKENS:
            continue
        cost += len(title) + len(body.tokens)
        taken.append((chunk, title, body.tokens))
    if not taken:
        return _Context(dropped_chunks=len(context))
    # Ranks change from one key to the next, paths do not: their order keeps the cache alive.
    taken.sort(key=lambda item: (item[0].path, item[0].text))
    return _Context(
        parts=tuple((*title, *body) for _, title, body in taken),
        bodies=tuple(body for _, _, body in taken),
        cost=cost,
        inside_prefix=frame.before_prefix,
        dropped_chunks=len(context) - len(taken),
    )


def _assemble(
    fim: ResolvedFim,
    frame: _Frame,
    context: _Context,
    prefix: Sequence[int],
    suffix: Sequence[int],
) -> list[int]:
    """Put everything in the family's order."""
    files = [token_id for part in context.parts for token_id in part]
    before: list[int] = []
    inside: list[int] = []
    if files:
        before = [*frame.head, *([] if frame.inside else files), *frame.outer]
        inside = [*(files if frame.inside else []), *frame.inner]
    text = [*inside, *prefix]
    middle = () if fim.middle is None else (fim.middle,)
    match fim.format.order:
        case FimOrder.PREFIX_FIRST:
            return [*before, fim.prefix, *text, fim.suffix, *suffix, *middle]
        case FimOrder.SUFFIX_FIRST:
            return [*before, fim.suffix, *suffix, fim.prefix, *text, *middle]
        case FimOrder.PREFIX_LAST:
            return [*before, fim.prefix, fim.suffix, *suffix, *middle, *text]
