"""Streams a checkpoint's matrices into a graph, a slice of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor

import numpy as np

from midfill_engine.errors import ModelFormatError
from midfill_engine.onnx.layouts import WeightLayout
from midfill_engine.onnx.quantize import BlockLayout, EncodedRows, encode_rows
from midfill_engine.onnx.writer import GraphWriter
from midfill_engine.weights import Floats, WeightSource

__all__ = ["MatrixStream"]

# Weights in a slice: small enough that quantising stays in the processor's cache, which makes it
# several times faster, and that memory stays bounded whatever the tensor's size.
_SLICE_WEIGHTS = 1 << 18
_EMBEDDING_BLOCK = 32
_BATCH = 32


class MatrixStream:
    """The ``MatrixWriter`` of a conversion.

    Slices are quantised by ``workers`` and written in order; ``on_weights(count)`` is told after
    each slice and may raise to stop.
    """

    def __init__(
        self,
        writer: GraphWriter,
        source: WeightSource,
        layout: WeightLayout,
        workers: Executor,
        on_weights: Callable[[int], None],
    ) -> None:
        self._writer = writer
        self._source = source
        self._layout = layout
        self._workers = workers
        self._on_weights = on_weights

    def norm(self, name: str) -> tuple[str, ...]:
        """Store a norm's weight, and its bias if it has one."""
        names = [f"{name}.weight"]
        if self._source.shape(f"{name}.bias") is not None:
            names.append(f"{name}.bias")
        return tuple(self._writer.add_floats(each, self._source.vector(each)) for each in names)

    def embed(self, ids: str, output: str) -> None:
        """Look rows up in the embedding, kept at 8 bits: it is read a row at a time."""
        name = "token_embd.weight"
        asked = self._layout.choose(name, self._source.rows(name, 0, 1))
        if asked is None:
            rows = self._store_floats((name,), name)
            self._writer.add_node("Gather", (rows, ids), (output,))
            return
        layout = BlockLayout(bits=8, block=min(asked.block, _EMBEDDING_BLOCK))
        shape = self._shape(name)
        if shape[1] % layout.block:
            raise ModelFormatError(
                f"the embedding's width, {shape[1]}, is no multiple of {layout.block}"
            )
        blocks = shape[1] // layout.block
        codes = self._writer.add_weight(f"{name}.codes", np.uint8, shape)
        scales = self._writer.add_weight(f"{name}.scales", self._writer.floats, (shape[0], blocks))
        for start, encoded in self._encode((name,), layout):
            codes.write(start, encoded.codes)
            scales.write(start, encoded.scales)
        middle = np.full((shape[0], blocks), 128, np.uint8)
        zeros = self._writer.add_array(f"{name}.zeros", middle)
        self._writer.add_node(
            "GatherBlockQuantized",
            (codes.name, ids, scales.name, zeros),
            (output,),
            contrib=True,
            bits=8,
            block_size=layout.block,
            gather_axis=0,
            quantize_axis=1,
        )

    def linear(self, source: str, names: tuple[str, ...], output: str) -> None:
        """Multiply by the stacked matrices, in one layout that serves all of them."""
        stem = "+".join(names)
        weights = self._resolve(names)
        bias = self._bias(names, f"{stem}.bias")
        layout = self._shared_layout(weights)
        if layout is None:
            self._float_linear(source, weights, bias, stem, output)
            return
        rows = sum(self._shape(name)[0] for name in weights)
        columns = self._shape(weights[0])[1]
        blocks = -(-columns // layout.block)
        shape = (rows, blocks, layout.block * layout.bits // 8)
        codes = self._writer.add_weight(f"{stem}.codes", np.uint8, shape)
        scales = self._writer.add_weight(f"{stem}.scales", self._writer.floats, (rows, blocks))
        inputs = [source, codes.name, scales.name]
        zeros = None
        if not layout.symmetric:
            width = (blocks * layout.bits + 7) // 8
            zeros = self._writer.add_weight(f"{stem}.zeros", np.uint8, (rows, width))
        inputs += [zeros.name if zeros else "", "", bias or ""]
        for start, encoded in self._encode(weights, layout):
            codes.write(start, encoded.codes)
            scales.write(start, encoded.scales)
            if zeros and encoded.zero_points is not None:
                zeros.write(start, encoded.zero_points)
        while not inputs[-1]:
            inputs.pop()
        # Level 4 multiplies in int8: the activations are quantised per block as well. Only the
        # processor's kernels can do that; those of a GPU compute in their own type.
        level = 4 if self._writer.floats == np.float32 else 0
        self._writer.add_node(
            "MatMulNBits",
            inputs,
            (output,),
            contrib=True,
            K=columns,
            N=rows,
            bits=layout.bits,
            block_size=layout.block,
            accuracy_level=level,
        )

    def _float_linear(
        self, source: str, weights: tuple[str, ...], bias: str | None, stem: str, output: str
    ) -> None:
        matrix = self._store_floats(weights, f"{stem}.matrix")
        product = f"{stem}.product" if bias else output
        if self._writer.floats == np.float32:
            self._writer.add_node("Transpose", (matrix,), (f"{stem}.t",), perm=[1, 0])
            self._writer.add_node("MatMul", (source, f"{stem}.t"), (product,))
        else:
            # On a GPU, where weights may well stay as they are, they are read as they lie.
            self._writer.add_node(
                "FusedMatMul", (source, matrix), (product,), contrib=True, transB=1
            )
        if bias:
            self._writer.add_node("Add", (product, bias), (output,))

    def _shape(self, name: str) -> tuple[int, int]:
        shape = self._source.shape(name)
        if shape is None or len(shape) != 2:
            raise ModelFormatError(f"the checkpoint has no matrix {name} (its shape is {shape})")
        return shape[0], shape[1]

    def _resolve(self, names: tuple[str, ...]) -> tuple[str, ...]:
        if names == ("output",) and self._source.shape("output.weight") is None:
            # Tied weights: the head is the embedding.
            return ("token_embd.weight",)
        return tuple(f"{name}.weight" for name in names)

    def _bias(self, names: tuple[str, ...], stored_as: str) -> str | None:
        present = [name for name in names if self._source.shape(f"{name}.bias") is not None]
        if not present:
            return None
        parts = [
            self._source.vector(f"{name}.bias")
            if name in present
            else np.zeros(self._shape(f"{name}.weight")[0], np.float32)
            for name in names
        ]
        return self._writer.add_floats(stored_as, np.concatenate(parts))

    def _shared_layout(self, weights: tuple[str, ...]) -> BlockLayout | None:
        """Stacked matrices share one layout: of those asked for, the widest, finest one."""
        role = "output.weight" if weights == ("token_embd.weight",) else None
        depth = self._source.config.layers
        asked = [
            self._layout.choose(role or name, self._source.rows(name, 0, 1), depth)
            for name in weights
        ]
        chosen = [layout for layout in asked if layout is not None]
        if len(chosen) < len(asked):
            return None
        return max(chosen, key=lambda layout: (layout.bits, -layout.block))

    def _store_floats(self, weights: tuple[str, ...], stored_as: str) -> str:
        rows = sum(self._shape(name)[0] for name in weights)
        kind = self._writer.floats
        matrix = self._writer.add_weight(stored_as, kind, (rows, self._shape(weights[0])[1]))
        for start, values in self._slices(weights):
            matrix.write(start, values)
            self._on_weights(values.size)
        return matrix.name

    def _slices(self, weights: tuple[str, ...]) -> Iterator[tuple[int, Floats]]:
        first = 0
        for name in weights:
            for start, stop in self._spans(name):
                rows = self._source.rows(name, start, stop)
                yield first + start, rows if isinstance(rows, np.ndarray) else rows.values()
            first += self._shape(name)[0]

    def _spans(self, name: str) -> Iterator[tuple[int, int]]:
        rows, columns = self._shape(name)
        step = max(1, _SLICE_WEIGHTS // columns)
        for start in range(0, rows, step):
            yield start, min(start + step, rows)

    def _encode(
        self, weights: tuple[str, ...], layout: BlockLayout
    ) -> Iterator[tuple[int, EncodedRows]]:
        first = 0
        for name in weights:
            columns = self._shape(name)[1]

            def work(span: tuple[int, int], name: str = name) -> EncodedRows:
                return encode_rows(self._source.rows(name, *span), layout)

            spans = list(self._spans(name))
            # A batch at a time: otherwise finished slices pile up when the disk is slow.
            for at in range(0, len(spans), _BATCH):
                batch = spans[at : at + _BATCH]
                for span, encoded in zip(batch, self._workers.map(work, batch), strict=True):
                    yield first + span[0], encoded
                    self._on_weights((span[1] - span[0]) * columns)
            first += self._shape(name)[0]
