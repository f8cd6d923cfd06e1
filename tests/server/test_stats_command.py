from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import pytest

from midfill_engine.errors import MidfillError
from midfill_server.cli import main
from midfill_server.commands import stats
from midfill_server.settings import statistics_path
from midfill_server.source import Source
from midfill_server.statistics import Feedback, Record, read_feedback, read_records
from tests.server import kept_figures
from tests.server.kept_figures import DAY_S, NOW_S, keep


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where figures are kept in this test; no settings are read."""
    monkeypatch.setenv("MIDFILL_CONFIG", "")
    monkeypatch.setenv("MIDFILL_STATE", str(tmp_path / "state"))
    path = statistics_path()
    assert path is not None
    return path


def record(
    source: Source,
    ms: float,
    *,
    ago_days: float = 0,
    language: str = "python",
    model: str = "small",
    shown: bool = True,
) -> Record:
    works = source is Source.MODEL
    return kept_figures.record(
        source,
        first_ms=ms if shown else None,
        total_ms=ms * 2,
        ago_s=ago_days * DAY_S,
        language_id=language,
        model_id=model,
        prefilled_tokens=3 if works else 0,
        reused_tokens=97 if works else 0,
        generated_tokens=12 if works else 0,
        drafted_tokens=10 if works else 0,
        accepted_tokens=4 if works else 0,
    )


def some(path: Path) -> None:
    """Eight completions of three days; four of them at once, three shown by the model."""
    keep(
        path,
        *[record(Source.TYPED_THROUGH, 1.5)] * 3,
        record(Source.PREFETCHED, 2.5, language="rust"),
        record(Source.JOINED, 40, ago_days=2),
        record(Source.MODEL, 60, ago_days=2),
        record(Source.MODEL, 1234, ago_days=20, model="large"),
        record(Source.MODEL, 70, shown=False),
    )


def feedback(
    sureness: float | None,
    *,
    taken: int = 0,
    language: str = "python",
    model: str = "small",
    ago_days: float = 0,
    **more: bool,
) -> Feedback:
    return kept_figures.feedback(
        when_s=round(NOW_S - ago_days * DAY_S),
        language_id=language,
        model_id=model,
        sureness=sureness,
        characters=20,
        shown_ms=1500.0,
        accepted=taken == 20,
        accepted_characters=taken,
        **more,
    )


def some_feedback(path: Path) -> None:
    """Five suggestions: two accepted, one in part, one of them asked for by hand."""
    keep(
        path,
        feedback(0.95, taken=20),
        feedback(0.75, taken=5),
        feedback(0.72, language="rust", confirmed=False),
        feedback(0.2, taken=20, invoked=True),
        feedback(None, model="large", ago_days=20),
    )


def run(*words: str) -> int:
    parser = argparse.ArgumentParser("midfill")
    stats.add_parser(parser.add_subparsers(required=True))
    return stats.run(parser.parse_args(["stats", *words]), now_s=NOW_S)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Run the command and return its lines, each with single spaces."""
    assert run(*words) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def type_on_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer + "\n"))


def test_the_tables(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some(path)
    lines = printed(capsys)
    assert lines[0].startswith("8 completions, from 2026-02-")
    for expected in (
        "shown 7 88 %",
        "without the model 4 50 %",
        "typed through 3 38 %",
        "computed ahead 1 12 %",
        "joined a running answer 1 12 %",
        "computed when asked 3 38 %",
        "times answers p50 p95 p99",
        "to first text 7 2.5 ms 1,234 ms 1,234 ms",
        "to complete text 7 5.0 ms 2,468 ms 2,468 ms",
        "prefilled 3",
        "generated 12",
        "reused of all prompts 97 %",
        "drafts accepted 40 %",
        "small 7 86 % 57 % 1.5 ms 60 ms 3.0 ms 120 ms",
        "large 1 100 % 0 % 1,234 ms 1,234 ms 2,468 ms 2,468 ms",
        "rust 1 100 % 100 % 2.5 ms 2.5 ms 5.0 ms 5.0 ms",
        f"Kept on this machine only: {path}",
    ):
        assert expected in lines
    at = [index for index, line in enumerate(lines) if line.startswith("waited for the model")]
    assert lines[at[0]] == "waited for the model 3 60 ms 1,234 ms 1,234 ms"
    assert lines[at[1]] == "waited for the model 3 120 ms 2,468 ms 2,468 ms"
    # Twenty days ago is no row of its own.
    (heading,) = (index for index, line in enumerate(lines) if line.startswith("day "))
    assert [line.split()[1] for line in lines[heading + 1 :][:2]] == ["2", "5"]
    assert lines[heading + 3] == ""


def test_what_became_of_suggestions(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some(path)
    assert not any(line.startswith("suggestions") for line in printed(capsys))
    some_feedback(path)
    lines = printed(capsys)
    for expected in (
        "suggestions shown accepted in part characters accepted on screen",
        "all 5 40 % 20 % 45 1.5 s",
        "asked for by hand 1 100 % 0 % 20 1.5 s",
        "in python 4 50 % 25 % 45 1.5 s",
        "in rust 1 0 % 0 % 0 1.5 s",
        "by small 4 50 % 25 % 45 1.5 s",
        "not confirmed 1",
        "how sure shown on average taken",
        "70 to 80 % 2 74 % 50 %",
        "90 to 100 % 1 95 % 100 %",
    ):
        assert expected in lines
    assert "all 4 50 % 25 % 45 1.5 s" in printed(capsys, "--days", "1")
    assert "all 1 0 % 0 % 0 1.5 s" in printed(capsys, "--model", "large")
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)["suggestions"]
    assert found["all"] == {
        "shown": 5,
        "confirmed": 4,
        "accepted": 2,
        "partly": 1,
        "characters": 100,
        "accepted_characters": 45,
        "shown_median_ms": 1500,
    }
    assert list(found["languages"]) == ["python", "rust"]
    assert [each["shown"] for each in found["calibration"]] == [2, 1]


def test_a_store_in_which_nothing_was_shown(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(path, record(Source.JOINED, 5, shown=False))
    lines = printed(capsys)
    assert lines[0].startswith("1 completion, on 2026-03-")
    assert "to first text 0" in lines
    assert "drafts accepted none" in lines
    assert "small 1 0 % 0 %" in lines


def test_a_narrower_view(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some(path)
    assert printed(capsys, "--days", "1")[0].startswith("5 completions")
    assert printed(capsys, "--model", "large")[0].startswith("1 completion,")
    with pytest.raises(MidfillError, match=r"'larg'.*of large, small"):
        run("--model", "larg")
    with pytest.raises(MidfillError, match="of small"):
        run("--model", "large", "--days", "3")


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "week", "999999999", "²"])
def test_days_are_a_number_of_days(
    path: Path, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(f"--days={days}")
    assert "not a number of days" in capsys.readouterr().err


def test_an_empty_store_says_how_to_begin(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(printed(capsys))
    assert "midfill serve" in text
    assert str(path) in text
    assert not path.parent.exists()
    keep(path, record(Source.MODEL, 1, ago_days=9))
    assert "Leave out --days" in printed(capsys, "--days", "3")[0]


def test_json_has_all_figures_and_nothing_else(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some(path)
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(path)
    assert found["recording"] is True
    assert found["all"]["completions"] == 8
    assert found["all"]["by_source"] == {
        "model": 3,
        "typed-through": 3,
        "joined": 1,
        "prefetched": 1,
    }
    assert found["waited"]["first"] == {"count": 3, "p50_ms": 60, "p95_ms": 1234, "p99_ms": 1234}
    assert found["tokens"]["drafted"] == 30
    assert list(found["models"]) == ["small", "large"]


def test_json_of_an_empty_store(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["all"]["completions"] == 0
    assert found["all"]["first"] is None


def test_it_says_when_recording_is_off(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("statistics = false")
    monkeypatch.setenv("MIDFILL_CONFIG", str(config))
    assert "`statistics` is false" in printed(capsys)[-1]
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out)["recording"] is False
    monkeypatch.setenv("MIDFILL_STATE", "")
    with pytest.raises(MidfillError, match="MIDFILL_STATE"):
        run()


def test_clearing_asks_first(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some(path)
    some_feedback(path)
    type_on_a_terminal(monkeypatch, "")
    assert run("--clear") == 1
    assert "Nothing was deleted." in capsys.readouterr().out
    assert len(read_records(path)) == 8
    type_on_a_terminal(monkeypatch, "y")
    assert run("--clear") == 0
    assert "Deleted the figures of 8 completions." in capsys.readouterr().out
    assert read_records(path) == []
    assert read_feedback(path) == []


def test_clearing_without_a_terminal_needs_yes(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some(path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(MidfillError, match="--yes"):
        run("--clear")
    assert printed(capsys, "--clear", "--yes") == ["Deleted the figures of 8 completions."]
    assert printed(capsys, "--clear", "-y") == ["There was nothing to delete."]


def test_a_part_cannot_be_cleared(path: Path) -> None:
    some(path)
    for words in (["--days", "3"], ["--model", "small"], ["--json"]):
        with pytest.raises(MidfillError, match="leave out"):
            run("--clear", "--yes", *words)
    assert len(read_records(path)) == 8


def test_a_damaged_file_is_named_with_its_remedy(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"x" * 5000)
    assert main(["stats"]) == 1
    assert f"{path} is damaged" in capsys.readouterr().err
    assert "was damaged" in printed(capsys, "--clear", "--yes")[0]
    assert not path.exists()


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["stats", "--help"])
    shown = capsys.readouterr().out
    for word in ("typed through", "p95", "no file names", "--clear", "statistics = false"):
        assert word in shown
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "\n    stats " in capsys.readouterr().out
