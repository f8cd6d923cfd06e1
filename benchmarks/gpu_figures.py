"""What the GPU benchmark found, as figures with the targets they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.gpu_setting import Bandwidth, Generation, Model, Setting, floor_ms
from benchmarks.report import Figure, Goal, spread

__all__ = [
    "GAIN",
    "Found",
    "compare_weights",
    "first_figures",
    "keyed",
    "of_bandwidth",
    "own_figures",
    "peer_figures",
    "step_figures",
]

GAIN = Goal(bound=2.2, at_least=True)
_SHARE = Goal(bound=0.85, at_least=True)
_FIRST = Goal(bound=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that was measured: figures for the table, and ``data`` for the result.

    ``missing``: why there are none.
    """

    name: str
    figures: tuple[Figure, ...] = ()
    data: Mapping[str, object] = field(default_factory=dict[str, object])
    missing: str = ""


def compare_weights(found: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    """Return how many times as fast the narrower weights of a shape are as 16 bits.

    ``found`` has tokens per second by shape and weights.
    """
    return [
        Figure(
            key=f"{name}_{weights}_over_bf16",
            name=f"{name}: {weights} ÷ bf16",
            unit="x",
            value=spread([speeds[weights] / speeds["bf16"]]),
            goal=GAIN if (name, weights) == ("7b", "int4") else None,
        )
        for name, speeds in found.items()
        for weights in speeds
        if weights != "bf16" and "bf16" in speeds
    ]


def own_figures(
    item: str, model: Model, ours: Sequence[Generation], floor: float | None
) -> list[Figure]:
    """Return tokens per second, and what share of the floor's that is."""
    speeds = [each.tokens_per_s for each in ours]
    figures = [Figure(key="tokens_per_s", name=item, unit="tok/s", value=spread(speeds))]
    if floor is not None:
        asked = (model.name, model.weights) == ("7b", "bf16")
        figures.append(
            Figure(
                key="floor_share",
                name=f"{item}, share of the floor",
                unit="",
                value=spread([floor / 1000 * speed for speed in speeds]),
                goal=_SHARE if asked else None,
                note=f"the floor is {floor:.2f} ms a token",
            )
        )
    return figures


def first_figures(item: str, model: Model, firsts: Mapping[int, float]) -> list[Figure]:
    """Return the time to the first token, by the length of the chunks."""
    return [
        Figure(
            key=f"first_token_ms_{chunk}",
            name=f"{item}, first token, chunks of {chunk}",
            unit="ms",
            value=spread([first]),
            goal=_FIRST if model.name == "7b" else None,
        )
        for chunk, first in firsts.items()
    ]


def peer_figures(
    item: str,
    ours: Sequence[Generation],
    theirs: Sequence[tuple[float, float]],
    setting: Setting,
    why: str,
) -> list[Figure]:
    """Compare with transformers: seconds to the first token, and the rest; ``why`` not."""
    name = f"{item} ÷ transformers"
    if not theirs:
        return [Figure(key="over_transformers", name=name, unit="x", value=None, note=why)]
    rates = [(setting.answer_tokens - 1) / rest_s for _, rest_s in theirs]
    firsts = [first_s * 1000 for first_s, _ in theirs]
    pairs = zip(ours, rates, strict=False)
    return [
        Figure(
            key="over_transformers",
            name=name,
            unit="tok/s",
            value=spread([each.tokens_per_s / rate for each, rate in pairs]),
            ours=spread([each.tokens_per_s for each in ours]),
            peer=spread(rates),
        ),
        Figure(
            key="transformers_first_token_ms",
            name=f"{item}, transformers' first token",
            unit="ms",
            value=spread(firsts),
        ),
    ]


def step_figures(
    item: str,
    model: Model,
    target_ms: Mapping[int, float],
    setting: Setting,
    bandwidth: Bandwidth,
) -> Found:
    """Return what steps cost, by the number of tokens."""
    floor = floor_ms(model, setting, bandwidth)
    figures = tuple(
        Figure(
            key=f"step_of_{width}_ms",
            name=f"{item}, {width} at once",
            unit="ms",
            value=spread([ms]),
            note=f"the floor is {floor:.2f} ms" if width == 1 else "",
        )
        for width, ms in target_ms.items()
    )
    return Found(name=item, figures=figures, data={"load_s": round(model.load_s, 2)})


def of_bandwidth(read_gb_s: float, bandwidth: Bandwidth) -> str:
    """Say how near the reading of a matrix comes to the probe."""
    return f"reads {read_gb_s:.0f} GB/s, {read_gb_s * 1e9 / bandwidth.best:.0%} of the probe"


def keyed(by_number: Mapping[int, float]) -> dict[str, float]:
    """Return it with keys as JSON has them, and without the digits that no clock has."""
    return {str(number): float(f"{value:.6g}") for number, value in by_number.items()}
