"""The table of languages: what editors send, what files are called, and that grammars are there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from midfill_server.syntax import SyntaxTree, language_of
from midfill_server.syntax.grammars import GRAMMARS, load
from midfill_server.syntax.languages import LANGUAGES
from midfill_server.syntax.units import imports


@pytest.mark.parametrize(
    ("language_id", "path", "expected"),
    [
        ("python", "", "python"),
        ("typescriptreact", "", "typescriptreact"),
        ("typescript.tsx", "", "typescriptreact"),
        ("javascriptreact", "a.js", "javascriptreact"),
        ("sh", "", "shellscript"),
        ("cs", "", "csharp"),
        ("cpp", "a.h", "cpp"),
        ("", "file:///a/b.PY", "python"),
        ("", "C:\\a\\b.rs", "rust"),
        ("", "a/b.tsx", "typescriptreact"),
        ("plaintext", "a/b.go", "go"),
        ("", "a/Gemfile", "ruby"),
        ("", "a/Makefile", "makefile"),
        ("", "a/b.d.ts", "typescript"),
        ("lua", "", "lua"),
    ],
)
def test_a_language_is_known_by_id_or_else_by_name(
    language_id: str, path: str, expected: str
) -> None:
    language = language_of(language_id, path)
    assert language is not None
    assert language.id == expected


@pytest.mark.parametrize(
    ("language_id", "path"),
    [("", ""), ("plaintext", ""), ("plaintext", "a/README"), ("", "file:///a.py/notes"), ("x", "")],
)
def test_what_is_not_known_is_no_language(language_id: str, path: str) -> None:
    assert language_of(language_id, path) is None


def test_no_two_languages_claim_the_same_name() -> None:
    for names in (
        [name for language in LANGUAGES for name in (language.id, *language.aliases)],
        [name for language in LANGUAGES for name in language.extensions],
        [name for language in LANGUAGES for name in language.filenames],
    ):
        assert len(names) == len(set(names))
        assert all(name for name in names)


@pytest.mark.parametrize("language_id", sorted(GRAMMARS))
def test_every_grammar_loads_and_has_the_nodes_that_the_table_names(language_id: str) -> None:
    grammar = GRAMMARS[language_id]
    compiled = load(grammar)
    assert compiled is not None
    known = {compiled.node_kind_for_id(index) for index in range(compiled.node_kind_count)}
    for names in (grammar.functions, grammar.blocks, grammar.strings, grammar.comments):
        assert names & known, f"none of {names}"
    for pattern in (grammar.opens, grammar.closes, grammar.import_line, grammar.opens_code):
        re.compile(pattern)


def test_a_missing_wheel_is_no_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    load.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter_ruby", None)
    assert SyntaxTree.parse("x = 1", language_of("ruby")) is None
    assert imports(SyntaxTree.parse("x = 1", language_of("ruby"))) == ()
    load.cache_clear()


def test_comments_are_written_as_the_language_does() -> None:
    written = {
        "python": "# a\n#\n# b",
        "go": "// a\n//\n// b",
        "html": "<!-- a\n\nb -->",
        "ocaml": "(* a\n\nb *)",
        "json": "a\n\nb",
    }
    for language_id, expected in written.items():
        language = language_of(language_id)
        assert language is not None
        assert language.comment("a\n\nb") == expected


def test_no_grammar_is_imported_before_a_tree_is_needed() -> None:
    code = (
        "import sys; from midfill_server.syntax import language_of; language_of('python');"
        "print([name for name in sys.modules if name.startswith('tree_sitter')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
