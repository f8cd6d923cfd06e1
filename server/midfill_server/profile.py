"""How much may be computed that nobody has asked for: at the mains, on battery."""

from __future__ import annotations

from dataclasses import dataclass, field

from midfill_server.completer import Foresight
from midfill_server.settings import Settings

__all__ = ["Profile", "on_battery", "profile_for"]

_ECO_PAUSE_S = 0.3
_ECO_IDLE_RELEASE_S = 120.0
_NO_FORESIGHT = Foresight(after_answer_s=None, at_rest_s=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """``pause_s`` is how long typing must have stopped before a completion is begun.

    ``idle_release_s``: after so long without work the model leaves the memory; ``None``: never.
    """

    name: str
    foresight: Foresight = field(default_factory=Foresight)
    pause_s: float = 0.0
    idle_release_s: float | None = None

    @property
    def is_thrifty(self) -> bool:
        """Whether nothing is computed that nobody has asked for."""
        return self.name == "eco"


def profile_for(settings: Settings, *, battery: bool) -> Profile:
    """Return what the settings mean now; ``battery``: the machine runs on one."""
    idle_release_s = settings.engine.idle_release_minutes * 60.0 or None
    if settings.profile == "eco" or (settings.profile == "auto" and battery):
        return Profile(
            name="eco",
            foresight=_NO_FORESIGHT,
            pause_s=_ECO_PAUSE_S,
            idle_release_s=min(idle_release_s or _ECO_IDLE_RELEASE_S, _ECO_IDLE_RELEASE_S),
        )
    return Profile(name="performance", idle_release_s=idle_release_s)


def on_battery() -> bool:
    """Whether the machine runs on battery now; takes about 1 ms. Unknown counts as no."""
    import psutil

    # Systems without the probe lack the function, and some have one that fails.
    probe = getattr(psutil, "sensors_battery", None)
    try:
        battery = None if probe is None else probe()
    except (OSError, RuntimeError):
        return False
    return battery is not None and battery.power_plugged is False
