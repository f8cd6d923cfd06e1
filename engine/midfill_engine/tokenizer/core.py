"""The tokenizer itself: encode, bytes of a token, streaming decode, one file to load from."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict, cast

from midfill_engine.errors import ModelFormatError
from midfill_engine.tokenizer.index import TokenIndex
from midfill_engine.tokenizer.pretokenize import PRE_TOKENIZERS, make_pre_tokenizer

if TYPE_CHECKING:
    from tokenizers import AddedToken

__all__ = ["StreamDecoder", "Tokenizer", "Vocabulary", "load_tokenizer"]

_FILE_FORMAT = 1
_CACHED_PARTS = 8192
_CACHED_PART_CHARS = 512
_CACHED_TOKENS = 65536
_SPACE = "▁"  # SentencePiece's letter for a space.
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What a tokenizer is made of.

    ``pre`` names the pre-tokenization of byte-level BPE and is ``None`` for SentencePiece.
    ``ordinary`` maps the tokens that text may become to their ids; ``special`` the others;
    ``shown`` are the special ids whose text is shown when generated. ``whole`` are ordinary tokens
    that SentencePiece takes out of a text before anything is merged, the longest first: runs of
    spaces or newlines, in some families. ``size`` counts all ids.
    ``bos_id`` is the id that every prompt starts with, ``None`` where the model wants none.
    ``space_prefix``: text is encoded with a space before it.
    """

    pre: str | None
    size: int
    ordinary: Mapping[str, int]
    merges: Sequence[tuple[str, str]]
    special: Mapping[str, int]
    shown: Sequence[int] = ()
    whole: Sequence[str] = ()
    bos_id: int | None = None
    eos_id: int | None = None
    space_prefix: bool = False


class _File(TypedDict):
    """The JSON of a saved tokenizer; ``merges`` are ids, left and right in turn."""

    format: int
    pre: str | None
    size: int
    tokens: list[str]
    merges: list[int]
    special: dict[str, int]
    shown: list[int]
    whole: NotRequired[list[str]]
    bos_id: int | None
    eos_id: int | None
    space_prefix: bool


class _Encoding(Protocol):
    @property
    def ids(self) -> list[int]: ...


class _Model(Protocol):
    """The part of ``tokenizers.Tokenizer`` in use; that library's own stubs have no types."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> _Encoding: ...
    def id_to_token(self, id: int) -> str | None: ...
    def add_tokens(self, tokens: Sequence[AddedToken]) -> int: ...


class Tokenizer:
    """Encodes text, which never becomes a special token, and tells the bytes of each token.

    Safe to share between threads. Lines that come again are not encoded again (bounded caches).
    ``keep_tables=False`` frees the vocabulary once the model is made of it: such a tokenizer
    cannot be saved.
    """

    def __init__(self, vocabulary: Vocabulary, *, keep_tables: bool = True) -> None:
        self._vocabulary = vocabulary if keep_tables else _without_tables(vocabulary)
        self._letters = None if vocabulary.pre is None else _bytes_by_letter()
        shown = set(vocabulary.shown)
        self._shown = {
            token_id: text.encode()
            for text, token_id in vocabulary.special.items()
            if token_id in shown
        }
        self._model = _make_model(vocabulary)
        self.index = _index(vocabulary, self._letters)
        """Which tokens begin with which bytes."""
        self._cut = re.compile(_cut_pattern(vocabulary))
        self._encode_cached = lru_cache(_CACHED_PARTS)(self._encode_part)
        self._bytes_cached = lru_cache(_CACHED_TOKENS)(self._bytes)
        self._newlines_cached = lru_cache(_CACHED_TOKENS)(self._newlines)

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special and unused ones included."""
        return self._vocabulary.size

    @property
    def bos_id(self) -> int | None:
        """The id every prompt starts with; ``None`` where the model wants none."""
        return self._vocabulary.bos_id

    @property
    def eos_id(self) -> int | None:
        """The id the model's file names as its end."""
        return self._vocabulary.eos_id

    @property
    def space_prefix(self) -> bool:
        """Whether a text is encoded with a space before it, which is no part of the text."""
        return self._vocabulary.space_prefix

    @property
    def special(self) -> Mapping[str, int]:
        """The special tokens and their ids."""
        return self._vocabulary.special

    def special_id(self, text: str) -> int | None:
        """Return the id of the special token written ``text``, ``None`` if there is none."""
        return self._vocabulary.special.get(text)

    def encode(self, text: str) -> list[int]:
        """Encode ``text`` as the start of a text (SentencePiece adds its leading space).

        No special token comes out, whatever the text says; lone surrogates count as U+FFFD.
        """
        if self._vocabulary.space_prefix and text:
            text = " " + text
        return self.encode_fragment(text)

    def encode_fragment(self, text: str) -> list[int]:
        """Encode ``text`` as it continues another, with no space added before it."""
        if self._letters is None:
            text = text.replace(" ", _SPACE)
        ids: list[int] = []
        start = 0
        # The tokens of the parts are the tokens of the whole (see pretokenize), and in an editor
        # nearly all lines were there at the last keystroke.
        for match in self._cut.finditer(text):
            ids += self._encode_span(text[start : match.end()])
            start = match.end()
        if start < len(text):
            ids += self._encode_span(text[start:])
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that ``token_id`` stands for: ``b""`` for control and unknown ids."""
        return self._bytes_cached(token_id)

    def newlines_in(self, token_id: int) -> int:
        """Return how many line feeds ``token_id`` stands for."""
        return self._newlines_cached(token_id)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def save(self, path: Path) -> None:
        """Write all of it to ``path``, for ``load_tokenizer``.

        Raises ``ValueError`` for a tokenizer that was loaded: it is a file already.
        """
        vocabulary = self._vocabulary
        ordinary = vocabulary.ordinary
        if not ordinary:
            raise ValueError("a loaded tokenizer keeps no tables to save; copy its file")
        tokens = [""] * vocabulary.size
        for token, token_id in ordinary.items():
            tokens[token_id] = token
        content: _File = {
            "format": _FILE_FORMAT,
            "pre": vocabulary.pre,
            "size": vocabulary.size,
            "tokens": tokens,
            "merges": [ordinary[part] for pair in vocabulary.merges for part in pair],
            "special": dict(vocabulary.special),
            "shown": list(vocabulary.shown),
            "whole": list(vocabulary.whole),
            "bos_id": vocabulary.bos_id,
            "eos_id": vocabulary.eos_id,
            "space_prefix": vocabulary.space_prefix,
        }
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        path.write_text(text, encoding="utf-8", newline="\n")

    def _encode_span(self, text: str) -> Sequence[int]:
        if len(text) > _CACHED_PART_CHARS:
            return self._encode_part(text)
        return self._encode_cached(text)

    def _encode_part(self, text: str) -> Sequence[int]:
        try:
            return self._model.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):
            # Lone surrogates (a broken document) have no UTF-8, so Rust refuses the whole text.
            units = text.encode("utf-16-le", "surrogatepass")
            whole = units.decode("utf-16-le", "replace")
            return self._model.encode(whole, add_special_tokens=False).ids

    def _bytes(self, token_id: int) -> bytes:
        token = self._model.id_to_token(token_id)
        if token is None:
            return self._shown.get(token_id, b"")
        if self._letters is None:
            return _piece_bytes(token)
        letters = self._letters
        return b"".join(letters.get(letter) or letter.encode() for letter in token)

    def _newlines(self, token_id: int) -> int:
        return self._bytes(token_id).count(b"\n")


class StreamDecoder:
    """Turns tokens into text as they come, holding back at most 3 bytes of an unfinished letter.

    Bytes that cannot become UTF-8 come out as U+FFFD at once, so that the stream never stalls.
    ``drop_first_space``: the tokens begin a text of their own, so one space that SentencePiece
    adds at its start is not part of it. ``skip_bytes`` at the start are not shown either.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, drop_first_space: bool = False, skip_bytes: int = 0
    ) -> None:
        self._tokenizer = tokenizer
        self._skip_bytes = skip_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._drop_space = drop_first_space

    def push(self, token_id: int) -> str:
        """Return the text that ``token_id`` completes (``""`` while a letter is unfinished)."""
        raw = self._tokenizer.token_bytes(token_id)
        if self._drop_space and raw:
            self._drop_space = False
            raw = raw.removeprefix(b" ")
        if self._skip_bytes:
            skipped = min(self._skip_bytes, len(raw))
            self._skip_bytes -= skipped
            raw = raw[skipped:]
        return self._decoder.decode(raw)

    def flush(self) -> str:
        """End the stream: return U+FFFD for a letter that was never finished."""
        return self._decoder.decode(b"", final=True)


def load_tokenizer(path: Path) -> Tokenizer:
    """Load what ``Tokenizer.save`` wrote. Raises ``ModelFormatError`` when it cannot be used."""
    try:
        content = cast("_File", json.loads(path.read_bytes()))
        if content["format"] != _FILE_FORMAT:
            raise ModelFormatError(
                f"{path} is a tokenizer of another version of midfill. Convert the model again."
            )
        tokens = content["tokens"]
        ordinary = dict(zip(tokens, range(len(tokens)), strict=True))
        ordinary.pop("", None)
        sides = map(tokens.__getitem__, content["merges"])
        return Tokenizer(
            Vocabulary(
                pre=content["pre"],
                size=content["size"],
                ordinary=ordinary,
                merges=list(zip(sides, sides, strict=True)),
                special=content["special"],
                shown=content["shown"],
                whole=content.get("whole", ()),
                bos_id=content["bos_id"],
                eos_id=content["eos_id"],
                space_prefix=content["space_prefix"],
            ),
            keep_tables=False,
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelFormatError(
            f"{path} is damaged ({type(error).__name__}: {error}). Convert the model again."
        ) from error


def _without_tables(vocabulary: Vocabulary) -> Vocabulary:
    """Keep the small parts only: the big tables live on in the model, outside of Python."""
    return replace(vocabulary, ordinary={}, merges=(), whole=())


def _make_model(vocabulary: Vocabulary) -> _Model:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Model
    from tokenizers.models import BPE

    kind = None if vocabulary.pre is None else PRE_TOKENIZERS[vocabulary.pre]
    bpe = BPE(
        vocab=dict(vocabulary.ordinary),
        merges=list(vocabulary.merges),
        byte_fallback=kind is None,
        ignore_merges=kind is not None and kind.ignore_merges,
    )
    model = Model(bpe)
    if kind is not None:
        model.pre_tokenizer = make_pre_tokenizer(kind)
    made = cast("_Model", model)
    made.add_tokens([AddedToken(piece) for piece in vocabulary.whole])
    return made


def _index(vocabulary: Vocabulary, letters: Mapping[str, bytes] | None) -> TokenIndex:
    if letters is None:
        # Some bytes are pieces too; a letter that has a piece of its own goes by that.
        pieces = sorted(vocabulary.ordinary.items(), key=lambda item: not _is_byte(item[0]))
        spelled = {_piece_bytes(piece).decode("latin-1"): token for piece, token in pieces}
        return TokenIndex(spelled, lambda text: text.decode("latin-1"))
    by_byte = {byte[0]: letter for letter, byte in letters.items()}
    return TokenIndex(vocabulary.ordinary, lambda text: text.decode("latin-1").translate(by_byte))


def _is_byte(piece: str) -> bool:
    return _BYTE_PIECE.fullmatch(piece) is not None


def _piece_bytes(piece: str) -> bytes:
    """Return what a piece of SentencePiece stands for."""
    byte = _BYTE_PIECE.fullmatch(piece)
    return bytes((int(byte[1], 16),)) if byte else piece.replace(_SPACE, " ").encode()


def _cut_pattern(vocabulary: Vocabulary) -> str:
    if vocabulary.pre is not None:
        return PRE_TOKENIZERS[vocabulary.pre].cut
    # SentencePiece joins over anything that some piece joins over: a newline is a place to cut
    # only if no piece has one next to another letter.
    if any("\n" in piece and piece.strip("\n") for piece in vocabulary.ordinary):
        return r"(?!)"
    return r"\n(?!\n)"


def _bytes_by_letter() -> dict[str, bytes]:
    """Map the letters of byte-level tokens to bytes: visible Latin-1 is itself, the rest follows.

    The alphabet of GPT-2: the bytes with no visible letter take U+0100, U+0101, … in order.
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = {chr(byte): bytes((byte,)) for byte in visible}
    letters.update((chr(0x100 + at), bytes((byte,))) for at, byte in enumerate(hidden))
    return letters
