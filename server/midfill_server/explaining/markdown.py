"""Markdown from whoever wrote it, as markdown that any editor may render.

The text is parsed, and what is allowed of it is written anew: so there is nothing in the result
that this module did not put there. Of a text that still grows, each beginning is safe.
"""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from midfill_server.explaining.formulas import without_latex

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode

__all__ = ["code_block", "code_span", "plain_text", "safe_markdown"]

# Text that means nothing but itself is written with at most so many characters for one.
_MAX_READ_FACTOR = 2
_MORE = "…"
_MAX_TRIES = 40
_MAX_EMPHASIS = 3
# Marks that a parser tries with each other, all with all: of so many no person or model means any.
_COSTLY = re.compile(r"[*_\[]")
_MAX_COSTLY = 500
_INLINE = "inline"
_MARKS = MappingProxyType(
    {"em_open": "*", "em_close": "*", "strong_open": "**", "strong_close": "**"}
)
_WEB = re.compile(r"https?://")

# What is not text: control characters, what reverses the direction of others, halves of pairs.
_NEVER = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)
# Editors make links of these by themselves.
_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.-]{0,30}://|www\."
    r"|(?:command|file|javascript|vbscript|data|vscode|mailto|xmpp|tel):(?=\S))[^\s<>`]*"
    r"|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+",
    re.IGNORECASE,
)
_TRAILING = re.compile(r"[.,;:!?)\]'\"*_~]+\Z")
# The characters that may begin something, where they may.
_SPECIAL = re.compile(
    r"\\(?=[!-/:-@\[-`{-~]|\Z)|`"
    r"|(?<![\s])\*|\*(?!\s)|\A\*|\*\Z"
    r"|(?<![^\W_])_|_(?![^\W_])"
    r"|\](?=[(\[:]|\Z)"
    r"|<(?=[A-Za-z/!?]|\Z)"
    r"|&(?=#?\w+;)"
    r"|\$(?=[({]|\Z)"
)
# What means something at the start of a line.
_AT_START = re.compile(
    r"(?=#{1,6}(?:\s|\Z)|>|[-+](?:\s|\Z)|[-=]+\s*\Z|~~~|\|)|(?<=\d)(?=[.)](?:\s|\Z))"
)
_NUMBER = re.compile(r"\d{1,9}(?=[.)](?:\s|\Z))")
_LANGUAGE = re.compile(r"[\w+#.-]{1,20}\Z")
_SENTENCE_END = re.compile(r"[.!?:](?:[)\"'`*_]*)(?=\s)|\n")


def safe_markdown(text: str, *, max_chars: int = 4000, top_heading: int = 3) -> str:
    """Return markdown that shows ``text`` without harm, in at most ``max_chars``.

    Kept are paragraphs, headings (none above the level ``top_heading``), emphasis, lists, quotes
    and code. Of links and images their texts are kept, HTML is shown as it is written, LaTeX as
    plain characters. What is too long ends after a block, or else a sentence.
    """
    source = _clean(text.replace("\r\n", "\n").replace("\r", "\n"))
    is_whole = len(source) <= _MAX_READ_FACTOR * max_chars
    source = without_latex(source[: _MAX_READ_FACTOR * max_chars])
    kept: list[str] = []
    room = max_chars - len(_MORE) - 2
    if len(_COSTLY.findall(source)) > _MAX_COSTLY:
        return _plainly(source, room)
    for node in _parsed(source).children:
        block = "\n".join(_block(node, top_heading))
        if not block:
            continue
        if len(block) > room:
            first, last = node.map or (0, 0)
            piece = "\n".join(source.split("\n")[first:last])
            beginning = _beginning(piece, room, top_heading)
            return "\n\n".join([*kept, *([beginning] if beginning else []), _MORE])
        room -= len(block) + 2
        kept.append(block)
    return "\n\n".join(kept if is_whole else [*kept, _MORE])


def _plainly(source: str, room: int) -> str:
    """Return the first paragraphs of a text as they are written."""
    kept: list[str] = []
    for line in source.split("\n"):
        written = plain_text(line[: room // 2])
        if len(written) + 2 > room:
            break
        room -= len(written) + 2
        kept += [written] if written else []
    return "\n\n".join([*kept, _MORE])


def plain_text(text: str) -> str:
    """Return ``text`` as markdown that shows it letter by letter, in one line."""
    return _line_start(_escaped(" ".join(_clean(text).split())))


def code_block(code: str, language: str = "") -> str:
    """Return code as a block that nothing in it can end."""
    code = _clean(code).rstrip("\n")
    runs = [len(run) for run in re.findall(r"`+", code)]
    fence = "`" * max(3, *(run + 1 for run in runs)) if runs else "```"
    info = language if _LANGUAGE.match(language) else ""
    return f"{fence}{info}\n{code}\n{fence}"


def code_span(code: str) -> str:
    """Return code within a line, which nothing in it can end; ``""`` for none."""
    code = " ".join(_clean(code).split())
    if not code:
        return ""
    runs = {len(run) for run in re.findall(r"`+", code)}
    mark = "`" * next(length for length in range(1, len(code) + 2) if length not in runs)
    space = " " if code[0] == "`" or code[-1] == "`" else ""
    return f"{mark}{space}{code}{space}{mark}"


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _parsed(source: str) -> SyntaxTreeNode:
    """Return the blocks; what is in a line is not made a tree of, whose depth nothing bounds."""
    from markdown_it.tree import SyntaxTreeNode

    tokens = _parser().parse(source)
    for token in tokens:
        if token.children is not None:
            token.meta[_INLINE], token.children = token.children, None
    return SyntaxTreeNode(tokens)


def _clean(text: str) -> str:
    return _NEVER.sub("", text)


def _beginning(piece: str, room: int, top_heading: int) -> str:
    """Return as much of a block as has room, up to the end of a sentence or a line."""
    ends = [match.end() for match in _SENTENCE_END.finditer(piece, 0, room)][-_MAX_TRIES:]
    # Without any sentence a word does, and without words half of it.
    for end in (*reversed(ends), piece.rfind(" ", 0, room), room // 2):
        nodes = _parsed(piece[:end]).children
        written = "\n\n".join("\n".join(_block(node, top_heading)) for node in nodes)
        if end > 0 and 0 < len(written) <= room:
            return written
    return ""


def _block(node: SyntaxTreeNode, top: int) -> list[str]:
    """Return the lines of a block."""
    kind = node.type
    if kind == "paragraph":
        return _lines(_inline(node))
    if kind == "heading":
        written = " ".join(_lines(_inline(node)))
        level = min(max(int(node.tag[1:]), top), 6)
        return [f"{'#' * level} {written}"] if written else []
    if kind in ("fence", "code_block"):
        info = node.info.split()[0] if kind == "fence" and node.info.strip() else ""
        return code_block(node.content, info).split("\n")
    if kind in ("bullet_list", "ordered_list"):
        return _list(node, top)
    if kind == "blockquote":
        return [f"> {line}".rstrip() for line in _blocks(node, top, is_tight=False)]
    if kind == "hr":
        # Dashes below a text would make a heading of it.
        return ["***"]
    return _lines(_escaped_lines(node.content)) if not node.is_root else []


def _blocks(node: SyntaxTreeNode, top: int, *, is_tight: bool) -> list[str]:
    found = [lines for child in node.children if (lines := _block(child, top))]
    joined: list[str] = []
    for lines in found:
        joined += ["", *lines] if joined and not is_tight else lines
    return joined


def _list(node: SyntaxTreeNode, top: int) -> list[str]:
    """Return the lines of a list; items without anything in them are left out."""
    is_tight = all(
        child.hidden
        for item in node.children
        for child in item.children
        if (child.type == "paragraph")
    )
    number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
    lines: list[str] = []
    for item in node.children:
        content = _blocks(item, top, is_tight=is_tight)
        if not content:
            continue
        mark = "- " if number is None else f"{number}. "
        number = None if number is None else number + 1
        if lines and not is_tight:
            lines.append("")
        lines.append(mark + content[0])
        lines += [" " * len(mark) + line if line else "" for line in content[1:]]
    return lines


def _lines(written: str) -> list[str]:
    """Return the lines of a paragraph, none of which begins anything else."""
    stripped = (line.strip() for line in written.split("\n"))
    return [_line_start(line) for line in stripped if line]


def _line_start(line: str) -> str:
    number = _NUMBER.match(line)
    at = number.end() if number is not None else 0
    return f"{line[:at]}\\{line[at:]}" if number is not None or _AT_START.match(line) else line


def _inline(node: SyntaxTreeNode) -> str:
    """Return what stands in a paragraph or heading, escaped."""
    pieces: list[str] = []
    # Together: what two texts make side by side must be seen.
    text: list[str] = []
    link: tuple[str, int] | None = None
    depth = 0
    for token in _tokens(node):
        if token.type in ("text", "text_special", "html_inline", "image"):
            text.append(token.content)
        elif token.type == "link_open":
            link = str(token.attrs.get("href", "")), len(text)
        elif token.type == "link_close" and link is not None:
            address, since = link
            is_told = address in "".join(text[since:])
            text += [f" ({address})"] if _WEB.match(address) and not is_told else []
            link = None
        elif link is not None:
            # Of a link there is nothing but its text.
            text.append(token.content or " " * token.type.endswith("break"))
        else:
            mark = _MARKS.get(token.type, "")
            # What is nested deeper is no emphasis that anybody meant.
            depth += token.nesting if mark else 0
            is_shown = depth + (token.nesting < 0) <= _MAX_EMPHASIS
            pieces += [_escaped("".join(text)), mark if is_shown else ""]
            text.clear()
            if token.type in ("softbreak", "hardbreak"):
                pieces.append("\n")
            elif not mark:
                pieces.append(code_span(token.content))
    return "".join([*pieces, _escaped("".join(text))])


def _tokens(node: SyntaxTreeNode) -> list[Token]:
    held = node.children[0] if node.children else node
    return cast("list[Token]", held.meta.get(_INLINE, []))


def _escaped_lines(text: str) -> str:
    return "\n".join(_escaped(line) for line in text.split("\n"))


def _escaped(text: str) -> str:
    """Return text that means itself; addresses in it as code, which no editor makes a link of."""
    text = _clean(text).replace("\n", " ")
    found: list[str] = []
    at = 0
    for match in _ADDRESS.finditer(text):
        trailing = _TRAILING.search(match[0])
        end = match.end() - (len(trailing[0]) if trailing is not None else 0)
        if end <= match.start() or match.start() < at:
            continue
        found += [_SPECIAL.sub(r"\\\g<0>", text[at : match.start()])]
        found += [code_span(text[match.start() : end])]
        at = end
    return "".join([*found, _SPECIAL.sub(r"\\\g<0>", text[at:])])
