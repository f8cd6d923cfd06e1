"""The part of Triton that midfill uses; what stands inside a kernel is not Python to a checker."""

from collections.abc import Callable
from typing import TypeVar

_Kernel = TypeVar("_Kernel", bound=Callable[..., None])

class _Launched:
    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]: ...

def cdiv(number: int, by: int) -> int: ...
def jit(kernel: Callable[..., None]) -> _Launched: ...
