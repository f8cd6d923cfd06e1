"""Reading GGUF headers: equal to the gguf library's reader, and firm with damaged files."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.reader import open_gguf

TOKENS = ["a", "Ġb", "é", "<|end|>", ""]


@pytest.fixture(scope="module")
def gguf_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = GGUFWriter(path, "qwen2")
    writer.add_uint32("a.u32", 7)
    writer.add_int8("a.i8", -3)
    writer.add_uint64("a.u64", 2**60)
    writer.add_float32("a.f32", 0.5)
    writer.add_float64("a.f64", 1e-6)
    writer.add_bool("a.yes", True)
    writer.add_string("a.text", "née\n")
    writer.add_array("a.tokens", TOKENS)
    writer.add_array("a.scores", [0.5, -1.0])
    writer.add_array("a.types", [1, 3, -6])
    writer.add_array("a.flags", [True, False])
    rng = np.random.default_rng(1)
    writer.add_tensor("dense", rng.standard_normal((3, 2, 4)).astype(np.float32))
    writer.add_tensor("half", rng.standard_normal(5).astype(np.float16))
    raw = rng.integers(0, 256, (6, 34 * 2), dtype=np.uint8)
    writer.add_tensor("packed", raw, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_metadata_equals_the_librarys(gguf_path: Path) -> None:
    ours = open_gguf(gguf_path).metadata
    theirs = GGUFReader(gguf_path).fields
    assert dict(ours) == {
        key: field.contents() for key, field in theirs.items() if not key.startswith("GGUF.")
    }
    assert ours["a.yes"] is True
    assert ours["a.tokens"] == TOKENS


def test_tensors_equal_the_librarys(gguf_path: Path) -> None:
    ours = open_gguf(gguf_path).tensors
    theirs = GGUFReader(gguf_path).tensors
    assert list(ours) == [tensor.name for tensor in theirs]
    for tensor in theirs:
        entry = ours[tensor.name]
        assert entry.shape == tuple(reversed(tensor.shape.tolist()))
        assert entry.block_type == tensor.tensor_type.name
        assert entry.nbytes == tensor.n_bytes
        assert entry.data.shape == (entry.rows, entry.row_bytes)
        assert entry.data.tobytes() == tensor.data.tobytes()


def test_packed_rows_are_whole_blocks(gguf_path: Path) -> None:
    entry = open_gguf(gguf_path).tensors["packed"]
    assert (entry.shape, entry.block_type) == ((6, 64), "Q8_0")
    assert entry.data.shape == (6, 68)
    assert entry.data.dtype == np.uint8
    assert not entry.data.flags.writeable


def test_the_header_says_where_a_file_cut_anywhere_is_damaged(
    gguf_path: Path, tmp_path: Path
) -> None:
    whole = gguf_path.read_bytes()
    last = max(e.offset + e.nbytes for e in open_gguf(gguf_path).tensors.values())
    cut_file = tmp_path / "cut.gguf"
    for size in range(0, last, 5):
        cut_file.write_bytes(whole[:size])
        with pytest.raises(ModelFormatError, match=r"cut\.gguf"):
            open_gguf(cut_file)
    cut_file.write_bytes(whole[:last])
    assert len(open_gguf(cut_file).tensors) == 3


def test_no_flipped_byte_raises_anything_else(gguf_path: Path, tmp_path: Path) -> None:
    whole = gguf_path.read_bytes()
    header_bytes = min(e.offset for e in open_gguf(gguf_path).tensors.values())
    damaged = tmp_path / "damaged.gguf"
    for at in range(0, header_bytes, 3):
        damaged.write_bytes(whole[:at] + bytes((whole[at] ^ 0xFF,)) + whole[at + 1 :])
        with suppress(ModelFormatError):
            dict(open_gguf(damaged).metadata)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04 a zip archive", "not a GGUF file"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**62), "damaged"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "damaged"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 99), "unknown value type 99"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=says):
        open_gguf(path)


def test_a_missing_file_is_a_model_format_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="cannot be read"):
        open_gguf(tmp_path / "none.gguf")


def test_nested_arrays_and_twice_given_keys(tmp_path: Path) -> None:
    inner = struct.pack("<IQ2i", 5, 2, 1, 2) + struct.pack("<IQ1i", 5, 1, 3)
    pair = struct.pack("<Q1sIIQ", 1, b"k", 9, 9, 2) + inner
    path = tmp_path / "nested.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair)
    assert open_gguf(path).metadata["k"] == [[1, 2], [3]]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + pair + pair)
    with pytest.raises(ModelFormatError, match="twice"):
        open_gguf(path)
