"""How one setting is described, read and written: nothing here knows which settings there are.

A group of settings is a frozen dataclass whose fields are made by ``setting``, or are groups.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar, cast, get_type_hints

__all__ = ["Problem", "Rule", "as_toml", "leaves", "overlay", "setting"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a setting means, for people, and which values it takes; bounds are inclusive."""

    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing in the settings that could not be used. ``key`` is the full dotted name."""

    key: str
    message: str

    def __str__(self) -> str:
        """Return the line that a user is shown."""
        return f"{self.key}: {self.message}" if self.key else self.message


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str


def setting(default: T, help: str, **limits: float | tuple[str, ...]) -> T:
    """Return a field of a group; ``limits`` are ``least``, ``most`` and ``choices``.

    Its type is ``str``, ``bool``, ``int``, ``float``, ``Path`` or one of these and ``None``, or
    ``tuple[str, ...]``.
    """
    rule = Rule(
        help=help,
        least=cast("float | None", limits.get("least")),
        most=cast("float | None", limits.get("most")),
        choices=cast("tuple[str, ...]", limits.get("choices", ())),
    )
    return field(default=default, metadata={"rule": rule})


def overlay(
    data: Mapping[str, object], base: T, *, beside: Set[str] = frozenset()
) -> tuple[T, list[Problem]]:
    """Lay ``data`` over the group ``base``. Keys may be ``snake_case`` or ``camelCase``.

    ``None`` means unset: that is how editors send a setting that nobody has touched. Keys
    ``beside`` these settings are somebody else's.
    """
    problems: list[Problem] = []
    ours = {key: value for key, value in data.items() if _snake(str(key)) not in beside}
    known = tuple(name for name, _, _ in leaves(base))
    return _overlay(ours, base, "", known, problems), problems


def leaves(group: object, path: str = "") -> Iterator[tuple[str, object, Rule]]:
    """Yield the dotted name, the value and the rule of each setting of a group, in order."""
    for item in fields(group):  # pyright: ignore[reportArgumentType]
        value: object = getattr(group, item.name)
        if is_dataclass(value):
            yield from leaves(value, f"{path}{item.name}.")
        else:
            yield path + item.name, value, cast("Rule", item.metadata["rule"])


def as_toml(value: object) -> str:
    """Spell a value as the TOML file would."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, cast('list[object]', value)))}]"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


def _overlay(
    data: Mapping[str, object], base: T, path: str, known: tuple[str, ...], problems: list[Problem]
) -> T:
    names = {f.name: f for f in fields(base)}  # pyright: ignore[reportArgumentType]
    hints = get_type_hints(type(base))
    changes: dict[str, object] = {}
    for key, value in data.items():
        name = _snake(str(key))
        if value is None:
            continue
        if name not in names:
            problems.append(Problem(key=path + str(key), message=_unknown(name, path, known)))
            continue
        current: object = getattr(base, name)
        if is_dataclass(current):
            if isinstance(value, Mapping):
                table = cast("Mapping[str, object]", value)
                changes[name] = _overlay(table, current, f"{path}{name}.", known, problems)
            else:
                problems.append(Problem(key=path + name, message="expected a table of settings"))
            continue
        rule = cast("Rule", names[name].metadata["rule"])
        converted = _convert(value, str(hints[name]), rule)
        if isinstance(converted, _Refusal):
            message = f"{converted.reason}; {as_toml(current)} is used"
            problems.append(Problem(key=path + name, message=message))
        else:
            changes[name] = converted
    return replace(base, **changes) if changes else base  # pyright: ignore[reportArgumentType, reportUnknownVariableType, reportCallIssue, reportGeneralTypeIssues, reportReturnType]


def _convert(value: object, hint: str, rule: Rule) -> object:
    """Return the value as the field's type, or a refusal that says what was expected."""
    if "tuple" in hint:
        return _texts(value)
    if "bool" in hint:
        return value if isinstance(value, bool) else _refuse("true or false", value)
    if "int" in hint or "float" in hint:
        return _number(value, rule, whole="int" in hint)
    if not isinstance(value, str) or not value.strip():
        return _refuse("a text", value)
    if rule.choices and value not in rule.choices:
        return _refuse("one of " + ", ".join(rule.choices), value)
    if "Path" not in hint:
        return value
    try:
        return Path(value).expanduser()
    except RuntimeError:
        return _Refusal("whose home folder is meant cannot be found out")


def _texts(value: object) -> object:
    # One text with commas is no list: "*.{a,b}" and a file's name may hold one.
    if not isinstance(value, list | tuple):
        return _refuse('a list of texts, as ["a", "b"]', value)
    texts = tuple(cast("list[object]", value))
    wrong = next((text for text in texts if not isinstance(text, str) or not text.strip()), None)
    if wrong is not None or None in texts:
        return _refuse("nothing but texts in the list", wrong)
    return texts


def _number(value: object, rule: Rule, *, whole: bool) -> object:
    kind = "a whole number" if whole else "a number"
    if rule.least is not None and rule.most is not None:
        kind += f" from {rule.least:g} to {rule.most:.0f}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _refuse(kind, value)
    # Lua and JSON have one kind of number: 64.0 is a fine 64.
    if whole and value != value // 1:
        return _refuse(kind, value)
    if rule.least is not None and not value >= rule.least:
        return _refuse(kind, value)
    if rule.most is not None and not value <= rule.most:
        return _refuse(kind, value)
    return int(value) if whole else float(value)


def _refuse(expected: str, value: object) -> _Refusal:
    return _Refusal(f"expected {expected}, not {as_toml(value)[:80]}")


def _unknown(name: str, path: str, known: tuple[str, ...]) -> str:
    same_leaf = [full for full in known if full.rpartition(".")[2] == name]
    near = same_leaf or difflib.get_close_matches(path + name, known, n=1, cutoff=0.4)
    near = near or [full for full in known if full.startswith(f"{path}{name}.")][:1]
    return f"there is no such setting; did you mean {near[0]}?" if near else "no such setting"


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()
