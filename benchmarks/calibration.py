"""From judged answers to the weights that the server judges new ones by.

Fits a logistic curve to whether answers were right, by the features that the server itself
computes (``judgement/confidence.py``), and writes ``judgement/weights.py``. Every figure that is
printed is of problems that the curve was not fitted on: all answers to a problem lie in one fold.
One curve serves all models; that of each model by itself is tried on the others too.

Answers are lines of JSON, as ``python -m benchmarks.quality --cases FILE`` writes them: ``set``,
``id``, ``text`` (what the model wrote, from its start), ``scores`` (lists of ``at``, ``logprob``
and more), and whether it was right: ``right``, or ``expected``, the true text, whose first line is
compared. ``shown`` is what the server would show of it unjudged; without it, that is the first
line. ``before`` is the text before the cursor, if it is known. Of the set ``cross-file`` a name
counts and not a line, so nothing is learned from it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.provenance import ROOT, about
from benchmarks.report import json_line, write_json
from midfill_engine.types import TokenScore
from midfill_server.judgement import confidence

__all__ = [
    "Curve",
    "Sample",
    "areas",
    "as_module",
    "cross_validated",
    "evaluate",
    "fit",
    "main",
    "precision_at",
    "read",
]

Floats: TypeAlias = NDArray[np.float64]

WEIGHTS_FILE = ROOT / "server" / "midfill_server" / "judgement" / "weights.py"
SHARES = (0.5, 0.65, 0.8, 0.9)

# More of these can only make a text more probable: the fit must not learn the contrary by chance.
_NEVER_NEGATIVE = frozenset({"total", "worst", "mean", "first"})
_FOLDS, _STRENGTH = 10, 1.0
_NOT_LINES = "cross-file"
_FIRST_LINE = re.compile(r"\s*\S[^\r\n]*")
_PROBLEM = re.compile(r"(?:HumanEval|MBPP)[/_]\d+", re.IGNORECASE)


_MODULE = '''"""The curve by which answers are judged; written by ``benchmarks/calibration.py``.

{figures}
Each by curves that were fitted without its problem; more in ``benchmarks/results``.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BIAS", "WEIGHTS"]

WEIGHTS: Mapping[str, tuple[float, float, float]] = {{
{rows}
}}
"""By feature: its mean and its standard deviation, and what it counts in units of these."""

BIAS = {bias:.4f}
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer, ``amid_line`` or not; those to one ``problem`` have much in common."""

    model: str
    group: str
    problem: str
    shown: str
    scores: tuple[TokenScore, ...]
    right: bool
    features: Mapping[str, float]
    amid_line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A logistic curve over standardised features; ``names`` order the others, ``[features]``."""

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    weights: Floats
    bias: float

    def probabilities(self, values: Floats) -> Floats:
        """Return the probability of each row of ``values``, ``[answers, features]``."""
        scores = (values - self.mean) / self.scale @ self.weights + self.bias
        return 1 / (1 + np.exp(-np.clip(scores, -50, 50)))


def read(path: Path, model: str) -> list[Sample]:
    """Return the answers in a file of lines; those without text say nothing about silence."""
    found: list[Sample] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = cast("dict[str, object]", json.loads(line))
        except ValueError:
            # The last line of a file that is being written.
            continue
        sample = None if row.get("set") == _NOT_LINES else _sample(row, model)
        if sample is not None:
            found.append(sample)
    return found


def _sample(row: Mapping[str, object], model: str) -> Sample | None:
    shown = str(row["shown"]) if "shown" in row else _first_line(str(row["text"]))
    scores = tuple(
        TokenScore(
            at=int(at),
            logprob=float(logprob),
            stop_logprob=0.0,
            runner_up="",
            runner_up_logprob=0.0,
        )
        for at, logprob, *_ in cast("list[tuple[int, float]]", row["scores"])
    )
    found = confidence.features(scores, _first_line(shown))
    if found is None:
        return None
    right = row.get("right")
    if right is None:
        expected = str(row["expected"])
        right = _first_line(shown).strip() == _first_line(expected).strip()
    problem = _PROBLEM.search(str(row["id"]))
    return Sample(
        model=model,
        group=str(row.get("set", "")),
        problem=problem.group().lower().replace("_", "/") if problem else str(row["id"]),
        shown=shown,
        scores=scores,
        right=bool(right),
        features=found,
        amid_line=bool(str(row.get("before", row.get("prefix", ""))).rpartition("\n")[2].strip()),
    )


def _first_line(text: str) -> str:
    """Return the first line with something in it, and what is blank before it."""
    found = _FIRST_LINE.match(text)
    return found.group() if found else ""


def fit(samples: Sequence[Sample], names: Sequence[str], strength: float = _STRENGTH) -> Curve:
    """Fit a curve, with half of ``strength`` times the squared weights against it."""
    values, right = values_of(samples, names), rights_of(samples)
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale[scale == 0] = 1.0
    values = np.column_stack([(values - mean) / scale, np.ones(len(values))])
    bounded = np.array([*(name in _NEVER_NEGATIVE for name in names), False])
    used = np.ones(len(names) + 1, dtype=bool)
    while True:
        weights = np.zeros(len(names) + 1)
        weights[used] = _newton(values[:, used], right, strength)
        wrong = bounded & (weights < 0)
        if not wrong.any():
            break
        # Without those that would count the wrong way, the others are fitted anew.
        used &= ~wrong
    return Curve(
        names=tuple(names), mean=mean, scale=scale, weights=weights[:-1], bias=float(weights[-1])
    )


def _newton(values: Floats, right: Floats, strength: float) -> Floats:
    """Return the best weights; the last is the bias, and nothing is against that one."""
    against = np.full(values.shape[1], strength)
    # Not quite nothing, so that answers which are all right have a best bias too.
    against[-1] = 1e-3
    weights = np.zeros(values.shape[1])
    for _ in range(50):
        found = 1 / (1 + np.exp(-np.clip(values @ weights, -30, 30)))
        slope = values.T @ (found - right) + against * weights
        bend = (values.T * (found * (1 - found))) @ values + np.diag(against)
        step = np.linalg.solve(bend, slope)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-9:
            break
    return weights


def cross_validated(
    learned: Sequence[Sample], asked: Sequence[Sample], names: Sequence[str]
) -> Floats:
    """Return the probability of each of ``asked``, by a curve that never saw its problem.

    The curves are fitted on ``learned``, which may be the same answers.
    """
    problems = sorted({sample.problem for sample in (*learned, *asked)})
    random.Random(0).shuffle(problems)
    fold_of = {problem: at % _FOLDS for at, problem in enumerate(problems)}
    found = np.zeros(len(asked))
    for fold in range(min(_FOLDS, len(problems))):
        own = [at for at, sample in enumerate(asked) if fold_of[sample.problem] == fold]
        others = [sample for sample in learned if fold_of[sample.problem] != fold]
        if own:
            values = values_of([asked[at] for at in own], names)
            found[own] = fit(others, names).probabilities(values)
    return found


def _with_more(sample: Sample) -> Sample:
    """Add what might tell more than the features that are used."""
    end = len(_first_line(sample.shown).rstrip())
    within = [max(score.logprob, -20.0) for score in sample.scores if score.at < end]
    after = [max(score.logprob, -20.0) for score in sample.scores if score.at >= end]
    line = _first_line(sample.shown)
    more = {
        "worst": min(within),
        "mean": sum(within) / len(within),
        "first": within[0],
        "ending": after[0] if after else 0.0,
        "tokens": math.log(len(within)),
        "characters": math.log(len(line.strip())),
        "opens_block": float(line.rstrip().endswith((":", "{", "(", "[", ","))),
        "punctuation": float(not re.search(r"\w", line)),
        "amid_line": float(sample.amid_line),
    }
    return replace(sample, features={**more, **sample.features})


def values_of(samples: Sequence[Sample], names: Sequence[str]) -> Floats:
    """Return the features, ``[answers, features]``."""
    return np.array([[sample.features[name] for name in names] for sample in samples])


def rights_of(samples: Sequence[Sample]) -> Floats:
    """Return 1 for each answer that is right, else 0."""
    return np.array([float(sample.right) for sample in samples])


def areas(found: Floats, right: Floats) -> float:
    """Return how often a right answer is thought more probable than a wrong one (AUC)."""
    good, bad = found[right == 1], found[right == 0]
    if not len(good) or not len(bad):
        return math.nan
    above = (good[:, None] > bad[None, :]).mean() + 0.5 * (good[:, None] == bad[None, :]).mean()
    return float(above)


def precision_at(found: Floats, right: Floats, share: float) -> float:
    """Return how much of the most probable ``share`` of the answers is right."""
    best = np.argsort(-found, kind="stable")[: max(1, math.ceil(len(found) * share))]
    return float(right[best].mean())


def evaluate(samples: Sequence[Sample], found: Floats) -> dict[str, object]:
    """Return what probabilities are worth: how they order, whether they hold, what they show."""
    right = rights_of(samples)
    every = float(right.mean())
    bins = np.clip((found * 10).astype(int), 0, 9)
    return {
        "count": len(samples),
        "right_percent": _percent(every),
        "area": round(areas(found, right), 3),
        "precision_by_share": {
            f"{share:.0%}": {
                "right_percent": _percent(precision_at(found, right, share)),
                "times": round(precision_at(found, right, share) / every, 3),
            }
            for share in SHARES
        },
        "by_eagerness": {
            name: _shown(found, right, eagerness.sureness)
            for name, eagerness in confidence.EAGERNESS.items()
        },
        "calibration": [
            {
                "expected_percent": _percent(float(found[bins == each].mean())),
                "right_percent": _percent(float(right[bins == each].mean())),
                "count": int((bins == each).sum()),
            }
            for each in sorted(set(bins))
        ],
    }


def _shown(found: Floats, right: Floats, threshold: float) -> dict[str, object]:
    shown = found >= threshold
    precision = float(right[shown].mean()) if shown.any() else math.nan
    return {
        "shown_percent": _percent(float(shown.mean())),
        "right_percent": _percent(precision),
        "times": round(precision / float(right.mean()), 3),
    }


def _percent(share: float) -> float:
    return round(100 * share, 1)


def as_module(curve: Curve, figures: str) -> str:
    """Return the source of the module with the weights; ``figures`` say what they are worth."""
    columns = zip(curve.names, curve.mean, curve.scale, curve.weights, strict=True)
    rows = "\n".join(
        f'    "{name}": ({mean:.4f}, {scale:.4f}, {weight:.4f}),'
        for name, mean, scale, weight in columns
    )
    return _MODULE.format(figures=figures, rows=rows, bias=curve.bias)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, print what that is worth, and write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration")
    parser.add_argument(
        "answers", nargs="+", metavar="MODEL=FILE", help="judged answers of a model"
    )
    parser.add_argument("--write", action="store_true", help="write the weights into the server")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(arguments)
    models: dict[str, list[Sample]] = {}
    for given in cast("list[str]", args.answers):
        model, _, file = given.rpartition("=")
        models.setdefault(model, []).extend(read(Path(file), model))
    samples = [sample for each in models.values() for sample in each]
    result = _result(models, samples)
    print(json.dumps(result, indent=1))
    if args.json:
        write_json(args.json, json_line("calibration", about(peer_version=None), result))
    if args.write:
        module = as_module(fit(samples, confidence.FEATURES), _figures(models, samples))
        WEIGHTS_FILE.write_text(module, encoding="utf-8", newline="\n")
        print(f"written: {WEIGHTS_FILE}", file=sys.stderr)
    return 0


def _figures(models: Mapping[str, Sequence[Sample]], samples: Sequence[Sample]) -> str:
    """Return what the curve is worth for each model, a line each."""
    found = cross_validated(samples, samples, confidence.FEATURES)
    whose = np.array([sample.model for sample in samples])
    lines: list[str] = []
    for model, each in models.items():
        right, own = rights_of(each), found[whose == model]
        shown = own >= confidence.EAGERNESS["balanced"].sureness
        lines.append(
            f"{model}: {len(each)} answers, {right.mean():.1%} right; "
            f"balanced shows {shown.mean():.0%}, of which {right[shown].mean():.1%}."
        )
    return "\n".join(lines)


def _result(models: Mapping[str, Sequence[Sample]], samples: Sequence[Sample]) -> dict[str, object]:
    found = cross_validated(samples, samples, confidence.FEATURES)
    right = rights_of(samples)
    whose = np.array([sample.model for sample in samples])
    which = np.array([sample.group for sample in samples])
    tried = [_with_more(sample) for sample in samples]
    beside = {
        name: areas(cross_validated(tried, tried, (*confidence.FEATURES, name)), right)
        for name in sorted(tried[0].features)
        if name not in confidence.FEATURES
    }
    return {
        "models": {model: evaluate(each, found[whose == model]) for model, each in models.items()},
        "sets": {
            group: {
                "count": int((which == group).sum()),
                "right_percent": _percent(float(right[which == group].mean())),
                "area": round(areas(found[which == group], right[which == group]), 3),
            }
            for group in sorted(set(which))
        },
        "area": round(areas(found, right), 3),
        "area_with_one_more_feature": {name: round(area, 3) for name, area in beside.items()},
        "learned_from_another": {
            f"{model} by {other}": evaluate(
                each, cross_validated(models[other], each, confidence.FEATURES)
            )
            for model, each in models.items()
            for other in models
            if other != model
        },
    }


if __name__ == "__main__":
    sys.exit(main())
