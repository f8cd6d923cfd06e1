"""Progress of long work on a terminal: one bar there, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.sources.base import human_bytes

__all__ = ["progress_sink"]

_PLAIN_REPORT_EVERY_S = 5.0


@contextmanager
def progress_sink(stream: TextIO, *, transient: bool = False) -> Generator[ProgressSink]:
    """Show reports on ``stream``; ``transient`` leaves nothing behind on a terminal."""
    if not stream.isatty():
        yield _PlainReports(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(file=stream), transient=transient) as bar:
        shown: str | None = None

        def show(progress: Progress) -> None:
            # Each step is a line that stays, above one bar: so one sees what was tried before,
            # and a long line does not squeeze the bar.
            nonlocal shown
            if progress.task != shown:
                shown = progress.task
                if not transient:
                    bar.console.print(progress.task, markup=False, highlight=False)
                for task_id in bar.task_ids:
                    bar.remove_task(task_id)
                if progress.total is not None:
                    bar.add_task("", total=progress.total, amount="")
            for task_id in bar.task_ids:
                bar.update(task_id, completed=progress.done, amount=_amount(progress))

        yield show


def _amount(progress: Progress) -> str:
    if progress.unit != "B" or progress.total is None:
        return ""
    return f"{human_bytes(progress.done)} of {human_bytes(progress.total)}"


class _PlainReports:
    """A line when a step begins and then every few seconds: for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._task: str | None = None
        self._printed_s = 0.0

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if progress.task == self._task and now_s - self._printed_s < _PLAIN_REPORT_EVERY_S:
            return
        self._task = progress.task
        self._printed_s = now_s
        far = f": {progress.done * 100 // progress.total} %" if progress.total else ""
        if far and (amount := _amount(progress)):
            far = f"{far} ({amount})"
        print(f"{progress.task}{far}", file=self._stream, flush=True)
