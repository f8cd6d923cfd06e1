"""Collects the nodes of an ONNX graph while its weights stream into one data file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

__all__ = ["GraphWriter", "OnnxArray"]

OnnxArray: TypeAlias = "npt.NDArray[np.floating | np.uint8 | np.int64 | np.int32]"
Attribute: TypeAlias = int | float | str | Sequence[int]

# Runtimes map the data file into memory; a page-aligned tensor can be mapped by itself.
_ALIGNMENT = 4096
_OPSET, _CONTRIB_OPSET = 21, 1
# The oldest IR that opset 21 goes with: newer runtimes read it, older ones need no update.
_IR_VERSION = 10


class GraphWriter:
    """Builds one model; values are named by strings, ``""`` is an absent optional input.

    ``floats`` is the type that the graph computes in; whoever adds a weight follows it.
    """

    def __init__(
        self, data_file: BinaryIO, data_name: str, floats: type[np.floating] = np.float32
    ) -> None:
        self.floats: np.dtype[np.floating] = np.dtype(floats)
        self._file = data_file
        self._data_name = data_name
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def add_input(self, name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> str:
        """Declare a graph input; names in ``shape`` are free dimensions."""
        self._inputs.append(_value(name, dtype, shape))
        return name

    def add_output(self, name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> None:
        """Declare a graph output."""
        self._outputs.append(_value(name, dtype, shape))

    def add_node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        contrib: bool = False,
        **attributes: Attribute,
    ) -> None:
        """Append a node; ``contrib`` takes the operator from the ``com.microsoft`` domain."""
        domain = "com.microsoft" if contrib else ""
        node = helper.make_node(operator, list(inputs), list(outputs), domain=domain)
        node.attribute.extend(helper.make_attribute(*item) for item in sorted(attributes.items()))
        self._nodes.append(node)

    def add_cast(self, source: str, output: str, dtype: npt.DTypeLike) -> None:
        """Append a node that changes a value's type."""
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.add_node("Cast", (source,), (output,), to=int(to))

    def add_small(self, name: str, values: OnnxArray) -> str:
        """Store a constant inside the graph file itself (shapes, indices)."""
        self._initializers.append(onnx.numpy_helper.from_array(values, name))
        return name

    def add_weight(self, name: str, dtype: npt.DTypeLike, shape: Sequence[int]) -> OpenWeight:
        """Reserve room for a weight in the data file; the caller writes its rows in any order."""
        kind = np.dtype(dtype)
        offset = -(-self._file.seek(0, 2) // _ALIGNMENT) * _ALIGNMENT
        size = int(np.prod(shape)) * kind.itemsize
        self._file.truncate(offset + size)
        tensor = TensorProto(
            name=name, data_type=helper.np_dtype_to_tensor_dtype(kind), dims=list(shape)
        )
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self._data_name), ("offset", offset), ("length", size)):
            tensor.external_data.add(key=key, value=str(value))
        self._initializers.append(tensor)
        return OpenWeight(self._file, name, offset, size // max(shape[0], 1), kind)

    def add_floats(self, name: str, values: npt.NDArray[np.floating]) -> str:
        """Store a whole weight at once, in the type that the graph computes in."""
        self.add_weight(name, self.floats, values.shape).write(0, values)
        return name

    def add_array(self, name: str, values: OnnxArray) -> str:
        """Store a whole weight at once."""
        self.add_weight(name, values.dtype, values.shape).write(0, values)
        return name

    def save(self, path: Path, *, name: str, metadata: dict[str, str]) -> None:
        """Write the graph file; ``metadata`` goes into its properties."""
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, self._initializers
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        opsets.append(helper.make_opsetid("com.microsoft", _CONTRIB_OPSET))
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="midfill"
        )
        helper.set_model_props(model, metadata)
        path.write_bytes(model.SerializeToString())


class OpenWeight:
    """A weight whose place in the data file is fixed and whose rows are still to be written."""

    __slots__ = ("_dtype", "_file", "_offset", "_row_bytes", "name")

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        offset: int,
        row_bytes: int,
        dtype: np.dtype[np.generic],
    ) -> None:
        self._file = file
        self._offset = offset
        self._row_bytes = row_bytes
        self._dtype = dtype
        self.name = name

    def write(self, first_row: int, values: OnnxArray) -> None:
        """Write rows from ``first_row`` on, in the weight's own type."""
        self._file.seek(self._offset + first_row * self._row_bytes)
        self._file.write(np.ascontiguousarray(values, self._dtype).data)


def _value(name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, list(shape))
