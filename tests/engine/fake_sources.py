"""A hub and a package index on this machine, for the tests of the model store."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from midfill_engine.registry import (
    HubSource,
    Licence,
    ModelFile,
    ModelSpec,
    PackagePart,
    PackageSource,
)
from midfill_engine.weights import ModelConfig

if TYPE_CHECKING:
    # The processes that pull beside each other have no need of it.
    import pytest

FILE_NAME = "tiny.gguf"
SIZE_BYTES = 1_000_003
PART_BYTES = 400_000
TINY_SHAPE = ModelConfig(
    architecture="llama",
    layers=2,
    hidden=64,
    ffn=128,
    heads=4,
    kv_heads=2,
    head_dim=16,
    vocab=384,
    context_tokens=512,
    rope_theta=1e4,
    rope_interleaved=False,
    norm_epsilon=1e-5,
)
HUB_PATH = f"/midfill-tests/tiny/resolve/0123abc/{FILE_NAME}"


def tiny_payload() -> bytes:
    """The right bytes: the same in every process."""
    return random.Random(0).randbytes(SIZE_BYTES)


def tiny_spec(*, hub: bool = True, packages: bool = False) -> ModelSpec:
    """A model whose one file holds ``tiny_payload``, from the sources asked for."""
    sources: list[HubSource | PackageSource] = []
    if hub:
        sources.append(HubSource(repo="midfill-tests/tiny", revision="0123abc", filename=FILE_NAME))
    if packages:
        sources.append(PackageSource(distributions=tiny_parts()))
    file = ModelFile(
        name=FILE_NAME,
        size_bytes=SIZE_BYTES,
        sha256=hashlib.sha256(tiny_payload()).hexdigest(),
        sources=tuple(sources),
    )
    return ModelSpec(
        id="tiny",
        family="Tiny",
        config=TINY_SHAPE,
        files=(file,),
        licence=Licence(name="none", url=""),
    )


def tiny_parts() -> tuple[PackagePart, ...]:
    """Three packages that carry the payload."""
    return tuple(
        PackagePart(
            requirement=f"midfill-tiny-part{number}==1.0",
            member=f"midfill_tiny_part{number}/data/part.bin",
            size_bytes=min(PART_BYTES, SIZE_BYTES - start),
        )
        for number, start in enumerate(range(0, SIZE_BYTES, PART_BYTES), start=1)
    )


def write_wheel(folder: Path, number: int, data: bytes, *, marker: Path | None = None) -> Path:
    """Write a wheel as pip wants it; its ``__init__`` would write ``marker`` if it ever ran."""
    name = f"midfill_tiny_part{number}"
    info = f"{name}-1.0.dist-info"
    members = {
        f"{name}/__init__.py": f"open({str(marker)!r}, 'w')" if marker else "",
        f"{name}/data/part.bin": data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def write_index(folder: Path, payload: bytes, *, marker: Path | None = None) -> None:
    """Write the wheels of all parts into ``folder``."""
    folder.mkdir(exist_ok=True)
    for number, start in enumerate(range(0, SIZE_BYTES, PART_BYTES), start=1):
        write_wheel(folder, number, payload[start : start + PART_BYTES], marker=marker)


@dataclass
class FakeRepo:
    """A repository on the fake hub; ``by_git_id`` are the files that have no sha256 there."""

    name: str
    files: dict[str, bytes]
    by_git_id: tuple[str, ...] = ()
    commit: str = "c0ffee" + "0" * 34
    page_files: int = 1000

    def head(self) -> bytes:
        return json.dumps({"id": self.name, "sha": self.commit}).encode()

    def tree(self, start: int) -> bytes:
        names = sorted(self.files)[start : start + self.page_files]
        return json.dumps([self._entry(name) for name in names]).encode()

    def _entry(self, name: str) -> dict[str, object]:
        content = self.files[name]
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(content)}
        entry["oid"] = git_id(content)
        if name not in self.by_git_id:
            # The blob of a large file is a small text that points to it.
            entry["oid"] = git_id(b"pointer")
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
        return entry


def git_id(content: bytes) -> str:
    """What git calls a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class FakeHub:
    """What the hub does with each request, and what it was asked."""

    payload: bytes = field(default_factory=tiny_payload)
    url: str = ""
    status: int | None = None
    ignores_range: bool = False
    redirect_to: str | None = None
    cut_after: list[int] = field(default_factory=list[int])
    """How many bytes to send before the connection is cut, one entry per request of more."""
    status_after_cut: int | None = None
    """What to answer once a connection was cut."""
    hold_after: int | None = None
    """How many bytes to send before waiting for ``go_on``."""
    go_on: threading.Event = field(default_factory=threading.Event)
    repo: FakeRepo | None = None
    api_answer: bytes | None = None
    """What the API answers instead of what is so."""
    next_page: str = ""
    asked: list[str] = field(default_factory=list[str])
    """The paths of all requests."""
    ranges: list[str] = field(default_factory=list[str])
    tokens: list[str | None] = field(default_factory=list[str | None])

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.asked.append(handler.path)
        self.ranges.append(asked)
        self.tokens.append(handler.headers.get("Authorization"))
        handler.close_connection = True
        if self.redirect_to:
            handler.send_response(302)
            handler.send_header("Location", self.redirect_to + handler.path)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        payload = self.payload if handler.path == HUB_PATH else self._from_repo(handler)
        if self.status or payload is None:
            handler.send_error(self.status or 404)
            return
        if handler.path.startswith("/api/"):
            handler.send_response(200)
            if self.next_page:
                handler.send_header("Link", f'<{self.url}{self.next_page}>; rel="next"')
            handler.send_header("Content-Length", str(len(payload)))
            handler.end_headers()
            handler.wfile.write(payload)
            return
        start = int(re.sub(r"\D", "", asked) or 0)
        if self.ignores_range:
            body = payload
            handler.send_response(200)
        else:
            body = payload[start:]
            handler.send_response(206)
            total = len(payload)
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.cut_after and len(body) > self.cut_after[0]:
            body = body[: self.cut_after.pop(0)]
            self.status = self.status_after_cut
        if self.hold_after is not None:
            handler.wfile.write(body[: self.hold_after])
            handler.wfile.flush()
            self.go_on.wait(30)
            body = body[self.hold_after :]
        handler.wfile.write(body)

    def _from_repo(self, handler: BaseHTTPRequestHandler) -> bytes | None:
        """What the repository has under the request's path."""
        self.next_page = ""
        repo, url = self.repo, urlsplit(handler.path)
        if repo is None:
            return None
        if self.api_answer is not None and url.path.startswith("/api/"):
            return self.api_answer
        if url.path in (f"/api/models/{repo.name}/revision/{at}" for at in ("main", repo.commit)):
            return repo.head()
        if url.path == f"/api/models/{repo.name}/tree/{repo.commit}":
            start = int(dict(parse_qsl(url.query)).get("cursor", 0))
            if start + repo.page_files < len(repo.files):
                self.next_page = f"{url.path}?recursive=true&cursor={start + repo.page_files}"
            return repo.tree(start)
        return repo.files.get(url.path.removeprefix(f"/{repo.name}/resolve/{repo.commit}/"))


@contextmanager
def serve_hub() -> Generator[FakeHub]:
    """Run a fake hub on the loopback for as long as the context lasts."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                hub.answer(self)
            except OSError:
                # The client left: that is what some tests are about.
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def use_fake_hub(monkeypatch: pytest.MonkeyPatch) -> Generator[FakeHub]:
    """Run a fake hub and make it the one that is asked, whatever the user's environment says."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    with serve_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
