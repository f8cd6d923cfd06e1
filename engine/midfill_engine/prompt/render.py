"""Assembles one prompt: context, prefix and suffix within the budget, in the family's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from midfill_engine.errors import RequestError
from midfill_engine.prompt.context import Context, pack_context
from midfill_engine.prompt.excerpt import Excerpt, Preceding, excerpt
from midfill_engine.prompt.formats import FimOrder, ResolvedFim
from midfill_engine.prompt.window import Window, tail_window
from midfill_engine.tokenizer import Tokenizer
from midfill_engine.types import CompletionRequest

__all__ = ["MAX_TYPED_TOKENS", "Dropped", "Prompt", "render"]

MAX_TYPED_TOKENS = 2048
"""However long a prompt is, this much of what was typed comes on top of it at most."""

_MIN_TEXT_TOKENS = 8
# What lies before the cursor says more about what comes next.
_SUFFIX_SHARE = 4
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
    context_tokens: int | None = None,
) -> Prompt:
    """Pack ``request`` into at most ``budget_tokens`` (and ``request.max_prompt_tokens``) ids.

    That is for prefix and suffix. Context comes on top, in at most ``context_tokens`` ids
    (``None``: half as many). So does the end of ``typed``, in half as many (``MAX_TYPED_TOKENS`` at
    most): typing never moves what else is shown. ``fim=None``: the model cannot fill in, and is
    shown no suffix and no marker. Raises ``RequestError`` when the budget is absurdly small.
    """
    if request.max_prompt_tokens is not None:
        budget_tokens = min(budget_tokens, request.max_prompt_tokens)
    bos = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    room = budget_tokens - len(bos) - (0 if fim is None else 2 + (fim.middle is not None))
    if room < _MIN_TEXT_TOKENS:
        raise RequestError(f"A prompt of {budget_tokens} tokens has no room for any code.")
    joins = fim is None or fim.format.continues_prefix
    typed = tail_window(request.typed, _typed_room(room), tokenizer=tokenizer, fragment=True)
    if typed.dropped_chars and joins:
        # They are one text, and that has one end to cut.
        request = replace(request, prefix=request.prefix + request.typed, typed="")
        typed = Window(tokens=(), dropped_chars=0)
    context_room = budget_tokens // 2 if context_tokens is None else context_tokens
    context = pack_context(request, fim, context_room, tokenizer)
    suffix_room = 0 if fim is None else room // _SUFFIX_SHARE
    fragment = bool(context.inside)
    shown = excerpt(request, room, suffix_room, tokenizer=tokenizer, fragment=fragment)
    prefix, suffix = shown.prefix, shown.suffix
    before, ending, healable = prefix.tokens, typed.tokens, len(typed.tokens)
    if joins:
        before = _joined(request, prefix, room, tokenizer)
        ending, healable = (), min(len(before), healable + _HEALABLE_PREFIX_TOKENS)
    tokens = (*bos, *_assemble(fim, context, before, suffix.tokens), *ending)
    if not tokens and tokenizer.eos_id is not None:
        # There is nothing to continue, and a model cannot run on nothing: a document starts.
        tokens = (tokenizer.eos_id,)
    return Prompt(
        tokens=tokens,
        prefix_tokens=len(prefix.tokens),
        suffix_tokens=len(suffix.tokens),
        context_tokens=context.body_tokens,
        healable_tokens=healable,
        opens_text=joins and not (before or context.inside),
        dropped=_dropped(shown, typed, context),
    )


def _dropped(shown: Excerpt, typed: Window, context: Context) -> Dropped:
    return Dropped(
        prefix_chars=shown.prefix.dropped_chars,
        suffix_chars=shown.suffix.dropped_chars,
        typed_chars=typed.dropped_chars,
        context_chunks=context.dropped_chunks,
    )


def _typed_room(room: int) -> int:
    """Return how many tokens of what was typed are shown beside ``room`` tokens of other text."""
    return min(room // 2, MAX_TYPED_TOKENS)


def _joined(
    request: CompletionRequest, prefix: Preceding, room: int, tokenizer: Tokenizer
) -> Sequence[int]:
    """Encode the end of the prefix that is shown and what was typed after it as one text."""
    if not request.typed:
        return prefix.tokens
    window = prefix.window
    encode = tokenizer.encode_fragment if prefix.fragment else tokenizer.encode
    ids = encode(request.prefix[window.dropped_chars :] + request.typed)
    # Joining seldom makes more tokens, but it can, and the room is a promise.
    return [*prefix.landmarks, *ids[-(len(window.tokens) + _typed_room(room)) :]]


def _assemble(
    fim: ResolvedFim | None, context: Context, prefix: Sequence[int], suffix: Sequence[int]
) -> Sequence[int]:
    """Put everything in the family's order."""
    text = [*context.inside, *prefix]
    if fim is None:
        return text
    middle = () if fim.middle is None else (fim.middle,)
    match fim.format.order:
        case FimOrder.PREFIX_FIRST:
            return [*context.outside, fim.prefix, *text, fim.suffix, *suffix, *middle]
        case FimOrder.SUFFIX_FIRST:
            return [*context.outside, fim.suffix, *suffix, fim.prefix, *text, *middle]
        case FimOrder.PREFIX_LAST:
            return [*context.outside, fim.prefix, fim.suffix, *suffix, *middle, *text]
