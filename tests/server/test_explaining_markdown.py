"""Whatever a model or a file says, what is rendered of it does no harm."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from midfill_server.explaining.markdown import code_block, code_span, plain_text, safe_markdown

# As lenient as an editor's renderer may be.
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

HOSTILE = [
    "[run](command:workbench.action.terminal.new)",
    "[x](javascript:alert(1)) [y](JaVaScRiPt:alert(1)) [z](data:text/html,<script>)",
    "[x](file:///etc/passwd) [y](vscode://file/x) [z](https://evil.example/?q=1)",
    "![pixel](https://evil.example/p.png) ![x][ref]\n\n[ref]: https://evil.example",
    "[ref]\n\n[ref]: command:x\n",
    "<https://evil.example> <command:x> <a@evil.example>",
    "https://evil.example www.evil.example a@evil.example file:///etc/passwd ftp://x.y",
    "<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n<div>\n\n*a*\n\n</div>",
    "a <b onclick='x'>b</b> <!-- c --> <?php x ?> <![CDATA[ x ]]>",
    "&lt;script&gt; &#60;img src=x&#62; &#x5B;a&#x5D;(command:x)",
    "\\<script> \\[a](command:x) \\![a](b)",
    "```py\nx = 1",
    "```\n````\n```\n[a](command:x)",
    "~~~\n<b>\n",
    "# Title\n\nSetext\n===\n\nOther\n---\n\n###### six",
    "- a\n  - b\n    ```js\n    [x](command:y)\n",
    "> quoted\n> <b>x</b>\n\n1. one\n2. two\n   1. three\n",
    "| a | b |\n|---|---|\n| <b>x</b> | [y](command:z) |",
    "$(rocket) ${env:HOME} $x$",
    "a\u202eevil\u2066 \x1b[31mred\x07 nul\x00 \u200b\ufeff \ud800",
    "&#x202e;reversed&#0; &#x1b;[31m",
    "[a\\](command:x)](command:y)",
    "[a][b][c](command:x)",
    "*[*x](command:y)*",
    "`[a](command:x)` ``x ` y`` `unclosed [a](command:x)",
    "]\n(command:x)",
    "http://`x` http://*x* www.*x*.y",
    "1986. A year\n- - -\n+ plus\n    indented <b>\n",
    "a  \nb\\\nc",
    "[" * 500 + "a" + "](command:x)" * 500,
    "> " * 200 + "deep",
    "*" * 999 + "x" + "*" * 999,
    "<" * 300,
    "*a **b " * 600 + "b** a*" * 600,
    "[*a **`b`** c*\nd](https://x.y)",
    "Setext\n\n-\n",
    "- a\n  -\n",
    r"\( <b>x</b> \) \[ [a](command:x) \] $$ <script> $$ $\pi [a](command:x)$ \text{<b>}",
    "\\( ` \\) <b> ` $$ `` $$ \\frac{`}{`} \\(",
]


def tokens(markdown: str) -> list[Token]:
    every: list[Token] = []
    pending = list(RENDERER.parse(markdown))
    while pending:
        token = pending.pop()
        every.append(token)
        pending += token.children or []
    return every


_ESCAPE_OR_CODE = re.compile(r"\\[^\w\s$]|(`+)(?!`).*?(?<!`)\1(?!`)|`+", re.DOTALL)


def harm(markdown: str, top_heading: int = 3) -> list[str]:
    """Return what is wrong with some markdown."""
    found: list[str] = []
    for token in tokens(markdown):
        if token.type in ("link_open", "image", "html_block", "html_inline"):
            found.append(f"{token.type} {token.content} {token.attrs}")
        if token.type == "heading_open" and int(token.tag[1:]) < top_heading:
            found.append(token.tag)
        if token.type == "text" and re.search(r"://|\bwww\.|\w@\w+\.\w", token.content):
            found.append(f"an address: {token.content}")
        if token.type == "fence" and token.map is not None:
            last = markdown.split("\n")[token.map[1] - 1].strip("> ")
            if not re.fullmatch(r"`{3,}", last):
                found.append("an open fence")
    odd = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
    found += re.findall(odd, markdown)
    # An escape that only some renderers see is none: icons are made of text.
    # A mark behind a backslash begins no code.
    prose = _ESCAPE_OR_CODE.sub("_", markdown)
    found += re.findall(r"(?<!\\)\$\(", prose)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_each_beginning_of_hostile_text_is_harmless(text: str) -> None:
    step = max(len(text) // 60, 1)
    for end in [*range(0, len(text), step), len(text)]:
        assert harm(safe_markdown(text[:end])) == [], text[:end]


_PIECES = st.sampled_from(
    [*"[]()<>!`*_~#-+=|\\&;:.$@/\n ab1\t\"'", "```", "](", "command:", "http://", "www.", "\n\n",
     "<b>", "</b>", "<!--", "![", "]: ", "&lt;", "&#91;", "    ", "> ", "- ", "1. ", "x.y", "---",
     "\\(", "\\)", "\\frac{", "$$", "\\pi"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(_PIECES, max_size=40).map("".join))
@example("`command:$$\\(")
def test_no_mixture_of_marks_does_harm(text: str) -> None:
    assert harm(safe_markdown(text)) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(_PIECES, max_size=25).map("".join))
def test_each_beginning_of_a_mixture_is_harmless(text: str) -> None:
    for end in range(len(text)):
        assert harm(safe_markdown(text[:end])) == []


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=60).map("".join)),
       st.integers(10, 120))  # fmt: skip
def test_no_text_is_longer_than_it_may_be(text: str, limit: int) -> None:
    written = safe_markdown(text, max_chars=limit)
    assert len(written) <= limit
    assert harm(written) == []


@settings(max_examples=80, deadline=None)
@given(st.lists(_PIECES, max_size=40).map("".join))
def test_other_writers_of_text_do_no_harm(text: str) -> None:
    for written in (plain_text(text), code_span(text), code_block(text, text)):
        assert harm(written) == []
    assert code_span(text).count("\n") == plain_text(text).count("\n") == 0


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("`~ \nab"), max_size=60))
def test_nothing_ends_a_block_of_code(text: str) -> None:
    found = tokens(code_block(text, "py") + "\n\nafter")
    fences = [token.content.rstrip("\n") for token in found if token.type == "fence"]
    assert fences == [text.rstrip("\n")]
    assert any(token.content == "after" for token in found)


ORDINARY = [
    "A sentence with `code`, *emphasis* and **more** of it.",
    "### What it does\n\nIt adds.\n\n### Caveat\n\nNone.",
    "- one\n- two\n  - three",
    "1. one\n2. two",
    "```python\nx = [1]\n```",
    "> quoted",
    "snake_case, list[int], a * b, a < b, 5 & 6, ~5 ms, f(x) and 100 %",
    "first\n\nsecond\nline",
    "- a\n\n  ```js\n  f()\n  ```\n\n- b",
    "Ends with a colon:\n\n- a",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_markdown_stays_as_it_is(text: str) -> None:
    assert safe_markdown(text) == text


@pytest.mark.parametrize("text", ORDINARY)
def test_what_is_safe_is_the_same_when_it_is_made_safe_again(text: str) -> None:
    once = safe_markdown(text + " <b> [x](command:y) a_ *")
    assert safe_markdown(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](https://b.c)", "a (`https://b.c`)"),
        ("[a](command:x)", "a"),
        ("![alt](x.png)", "alt"),
        ("see https://b.c.", "see `https://b.c`."),
        ("<b>x</b>", "\\<b>x\\</b>"),
        ("# One\n\n## Two", "### One\n\n### Two"),
        ("```py\nx = 1", "```py\nx = 1\n```"),
        ("```a b\nx\n```", "```a\nx\n```"),
        ("a\n---", "### a"),
        ("1986\\. A year", "1986\\. A year"),
        (r"the area \( 2\pi r^2 \times h \).", "the area `2π r^2 × h`."),
        (r"\[ A = \frac{a + 1}{2} \cdot \sqrt{x} \]", "`A = (a + 1)/2 · √(x)`"),
        (r"so $x_{max} \leq \text{limit}$ holds", "so `x_max ≤ limit` holds"),
        ("$$a \\ne b$$", "`a ≠ b`"),
        (r"it is 2\pi r", "it is 2π r"),
        (r"`\pi` and `$\times$`", r"`\pi` and `$\times$`"),
        ("```tex\n\\pi \\( x \\)\n```", "```tex\n\\pi \\( x \\)\n```"),
        (r"C:\times\pi and path\to\it", r"C:\times\pi and path\to\it"),
        ("it costs $3 to $5", "it costs $3 to $5"),
        (r"\( [x](command:y) `z` \)", "( x `z` )"),
        (r"\( <b> \)", "`<b>`"),
    ],
)
def test_what_becomes_of_it(text: str, expected: str) -> None:
    assert safe_markdown(text) == expected


def test_a_long_text_ends_with_a_sentence() -> None:
    text = "This is a sentence. " * 50
    written = safe_markdown(text, max_chars=100)
    assert written.endswith("sentence.\n\n…")
    assert 80 < len(written) <= 100


def test_what_a_parser_takes_long_for_is_shown_as_it_is() -> None:
    before = time.perf_counter()
    for text in ("_a" * 6000, "*a " * 4000, "[a](" * 3000, "_a_\n\n" * 600):
        written = safe_markdown(text, max_chars=6000)
        assert len(written) <= 6000
        assert harm(written[:400]) == []
    # Seconds, where all is tried with all; the machine may be busy.
    assert time.perf_counter() - before < 5


def test_a_long_text_ends_with_a_block() -> None:
    written = safe_markdown("one\n\ntwo\n\n" + "x" * 200, max_chars=60)
    assert written.startswith("one\n\ntwo\n\n")
    assert written.endswith("…")
