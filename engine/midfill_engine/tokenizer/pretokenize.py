"""How each family cuts text into words before byte-pair merging, as data.

A row also says where text may be cut so that the tokens of the parts are the tokens of the whole:
that is what makes a cache of already encoded lines exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

__all__ = ["NUMBER", "PRE_TOKENIZERS", "WORDS", "PreTokenization", "make_pre_tokenizer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTokenization:
    """``patterns`` isolate their matches, one after the other (Oniguruma syntax).

    ``cut`` is a Python pattern whose every match ends where a cut changes no token.
    ``ignore_merges``: a word that is a token as a whole is not merged from its parts.
    """

    patterns: tuple[str, ...]
    cut: str
    ignore_merges: bool = False


NUMBER = r"\p{N}"
"""Each digit is a word of its own."""

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""Words as GPT-2 cuts them."""


def _modern_words(numbers: str, contractions: str, symbols: str) -> str:
    """Make the pattern that Llama 3 and Qwen 2 share but for small parts."""
    return (
        rf"{contractions}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}|{symbols}"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


_ANY_CASE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SYMBOLS_AND_NEWLINES = r" ?[^\s\p{L}\p{N}]+[\r\n]*"

# In these patterns whatever holds a newline also ends with one, so the first line after it that
# is not blank begins a word of its own. ASCII only: "white space" differs between engines beyond.
_CUT_BEFORE_LINE = r"\n(?=[ \t]*[!-~])"
# Here a newline and the indentation after it are one word: only an unindented line is safe.
_CUT_BEFORE_UNINDENTED_LINE = r"[!-~]\n(?=[!-~])"
_CUT_AFTER_NEWLINE = r"\n"

_GPT2 = PreTokenization(patterns=(WORDS,), cut=_CUT_BEFORE_UNINDENTED_LINE)
_STARCODER = PreTokenization(patterns=(NUMBER, WORDS), cut=_CUT_BEFORE_UNINDENTED_LINE)
_QWEN2 = PreTokenization(
    patterns=(_modern_words(NUMBER, _ANY_CASE, _SYMBOLS_AND_NEWLINES),), cut=_CUT_BEFORE_LINE
)
_LLAMA3 = PreTokenization(
    patterns=(_modern_words(r"\p{N}{1,3}", _ANY_CASE, _SYMBOLS_AND_NEWLINES),),
    cut=_CUT_BEFORE_LINE,
    ignore_merges=True,
)
_SEED_CODER = PreTokenization(
    patterns=(_modern_words(NUMBER, _ANY_CASE, r" ?[^\s\p{L}\p{N}\r\n]+"),),
    cut=_CUT_BEFORE_LINE,
)
_DEEPSEEK_CODER = PreTokenization(
    patterns=(
        r"[\r\n]",
        r"\s?\p{L}+",
        r"\s?\p{P}+",
        r"[一-龥ࠀ-一가-퟿]+",
        NUMBER,
    ),
    cut=_CUT_AFTER_NEWLINE,
)

PRE_TOKENIZERS: Mapping[str, PreTokenization] = MappingProxyType(
    {
        "default": _GPT2,
        "gpt-2": _GPT2,
        "starcoder": _STARCODER,
        "refact": _STARCODER,
        "qwen2": _QWEN2,
        "deepseek-r1-qwen": _QWEN2,
        "llama-bpe": _LLAMA3,
        "llama3": _LLAMA3,
        "llama-v3": _LLAMA3,
        "seed-coder": _SEED_CODER,
        "deepseek-coder": _DEEPSEEK_CODER,
    }
)
"""By the value of ``tokenizer.ggml.pre``."""


def make_pre_tokenizer(kind: PreTokenization) -> PreTokenizer:
    """Make the pre-tokenizer that isolates ``kind.patterns`` and then maps bytes to letters."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    steps: list[PreTokenizer] = [
        Split(Regex(pattern), behavior="isolated") for pattern in kind.patterns
    ]
    steps.append(ByteLevel(add_prefix_space=False, use_regex=False))
    return Sequence(steps)
