"""A byte-level vocabulary trained here on the corpus, so that tests need no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from token_corpus import corpus

from midfill_engine.gguf.reader import MetaValue
from midfill_engine.tokenizer.pretokenize import PRE_TOKENIZERS, make_pre_tokenizer

MARKERS = [
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_call>",
    "[PAD1]",
]
"""The last ids of the vocabulary, in this order."""
MARKER_TYPES = [3, 3, 3, 3, 3, 3, 4, 5]


def letters() -> list[str]:
    """The letter of each byte, as GPT-2 defines them."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(spare)) for byte in range(256)]


LETTERS = letters()


def words(text: str, pre: str) -> Iterator[list[str]]:
    """Cut ``text`` as ``pre`` does; each word as a list of byte letters."""
    for word, _ in make_pre_tokenizer(PRE_TOKENIZERS[pre]).pre_tokenize_str(text):
        yield list(word)


def join(word: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for part in word:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


def train(text: str, pre: str, merges: int) -> list[tuple[str, str]]:
    """The textbook algorithm: join the commonest pair, again and again."""
    counted = Counter(tuple(word) for word in words(text, pre))
    learned: list[tuple[str, str]] = []
    for _ in range(merges):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, times in counted.items():
            for pair in pairwise(word):
                pairs[pair] += times
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        learned.append(best)
        counted = Counter({tuple(join(list(word), best)): times for word, times in counted.items()})
    return learned


def tiny_metadata(pre: str) -> dict[str, MetaValue]:
    merges = train("".join(corpus().values())[:6000], pre, 120)
    tokens = [*LETTERS, *("".join(pair) for pair in merges), *MARKERS]
    types = [1] * (len(tokens) - len(MARKERS)) + MARKER_TYPES
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.token_type": list(types),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges],
        "tokenizer.ggml.eos_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.ggml.bos_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.ggml.add_bos_token": False,
    }
