"""Reads the header of a GGUF file: metadata, and where each tensor's bytes lie.

The header is walked here and not by ``gguf.GGUFReader``, which makes two numpy views of every
string of the vocabulary and so takes seconds to open a file; the type numbers and block sizes are
that library's. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from midfill_engine.errors import ModelFormatError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["GgufFile", "MetaValue", "Metadata", "TensorEntry", "open_gguf"]

MetaValue: TypeAlias = "str | int | float | bool | list[MetaValue]"
"""One metadata value; arrays are lists of one kind."""

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_SCALARS = MappingProxyType(
    {
        code: struct.Struct("<" + letter)
        for code, letter in zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True)
    }
)
_U32, _U64 = _SCALARS[4], _SCALARS[10]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One tensor: ``shape`` is row-major (numpy order), ``block_type`` ggml's name ("Q4_K").

    Its ``nbytes`` bytes start at ``offset`` of the file at ``path``: ``rows`` rows of
    ``row_bytes`` bytes.
    """

    name: str
    shape: tuple[int, ...]
    block_type: str
    path: Path
    offset: int
    rows: int
    row_bytes: int

    @property
    def nbytes(self) -> int:
        """Size in the file, in bytes."""
        return self.rows * self.row_bytes

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The raw bytes, shape ``[rows, row_bytes]``, read-only, mapped from the file.

        Every access maps the tensor anew, and the map goes with the array: a converter that walks
        the tensors holds the pages of one tensor at a time, not of the whole file.
        """
        import numpy as np

        return np.memmap(
            self.path,
            dtype=np.uint8,
            mode="r",
            offset=self.offset,
            shape=(self.rows, self.row_bytes),
        )


class Metadata(Mapping[str, MetaValue]):
    """The file's key-value pairs; an array is decoded at each access, so keep what you read.

    A value that cannot be decoded raises ``ModelFormatError`` when it is read.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str | int | float | bool | _RawArray]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> MetaValue:
        """Return the value of ``key``, decoding it when it is an array."""
        value = self._values[key]
        return value.decode(key) if isinstance(value, _RawArray) else value

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in file order."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        """Tell whether ``key`` is present, decoding nothing."""
        return key in self._values


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """The header of one file, with its tensors in file order. Holds no open file."""

    path: Path
    metadata: Metadata
    tensors: Mapping[str, TensorEntry]


def open_gguf(path: Path) -> GgufFile:
    """Read the header of the GGUF file at ``path``.

    Raises ``ModelFormatError`` when it is not a GGUF file of version 2 or 3 (little-endian), is
    cut short, or contradicts itself.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if magic != _MAGIC:
                raise ModelFormatError(f"{path} is not a GGUF file: it begins with {magic!r}.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                return _read_file(path, _Cursor(buffer, path))
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _RawArray:
    """An array as it lies in the file, after its element type and count."""

    raw: bytes
    kind: int
    count: int

    def decode(self, key: str) -> list[MetaValue]:
        values: list[MetaValue] = []
        try:
            if self.kind == _STRING:
                _decode_strings(self.raw, self.count, values)
            elif self.kind != _ARRAY:
                letter = _SCALARS[self.kind].format[1:]
                values.extend(struct.unpack(f"<{self.count}{letter}", self.raw))
            else:
                _decode_arrays(self.raw, self.count, key, values)
        except UnicodeDecodeError as error:
            raise ModelFormatError(f"{key} holds text that is not UTF-8: {error}") from error
        return values


def _decode_strings(raw: bytes, count: int, into: list[MetaValue]) -> None:
    # A vocabulary has some 150,000 strings: this loop is why the names are bound first.
    length_at = _U64.unpack_from
    append = into.append
    position = 0
    for _ in range(count):
        end = position + 8 + length_at(raw, position)[0]
        append(raw[position + 8 : end].decode())
        position = end


def _decode_arrays(raw: bytes, count: int, key: str, into: list[MetaValue]) -> None:
    cursor = _Cursor(raw, Path(key))
    for _ in range(count):
        into.append(cursor.array().decode(key))


class _Cursor:
    """A position in the header; every read checks that the file goes that far."""

    __slots__ = ("_buffer", "_path", "position", "size")

    def __init__(self, buffer: mmap.mmap | bytes, path: Path) -> None:
        self._buffer = buffer
        self._path = path
        self.size = len(buffer)
        self.position = 0

    def fault(self, what: str) -> ModelFormatError:
        return ModelFormatError(f"{self._path} is damaged: {what}. Delete it and fetch it again.")

    def _take(self, length: int) -> int:
        """Move on by ``length`` bytes; return where they began."""
        start = self.position
        if length > self.size - start:
            raise self.fault(f"it ends inside its header (at byte {self.size:,})")
        self.position = start + length
        return start

    def number(self, kind: struct.Struct = _U64) -> int:
        return kind.unpack_from(self._buffer, self._take(kind.size))[0]

    def text(self) -> str:
        length = self.number()
        start = self._take(length)
        try:
            return self._buffer[start : start + length].decode()
        except UnicodeDecodeError as error:
            raise self.fault(f"text at byte {start} is not UTF-8") from error

    def value(self) -> str | int | float | bool | _RawArray:
        kind = self.number(_U32)
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        return self.number(self._scalar(kind))

    def array(self) -> _RawArray:
        kind = self.number(_U32)
        count = self.number()
        start = self.position
        self._skip(kind, count)
        return _RawArray(self._buffer[start : self.position], kind, count)

    def _scalar(self, kind: int) -> struct.Struct:
        found = _SCALARS.get(kind)
        if found is None:
            raise self.fault(f"byte {self.position} names an unknown value type {kind}")
        return found

    def _skip(self, kind: int, count: int) -> None:
        if kind == _STRING:
            self._skip_strings(count)
        elif kind == _ARRAY:
            for _ in range(count):
                inner_kind = self.number(_U32)
                if inner_kind == _ARRAY:
                    raise self.fault("arrays are nested more than twice")
                self._skip(inner_kind, self.number())
        else:
            self._take(self._scalar(kind).size * count)

    def _skip_strings(self, count: int) -> None:
        length_at = _U64.unpack_from
        buffer, position, last = self._buffer, self.position, self.size - 8
        for _ in range(count):
            if position > last:
                break
            position += 8 + length_at(buffer, position)[0]
        else:
            self._take(position - self.position)
            return
        self._take(self.size + 1)


def _read_file(path: Path, cursor: _Cursor) -> GgufFile:
    cursor.position = len(_MAGIC)
    version = cursor.number(_U32)
    if version not in _VERSIONS:
        detail = "big-endian files are" if version & 0xFFFF == 0 else f"GGUF version {version} is"
        raise ModelFormatError(f"{path}: {detail} not supported (little-endian 2 or 3 is).")
    tensor_count = cursor.number()
    pair_count = cursor.number()
    values: dict[str, str | int | float | bool | _RawArray] = {}
    for _ in range(pair_count):
        key = cursor.text()
        if key in values:
            raise cursor.fault(f"the key {key!r} appears twice")
        values[key] = cursor.value()
    alignment = values.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise cursor.fault(f"its alignment is {alignment!r}, not a power of two")
    tensors = _read_tensors(path, cursor, tensor_count, alignment)
    return GgufFile(path=path, metadata=Metadata(values), tensors=MappingProxyType(tensors))


def _read_tensors(
    path: Path, cursor: _Cursor, count: int, alignment: int
) -> dict[str, TensorEntry]:
    """Read the tensor table; its offsets count from the first aligned byte after it."""
    relative: dict[str, TensorEntry] = {}
    for _ in range(count):
        entry = _read_tensor(path, cursor)
        if entry.name in relative:
            raise cursor.fault(f"the tensor {entry.name!r} appears twice")
        relative[entry.name] = entry
    base = -(-cursor.position // alignment) * alignment
    tensors: dict[str, TensorEntry] = {}
    for entry in relative.values():
        offset = base + entry.offset
        if offset + entry.nbytes > cursor.size:
            raise cursor.fault(
                f"tensor {entry.name!r} ends at byte {offset + entry.nbytes:,},"
                f" the file at {cursor.size:,}"
            )
        tensors[entry.name] = TensorEntry(
            name=entry.name,
            shape=entry.shape,
            block_type=entry.block_type,
            path=path,
            offset=offset,
            rows=entry.rows,
            row_bytes=entry.row_bytes,
        )
    return tensors


def _read_tensor(path: Path, cursor: _Cursor) -> TensorEntry:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    name = cursor.text()
    dimensions = cursor.number(_U32)
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise cursor.fault(f"tensor {name!r} has {dimensions} dimensions")
    shape = tuple(cursor.number() for _ in range(dimensions))[::-1]
    code = cursor.number(_U32)
    offset = cursor.number()
    try:
        kind = GGMLQuantizationType(code)
    except ValueError:
        raise ModelFormatError(
            f"{path}: tensor {name!r} has an unknown block type {code}."
        ) from None
    block_size, block_bytes = GGML_QUANT_SIZES[kind]
    if 0 in shape or shape[-1] % block_size:
        raise cursor.fault(f"tensor {name!r} of type {kind.name} cannot have the shape {shape}")
    rows = 1
    for extent in shape[:-1]:
        rows *= extent
    return TensorEntry(
        name=name,
        shape=shape,
        block_type=kind.name,
        path=path,
        offset=offset,
        rows=rows,
        row_bytes=shape[-1] // block_size * block_bytes,
    )
