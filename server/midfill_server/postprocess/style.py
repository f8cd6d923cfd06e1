"""How a text is spelled: blanks and line ends as the document has them."""

from __future__ import annotations

from midfill_server.postprocess.extent import opens_block
from midfill_server.postprocess.lines import lines_of
from midfill_server.postprocess.site import Site
from midfill_server.syntax import Kind

__all__ = ["spelled"]

_VERBATIM = frozenset({Kind.STRING, Kind.DOCSTRING})


def spelled(text: str, site: Site) -> str:
    """Return ``text`` with the document's indentation and line ends.

    Each line is spelled by itself, so the beginning of a text is the beginning of its spelling.
    Blanks at the ends of lines go, but for those of the last, which may be wanted.
    """
    verbatim = site.place.kind in _VERBATIM or bool(site.open_quote)
    lines: list[str] = []
    for line in lines_of(text):
        content = line.content
        at_margin = line.start > 0 or site.is_empty_line
        if line.start == 0 and site.is_empty_line and not verbatim:
            content = _indented_once(content, site)
        if at_margin and not verbatim:
            content = _indented(content, site)
        lines.append(content.rstrip(" \t") if line.ending and not verbatim else content)
    return site.line_end.join(lines)


def _indented(line: str, site: Site) -> str:
    """Return ``line`` with its indentation in the document's characters."""
    bare = line.lstrip(" \t")
    blanks = line[: len(line) - len(bare)]
    if site.indent_unit == "\t":
        if " " * site.tab_columns not in blanks:
            return line
        levels, left = divmod(site.width(line), site.tab_columns)
        # What is left over lines something up with the line above.
        return "\t" * levels + " " * left + bare
    return blanks.replace("\t", site.indent_unit) + bare


def _indented_once(line: str, site: Site) -> str:
    """Drop the indentation of ``line`` where the cursor stands behind an indentation already.

    A block that the line above opens may be one level deeper; so may a line that goes on with it.
    """
    if not site.line_before or not site.before_lines or not line[:1].isspace():
        return line
    above = site.before_lines[-1]
    bare = line.lstrip(" \t")
    before, outside = site.width(site.line_before), site.width(above)
    # What is there may be a part of the indentation only.
    whole = site.width(site.line_before + line) <= outside + site.tab_columns
    deeper = opens_block(above) and (before <= outside or whole)
    goes_on = bool(site.open_brackets.strip("{")) or before < outside
    return line if deeper or goes_on else bare
