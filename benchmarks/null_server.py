"""The real server with a real vocabulary and no model: it notes when a prompt is ready.

Everything up to the first forward pass is what midfill does for every request; that pass does
nothing here, and answers with the end token.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from midfill_engine.backends.base import KVCache, Logits
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import ProgressSink
from midfill_engine.prompt import resolve
from midfill_engine.registry import find_model
from midfill_engine.tokenizer import load_tokenizer
from midfill_engine.types import EngineInfo
from midfill_server.commands.serve import end_session
from midfill_server.server import build_server
from midfill_server.settings import Settings
from midfill_server.transport import serve_stdio

__all__ = ["NullBackend", "NullCache", "main"]


class NullCache:
    """Counts positions and holds nothing."""

    nbytes = 0

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0

    def truncate(self, length: int) -> None:
        """Forget positions from ``length`` on."""
        self.length = length

    def copy_beginning(self, other: KVCache, length: int) -> None:
        """Be as long as asked."""
        self.length = length


class NullBackend:
    """Answers ``end_id`` at once; ``ready`` has when each prompt arrived and how long it was.

    The times are of ``time.perf_counter_ns``, the same clock in all processes of a machine.
    """

    def __init__(self, vocab_size: int, end_id: int) -> None:
        self.vocab_size = vocab_size
        self.ready: list[tuple[int, int]] = []
        self._logits = np.zeros((1, vocab_size), np.float32)
        self._logits[0, end_id] = 1.0
        self._began_ns: int | None = None

    def new_cache(self, capacity: int) -> NullCache:
        """Make an empty cache."""
        return NullCache(capacity)

    def forward(self, tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        """Do nothing but note the time of a prompt's first chunk."""
        if self._began_ns is None:
            self._began_ns = time.perf_counter_ns()
        assert isinstance(cache, NullCache)
        cache.length += len(tokens)
        if logits_for:
            self.ready.append((self._began_ns, cache.length))
            self._began_ns = None
        return self._logits[:logits_for]

    def close(self) -> None:
        """Do nothing."""


def main() -> int:
    """Serve over stdio; write the noted times at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--prompt-tokens", type=int, required=True)
    parser.add_argument("--times", type=Path, required=True)
    args = parser.parse_args()
    spec = find_model(args.model)
    noted: list[NullBackend] = []

    def open_engine(options: EngineOptions, progress: ProgressSink) -> LocalEngine:
        tokenizer = load_tokenizer(args.tokenizer)
        fim = resolve(spec.fim, tokenizer) if spec.fim else None
        end_id = next(
            found for text in spec.stop_texts if (found := tokenizer.special_id(text)) is not None
        )
        backend = NullBackend(vocab_size=end_id + 1, end_id=end_id)
        noted.append(backend)
        model = LoadedModel(
            backend=backend,
            tokenizer=tokenizer,
            fim=fim,
            stop_ids=frozenset({end_id}),
            context_tokens=options.context_tokens,
            prompt_tokens=args.prompt_tokens,
        )
        return LocalEngine(model, EngineInfo(model_id=spec.id, backend="null", device="none"))

    server = build_server(open_engine, Settings())
    code = serve_stdio(server)
    args.times.write_text(json.dumps([pair for backend in noted for pair in backend.ready]))
    end_session(server, code)
    return code


if __name__ == "__main__":
    sys.exit(main())
