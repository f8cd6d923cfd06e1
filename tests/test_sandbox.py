"""The sandbox: what programs may do, and what counts as passing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import sandbox as sandbox_module
from benchmarks.sandbox import Limits, Sandbox, SandboxError, Verdict
from tests.benchmark_sets import posix


@pytest.fixture(scope="module", params=["as this system can", "without namespaces"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    limits = Limits(seconds=20.0, memory_mb=600, file_mb=1)
    opened = Sandbox.open(limits)
    if request.param == "without namespaces":
        return Sandbox(limits=limits)
    if not opened.prefix:
        pytest.skip("no namespaces for users here")
    return opened


@posix
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("assert 1 + 1 == 2", Verdict.PASSED),
        ("assert 1 + 1 == 3", Verdict.FAILED),
        ("1 / 0", Verdict.ERROR),
        ("def (", Verdict.ERROR),
        ("input()", Verdict.ERROR),
        ("assert __name__ == '__main__'", Verdict.PASSED),
        ("import collections, math, re, typing", Verdict.PASSED),
        ("import benchmarks", Verdict.ERROR),
    ],
)
def test_a_program_passes_only_by_its_assertions(
    sandbox: Sandbox, program: str, expected: Verdict
) -> None:
    assert sandbox.run(program).verdict is expected


@posix
@pytest.mark.parametrize(
    "leaving",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "raise SystemExit",
        "exit()",
        "raise KeyboardInterrupt",
        # A report without the token that only the runner knows.
        "import os, json\n"
        "for fd in range(3, 20):\n"
        "    try: os.write(fd, json.dumps({'token': '', 'verdict': 'passed', 'detail': ''})"
        ".encode())\n"
        "    except OSError: pass\n"
        "os._exit(0)",
    ],
)
def test_leaving_before_the_assertions_is_not_passing(sandbox: Sandbox, leaving: str) -> None:
    assert sandbox.run(f"{leaving}\nassert False").verdict is Verdict.ERROR


@posix
def test_an_endless_loop_ends(sandbox: Sandbox) -> None:
    hurried = Sandbox(limits=Limits(seconds=0.5), prefix=sandbox.prefix)
    assert hurried.run("while True: pass").verdict is Verdict.TIMEOUT


@posix
@pytest.mark.skipif(sys.platform != "linux", reason="macOS bounds no address space")
def test_memory_is_bounded(sandbox: Sandbox) -> None:
    trial = sandbox.run("held = bytearray(2_000_000_000)")
    assert (trial.verdict, trial.detail) == (Verdict.ERROR, "MemoryError: ")


@posix
def test_memory_is_watched_where_the_system_does_not_bound_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_module, "_resident_bytes", lambda pid: 10**12)
    assert sandbox.run("while True: pass").detail == "it used too much memory"


@posix
@pytest.mark.parametrize(
    "attempt",
    [
        "import os\nos.fork()",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.system('true')",
        "import os\nos.kill(os.getppid(), 0)",
        "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')",
        "open('large', 'wb').write(bytes(3_000_000))",
    ],
)
def test_nothing_leaves_the_program(sandbox: Sandbox, attempt: str) -> None:
    trial = sandbox.run(attempt)
    assert trial.verdict is Verdict.ERROR
    assert not trial.detail.startswith("it ended before")


@posix
def test_files_elsewhere_stay_as_they_are(sandbox: Sandbox, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    for attempt in (f"open({str(victim)!r}, 'w')", f"import os; os.remove({str(victim)!r})"):
        assert "outside" in sandbox.run(attempt).detail
    assert victim.read_text() == "as it was"
    own = "open('own', 'w').write('x'); import os; os.remove('own'); assert not os.listdir()"
    assert sandbox.run(own).verdict is Verdict.PASSED


@posix
@pytest.mark.skipif(sys.platform != "linux", reason="calls the C library by a name")
@pytest.mark.timeout(30)
def test_what_a_program_started_all_the_same_does_not_outlive_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    # Behind the back of the interpreter, so that no hook hears of it; the lock tells who lives.
    lock = tmp_path / "lock"
    lock.write_text("")
    program = (
        "import ctypes, fcntl, time\n"
        f"file = open({str(lock)!r})\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "ctypes.CDLL(None).fork()\n"
        "time.sleep(60)\n"
    )
    hurried = Sandbox(limits=Limits(seconds=0.7), prefix=sandbox.prefix)
    assert hurried.run(program).verdict is Verdict.TIMEOUT
    import fcntl

    with lock.open() as file:
        # Waits as long as anybody holds it.
        fcntl.flock(file, fcntl.LOCK_EX)


@posix
def test_much_output_does_no_harm(sandbox: Sandbox) -> None:
    program = "import sys\nfor _ in range(200): print('x' * 100_000); sys.stderr.write('y' * 9999)"
    assert sandbox.run(program).verdict is Verdict.PASSED


@posix
def test_the_environment_is_empty(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "1")
    program = "import os\nassert 'A_SECRET' not in os.environ and 'HOME' not in os.environ"
    assert sandbox.run(program).verdict is Verdict.PASSED


def test_where_limits_cannot_be_set_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module.os, "name", "nt")
    with pytest.raises(SandboxError, match="WSL"):
        Sandbox.open()
