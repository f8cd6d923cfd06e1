"""The settings that the VS Code extension declares are those of the server."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from midfill_server.settings import Settings, parse
from midfill_server.settings_schema import settings_schema

EXTENSION = Path(__file__).parent.parent / "editors" / "vscode"
GENERATOR = EXTENSION / "scripts" / "settings.py"


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("midfill_vscode_settings", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def manifest() -> Mapping[str, Any]:
    return json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))


def declared(manifest: Mapping[str, Any]) -> dict[str, Any]:
    groups = manifest["contributes"]["configuration"]
    return {key: value for group in groups for key, value in group["properties"].items()}


def test_the_manifest_is_as_the_generator_writes_it(
    generator: ModuleType, manifest: Mapping[str, Any]
) -> None:
    assert generator.with_settings(manifest) == manifest, f"run {GENERATOR.name}"


def test_the_check_finds_a_setting_that_was_changed(
    generator: ModuleType,
    manifest: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declared(manifest)["midfill.model"]["default"] = "another"
    copy = tmp_path / "package.json"
    copy.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    monkeypatch.setattr(generator, "PACKAGE", copy)
    assert generator.main(["--check"]) == 1
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    assert copy.read_bytes() == (EXTENSION / "package.json").read_bytes()


def test_every_setting_of_the_server_is_offered(manifest: Mapping[str, Any]) -> None:
    assert settings_schema().keys() <= declared(manifest).keys()


def test_the_server_has_no_complaint_of_what_is_declared(manifest: Mapping[str, Any]) -> None:
    section: dict[str, Any] = {}
    for key, schema in declared(manifest).items():
        table = section
        *groups, name = key.removeprefix("midfill.").split(".")
        for group in groups:
            table = table.setdefault(group, {})
        table[name] = schema["default"]
    settings, problems = parse(section, Settings())
    assert problems == []
    assert settings == Settings()


def test_a_workspace_that_is_not_trusted_chooses_no_program_and_no_model(
    manifest: Mapping[str, Any],
) -> None:
    restricted = manifest["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"]
    assert set(restricted) <= declared(manifest).keys()
    for key in declared(manifest):
        if key.startswith(
            ("midfill.server.", "midfill.model", "midfill.download", "midfill.engine.")
        ):
            assert key in restricted
