"""What a file says of its own definitions: docstrings, and the comments right above."""

from __future__ import annotations

import ast
import html
import re
import textwrap

from midfill_server.syntax import Language

__all__ = ["documentation"]

_MAX_CHARS = 4000
_MAX_LINES_ABOVE = 120

_DOCSTRING = re.compile(
    r"""\s*(?:\#[^\n]*\n\s*)*([rRuU]?)(\"\"\"|'''|"|')((?:\\.|(?!\2).)*)\2""", re.DOTALL
)
# Between a comment and what it speaks of; they are no part of the definition in some grammars.
_ATTRIBUTE = re.compile(r"\s*(?:#!?\[.*\]|\[[A-Z][\w.]*(?:\(.*\))?\]|@[\w.]+(?:\(.*\))?)\s*\Z")
# They speak to tools.
_DIRECTIVE = re.compile(
    r"\s*(?:!|(?:eslint|prettier|ts|istanbul|noqa|type:|pylint:|pyright:|ruff:|fmt:|region|endregion"
    r"|go:|\+build|nolint|shellcheck|rubocop:|frozen_string_literal|-\*-)[-:\s\w]*)"
)
_BLOCK_END = "*/"


def documentation(text: str, *, start: int, header_end: int, language: Language) -> str:
    """Return what stands in or right above a definition as its documentation, else ``""``.

    ``[start, header_end)`` is its header, decorators included. The result is text for people, with
    the marks of comments and most of what only tools read taken away; it is not safe to render.
    """
    found = ""
    if language.id == "python":
        found = _docstring(text, header_end)
    if not found:
        found = _above(text, start, language) or _beside(text, start, header_end, language)
    return _cleaned(found, language)[:_MAX_CHARS].strip()


def _docstring(text: str, header_end: int) -> str:
    match = _DOCSTRING.match(text, header_end, header_end + 2 * _MAX_CHARS)
    if match is None or ("\n" in match[3] and len(match[2]) == 1):
        return ""
    try:
        written: object = ast.literal_eval(match[1] + match[2] + match[3] + match[2])
    except (ValueError, SyntaxError):
        written = match[3]
    first, newline, rest = str(written).strip("\n").partition("\n")
    return first.strip() + newline + textwrap.dedent(rest)


def _above(text: str, start: int, language: Language) -> str:
    """Return the comment that ends in the line above a definition, without its marks."""
    lines = text[: text.rfind("\n", 0, start) + 1].splitlines()[-_MAX_LINES_ABOVE:]
    while lines and _ATTRIBUTE.fullmatch(lines[-1]):
        lines.pop()
    marker = language.line_comment
    is_block = language.block_comment is not None and language.block_comment[1] == _BLOCK_END
    if is_block and lines and lines[-1].rstrip().endswith(_BLOCK_END):
        return _block(lines)
    found: list[str] = []
    while lines and marker and lines[-1].lstrip().startswith(marker):
        line = lines.pop().lstrip().removeprefix(marker)
        # Rust's and C#'s have a third slash, or an exclamation mark.
        line = line.lstrip("/") if marker == "//" else line.lstrip("#")
        if not _DIRECTIVE.match(line):
            found.append(line.removeprefix(" "))
    return "\n".join(reversed(found))


def _block(lines: list[str]) -> str:
    found: list[str] = []
    while lines:
        line = lines.pop()
        found.append(line)
        if "/*" in line:
            break
    else:
        return ""
    written = "\n".join(reversed(found))
    before, _, inside = written.partition("/*")
    if before.strip():
        # It stands behind some code, and speaks of that.
        return ""
    inside = inside.removesuffix(_BLOCK_END).rstrip().removesuffix(_BLOCK_END).lstrip("*!")
    kept = [re.sub(r"^\s*\*(?!\*) ?", "", line) for line in inside.split("\n")]
    kept = [line for line in kept if not _DIRECTIVE.match(line)]
    return textwrap.dedent("\n".join(kept)).strip()


def _beside(text: str, start: int, header_end: int, language: Language) -> str:
    """Return the comment behind a definition of one line."""
    line_end = text.find("\n", header_end)
    rest = text[header_end : line_end if line_end >= 0 else len(text)].strip().lstrip(";, ")
    marker = language.line_comment
    if "\n" in text[start:header_end] or not marker or not rest.startswith(marker):
        return ""
    rest = rest.removeprefix(marker).lstrip("/!<# ")
    return "" if _DIRECTIVE.match(rest) else rest


def _cleaned(written: str, language: Language) -> str:
    if language.id == "python":
        written = re.sub(r":\w+(?::\w+)?:`[~!]?([^`<]+?)(?:\s*<[^`>]*>)?`", r"`\1`", written)
        written = re.sub(r"``([^`\n]+)``", r"`\1`", written)
        written = re.sub(
            r"(?m)^[ \t]*:(?:param|arg)\s+(?:[\w.\[\]]+\s+)?(\w+):", r"- `\1`:", written
        )
        written = re.sub(r"(?m)^[ \t]*:returns?:", "- Returns:", written)
        written = re.sub(r"(?m)^[ \t]*:raises?\s+([\w.]+):", r"- Raises `\1`:", written)
    elif language.line_comment == "//" and language.id != "rust":
        written = _tags(_elements(written))
    return re.sub(r"\n{3,}", "\n\n", written).strip()


def _elements(written: str) -> str:
    """Put markdown in place of the elements of C#'s and Java's comments."""
    ref = r"<(?:see|seealso|paramref|typeparamref)\s+\w+=\"(?:\w:)?([^\"]+)\"\s*/?>"
    written = re.sub(ref + r"(?:</see(?:also)?>)?", r"`\1`", written)
    written = re.sub(r"<(?:param|typeparam)\s+name=\"([^\"]+)\">\s*", r"\n- `\1`: ", written)
    written = re.sub(r"<exception\s+cref=\"(?:\w:)?([^\"]+)\">\s*", r"\n- Throws `\1`: ", written)
    written = re.sub(r"<returns>\s*", "\n- Returns: ", written)
    written = re.sub(r"(?s)<(c|code|tt)>(.*?)</\1>", r"`\2`", written)
    written = re.sub(r"(?i)<(?:p|br)\s*/?>", "\n\n", written)
    written = re.sub(r"(?i)<li>\s*", "\n- ", written)
    known = r"summary|remarks|param|typeparam|returns|exception|value|example|para|list|item|term"
    known += r"|description|p|ul|ol|li|pre|em|i|b|strong|blockquote|a(?:\s[^<>]*)?"
    written = re.sub(rf"(?i)</?(?:{known})\s*/?>", "", written)
    return html.unescape(written)


def _tags(written: str) -> str:
    """Put markdown in place of the tags of JSDoc, Javadoc, PHPDoc and Doxygen."""
    written = re.sub(r"\{@(?:link|linkplain|code|literal|see)\s+#?([^{}]*)\}", r"`\1`", written)
    names = r"(?:\$|\[)?(\w+)(?:[^\s\]\w]\S*)?\]?"
    kind = r"(?:\{[^{}\n]*(?:\{[^{}\n]*\})?[^{}\n]*\}\s*|[\w\\|?<>\[\]]+\s+(?=\$))?"
    tag = r"(?m)^[ \t]*[@\\]"
    written = re.sub(
        rf"{tag}(?:t?param|arg(?:ument)?)\b\s*(?:\[\w+\]\s*)?{kind}{names}\s*-?\s*",
        r"- `\1`: ",
        written,
    )
    written = re.sub(rf"{tag}returns?\b\s*(?:\{{[^}}\n]*\}}\s*)?-?\s*", "- Returns: ", written)
    written = re.sub(
        rf"{tag}(?:throws|exception)\b\s*\{{?([\w.\\]+)\}}?\s*-?\s*", r"- Throws `\1`: ", written
    )
    written = re.sub(rf"{tag}deprecated\b\s*", "Deprecated. ", written)
    return re.sub(rf"{tag}(?:brief|summary|description|details?)\b\s*", "", written)
