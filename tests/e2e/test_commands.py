"""The commands as a person types them, with the real small model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.sites import SAMPLES
from tests.e2e.conftest import MODEL

ROOT = Path(__file__).parents[2]


def run(environment: dict[str, str], *words: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env=environment,
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_complete_prints_what_would_be_inserted(environment: dict[str, str]) -> None:
    code = "def add(a, b):\n    return a \n"
    out = run(environment, "midfill_server", "complete", "-:2:14", "--model", MODEL, stdin=code)
    assert out.strip() == "+ b"


def test_complete_as_json_tells_what_it_cost(environment: dict[str, str]) -> None:
    place = f"{SAMPLES / 'pool.go'}:130:1"
    answer = json.loads(
        run(environment, "midfill_server", "complete", place, "--json", "--model", MODEL)
    )
    assert answer["model"] == MODEL
    timings = answer["timings"]
    assert timings["reused_tokens"] == 0
    assert timings["prompt_tokens"] == timings["prefilled_tokens"] > 100
    assert timings["ttft_ms"] > 0


def test_doctor_says_that_all_is_well(environment: dict[str, str]) -> None:
    report = json.loads(run(environment, "midfill_server", "doctor", "--json", "--quick"))
    assert MODEL in json.dumps(report)


def test_the_demo_completes_every_place(environment: dict[str, str], tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    words = ("benchmarks.demo", "--model", MODEL, "--svg", str(picture))
    out = run(environment, *words)
    for file in ("ledger.py", "router.ts", "cache.rs", "pool.go", "matrix.cpp"):
        assert f"{file}:" in out
    assert "tokens/s" in out
    assert picture.read_text(encoding="utf-8").startswith("<svg")
