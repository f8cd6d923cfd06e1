"""Which width each tensor of a converted model gets.

A layout is chosen per model by measured speed and quality (``benchmarks/``); ``exact`` and
``float32`` are what the others are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from midfill_engine.errors import ModelError
from midfill_engine.onnx.quantize import BlockLayout, exact_layout
from midfill_engine.weights import Rows

__all__ = ["LAYOUTS", "ChooseLayout", "WeightLayout", "find_layout"]

_INT8 = BlockLayout(bits=8, block=128)
_INT4 = BlockLayout(bits=4, block=128, symmetric=False)
_INT4_FINE = BlockLayout(bits=4, block=32, symmetric=False)


class ChooseLayout(Protocol):
    """Answers for one matrix; ``None`` means float32."""

    def __call__(self, name: str, sample: Rows, layers: int = 0) -> BlockLayout | None:
        """Choose by its name, some of its rows as the file holds them, and the model's depth.

        Of a depth that is not told, no layer is near an end.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightLayout:
    """A named choice of block layouts."""

    name: str
    summary: str
    choose: ChooseLayout


def _float32(name: str, sample: Rows, layers: int = 0) -> BlockLayout | None:
    return None


def _exact(name: str, sample: Rows, layers: int = 0) -> BlockLayout | None:
    return exact_layout(sample) or BlockLayout(bits=8, block=32)


def _int8(name: str, sample: Rows, layers: int = 0) -> BlockLayout | None:
    return _INT8


def _mixed(name: str, sample: Rows, layers: int = 0) -> BlockLayout | None:
    # The FFN is most of a layer and forgives most; attention and the output head are small or
    # sensitive.
    match name.split("."):
        case ["blk", layer, ("ffn_gate" | "ffn_up" | "ffn_down") as matrix, _]:
            return _INT8 if _is_costly(int(layer), matrix, layers) else _INT4
        case _:
            return _INT8


def _is_costly(layer: int, matrix: str, layers: int) -> bool:
    """Whether 4 bits here cost about twice the quality that they cost elsewhere (measured).

    That is the last eighth of the layers, and the down projections of the first eighth.
    """
    edge = layers // 8
    early = layer < edge and matrix == "ffn_down"
    return early or layers - edge <= layer < layers


def _int4(name: str, sample: Rows, layers: int = 0) -> BlockLayout | None:
    return _INT4


def _int4_fine(name: str, sample: Rows, layers: int = 0) -> BlockLayout | None:
    return _INT8 if name == "output.weight" else _INT4_FINE


LAYOUTS: Mapping[str, WeightLayout] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            WeightLayout(name="float32", summary="no quantisation", choose=_float32),
            WeightLayout(name="exact", summary="the file's own grids, int8 else", choose=_exact),
            WeightLayout(name="int8", summary="8 bits, blocks of 128", choose=_int8),
            WeightLayout(name="mixed", summary="4-bit FFN, its ends and all else 8", choose=_mixed),
            WeightLayout(name="int4", summary="4 bits, blocks of 128", choose=_int4),
            WeightLayout(name="int4-fine", summary="4 bits, blocks of 32", choose=_int4_fine),
        )
    }
)


def find_layout(name: str) -> WeightLayout:
    """Return the layout called ``name``; ``ModelError`` lists the names there are."""
    try:
        return LAYOUTS[name]
    except KeyError:
        known = ", ".join(LAYOUTS)
        raise ModelError(f"there is no weight layout {name!r}; choose one of: {known}") from None
