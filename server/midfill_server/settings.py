"""What a user may choose, from a TOML file and from the editor; nothing here raises.

Later sources win: defaults, the TOML file, the client's initialization options, the client's
``workspace/configuration`` section ``midfill``. A value that cannot be used leaves the one before
it and is reported, as is a key that does not exist.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar, cast, get_type_hints

from midfill_engine.options import EngineOptions

__all__ = [
    "CONFIG_VARIABLE",
    "STATE_VARIABLE",
    "CompletionSettings",
    "EngineSettings",
    "Problem",
    "Settings",
    "config_path",
    "engine_options",
    "load_settings",
    "log_path",
    "parse",
    "settings_table",
    "statistics_path",
]

CONFIG_VARIABLE = "MIDFILL_CONFIG"
"""Environment variable: another path of the TOML file; set but empty means no file."""

STATE_VARIABLE = "MIDFILL_STATE"
"""Environment variable: another folder for what is remembered; set but empty means nothing is."""

T = TypeVar("T")

# vscode-languageclient keeps its own switch in the section of the server it starts.
_CLIENT_KEYS = frozenset({"trace"})
_STATISTICS_FILE = "statistics-1.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """What a field means, for people, and which values it takes; bounds are inclusive."""

    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


def _setting(default: T, help: str, **limits: float | tuple[str, ...]) -> T:
    rule = _Rule(
        help=help,
        least=cast("float | None", limits.get("least")),
        most=cast("float | None", limits.get("most")),
        choices=cast("tuple[str, ...]", limits.get("choices", ())),
    )
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the model runs."""

    backend: str = _setting(
        "auto",
        "What runs the model: `onnx` (ONNX Runtime), `torch` (PyTorch, for NVIDIA GPUs), `llama` "
        "(llama.cpp) or `optimum`, each with its extra installed; or `auto`: the first that is "
        "able, or one that `midfill doctor` measured to be faster.",
        choices=("auto", "onnx", "torch", "llama", "optimum"),
    )
    device: str = _setting(
        "auto",
        "`cpu`, `gpu`, or `auto`: a GPU where there is one and the backend drives it.",
        choices=("auto", "cpu", "gpu"),
    )
    draft: str = _setting(
        "auto",
        "A smaller model that guesses what the model then checks: an id, `never`, or `auto`: on a "
        "GPU, the smallest of its family that is installed and fits; on a processor, none.",
    )
    weights: str = _setting(
        "auto",
        "Layout of the weights: `int8`, `mixed`, `int4`, `int4-fine`, `exact`, `float32` of the "
        "backend `onnx`; `bf16`, `fp16`, `int8`, `int4`, `float32` of `torch`; or `auto`: the one "
        "that was measured to suit the model, or the widest that fits.",
        choices=(
            "auto",
            "int8",
            "mixed",
            "int4",
            "int4-fine",
            "exact",
            "float32",
            "bf16",
            "fp16",
            "gguf",
        ),
    )
    threads: int | None = _setting(
        None, "Threads that compute; unset: one per physical core.", least=1, most=1024
    )
    context_tokens: int = _setting(
        4096, "Upper bound of prompt and answer together, in tokens.", least=256, most=131072
    )
    prompt_tokens: int | None = _setting(
        None,
        "How much text around the cursor the model sees, in tokens; unset: chosen per model.",
        least=16,
        most=131072,
    )
    cache_mb: int = _setting(
        256,
        "Memory for what was computed at the places completed lately, in MB; 0: the last only.",
        least=0,
        most=1_000_000,
    )
    stand_in: str = _setting(
        "auto",
        "When a smaller model that is installed answers. `loading`: while the larger one is being "
        "loaded. `always`: also where the larger one would take long to begin; takes the memory "
        "of both. `auto`: `always` where there is plenty of memory, else `loading`. `never`.",
        choices=("auto", "always", "loading", "never"),
    )
    idle_release_minutes: float = _setting(
        15.0,
        "Minutes without use after which the model leaves the memory; the next request loads it "
        "again. 0: never.",
        least=0,
        most=10_000,
    )
    home: Path | None = _setting(  # noqa: RUF009 - makes a field, not a shared value
        None, "Folder of the models; unset: the user's cache folder of this system."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionSettings:
    """What one completion may cost."""

    max_tokens: int = _setting(64, "Longest completion, in tokens.", least=1, most=4096)
    line_first: bool = _setting(
        False,
        "Answer as soon as the first line is whole; the lines after it are generated meanwhile "
        "and offered once that line is accepted.",
    )
    timeout_s: float = _setting(
        30.0,
        "How long a request may wait for the model and its answer, in seconds; then it is empty.",
        least=0.1,
        most=600,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the server."""

    model: str = _setting(
        "auto",
        "A model's id (`midfill models list`), the path of a GGUF file or of a folder of "
        "safetensors, or `auto`: the best model that this machine serves fast enough.",
    )
    profile: str = _setting(
        "auto",
        "`performance`: compute ahead what will probably be asked for. `eco`: only what is asked "
        "for, once typing stops, and release the memory early. `auto`: `eco` on battery.",
        choices=("auto", "performance", "eco"),
    )
    download: bool = _setting(False, "Fetch a missing model without asking first.")
    streaming: bool = _setting(
        False,
        "Send `midfill/inlineCompletionProgress` while a completion grows, and "
        "`midfill/completionStats` after it.",
    )
    statistics: bool = _setting(
        True,
        "Keep latency figures for `midfill stats` on this machine; no code, no file names.",
    )
    engine: EngineSettings = field(default_factory=EngineSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing in the settings that could not be used. ``key`` is the full dotted name."""

    key: str
    message: str

    def __str__(self) -> str:
        """Return the line that a user is shown."""
        return f"{self.key}: {self.message}" if self.key else self.message


def engine_options(settings: Settings, *, download: bool | None = None) -> EngineOptions:
    """Return the engine's part; ``download`` overrides the setting."""
    return EngineOptions(
        model=settings.model,
        backend=settings.engine.backend,
        device=settings.engine.device,
        draft=settings.engine.draft,
        weights=settings.engine.weights,
        home=settings.engine.home,
        threads=settings.engine.threads,
        context_tokens=settings.engine.context_tokens,
        prompt_tokens=settings.engine.prompt_tokens,
        cache_mb=settings.engine.cache_mb,
        stand_in=settings.engine.stand_in,
        download=settings.download if download is None else download,
    )


def parse(data: Mapping[str, object], base: Settings) -> tuple[Settings, list[Problem]]:
    """Lay ``data`` over ``base``. Keys may be ``snake_case`` or ``camelCase``.

    ``None`` means unset: that is how editors send a setting that nobody has touched.
    """
    problems: list[Problem] = []
    return _overlay(data, base, "", problems), problems


def config_path(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return where the TOML file is looked for; ``None`` if the environment says: nowhere."""
    chosen = environ.get(CONFIG_VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    from platformdirs import user_config_path

    return user_config_path("midfill", appauthor=False) / "config.toml"


def log_path() -> Path:
    """Return the file that the server logs to."""
    from platformdirs import user_log_path

    return user_log_path("midfill", appauthor=False) / "server.log"


def statistics_path(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of figures for ``midfill stats``; ``None`` if the environment says: none."""
    chosen = environ.get(STATE_VARIABLE)
    if chosen is not None:
        return Path(chosen) / _STATISTICS_FILE if chosen else None
    from platformdirs import user_state_path

    return user_state_path("midfill", appauthor=False) / _STATISTICS_FILE


def load_settings(environ: Mapping[str, str] = os.environ) -> tuple[Settings, list[Problem]]:
    """Read the TOML file over the defaults. A file that nobody named may be absent."""
    path = config_path(environ)
    if path is None:
        return Settings(), []
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if CONFIG_VARIABLE not in environ:
            return Settings(), []
        message = f"{path} does not exist ({CONFIG_VARIABLE} names it)"
        return Settings(), [Problem(key="", message=message)]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # The parser's message ends with "(at line 3, column 7)".
        return Settings(), [Problem(key="", message=f"{path} cannot be read: {error}")]
    settings, problems = parse(data, Settings())
    return settings, [replace(p, message=f"{p.message} (in {path})") for p in problems]


def settings_table() -> str:
    """Return the documentation of all settings as a Markdown table."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, default, rule in _leaves(Settings(), ""):
        shown = "unset" if default is None else f"`{_toml(default)}`"
        rows.append(f"| `{name}` | {shown} | {rule.help} |")
    return "\n".join(rows) + "\n"


def _overlay(data: Mapping[str, object], base: T, path: str, problems: list[Problem]) -> T:
    names = {f.name: f for f in fields(base)}  # pyright: ignore[reportArgumentType]
    hints = get_type_hints(type(base))
    changes: dict[str, object] = {}
    for key, value in data.items():
        name = _snake(str(key))
        if value is None or (not path and name in _CLIENT_KEYS):
            continue
        if name not in names:
            problems.append(Problem(key=path + str(key), message=_unknown(name, path)))
            continue
        current: object = getattr(base, name)
        if is_dataclass(current):
            changes[name] = _group(value, current, f"{path}{name}", problems)
            continue
        rule = cast("_Rule", names[name].metadata["rule"])
        converted = _convert(value, str(hints[name]), rule)
        if isinstance(converted, _Refusal):
            message = f"{converted.reason}; {_toml(current)} is used"
            problems.append(Problem(key=path + name, message=message))
        else:
            changes[name] = converted
    return replace(base, **changes) if changes else base  # pyright: ignore[reportArgumentType, reportUnknownVariableType, reportCallIssue, reportGeneralTypeIssues, reportReturnType]


def _group(value: object, base: T, name: str, problems: list[Problem]) -> T:
    if not isinstance(value, Mapping):
        problems.append(Problem(key=name, message="expected a table of settings"))
        return base
    return _overlay(cast("Mapping[str, object]", value), base, name + ".", problems)


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str


def _convert(value: object, hint: str, rule: _Rule) -> object:
    """Return the value as the field's type, or a refusal that says what was expected."""
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


def _number(value: object, rule: _Rule, *, whole: bool) -> object:
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
    return _Refusal(f"expected {expected}, not {_toml(value)[:80]}")


def _unknown(name: str, path: str) -> str:
    known = [leaf for leaf, _, _ in _leaves(Settings(), "")]
    same_leaf = [full for full in known if full.rpartition(".")[2] == name]
    near = same_leaf or difflib.get_close_matches(path + name, known, n=1, cutoff=0.4)
    near = near or [full for full in known if full.startswith(f"{path}{name}.")][:1]
    return f"there is no such setting; did you mean {near[0]}?" if near else "no such setting"


def _leaves(group: object, path: str) -> Iterator[tuple[str, object, _Rule]]:
    for item in fields(group):  # pyright: ignore[reportArgumentType]
        value: object = getattr(group, item.name)
        if is_dataclass(value):
            yield from _leaves(value, f"{path}{item.name}.")
        else:
            yield path + item.name, value, cast("_Rule", item.metadata["rule"])


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()


def _toml(value: object) -> str:
    """Spell a value as the TOML file would."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str | Path) else str(value)
