"""A picture of the keystroke benchmark: the share of keys answered, by the time it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Times", "cumulative", "save_plot"]

Times = Mapping[str, Sequence[float]]
"""Milliseconds from key to complete text, by the name of who was measured."""

# Halfway between black and white, so that it can be read on either.
_INK = "#7d8590"
_COLOURS = {"midfill": "#1f9d6b", "llama.vim": "#d9622b"}
_LEAST_MS = 0.5


def cumulative(times_ms: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return times in rising order, and the share (per cent) of all that took at most so long.

    Raises ``IndexError`` for no times at all.
    """
    ordered = sorted(max(time_ms, _LEAST_MS) for time_ms in times_ms)
    shares = [(index + 1) / len(ordered) * 100 for index in range(len(ordered))]
    # A step begins at the bottom: no key was answered before the first one was.
    return [ordered[0], *ordered], [0.0, *shares]


def save_plot(path: Path, models: Mapping[str, Times]) -> None:
    """Draw a panel for each model with a curve for each side, and write a PNG; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    width_inches = 4.8 * len(models) + 0.6
    figure, panels = pyplot.subplots(
        1,
        len(models),
        figsize=(width_inches, 3.8),
        dpi=160,
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    most_ms = max(max(times) for sides in models.values() for times in sides.values() if times)
    for axes, (model_id, sides) in zip(panels[0], models.items(), strict=True):
        for side, times_ms in sides.items():
            if times_ms:
                x, y = cumulative(times_ms)
                # All keys are answered by then, and stay so: the curve goes on to the edge.
                x, y = [*x, most_ms * 1.3], [*y, 100.0]
                colour = _COLOURS.get(side, _INK)
                axes.step(x, y, where="post", color=colour, linewidth=2.2, label=side)
        axes.set_title(model_id, color=_INK, fontsize=11)
        axes.set_xscale("log")
        axes.set_xlim(_LEAST_MS, most_ms * 1.3)
        axes.set_ylim(0, 101.5)
        axes.xaxis.set_major_formatter(lambda value, _: _duration(value))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
        axes.set_xlabel("from the keystroke to complete ghost text", color=_INK)
        axes.grid(visible=True, color=_INK, alpha=0.25, linewidth=0.6)
        axes.tick_params(which="both", colors=_INK)
        axes.spines[:].set_visible(False)
        axes.legend(loc="lower right", frameon=False, labelcolor="linecolor", fontsize=11)
    panels[0][0].set_ylabel("keystrokes answered", color=_INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    # The page's own background shows through, be it light or dark.
    figure.savefig(path, transparent=True)
    pyplot.close(figure)


def _duration(value_ms: float) -> str:
    return f"{value_ms / 1000:g} s" if value_ms >= 1000 else f"{value_ms:g} ms"
