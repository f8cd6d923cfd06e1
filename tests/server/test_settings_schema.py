"""The settings as an extension declares them: what it lets through, the server takes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from midfill_server.settings import Settings, parse
from midfill_server.settings_reading import leaves
from midfill_server.settings_schema import settings_schema

SCHEMA = settings_schema()


def nested(name: str, value: object) -> Mapping[str, object]:
    """Return the section as an editor sends it, where only ``name`` is set."""
    for key in reversed(name.removeprefix("midfill.").split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def test_every_setting_but_what_clients_decide_is_offered() -> None:
    assert len(SCHEMA) == len(list(leaves(Settings()))) - 1
    assert "midfill.streaming" not in SCHEMA
    assert "midfill.completion.disabledLanguages" in SCHEMA


@pytest.mark.parametrize("name", SCHEMA)
def test_defaults_and_limits_are_the_server_s_own(name: str) -> None:
    schema = SCHEMA[name]
    assert parse(nested(name, schema["default"]), Settings()) == (Settings(), [])
    allowed = [*schema.get("enum", []), *filter(None, map(schema.get, ("minimum", "maximum")))]  # type: ignore[misc]
    for value in allowed:
        assert parse(nested(name, value), Settings())[1] == [], value
    if "maximum" in schema:
        beyond = nested(name, int(str(schema["maximum"]).split(".")[0]) + 1)
        assert parse(beyond, Settings())[1] != []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("midfill.model", "string"),
        ("midfill.download", "boolean"),
        ("midfill.engine.contextTokens", "integer"),
        ("midfill.engine.threads", ["integer", "null"]),
        ("midfill.engine.home", ["string", "null"]),
        ("midfill.engine.idleReleaseMinutes", "number"),
        ("midfill.completion.disabledFiles", "array"),
        ("midfill.explain.maxTokens", ["integer", "null"]),
        ("midfill.fix.onlyVerified", "boolean"),
    ],
)
def test_types_are_those_of_json(name: str, kind: object) -> None:
    assert SCHEMA[name]["type"] == kind
    assert str(SCHEMA[name]["markdownDescription"])


def test_groups_of_the_client_are_none_of_the_server_s_business() -> None:
    section = {"server": {"path": "/x"}, "trace": {"server": "off"}, "editor": {"keys": 1}}
    assert parse(section, Settings()) == (Settings(), [])
