"""Questions about the sample files: to explain what code does, and to fix it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.sites import SAMPLES
from midfill_engine.types import ChatRequest, Message, Role

__all__ = ["chats"]

_LINES = 45
_SYSTEM = "You are a programming assistant. Answer briefly and exactly."
# In each file, what is right and what it is exchanged for: a mistake that can be seen.
_MISTAKES = {
    "cache.rs": ("self.hits + self.misses", "self.hits - self.misses"),
    "ledger.py": ("return self in", "return self not in"),
    "matrix.cpp": ("j < columns_", "j <= columns_"),
    "pool.go": ("options.Workers < 1", "options.Workers > 1"),
    "router.ts": ("part === undefined", "part !== undefined"),
}


def chats(max_tokens: int) -> Iterator[tuple[str, str, ChatRequest]]:
    """Yield name, kind ("explain" or "fix") and request of each question."""
    for file, (right, wrong) in _MISTAKES.items():
        text = (SAMPLES / file).read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        first = max(0, text[: text.index(right)].count("\n") - _LINES // 2)
        code = "".join(lines[first : first + _LINES])
        explain = f"Explain what this code does.\n\n```\n{code}```"
        yield f"{file}: explain", "explain", _ask(explain, max_tokens)
        broken = code.replace(right, wrong, 1)
        fix = f"There is a mistake in this code. Write the code without it.\n\n```\n{broken}```"
        yield f"{file}: fix", "fix", _ask(fix, max_tokens)


def _ask(question: str, max_tokens: int) -> ChatRequest:
    messages = (Message(role=Role.SYSTEM, text=_SYSTEM), Message(role=Role.USER, text=question))
    return ChatRequest(messages=messages, max_tokens=max_tokens)
