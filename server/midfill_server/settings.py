"""What a user may choose, from a TOML file and from the editor; nothing here raises.

Later sources win: defaults, the TOML file, the client's initialization options, the client's
``workspace/configuration`` section ``midfill``. A value that cannot be used leaves the one before
it and is reported, as is a key that does not exist.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from midfill_engine.options import EngineOptions
from midfill_server.settings_reading import Problem, as_toml, leaves, overlay, setting

__all__ = [
    "CONFIG_VARIABLE",
    "STATE_VARIABLE",
    "CompletionSettings",
    "ContextSettings",
    "EngineSettings",
    "ExplainSettings",
    "FixSettings",
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

# Editors keep settings of their own in this section: how the server is started, what is traced,
# keys and looks. They are none of the server's business, however they are spelled.
_CLIENT_KEYS = frozenset({"server", "trace", "editor"})
_STATISTICS_FILE = "statistics-1.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the model runs."""

    backend: str = setting(
        "auto",
        "What runs the model: `onnx` (ONNX Runtime), `torch` (PyTorch, for NVIDIA GPUs), `llama` "
        "(llama.cpp) or `optimum`, each with its extra installed; or `auto`: the first that is "
        "able, or one that `midfill doctor` measured to be faster.",
        choices=("auto", "onnx", "torch", "llama", "optimum"),
    )
    device: str = setting(
        "auto",
        "`cpu`, `gpu`, or `auto`: a GPU where there is one and the backend drives it.",
        choices=("auto", "cpu", "gpu"),
    )
    draft: str = setting(
        "auto",
        "A smaller model that guesses what the model then checks: an id, `never`, or `auto`: on a "
        "GPU, the smallest of its family that is installed and fits; on a processor, none.",
    )
    weights: str = setting(
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
    threads: int | None = setting(
        None, "Threads that compute; unset: one per physical core.", least=1, most=1024
    )
    context_tokens: int = setting(
        4096, "Upper bound of prompt and answer together, in tokens.", least=256, most=131072
    )
    prompt_tokens: int | None = setting(
        None,
        "How much text around the cursor the model sees, in tokens; unset: chosen per model.",
        least=16,
        most=131072,
    )
    cache_mb: int = setting(
        256,
        "Memory for what was computed at the places completed lately, in MB; 0: the last only.",
        least=0,
        most=1_000_000,
    )
    stand_in: str = setting(
        "auto",
        "When a smaller model that is installed answers. `loading`: while the larger one is being "
        "loaded. `always`: also where the larger one would take long to begin; takes the memory "
        "of both. `auto`: `always` where there is plenty of memory, else `loading`. `never`.",
        choices=("auto", "always", "loading", "never"),
    )
    idle_release_minutes: float = setting(
        15.0,
        "Minutes without use after which the model leaves the memory; the next request loads it "
        "again. 0: never.",
        least=0,
        most=10_000,
    )
    home: Path | None = setting(  # noqa: RUF009 - makes a field, not a shared value
        None, "Folder of the models; unset: the user's cache folder of this system."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionSettings:
    """Where something is suggested, how much of it, and what that may cost."""

    length: str = setting(
        "auto",
        "How much is suggested at once. `line`: the cursor's line. `block`: up to the end of the "
        "block. `auto`: what suits the place of the cursor and how sure the model is.",
        choices=("line", "block", "auto"),
    )
    eagerness: str = setting(
        "balanced",
        "How probably right a suggestion must be to be shown unasked: `quiet` 90 %, `reserved` "
        "80 %, `balanced` 70 %, `eager` 35 %; `always` shows everything. Lines after the first are "
        "left out sooner, too, the quieter it is. The probability is estimated from what the model "
        "thought of each token.",
        choices=("quiet", "reserved", "balanced", "eager", "always"),
    )
    disabled_languages: tuple[str, ...] = setting(
        (),
        "Ids of languages in which nothing is suggested, as the editor names them: "
        '`["markdown", "plaintext"]`.',
    )
    disabled_files: tuple[str, ...] = setting(
        (),
        "Patterns of files in which nothing is suggested, written as in a `.gitignore`: "
        '`["*.sql", "vendor/"]`. A project may name its own in a file `.midfillignore`. In files '
        "that keep secrets nothing is ever suggested.",
    )
    mid_line: bool = setting(
        False,
        "Suggest also where text follows the cursor on its line that closes nothing. Asked for by "
        "hand, a suggestion is made there anyway.",
    )
    menu: str = setting(
        "auto",
        "Offer the suggestion as an entry of the editor's completion menu too. `auto`: to editors "
        "that cannot show it within the text. `always`, `never`.",
        choices=("auto", "always", "never"),
    )

    max_tokens: int = setting(64, "Longest completion, in tokens.", least=1, most=4096)
    line_first: bool = setting(
        False,
        "Answer as soon as the first line is whole; the lines after it are generated meanwhile "
        "and offered once that line is accepted.",
    )
    timeout_s: float = setting(
        30.0,
        "How long a request may wait for the model and its answer, in seconds; then it is empty.",
        least=0.1,
        most=600,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """What the model sees of other files."""

    enabled: bool = setting(
        True, "Let the model see parts of other files of the project; all of it stays local."
    )
    max_files: int = setting(
        10_000, "How many files of a project are looked at.", least=0, most=1_000_000
    )
    memory_mb: int = setting(
        64, "Memory for what is known of these files, in MB.", least=1, most=100_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainSettings:
    """What is said about code; needs a model that can chat, but for what the files say."""

    enabled: bool = setting(
        True, "Answer hovers with signatures and documentation, and offer to explain code."
    )
    hover: bool = setting(
        True,
        "Have the model explain what the pointer rests on: the next hover there shows it. In the "
        "profile `eco` a hover shows only what was explained before.",
    )
    length: str = setting(
        "medium",
        "How much an explanation says that was asked for: `short` is two or three sentences. In "
        "hovers it is always short.",
        choices=("short", "medium", "long"),
    )
    max_tokens: int | None = setting(
        None, "Longest explanation, in tokens; unset: as the length says.", least=16, most=4096
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FixSettings:
    """What is offered to remove what other tools found wrong."""

    enabled: bool = setting(True, "Offer fixes for what other tools find wrong.")
    only_verified: bool = setting(
        False, "Offer only fixes that the tool itself, run on the fixed text, has confirmed."
    )
    candidates: int = setting(
        8, "How many answers of the model are tried for one fix.", least=0, most=64
    )
    timeout_s: float = setting(
        30.0, "How long is looked for one fix, in seconds.", least=0.5, most=600
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the server."""

    model: str = setting(
        "auto",
        "A model's id (`midfill models list`), the path of a GGUF file or of a folder of "
        "safetensors, or `auto`: the best model that this machine serves fast enough.",
    )
    profile: str = setting(
        "auto",
        "`performance`: compute ahead what will probably be asked for. `eco`: only what is asked "
        "for, once typing stops, and release the memory early. `auto`: `eco` on battery.",
        choices=("auto", "performance", "eco"),
    )
    download: bool = setting(False, "Fetch a missing model without asking first.")
    streaming: bool = setting(
        False,
        "Send `midfill/inlineCompletionProgress` while a completion grows, and "
        "`midfill/completionStats` after it.",
    )
    statistics: bool = setting(
        True,
        "Keep how fast suggestions were, and what became of them, for `midfill stats` on this "
        "machine; no code, no file names.",
    )
    engine: EngineSettings = field(default_factory=EngineSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    context: ContextSettings = field(default_factory=ContextSettings)
    explain: ExplainSettings = field(default_factory=ExplainSettings)
    fix: FixSettings = field(default_factory=FixSettings)


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
    return overlay(data, base, beside=_CLIENT_KEYS)


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
    for name, default, rule in leaves(Settings()):
        shown = "unset" if default is None else f"`{as_toml(default)}`"
        rows.append(f"| `{name}` | {shown} | {rule.help} |")
    return "\n".join(rows) + "\n"
