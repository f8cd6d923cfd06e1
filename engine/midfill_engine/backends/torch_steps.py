"""Decode steps of a few tokens, padded to few shapes, each recorded once as a CUDA graph.

A step of a 7B starts some 300 kernels; started one by one they cost more than they take to run. A
recorded step is started at once, but its shapes and addresses are fixed: tokens are padded to the
next of ``WIDTHS``, and of the buffer a power of two of rows is read, with a mask. What the padding
writes lies behind the sequence, and the next step overwrites it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import WorkCancelledError
from midfill_engine.models.decoder import Decoder
from midfill_engine.progress import Progress, ProgressSink

__all__ = ["WIDTHS", "StepRunner", "reach_for", "width_for"]

WIDTHS = (1, 2, 4, 8, 16)
"""How many tokens a recorded step computes."""

_LEAST_REACH = 256

Body: TypeAlias = Callable[[], Tensor]


class _Recorded(Protocol):
    """A step that can be run again on what its input tensors then hold."""

    def replay(self) -> Tensor: ...


def width_for(tokens: int) -> int | None:
    """Return the width that ``tokens`` are padded to, or ``None`` where they are too many."""
    return next((width for width in WIDTHS if tokens <= width), None)


def reach_for(end: int, rows: int) -> int:
    """Return how many of ``rows`` a step reads whose positions are below ``end``."""
    reach = _LEAST_REACH
    while reach < end:
        reach *= 2
    return min(reach, rows)


class StepRunner:
    """Runs narrow steps of ``model`` on ``buffer``; on a GPU each shape is recorded when first met.

    Elsewhere the same padded shapes are computed directly.
    """

    def __init__(self, model: Decoder, buffer: Tensor) -> None:
        self._model, self._buffer = model, buffer
        self._recorded: dict[tuple[int, int], _Recorded] = {}
        self._inputs = {width: _Inputs(width, buffer.device) for width in WIDTHS}
        # Graphs run one at a time, so that all can use the same memory in between.
        self._pool = torch.cuda.graph_pool_handle() if buffer.is_cuda else None

    def run(self, tokens: Sequence[int], start: int) -> Tensor:
        """Return float32 logits ``[len(tokens), vocab]``, valid until the next step.

        Writes the buffer from position ``start`` on.
        """
        width = width_for(len(tokens))
        assert width is not None, "too many tokens for a narrow step"
        reach = reach_for(start + width, self._buffer.shape[3])
        inputs = self._inputs[width]
        inputs.set(tokens, start)
        step = self._recorded.get((width, reach))
        if step is None:
            step = self._record(inputs, reach)
            self._recorded[width, reach] = step
        return step.replay()[: len(tokens)]

    def warm_up(self, progress: ProgressSink, cancel: CancelToken) -> None:
        """Compile and record the shapes that come first; the buffer must be empty.

        Further shapes are recorded when they are met, and compiled layers fit them already: what
        differs between the first two reaches is a variable from then on.
        """
        rows = self._buffer.shape[3]
        shapes = [(width, start) for start in (0, _LEAST_REACH) for width in WIDTHS]
        shapes = [(width, start) for width, start in shapes if start + width <= rows]
        for done, (width, start) in enumerate(shapes):
            if cancel.cancelled:
                raise WorkCancelledError("loading was stopped")
            progress(Progress(task="Preparing steps", done=done, total=len(shapes), unit="steps"))
            self.run([0] * width, start)

    def _record(self, inputs: _Inputs, reach: int) -> _Recorded:
        def body() -> Tensor:
            tokens, positions = inputs.tokens(), inputs.positions()
            return self._model.narrow_step(tokens, positions, self._buffer, reach)

        return _Direct(body) if self._pool is None else _Graph(body, self._pool)


class _Inputs:
    """The tokens of a step and where it starts, in one tensor that is filled by one copy."""

    def __init__(self, width: int, device: torch.device) -> None:
        self._width = width
        self._host = torch.zeros(width + 1, dtype=torch.int64, pin_memory=device.type == "cuda")
        self._device = torch.zeros(width + 1, dtype=torch.int64, device=device)
        self._offsets = torch.arange(width, device=device)

    def set(self, tokens: Sequence[int], start: int) -> None:
        padding = [0] * (self._width - len(tokens))
        # The step before is over: its logits were waited for, so the host's copy is free.
        self._host.copy_(torch.tensor([*tokens, *padding, start]))
        self._device.copy_(self._host, non_blocking=True)

    def tokens(self) -> Tensor:
        return self._device[: self._width]

    def positions(self) -> Tensor:
        return self._device[self._width] + self._offsets


class _Direct:
    """Computes anew each time."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def replay(self) -> Tensor:
        return self._body()


class _Graph:
    """A CUDA graph of a step, and the tensor that it leaves its result in."""

    def __init__(self, body: Body, pool: torch.cuda.PoolHandle) -> None:
        # The first runs choose kernels and take work space, which must not be recorded. They
        # compute the step itself, so running it again writes the same.
        warm = torch.cuda.Stream()
        warm.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm):
            for _ in range(2):
                body()
        torch.cuda.current_stream().wait_stream(warm)
        self._graph = torch.cuda.CUDAGraph()
        # Only this thread must not do what cannot be recorded: another one may be loading a model.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._result = body()

    def replay(self) -> Tensor:
        self._graph.replay()
        return self._result
