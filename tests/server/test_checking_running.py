"""Commands and resident checkers: bounded, and ended with all that they started."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckCancelledError, CheckFailedError
from midfill_server.checking.resident import Resident, Residents
from midfill_server.checking.running import Output, run
from midfill_server.process import process_exists

ENVIRONMENT = {"PATH": os.environ.get("PATH", ""), "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-c", program, *arguments]


def run_python(program: str, *arguments: str, **options: object) -> Output:
    given = {"cancel": CancelToken(), "timeout_s": 30.0, **options}
    return run(python(program, *arguments), environment=ENVIRONMENT, **given)  # type: ignore[arg-type]


def wait_for(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s, "it never came to that"
        threading.Event().wait(0.01)


def lives(pid: int) -> bool:
    """Return whether a process runs: one that ended and waits for its parent does not."""
    if not process_exists(pid):
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return process_exists(pid)
    return state != "Z"


def test_a_command_says_what_it_has_to_say() -> None:
    program = (
        "import sys, os; sys.stdout.buffer.write(sys.stdin.buffer.read() + b'\\xff'); "
        "print(os.listdir('.'), sorted(os.environ), file=sys.stderr); sys.exit(3)"
    )
    output = run_python(program, stdin=b"text\r\n")
    assert (output.status, output.stdout) == (3, "text\r\n\ufffd")
    # In an empty folder, and with nothing in its environment that was not given.
    assert output.stderr.startswith("[] ")
    assert "HOME" not in output.stderr


def test_much_input_that_nobody_reads_is_no_problem() -> None:
    assert run_python("print(1)", stdin=b"x" * 10_000_000).stdout.strip() == "1"


def test_a_command_that_takes_too_long_ends_with_its_children(tmp_path: Path) -> None:
    child = "import sys,time,os; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    program = (
        "import subprocess, sys, time, os\n"
        "subprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[1]])\n"
        "time.sleep(600)\n"
    )
    note = tmp_path / "pid"
    cancel = CancelToken()

    def stop() -> None:
        wait_for(lambda: note.exists() and note.read_text().isdigit())
        cancel.cancel()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(CheckCancelledError):
        run_python(program, str(note), child, cancel=cancel, timeout_s=60.0)
    thread.join()
    pid = int(note.read_text())
    wait_for(lambda: not lives(pid))


def test_time_is_bounded() -> None:
    start_s = time.monotonic()
    with pytest.raises(CheckFailedError, match=r"longer than 0\.2 s"):
        run_python("import time; time.sleep(600)", timeout_s=0.2)
    assert time.monotonic() - start_s < 10


def test_a_child_that_holds_the_output_open_does_not_hold_the_check() -> None:
    program = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    )
    with pytest.raises(CheckFailedError, match="longer"):
        run_python(program, timeout_s=1.0)


def test_output_is_bounded() -> None:
    with pytest.raises(CheckFailedError, match="more than can be read"):
        run_python("while True: print('x' * 1000)", max_bytes=100_000)


def test_a_cancelled_check_does_not_begin(tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    note = tmp_path / "ran"
    with pytest.raises(CheckCancelledError):
        run_python("import sys; open(sys.argv[1], 'w')", str(note), cancel=cancel)
    assert not note.exists()


@pytest.mark.parametrize("name", ["/nowhere/tool", "tool\0with a null"])
def test_what_cannot_be_started_is_said(name: str) -> None:
    with pytest.raises(CheckFailedError, match="cannot be started"):
        run([name], environment=ENVIRONMENT, cancel=CancelToken(), timeout_s=5.0)


ECHO = """
import json, sys
for line in sys.stdin.buffer:
    if b"end" in line:
        sys.exit()
    if b"wait" in line:
        continue
    data = json.dumps({"said": json.loads(line)}).encode()
    if b"bad" in line:
        data = b"no json"
    sys.stdout.buffer.write(b"Content-Length: %d\\r\\n\\r\\n" % len(data) + data)
    sys.stdout.buffer.flush()
"""


class Echo:
    """A place to ask a resident that repeats what it hears, and to count how often it started."""

    def __init__(self, residents: Residents) -> None:
        self.residents = residents
        self.started: list[Resident] = []

    def make(self) -> Resident:
        self.started.append(Resident(python(ECHO), ENVIRONMENT))
        return self.started[-1]

    def say(
        self,
        word: str,
        key: str = "key",
        *,
        cancel: CancelToken | None = None,
        timeout_s: float = 30,
    ) -> object:
        answer: list[object] = []

        def ask(resident: Resident) -> None:
            resident.write(f'"{word}"\n'.encode())
            message = resident.next_message(cancel or CancelToken(), time.monotonic() + timeout_s)
            answer.append(message["said"])

        self.residents.ask(key, self.make, Resident, ask)
        return answer[0]


def test_a_resident_is_started_once() -> None:
    echo = Echo(Residents())
    assert [echo.say("a"), echo.say("b")] == ["a", "b"]
    assert len(echo.started) == 1
    echo.say("c", key="other")
    assert len(echo.started) == 2
    echo.residents.close()
    assert not any(one.alive for one in echo.started)
    assert echo.residents.count == 0
    # Whoever asks nevertheless gets a new one.
    assert echo.say("d") == "d"
    echo.residents.close()


@pytest.mark.parametrize("word", ["end", "bad", "wait"])
def test_a_resident_that_fails_is_replaced(word: str) -> None:
    echo = Echo(Residents())
    echo.say("a")
    with pytest.raises(CheckFailedError):
        echo.say(word, timeout_s=0.3)
    assert not echo.started[0].alive
    assert echo.say("b") == "b"
    assert len(echo.started) == 2
    echo.residents.close()


def test_a_question_to_a_resident_can_be_cancelled() -> None:
    echo = Echo(Residents())
    cancel = CancelToken(deadline_s=time.monotonic() + 0.1)
    with pytest.raises(CheckCancelledError):
        echo.say("wait", cancel=cancel)
    assert echo.say("a") == "a"
    assert len(echo.started) == 1
    echo.residents.close()


def test_a_resident_that_does_not_listen_holds_nobody() -> None:
    residents = Residents()

    def make() -> Resident:
        return Resident(python("import time; time.sleep(600)"), ENVIRONMENT)

    def ask(resident: Resident) -> None:
        resident.write(b"x" * 10_000_000)
        resident.next_message(CancelToken(), time.monotonic() + 0.2)

    with pytest.raises(CheckFailedError, match="in time"):
        residents.ask("key", make, Resident, ask)
    assert residents.count == 0


def test_a_resident_that_nobody_asks_goes() -> None:
    echo = Echo(Residents(idle_s=0.05))
    echo.say("a")
    wait_for(lambda: echo.residents.count == 0)
    assert not echo.started[0].alive


def test_few_residents_stay() -> None:
    echo = Echo(Residents())
    for number in range(6):
        echo.say("a", key=str(number))
    assert echo.residents.count == 3
    assert [one.alive for one in echo.started] == [False] * 3 + [True] * 3
    echo.residents.close()


def test_a_folder_is_kept_until_the_end() -> None:
    residents = Residents()
    folder = residents.folder("key")
    assert residents.folder("key") == folder
    assert residents.folder("other") != folder
    Path(folder, "kept").touch()
    residents.close()
    assert not os.path.exists(folder)
