"""Whether one model can draft for another: both must mean the same by an id."""

from __future__ import annotations

from midfill_engine.tokenizer import Tokenizer

__all__ = ["check_pair"]


def check_pair(target: Tokenizer, draft: Tokenizer) -> str | None:
    """Return why ``draft`` cannot guess for ``target``; ``None`` where it can (found in 40 ms).

    Ids that only one of the two has are no obstacle: such a model is never shown or asked for
    them (Code Llama 7B has 16 more than 34B).
    """
    shared = min(target.vocab_size, draft.vocab_size)
    # Asking for each token takes ten times as long, and is only for those that differ somewhere.
    for token in () if target.index.spells_as(draft.index) else range(shared):
        theirs, ours = target.token_bytes(token), draft.token_bytes(token)
        if theirs != ours:
            return (
                f"their vocabularies differ: token {token} is {theirs!r} to the model and {ours!r} "
                "to the one that should draft for it"
            )
    names = {token: name for name, token in target.special.items() if token < shared}
    for name, token in draft.special.items():
        if token < shared and names.get(token, name) != name:
            return (
                f"their vocabularies differ: token {token} is the marker {names[token]!r} to the "
                f"model and {name!r} to the one that should draft for it"
            )
    return None
