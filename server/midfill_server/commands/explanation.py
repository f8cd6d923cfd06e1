"""``midfill complete --explain``: what became of the text that the model wrote, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midfill_server.pipeline import Account, Completion, Query

__all__ = ["explanation", "explanation_as_json"]

_MARGIN = "  | "


def explanation(query: Query, completion: Completion) -> str:
    """Return it as lines for people."""
    found = explanation_as_json(query, completion)
    account = completion.account
    if found is None or account is None:
        return "the model was not asked"
    lines = [
        f"language: {found['language'] or 'plain text'}; place of the cursor: {found['place']}",
        f"wanted: a {account.extent.extent.value}, {account.extent.reason}",
    ]
    if account.sureness is not None:
        lines.append(f"the first line is right with a probability of {account.sureness:.0%}")
    if account.changed:
        lines.append("on second thoughts, another first line than the model wrote at first")
    lines += [
        f"the model wrote, and ended with {completion.finish.value!r}:",
        *_quoted(account.raw),
    ]
    for step in account.steps:
        lines.append(f"{step.name}: {step.reason}; taken off:")
        lines += _quoted(step.before[len(step.after) :])
    if not account.steps:
        lines.append("no filter took anything off")
    if completion.withheld:
        lines += ["not shown, as it is probably wrong:", *_quoted(completion.withheld)]
    lines += ["shown:", *_quoted(completion.text)]
    return "\n".join(lines)


def explanation_as_json(query: Query, completion: Completion) -> dict[str, object] | None:
    """Return it as data; ``None`` if the model was not asked."""
    from midfill_server.syntax import language_of, place_at

    account: Account | None = completion.account
    if account is None:
        return None
    language = language_of(query.language_id, query.uri)
    return {
        "language": language.id if language else None,
        "place": place_at(query.tree, query.text, query.cursor).kind.value,
        "extent": account.extent.extent.value,
        "because": account.extent.reason,
        "sureness": account.sureness,
        "changed": account.changed,
        "raw": account.raw,
        "steps": [
            {"filter": s.name, "reason": s.reason, "before": s.before, "after": s.after}
            for s in account.steps
        ],
        "withheld": completion.withheld,
    }


def _quoted(text: str) -> list[str]:
    if not text:
        return [_MARGIN + "(nothing)"]
    # A line end that is taken off is to be seen as well; other signs might move the cursor.
    lines = text.replace("\r\n", "\n").replace("\t", "    ").split("\n")
    shown = (line if line.isprintable() else repr(line)[1:-1] for line in lines)
    return [(_MARGIN + line).rstrip() for line in shown]
