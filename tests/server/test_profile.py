from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from midfill_server.completer import Foresight
from midfill_server.profile import on_battery, profile_for
from midfill_server.settings import Settings, parse


def settings(**values: object) -> Settings:
    parsed, problems = parse(values, Settings())
    assert problems == []
    return parsed


@pytest.mark.parametrize(
    ("chosen", "battery", "name"),
    [
        ("auto", False, "performance"),
        ("auto", True, "eco"),
        ("eco", False, "eco"),
        ("performance", True, "performance"),
    ],
)
def test_a_profile_is_chosen_or_follows_the_battery(chosen: str, battery: bool, name: str) -> None:
    profile = profile_for(settings(profile=chosen), battery=battery)
    assert profile.name == name
    if name == "eco":
        assert profile.foresight == Foresight(after_answer_s=None, at_rest_s=None)
        assert profile.pause_s > 0
    else:
        assert profile.foresight == Foresight()
        assert profile.pause_s == 0


@pytest.mark.parametrize(
    ("minutes", "chosen", "expected_s"),
    [
        (15, "performance", 900.0),
        (0.5, "performance", 30.0),
        (0, "performance", None),
        (15, "eco", 120.0),
        (0.5, "eco", 30.0),
        (0, "eco", 120.0),
    ],
)
def test_when_the_model_leaves_the_memory(
    minutes: float, chosen: str, expected_s: float | None
) -> None:
    chosen_settings = settings(profile=chosen, engine={"idle_release_minutes": minutes})
    assert profile_for(chosen_settings, battery=False).idle_release_s == expected_s


def test_only_a_battery_in_use_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(result: object) -> None:
        def ask() -> object:
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(psutil, "sensors_battery", ask, raising=False)

    for plugged, expected in ((False, True), (True, False), (None, False)):
        probe(SimpleNamespace(power_plugged=plugged))
        assert on_battery() is expected
    for unknown in (None, OSError("no"), RuntimeError("no")):
        probe(unknown)
        assert on_battery() is False
    monkeypatch.delattr(psutil, "sensors_battery")
    assert on_battery() is False
