"""Its functions exist in kernels only, where Python's rules do not hold."""

from typing import Any

class constexpr(int):
    def __init__(self, value: object) -> None: ...

def __getattr__(name: str) -> Any: ...  # pyright: ignore[reportIncompleteStub] - see above
