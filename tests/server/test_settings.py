from __future__ import annotations

import re
from pathlib import Path

import pytest

from midfill_engine.onnx.layouts import LAYOUTS
from midfill_server.settings import (
    CONFIG_VARIABLE,
    Settings,
    engine_options,
    load_settings,
    parse,
    settings_table,
)

ROOT = Path(__file__).parents[2]


def test_values_are_laid_over_what_was_there() -> None:
    base, _ = parse({"model": "a", "completion": {"max_tokens": 5}}, Settings())
    settings, problems = parse({"completion": {"timeout_s": 2}, "streaming": True}, base)
    assert problems == []
    assert settings.model == "a"
    assert settings.completion.max_tokens == 5
    assert settings.completion.timeout_s == 2.0
    assert settings.streaming is True


def test_editors_may_write_camel_case_whole_floats_and_nulls() -> None:
    data = {"engine": {"contextTokens": 1024.0, "threads": None}, "trace": {"server": "off"}}
    settings, problems = parse(data, Settings())
    assert problems == []
    assert settings.engine.context_tokens == 1024
    assert isinstance(settings.engine.context_tokens, int)


def test_lists_of_texts_come_from_the_file_and_from_editors(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[completion]\ndisabled_files = ["*.sql", "a,b"]\n', encoding="utf-8")
    base, problems = load_settings({CONFIG_VARIABLE: str(path)})
    assert problems == []
    settings, problems = parse({"completion": {"disabledLanguages": ["markdown"]}}, base)
    assert problems == []
    assert settings.completion.disabled_files == ("*.sql", "a,b")
    assert settings.completion.disabled_languages == ("markdown",)
    emptied, problems = parse({"completion": {"disabledFiles": []}}, settings)
    assert (emptied.completion.disabled_files, problems) == ((), [])


@pytest.mark.parametrize(
    ("data", "key", "hint"),
    [
        ({"modle": "x"}, "modle", "did you mean model?"),
        ({"completion": {"maxTokns": 1}}, "completion.maxTokns", "completion.max_tokens"),
        ({"max_tokens": 1}, "max_tokens", "completion.max_tokens"),
        ({"qqqqqq": 1}, "qqqqqq", "no such setting"),
        ({"engine": 3}, "engine", "table"),
        ({"streaming": "yes"}, "streaming", 'expected true or false, not "yes"'),
        ({"model": 7}, "model", 'expected a text, not 7; "auto" is used'),
        ({"model": " "}, "model", "expected a text"),
        ({"engine": {"weights": "int2"}}, "engine.weights", "auto, int8, mixed, int4"),
        ({"engine": {"threads": 0}}, "engine.threads", "from 1 to 1024"),
        ({"engine": {"threads": True}}, "engine.threads", "whole number"),
        ({"completion": {"maxTokens": 1.5}}, "completion.max_tokens", "whole number"),
        ({"completion": {"maxTokens": float("nan")}}, "completion.max_tokens", "whole number"),
        ({"completion": {"timeout_s": float("inf")}}, "completion.timeout_s", "30.0 is used"),
        ({"engine": {"home": "~nobody-of-that-name/x"}}, "engine.home", "home folder"),
        ({"completion": {"eagerness": "loud"}}, "completion.eagerness", "balanced, eager, always"),
        (
            {"completion": {"disabledLanguages": "a,b"}},
            "completion.disabled_languages",
            'expected a list of texts, as ["a", "b"], not "a,b"; [] is used',
        ),
        (
            {"completion": {"disabled_files": ["*.sql", 7]}},
            "completion.disabled_files",
            "expected nothing but texts in the list, not 7",
        ),
        ({"completion": {"disabled_files": [None]}}, "completion.disabled_files", "not unset"),
        ({"completion": {"disabled_files": ["a", " "]}}, "completion.disabled_files", 'not " "'),
        ({"context": {"maxFiles": -1}}, "context.max_files", "from 0 to 1000000"),
    ],
)
def test_what_cannot_be_used_is_reported_and_left_as_it_was(
    data: dict[str, object], key: str, hint: str
) -> None:
    settings, problems = parse(data, Settings())
    assert settings == Settings()
    assert [problem.key for problem in problems] == [key]
    assert hint in str(problems[0])


def test_the_file_is_read_below_the_client(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('model = "m"\n[engine]\nthreads = 2\nthraeds = 3\n', encoding="utf-8")
    settings, problems = load_settings({CONFIG_VARIABLE: str(path)})
    assert settings.model == "m"
    assert settings.engine.threads == 2
    assert len(problems) == 1
    assert "engine.thraeds" in str(problems[0])
    assert "engine.threads" in str(problems[0])
    assert str(path) in str(problems[0])


@pytest.mark.parametrize("content", [b"model = \n", b"\xff\xfe", b'a = 1\n"'])
def test_a_broken_file_is_reported_and_the_defaults_are_used(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    settings, problems = load_settings({CONFIG_VARIABLE: str(path)})
    assert settings == Settings()
    assert str(path) in str(problems[0])


def test_a_broken_file_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('streaming = true\nmodel = "\n', encoding="utf-8")
    _, problems = load_settings({CONFIG_VARIABLE: str(path)})
    assert "line 2" in str(problems[0])


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    _, problems = load_settings({CONFIG_VARIABLE: str(tmp_path / "none.toml")})
    assert "none.toml does not exist" in str(problems[0])
    assert load_settings({CONFIG_VARIABLE: ""}) == (Settings(), [])


def test_the_engine_gets_its_part() -> None:
    data = {"model": "m", "engine": {"threads": 3, "home": "models"}}
    settings, _ = parse(data, Settings())
    options = engine_options(settings, download=True)
    assert (options.model, options.threads, options.home) == ("m", 3, Path("models"))
    assert options.download is True
    assert engine_options(settings).download is False


def test_every_layout_of_the_engine_can_be_chosen() -> None:
    # The settings name them again, since the engine's own table brings numpy along.
    for name in ("auto", *LAYOUTS):
        settings, problems = parse({"engine": {"weights": name}}, Settings())
        assert problems == []
        assert settings.engine.weights == name


def test_every_setting_is_in_the_table() -> None:
    table = settings_table()
    assert '| `model` | `"auto"` |' in table
    assert "| `engine.threads` | unset |" in table
    assert "| `completion.max_tokens` | `64` |" in table
    assert "| `streaming` | `false` |" in table
    assert "| `completion.disabled_files` | `[]` |" in table
    assert "| `context.max_files` | `10000` |" in table


def test_the_readme_shows_that_table() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", text, re.DOTALL)
    assert found is not None
    assert found[1].strip() == settings_table().strip()
