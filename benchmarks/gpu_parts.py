"""The parts of the GPU benchmark: each yields what it found, as soon as it has found it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks.gpu_figures import (
    GAIN,
    Found,
    first_figures,
    keyed,
    of_bandwidth,
    own_figures,
    peer_figures,
    step_figures,
)
from benchmarks.gpu_kernels import kernel_times, matrices
from benchmarks.gpu_peer import Peer, PeerMissingError
from benchmarks.gpu_setting import (
    Bandwidth,
    Generation,
    Model,
    Setting,
    arbitrary_prompt,
    floor_ms,
    generate,
    median_ms,
    open_model,
    shape,
)
from benchmarks.gpu_speculation import (
    ACCEPTANCES,
    WIDTHS,
    best_draft,
    run_loop,
    speed_up,
    step_costs_ms,
)
from benchmarks.report import Figure, spread
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.loop import prefill
from midfill_engine.errors import MidfillError

__all__ = ["PARTS", "Plan"]

_CHUNKS = (256, 1024)
_LENGTHS = (1, 3, 7, 15)
_LOOPS = (0.6, 0.8, 0.9)
_ASKED_ACCEPTANCE = 0.8
_OVER = "the time was over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which models: ``shapes`` in each of ``weights``; pairs of target and draft, as (shape,
    weights). ``enough`` says that the time is over."""

    shapes: tuple[str, ...]
    weights: tuple[str, ...]
    targets: tuple[tuple[str, str], ...]
    drafts: tuple[tuple[str, str], ...]
    layouts: tuple[str, ...]
    with_peer: bool
    enough: Callable[[], bool]


def decoding(plan: Plan, setting: Setting, bandwidth: Bandwidth) -> Iterator[Found]:
    """Measure tokens per second against the floor, time to the first token, and transformers."""
    for name in plan.shapes:
        for weights in plan.weights:
            item = f"decode {name} {weights}"
            if plan.enough():
                yield Found(name=item, missing=_OVER)
                continue
            try:
                with _opened(name, weights, setting) as model:
                    found = _decoding_of(item, model, plan, setting, bandwidth)
            except MidfillError as error:
                # What does not fit takes no other with it.
                found = Found(name=item, missing=str(error))
            yield found


def _decoding_of(
    item: str, model: Model, plan: Plan, setting: Setting, bandwidth: Bandwidth
) -> Found:
    prompt = arbitrary_prompt(model.config, setting)
    peer, why = _peer(model, plan, setting)
    ours: list[Generation] = []
    theirs: list[tuple[float, float]] = []
    agreed: list[bool] = []

    def our_turn() -> None:
        ours.append(generate(model.sequence, prompt, setting, chunk=_CHUNKS[-1]))

    def peer_turn() -> None:
        if peer is None:
            return
        _, first_s = peer.answer(prompt, 1)
        tokens, whole_s = peer.answer(prompt, setting.answer_tokens)
        theirs.append((first_s, whole_s - first_s))
        agreed.append(tuple(tokens) == ours[-1].tokens)

    try:
        our_turn()
        peer_turn()
        # The first answers recorded graphs and chose kernels: they do not count.
        ours.clear()
        theirs.clear()
        for index in range(setting.rounds):
            # The other one first in every second round: a drift then favours neither.
            for turn in (our_turn, peer_turn)[:: 1 if index % 2 == 0 else -1]:
                turn()
        firsts = {chunk: _first_ms(model, prompt, setting, chunk) for chunk in _CHUNKS}
    finally:
        if peer is not None:
            peer.close()
    floor = floor_ms(model, setting, bandwidth)
    figures = [*own_figures(item, model, ours, floor), *first_figures(item, model, firsts)]
    figures += peer_figures(item, ours, theirs, setting, why)
    data = {
        "load_s": round(model.load_s, 2),
        "floor_ms": floor,
        "same_tokens_as_transformers": all(agreed) if agreed else None,
        "transformers": peer.version if peer else why,
    }
    return Found(name=item, figures=tuple(figures), data=data)


def costs(plan: Plan, setting: Setting, bandwidth: Bandwidth) -> Iterator[Found]:
    """Measure steps of each width, and the loop with drafts, for each target and draft."""
    for name, weights in plan.targets:
        item = f"steps {name} {weights}"
        if plan.enough():
            yield Found(name=item, missing=_OVER)
            continue
        try:
            with _opened(name, weights, setting) as target:
                target_ms = step_costs_ms(target, setting, WIDTHS)
                yield step_figures(item, target, target_ms, setting, bandwidth)
                for draft in plan.drafts:
                    yield from _with_draft(target, target_ms, draft, plan, setting)
        except MidfillError as error:
            yield Found(name=item, missing=str(error))


def _with_draft(
    target: Model,
    target_ms: Mapping[int, float],
    chosen: tuple[str, str],
    plan: Plan,
    setting: Setting,
) -> Iterator[Found]:
    pair = f"{target.name} {target.weights} with {' '.join(chosen)}"
    if plan.enough():
        yield Found(name=f"speculation {pair}", missing=_OVER)
        return
    try:
        with _opened(*chosen, setting) as draft:
            yield from _speculation(pair, target, target_ms, draft, setting)
    except MidfillError as error:
        yield Found(name=f"speculation {pair}", missing=str(error))


def _speculation(
    pair: str, target: Model, target_ms: Mapping[int, float], draft: Model, setting: Setting
) -> Iterator[Found]:
    draft_ms = step_costs_ms(draft, setting, (1, 2))[1]
    bests = {rate: best_draft(target_ms, draft_ms, rate) for rate in ACCEPTANCES}
    figures = [
        Figure(
            key=f"computed_{rate}",
            name=f"{pair}: computed gain at {rate:.0%}, {length} drafted",
            unit="x",
            value=spread([gain]),
        )
        for rate, (length, gain) in bests.items()
    ]
    gains = {
        str(rate): {
            str(length): round(speed_up(target_ms, draft_ms, rate, length), 4)
            for length in _LENGTHS
        }
        for rate in ACCEPTANCES
    }
    data = {"draft_step_ms": draft_ms, "target_step_ms": keyed(target_ms), "computed": gains}
    yield Found(name=f"speculation {pair}", figures=tuple(figures), data=data)
    for rate in _LOOPS:
        length, _ = bests[rate]
        run = partial(
            run_loop, target, draft, setting, acceptance=rate, length=length, chunk=_CHUNKS[-1]
        )
        run()
        runs = [run() for _ in range(setting.rounds)]
        both = (target.weights, draft.weights)
        asked = rate == _ASKED_ACCEPTANCE and both == ("int4", "int4") and target.name == "34b"
        figure = Figure(
            key=f"loop_{rate}",
            name=f"{pair}: real loop at {rate:.0%}, {length} drafted",
            unit="tok/s",
            value=spread([each.speed_up for each in runs]),
            ours=spread([each.drafted.tokens_per_s for each in runs]),
            peer=spread([each.plain.tokens_per_s for each in runs]),
            goal=GAIN if asked else None,
        )
        outcomes = [each.drafted.outcome for each in runs]
        counts: dict[str, object] = {
            "drafted": sum(outcome.drafted for outcome in outcomes),
            "accepted": sum(outcome.accepted for outcome in outcomes),
        }
        yield Found(name=f"loop {pair} {rate}", figures=(figure,), data=counts)


def kernels(plan: Plan, setting: Setting, bandwidth: Bandwidth) -> Iterator[Found]:
    """Measure every kernel on every matrix of the shapes, by rows."""
    for name in plan.shapes:
        for matrix, size in matrices(shape(name)).items():
            item = f"kernels {name} {matrix}"
            if plan.enough():
                yield Found(name=item, missing=_OVER)
                continue
            times = list(kernel_times(matrix, size, setting))
            figures = tuple(
                Figure(
                    key=f"{each.weights}_{each.kernel}",
                    name=f"{name} {matrix} {size[0]}x{size[1]}, {each.weights}, {each.kernel}",
                    unit="µs",
                    value=spread([each.us[1]]) if each.us else None,
                    note=each.failure or of_bandwidth(each.read_gb_s, bandwidth),
                )
                for each in times
            )
            data = {"times": [{**asdict(each), "us": keyed(each.us)} for each in times]}
            yield Found(name=item, figures=figures, data=data)


def onnx(plan: Plan, setting: Setting, bandwidth: Bandwidth) -> Iterator[Found]:
    """Measure ONNX Runtime with the same graph as on the CPU, converted here."""
    from benchmarks.gpu_onnx import OnnxMissingError, open_onnx

    for name in plan.shapes:
        for layout in plan.layouts:
            item = f"onnx {name} {layout}"
            if plan.enough():
                yield Found(name=item, missing=_OVER)
                continue
            try:
                with open_onnx(name, layout, setting) as model:
                    prompt = arbitrary_prompt(model.config, setting)
                    generate(model.sequence, prompt, setting, chunk=_CHUNKS[-1])
                    ours = [
                        generate(model.sequence, prompt, setting, chunk=_CHUNKS[-1])
                        for _ in range(setting.rounds)
                    ]
                    firsts = {chunk: _first_ms(model, prompt, setting, chunk) for chunk in _CHUNKS}
                    found = [
                        *own_figures(item, model, ours, None),
                        *first_figures(item, model, firsts),
                    ]
                    data: dict[str, object] = {"load_s": round(model.load_s, 2)}
            except (OnnxMissingError, MidfillError) as error:
                yield Found(name=item, missing=str(error))
                continue
            yield Found(name=item, figures=tuple(found), data=data)


PARTS = {"decode": decoding, "speculation": costs, "kernels": kernels, "onnx": onnx}
"""By name, in the order in which they are run."""


@contextmanager
def _opened(name: str, weights: str, setting: Setting) -> Iterator[Model]:
    model = open_model(name, weights, setting)
    try:
        yield model
    finally:
        model.backend.close()
        del model
        # The next one needs the room.
        gc.collect()


def _peer(model: Model, plan: Plan, setting: Setting) -> tuple[Peer | None, str]:
    if not plan.with_peer:
        return None, "left out"
    try:
        return Peer(model.config, model.weights, setting), ""
    except PeerMissingError as error:
        return None, str(error)


def _first_ms(model: Model, prompt: Sequence[int], setting: Setting, chunk: int) -> float:
    def first() -> None:
        model.sequence.truncate(0)
        logits = prefill(model.sequence, prompt, CancelToken(), chunk)
        assert logits is not None
        logits[0].argmax()

    return median_ms(first, 2 + setting.rounds)
