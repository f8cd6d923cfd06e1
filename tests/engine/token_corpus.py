"""The texts that every tokenizer must encode as its reference does."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"


def corpus() -> dict[str, str]:
    """Code in ten languages and more, and texts that are hard to cut, by name."""
    sections = (DATA / "corpus.txt").read_text(encoding="utf-8").split("=== ")[1:]
    texts = dict(section.split("\n", 1) for section in sections)
    every = "\n".join(texts.values())
    texts |= {
        "empty": "",
        "crlf": texts["typescript"].replace("\n", "\r\n"),
        "old mac": texts["go"].replace("\n", "\r"),
        "mixed ends": "a\r\n\r\n\n\r b\n \r\n\tc\r",
        "blank lines": "def f():\n\n\n    return 1\n \n  \n\t\n\n\n\nx = 2\n\n",
        "indents": "".join(" " * n + "x\n" + "\t" * n + "y\n" for n in range(40)),
        "trailing spaces": "a   \nb\t\t\n  c  \n   ",
        "only spaces": " " * 77,
        "newlines": "\n" * 33,
        "nul": "a\0b\0\0\n\0",
        "controls": "".join(map(chr, range(32))) + "\x7f\x85\xa0\u2028\u3000x",
        "marks that do not compose": "q\u0303 x\u0323 \u0915\u094d\u0937",
        "astral": "\U0001d4b3 = \U0001d7d8; 🙂\n\U000e0001",
        "long line": "var a=[" + ",".join(str(n * 7919) for n in range(2000)) + "];",
        "long word": "ab" * 3000,
        "numbers": "1 12 123 1234 12345 3.14159e-10 0xFFFF 1_000",
        "contractions": "don't DON'T I'Ll we'RE x'sy 'tis ''s",
        "everything": every,
    }
    return texts
