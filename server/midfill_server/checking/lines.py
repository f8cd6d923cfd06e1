"""Reads what compilers write, a line for each finding: ``path:line:column: error: message``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from midfill_server.checking.finding import Finding, Places

__all__ = ["read_lines"]


def read_lines(
    output: str,
    pattern: re.Pattern[str],
    places: Places,
    *,
    source: str,
    is_own: Callable[[str], bool] = lambda _path: True,
    split: Callable[[str], tuple[str, str]] = lambda message: (message, ""),
    severity: str = "error",
) -> Iterator[Finding]:
    """Yield a finding for each line that ``pattern`` matches.

    It has groups ``line`` and ``message`` and may have ``path``, ``column`` (both count from 1),
    ``code`` and ``severity``. ``is_own`` says of a path whether it is the file's; ``split`` takes a
    message apart into itself and its code.
    """
    for line in output.splitlines():
        said = pattern.match(line)
        if said is None:
            continue
        parts = said.groupdict()
        if not is_own(parts.get("path") or ""):
            continue
        message, code = split(parts["message"])
        column = parts.get("column")
        yield places.finding(
            (int(parts["line"]) - 1, int(column) - 1 if column else None),
            None,
            message=message,
            code=parts.get("code") or code,
            source=source,
            severity=_SEVERITIES.get(parts.get("severity") or severity, "error"),
        )


_SEVERITIES = {
    "error": "error",
    "fatal error": "error",
    "warning": "warning",
    "note": "information",
    "info": "information",
    "information": "information",
}
