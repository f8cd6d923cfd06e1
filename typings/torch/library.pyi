from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

_Function: TypeAlias = Callable[..., Tensor]

class _Operator:
    def __call__(self, *tensors: Tensor) -> Tensor: ...
    def register_fake(self, function: _Function) -> _Function: ...

def custom_op(name: str, *, mutates_args: tuple[str, ...]) -> Callable[[_Function], _Operator]: ...
