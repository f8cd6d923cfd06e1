"""The fill-in-the-middle formats of the model families, as data.

A new family is a new row of ``FIM_FORMATS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from midfill_engine.errors import ModelFormatError
from midfill_engine.tokenizer import Tokenizer

__all__ = ["FIM_FORMATS", "PATH", "FimFormat", "FimOrder", "RepoFormat", "ResolvedFim", "resolve"]

PATH = "{path}"
"""Where a header has the path of its file."""


class FimOrder(StrEnum):
    """Where the markers stand. What comes last is computed last: typing changes nothing before."""

    PREFIX_FIRST = "PRE prefix SUF suffix MID"
    SUFFIX_FIRST = "SUF suffix PRE prefix MID"
    PREFIX_LAST = "PRE SUF suffix MID prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoFormat:
    """How a family writes other files before the one being completed.

    ``repo`` and ``file`` are marker tokens before the repository's name and before each file;
    ``header`` is the text before a file's own. ``inside``: the files lie after the prefix marker,
    as if they were the start of the prefix. ``header_inside``: so does the current file's header.
    """

    repo: str | None = None
    file: str | None = None
    header: str = "{path}\n"
    inside: bool = False
    header_inside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FimFormat:
    """A family's fill-in-the-middle format: marker tokens, their order and what ends an answer.

    ``middle`` is ``None`` where the answer follows the prefix with no marker between them, ``repo``
    where the family has no way of its own to show other files: they are comments in the prefix.
    ``stops`` are tokens that end an answer, if the vocabulary has them; all markers do as well.
    """

    prefix: str
    suffix: str
    middle: str | None
    order: FimOrder = FimOrder.PREFIX_FIRST
    repo: RepoFormat | None = None
    stops: tuple[str, ...]

    @property
    def continues_prefix(self) -> bool:
        """Whether nothing stands between the prefix and what follows: they are one text."""
        return self.order is FimOrder.PREFIX_LAST or self.middle is None


_PIPED = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
_STARCODER2 = FimFormat(
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    repo=RepoFormat(repo="<repo_name>", file="<file_sep>", header_inside=True),
    stops=("<|endoftext|>", "<fim_pad>"),
)

# Trained half and half in this order and in the other. In this one typing only appends, but it was
# never trained on a prefix that ends inside of a token: the last tokens have to be healed.
_CODELLAMA = FimFormat(
    prefix="▁<PRE>",
    suffix="▁<SUF>",
    middle="▁<MID>",
    order=FimOrder.PREFIX_LAST,
    stops=("▁<EOT>", "</s>"),
)

FIM_FORMATS: Mapping[str, FimFormat] = MappingProxyType(
    {
        "qwen2.5-coder": FimFormat(
            prefix=_PIPED[0],
            suffix=_PIPED[1],
            middle=_PIPED[2],
            repo=RepoFormat(repo="<|repo_name|>", file="<|file_sep|>"),
            stops=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_pad|>"),
        ),
        "codellama": _CODELLAMA,
        "codellama-psm": replace(_CODELLAMA, order=FimOrder.PREFIX_FIRST),
        "starcoder2": _STARCODER2,
        "granite-code": _STARCODER2,
        "santacoder": FimFormat(
            prefix="<fim-prefix>",
            suffix="<fim-suffix>",
            middle="<fim-middle>",
            stops=("<|endoftext|>", "<fim-pad>"),
        ),
        "granite-4": FimFormat(
            prefix=_PIPED[0],
            suffix=_PIPED[1],
            middle=_PIPED[2],
            repo=RepoFormat(repo="<|reponame|>", file="<|filename|>"),
            stops=("<|end_of_text|>", "<|fim_pad|>"),
        ),
        "deepseek-coder": FimFormat(
            prefix="<\uff5cfim▁begin\uff5c>",
            suffix="<\uff5cfim▁hole\uff5c>",
            middle="<\uff5cfim▁end\uff5c>",
            repo=RepoFormat(header="#{path}\n", inside=True),
            stops=("<\uff5cend▁of▁sentence\uff5c>", "<|EOT|>"),
        ),
        "codegemma": FimFormat(
            prefix=_PIPED[0],
            suffix=_PIPED[1],
            middle=_PIPED[2],
            repo=RepoFormat(file="<|file_separator|>"),
            stops=("<eos>", "<end_of_turn>"),
        ),
        "codestral": FimFormat(
            prefix="[PREFIX]",
            suffix="[SUFFIX]",
            middle=None,
            order=FimOrder.SUFFIX_FIRST,
            repo=RepoFormat(header="+++++ {path}\n", inside=True),
            stops=("</s>",),
        ),
        "seed-coder": FimFormat(
            prefix="<[fim-prefix]>",
            suffix="<[fim-suffix]>",
            middle="<[fim-middle]>",
            order=FimOrder.SUFFIX_FIRST,
            stops=("<[end▁of▁sentence]>",),
        ),
    }
)
"""By family; a registry names one of these keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedFim:
    """A format with the ids its markers have in one vocabulary.

    ``middle``, ``repo`` and ``file`` are ``None`` where the family, or this file, has no such
    token. ``stop_ids`` end an answer and are never part of its text.
    """

    format: FimFormat
    prefix: int
    suffix: int
    middle: int | None
    repo: int | None
    file: int | None
    stop_ids: frozenset[int]


def resolve(key: str, tokenizer: Tokenizer) -> ResolvedFim:
    """Look the markers of the format ``key`` up in ``tokenizer``.

    Raises ``ModelFormatError`` for an unknown key or when a marker is not in the vocabulary: such
    a model was not trained to fill in, and must not be shown its family's markers.
    """
    fim = FIM_FORMATS.get(key)
    if fim is None:
        raise ModelFormatError(
            f"No fill-in-the-middle format is called {key!r}; known: {', '.join(FIM_FORMATS)}."
        )

    def found(marker: str | None) -> int | None:
        return None if marker is None else tokenizer.special_id(marker)

    def required(marker: str) -> int:
        token_id = found(marker)
        if token_id is None:
            raise ModelFormatError(
                f"The model's vocabulary has no {marker!r}, so it cannot fill in as {key!r} does."
            )
        return token_id

    middle = None if fim.middle is None else required(fim.middle)
    style = fim.repo or RepoFormat()
    repo, file = found(style.repo), found(style.file)
    prefix, suffix = required(fim.prefix), required(fim.suffix)
    ends = (*map(found, fim.stops), tokenizer.eos_id, prefix, suffix, middle, repo, file)
    return ResolvedFim(
        format=fim,
        prefix=prefix,
        suffix=suffix,
        middle=middle,
        repo=repo,
        file=file,
        stop_ids=frozenset(token_id for token_id in ends if token_id is not None),
    )
