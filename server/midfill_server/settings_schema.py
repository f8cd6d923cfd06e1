"""All settings as an editor's extension declares them: its list is never written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import cast, get_type_hints

from midfill_server.settings import Settings
from midfill_server.settings_reading import Rule

__all__ = ["settings_schema"]

# What our clients decide for themselves by what they can show.
_NOT_OFFERED = frozenset({"streaming"})


def settings_schema() -> dict[str, dict[str, object]]:
    """Return a JSON schema for each setting by its full name, as ``midfill.engine.contextTokens``.

    Names are in ``camelCase`` and in the order of the documentation. A setting that is unset by
    default may be ``null``. ``markdownDescription`` is what VS Code shows.
    """
    return dict(_schemas(Settings(), "midfill."))


def _schemas(group: object, path: str) -> Iterator[tuple[str, dict[str, object]]]:
    hints = get_type_hints(type(group))
    for item in fields(group):  # pyright: ignore[reportArgumentType]
        value: object = getattr(group, item.name)
        if is_dataclass(value):
            yield from _schemas(value, f"{path}{_camel(item.name)}.")
        elif item.name not in _NOT_OFFERED:
            rule = cast("Rule", item.metadata["rule"])
            yield path + _camel(item.name), _schema(value, str(hints[item.name]), rule)


def _schema(default: object, hint: str, rule: Rule) -> dict[str, object]:
    kind = _kind(hint)
    schema: dict[str, object] = {"type": [kind, "null"] if "None" in hint else kind}
    if kind == "array":
        schema["items"] = {"type": "string"}
    if rule.choices:
        schema["enum"] = list(rule.choices)
    if rule.least is not None:
        schema["minimum"] = rule.least
    if rule.most is not None:
        schema["maximum"] = rule.most
    schema["default"] = list(cast("tuple[str, ...]", default)) if kind == "array" else default
    schema["markdownDescription"] = rule.help
    return schema


def _kind(hint: str) -> str:
    """Return JSON's name of a type that ``setting`` allows."""
    # "tuple[str, ...]" names two of them.
    if "tuple" in hint:
        return "array"
    kinds = {"bool": "boolean", "int": "integer", "float": "number"}
    return next((kind for name, kind in kinds.items() if name in hint), "string")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
