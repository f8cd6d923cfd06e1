from collections.abc import Callable

from torch import Tensor

class _Aten:
    """Operators without a Python function of their own."""

    def _convert_weight_to_int4pack(self, codes: Tensor, depth: int) -> Tensor: ...
    def _convert_weight_to_int4pack_for_cpu(self, codes: Tensor, depth: int) -> Tensor: ...
    _weight_int4pack_mm: Callable[[Tensor, Tensor, int, Tensor], Tensor]
    _weight_int4pack_mm_for_cpu: Callable[[Tensor, Tensor, int, Tensor], Tensor]
    def _weight_int8pack_mm(self, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor: ...

aten: _Aten
