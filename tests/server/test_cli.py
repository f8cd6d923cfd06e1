from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from midfill_engine import __version__
from midfill_engine.engine import Engine
from midfill_engine.errors import MidfillError, ModelMissingError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import ProgressSink
from midfill_server import cli
from midfill_server.commands import complete, serve
from midfill_server.process import process_exists
from tests.server.conftest import environment

HEAVY = (
    "numpy",
    "onnxruntime",
    "onnx",
    "huggingface_hub",
    "rich",
    "lsprotocol",
    "pygls",
    "tokenizers",
    "gguf",
    "websockets",
    "asyncio",
)


def run_module(*arguments: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "midfill_server", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **kwargs,  # type: ignore[call-overload]
    )


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from midfill_server.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as done:\n    assert not done.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for name in ("serve", "complete", "models", "doctor"):
        assert f"\n    {name} " in done.stdout
    assert "HEAVY []" in done.stdout


def test_help_is_quick() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        assert run_module("--help").returncode == 0
        return time.perf_counter() - start

    # The best of several: other work on the machine is not what is tested.
    assert min(seconds() for _ in range(5)) < 0.3


def test_version_no_command_and_a_wrong_one() -> None:
    assert run_module("--version").stdout.strip() == f"midfill {__version__}"
    assert "COMMAND" in run_module().stdout
    wrong = run_module("serv")
    assert wrong.returncode == 2
    assert "invalid choice" in wrong.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MidfillError("what happened"), 1, "midfill: error: what happened\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(complete, "run", fail)
    assert cli.main(["complete", "f:1:1"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe under the writer")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "midfill_server", "--help"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.py:3:5", ("a.py", 3, 5)),
        ("C:\\x.py:3:5", ("C:\\x.py", 3, 5)),
        ("a:1:b:12:1", ("a:1:b", 12, 1)),
        ("-:1:1", ("-", 1, 1)),
        ("a b.py:007:1", ("a b.py", 7, 1)),
    ],
)
def test_a_location_is_split_at_its_last_two_colons(
    text: str, expected: tuple[str, int, int]
) -> None:
    found = complete.parse_location(text)
    assert (found.file, found.line, found.column) == expected


@pytest.mark.parametrize("text", ["a.py", "a.py:3", "a.py:3:x", ":3:5", "a.py:0:1", "a.py:1:0"])
def test_what_is_no_location_is_refused(text: str) -> None:
    with pytest.raises(MidfillError, match=r"a\.py|:3:5"):
        complete.parse_location(text)


class Command:
    """``midfill complete`` with a scripted engine."""

    def __init__(self, answer: str = "[answer]") -> None:
        self.engine = ScriptedEngine(answer)
        self.options: list[EngineOptions] = []

    def open(self, options: EngineOptions, progress: ProgressSink) -> Engine:
        self.options.append(options)
        return self.engine

    def __call__(self, *arguments: str) -> int:
        parser = argparse.ArgumentParser()
        complete.add_parser(parser.add_subparsers())
        return complete.run(parser.parse_args(["complete", *arguments]), self.open)


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDFILL_CONFIG", "")


@pytest.mark.parametrize(
    ("content", "place", "prefix", "suffix"),
    [
        (b"one\ntwo", "2:2", "one\nt", "wo"),
        (b"one\ntwo", "1:99", "one", "\ntwo"),
        (b"", "1:1", "", ""),
        (b"\xef\xbb\xbfone\r\ntwo", "2:1", "one\r\n", "two"),
        ("é😀x".encode(), "1:3", "é😀", "x"),
        (b"a\xff\xfeb", "1:3", "a\ufffd", "\ufffdb"),
        (b"\0\0", "1:2", "\0", "\0"),
    ],
)
def test_the_text_around_the_place_is_completed(
    content: bytes,
    place: str,
    prefix: str,
    suffix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # No language: whatever the model says would do.
    path = tmp_path / "a:b.txt" if os.name == "posix" else tmp_path / "a.txt"
    path.write_bytes(content)
    command = Command()
    assert command(f"{path}:{place}") == 0
    assert capsys.readouterr().out == "[answer]\n"
    (request,) = command.engine.requests
    assert (request.prefix + request.typed, request.suffix) == (prefix, suffix)
    assert command.engine.closed


def test_json_says_what_it_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo:")))
    command = Command("\n b")
    assert command("-:2:5", "--json", "--model", "m", "--max-tokens", "9", "--download") == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["text"], out["finish"], out["model"]) == ("\n b", "stop", "scripted")
    assert out["timings"]["generated_tokens"] == 1
    assert out["timings"]["tokens_per_s"] is None
    assert command.options == [EngineOptions(model="m", download=True)]
    assert command.engine.requests[0].max_tokens == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.py:1:1"], "cannot read nowhere.py: No such file"),
        (["{file}:9:1"], "has 2 lines, not 9"),
        (["{file}:1:1", "--max-tokens", "0"], "completion.max_tokens: expected a whole number"),
    ],
)
def test_what_cannot_be_completed_is_said(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "f.py"
    path.write_text("a\nb", encoding="utf-8")
    with pytest.raises(MidfillError, match=message.replace(".", r"\.")):
        Command()(*(argument.format(file=path) for argument in arguments))


def test_a_file_for_secrets_is_not_completed(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("TOKEN=\n", encoding="utf-8")
    command = Command()
    with pytest.raises(MidfillError, match="secrets"):
        command(f"{path}:1:7")
    assert not command.engine.requests


def test_a_terminal_sees_the_first_line_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.py"
    path.write_text("", encoding="utf-8")
    writes: list[str] = []
    original = sys.stdout.write
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "write", lambda text: writes.append(text) or original(text))
    assert Command("abcd\nefgh")(f"{path}:1:1") == 0
    assert [text for text in writes if text] == ["abcd", "\nefgh", "\n"]


def test_a_missing_model_is_an_error_that_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(options: EngineOptions, progress: ProgressSink) -> Engine:
        raise ModelMissingError("pull it")

    path = tmp_path / "f.py"
    path.write_text("", encoding="utf-8")
    parser = argparse.ArgumentParser()
    complete.add_parser(parser.add_subparsers())
    args = parser.parse_args(["complete", f"{path}:1:1"])
    with pytest.raises(ModelMissingError, match="pull it"):
        complete.run(args, missing)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9000", ("127.0.0.1", 9000)),
        (":0", ("127.0.0.1", 0)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert serve.parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "host", "1:x", "70000", "-1", "h:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(MidfillError, match="is not an address"):
        serve.parse_address(text)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "192.168.1.1:1", "example.org:1"])
def test_other_machines_are_let_in_only_on_purpose(address: str) -> None:
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    with pytest.raises(MidfillError, match="--allow-remote"):
        serve.run(parser.parse_args(["serve", "--tcp", address]))


def test_processes_are_seen() -> None:
    assert process_exists(os.getpid())
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert not process_exists(child.pid)
    assert not process_exists(0)
