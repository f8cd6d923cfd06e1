"""From judged answers to weights, on answers whose probability is known because it was drawn."""

from __future__ import annotations

import ast
import json
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import calibration
from midfill_server.judgement import confidence, weights


def rows(count: int, seed: int, *, honest: bool = True) -> Iterator[dict[str, object]]:
    """Yield answers that are right as often as their probability says, or independent of it."""
    draw = random.Random(seed)
    for number in range(count):
        tokens = [-draw.expovariate(3) for _ in range(draw.randint(1, 6))]
        likely = math.exp(sum(tokens)) if honest else 0.6
        yield {
            "set": "drawn",
            "id": f"py/HumanEval_{number % 60}.json-L{number}",
            "text": "  " + "x" * len(tokens) + "\nand more",
            "scores": [[at and at + 2, each] for at, each in enumerate(tokens)] + [[9, -9.0]],
            "right": draw.random() < likely,
        }


def written(path: Path, *found: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def test_what_is_read_of_an_answer(tmp_path: Path) -> None:
    exact: dict[str, object] = {
        "set": "s",
        "id": "SingleLineInfilling/HumanEval/7/L2",
        "text": "\n  a = 1\n  b",
        "expected": "  a = 1\n",
        "scores": [[0, -0.1, -3.0, "", -4.0], [3, -0.2, -3.0, "", -4.0], [9, -7.0, -1.0, "", -4]],
    }
    wrong = {**exact, "expected": "  a = 2"}
    passes = {**wrong, "right": True}
    silent = {**exact, "text": "\n\n"}
    path = written(tmp_path / "a.jsonl", exact, wrong, passes, silent)
    path.write_text(path.read_text(encoding="utf-8") + '{"half', encoding="utf-8")
    found = calibration.read(path, "m")
    assert [sample.right for sample in found] == [True, False, True]
    assert {sample.problem for sample in found} == {"humaneval/7"}
    assert found[0].shown == "\n  a = 1"
    assert found[0].features["total"] == pytest.approx(-math.sqrt(0.3))


def test_a_curve_finds_what_answers_were_drawn_by(tmp_path: Path) -> None:
    samples = calibration.read(written(tmp_path / "a.jsonl", *rows(600, 1)), "m")
    found = calibration.cross_validated(samples, samples, confidence.FEATURES)
    right = calibration.rights_of(samples)
    assert calibration.areas(found, right) > 0.75
    # What is said to be right in so many cases is, give or take what chance does to 600.
    assert abs(float(found.mean() - right.mean())) < 0.03
    sure = found > 0.8
    assert abs(float(found[sure].mean() - right[sure].mean())) < 0.1
    every, best = float(right.mean()), calibration.precision_at(found, right, 0.5)
    assert best > 1.2 * every
    assert calibration.precision_at(found, right, 1.0) == pytest.approx(every)


def test_what_says_nothing_does_not_seem_to(tmp_path: Path) -> None:
    samples = calibration.read(written(tmp_path / "a.jsonl", *rows(600, 2, honest=False)), "m")
    found = calibration.cross_validated(samples, samples, confidence.FEATURES)
    # A fit that saw its own problems would find something even here.
    assert abs(calibration.areas(found, calibration.rights_of(samples)) - 0.5) < 0.08


def test_more_probable_tokens_never_count_against_a_text(tmp_path: Path) -> None:
    turned: list[dict[str, object]] = [{**row, "right": not row["right"]} for row in rows(300, 3)]
    samples = calibration.read(written(tmp_path / "a.jsonl", *turned), "m")
    curve = calibration.fit(samples, confidence.FEATURES)
    by_name = dict(zip(curve.names, curve.weights, strict=True))
    assert by_name["total"] == 0


def test_areas_are_shares_of_pairs_in_order() -> None:
    right = np.array([0.0, 0.0, 1.0, 1.0])
    assert calibration.areas(np.array([0.1, 0.2, 0.3, 0.4]), right) == 1
    assert calibration.areas(np.array([0.4, 0.3, 0.2, 0.1]), right) == 0
    assert calibration.areas(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0.5
    assert math.isnan(calibration.areas(np.array([0.5]), np.array([1.0])))


def test_the_module_that_is_written_says_what_the_curve_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, figures = tmp_path / "weights.py", tmp_path / "figures.json"
    monkeypatch.setattr(calibration, "WEIGHTS_FILE", module)
    small = written(tmp_path / "small.jsonl", *rows(120, 4))
    large = written(tmp_path / "large.jsonl", *rows(120, 5))
    given = [f"small={small}", f"large={large}", "--write", "--json", str(figures)]
    assert calibration.main(given) == 0
    assert json.loads(capsys.readouterr().out)["models"]["large"]["count"] == 120
    result = json.loads(figures.read_text(encoding="utf-8"))["figures"]
    assert set(result["learned_from_another"]) == {"small by large", "large by small"}
    source = module.read_text(encoding="utf-8")
    said = ast.get_docstring(ast.parse(source)) or ""
    assert "small: 120 answers, " in said
    assert "large: 120 answers, " in said
    space: dict[str, object] = {}
    exec(compile(source, "weights.py", "exec"), space)
    samples = calibration.read(small, "small") + calibration.read(large, "large")
    curve = calibration.fit(samples, confidence.FEATURES)
    expected = curve.probabilities(calibration.values_of(samples[:5], confidence.FEATURES))
    monkeypatch.setattr(confidence, "WEIGHTS", space["WEIGHTS"])
    monkeypatch.setattr(confidence, "BIAS", space["BIAS"])
    served = [confidence.probability(sample.features) for sample in samples[:5]]
    assert served == pytest.approx(expected.tolist(), abs=1e-3)


def test_the_committed_weights_are_of_this_form() -> None:
    assert weights.__doc__ is not None
    assert re.search(r"\d+ answers, [\d.]+% right", weights.__doc__)
