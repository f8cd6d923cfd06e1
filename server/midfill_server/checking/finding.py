"""What a checker says about a place in a text, in the same terms for all checkers."""

from __future__ import annotations

from dataclasses import dataclass

from midfill_server.document import LineTable, PositionEncoding, offset_at

__all__ = ["Finding", "Places"]

_MAX_MESSAGE_CHARS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a checker found.

    Lines and columns count from 0, columns in code points; a column is ``None`` where the checker
    tells none. The last column is that behind the last character. ``severity`` is ``error``,
    ``warning``, ``information`` or ``hint``, as in editors.
    """

    first_line: int
    first_column: int | None
    last_line: int
    last_column: int | None
    message: str
    code: str
    source: str
    severity: str = "error"


class Places:
    """Turns the places that checkers tell of one text into lines and columns of findings."""

    def __init__(self, text: str, encoding: PositionEncoding) -> None:
        self._text = text
        self._lines = LineTable.of(text)
        self._encoding = encoding

    def finding(
        self,
        first: tuple[int, int | None],
        last: tuple[int, int | None] | None,
        *,
        message: str,
        code: str,
        source: str,
        severity: str = "error",
    ) -> Finding:
        """Return a finding at ``first`` to ``last``: lines and columns from 0, in the encoding.

        Without ``last`` only the beginning is known.
        """
        first_line, first_column = self._place(first)
        last_line, last_column = (first_line, None) if last is None else self._place(last)
        return Finding(
            first_line=first_line,
            first_column=first_column,
            last_line=max(first_line, last_line),
            last_column=last_column,
            message=message.strip()[:_MAX_MESSAGE_CHARS],
            code=code,
            source=source,
            severity=severity,
        )

    def _place(self, place: tuple[int, int | None]) -> tuple[int, int | None]:
        line, column = max(place[0], 0), place[1]
        if line >= self._lines.count:
            # Some point behind the last line, where something is missing.
            line, column = self._lines.count - 1, None
        if column is None:
            return line, None
        offset = offset_at(self._text, self._lines, line, max(column, 0), self._encoding)
        return line, offset - self._lines.start_of(line)
