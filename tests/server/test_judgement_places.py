from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_server.exclusion.secrets import keeps_secrets
from midfill_server.judgement.places import closes_only, refusal
from midfill_server.settings import CompletionSettings

CURSOR = "<|>"


def check(
    marked: str,
    expected: str | None,
    *,
    path: str = "",
    language_id: str = "python",
    invoked: bool = False,
    roots: tuple[str, ...] = (),
    **chosen: bool | tuple[str, ...],
) -> None:
    """Check that the reason for silence at ``<|>`` holds ``expected``; ``None``: there is none."""
    before, _, after = marked.partition(CURSOR)
    reason = refusal(
        path=path,
        language_id=language_id,
        text=before + after,
        cursor=len(before),
        settings=CompletionSettings(**chosen),  # type: ignore[arg-type]
        roots=roots,
        invoked=invoked,
    )
    if expected is None:
        assert reason is None
    else:
        assert reason is not None
        assert expected in reason


@pytest.mark.parametrize(
    "path",
    [
        "/home/me/app/.env",
        "/home/me/app/.env.production.local",
        "prod.env",
        ".envrc",
        "C:\\Users\\me\\.ssh\\id_rsa",
        "/home/me/.ssh/id_ed25519",
        "/home/me/.aws/credentials",
        "/home/me/.aws/config",
        "/home/me/.kube/config",
        "/home/me/.docker/config.json",
        "kubeconfig",
        "server.PEM",
        "tls.key",
        "store.p12",
        "store.pfx",
        "mine.kdbx",
        "app.keystore",
        ".netrc",
        ".pgpass",
        ".npmrc",
        ".pypirc",
        ".htpasswd",
        ".git-credentials",
        "secrets.yaml",
        "secrets.prod.yml",
        "config/app-secrets.json",
        "credentials.toml",
        "service-account.json",
        "service_account_key.prod.json",
        "client_secret_1234.apps.json",
        "terraform.tfstate",
        "terraform.tfstate.backup",
        "prod.tfvars",
        ".vault-token",
    ],
)
def test_in_files_for_secrets_nothing_is_suggested_even_if_asked(path: str) -> None:
    name = path.replace("\\", "/").rpartition("/")[2]
    for invoked in (False, True):
        check("KEY=<|>", f"{name} is a file for secrets", path=path, invoked=invoked)


@pytest.mark.parametrize(
    "path",
    [
        ".env.example",
        ".env.sample",
        "example.env",
        "secrets.template.yaml",
        "credentials.json.dist",
        "environment.py",
        "env.d.ts",
        "keys.py",
        "key",
        "monkey",
        "src/secrets.py",
        "src/Credentials.java",
        "src/tokens.rs",
        "token_test.go",
        "/home/me/.aws/config.py",
        "config",
        "config.json",
        "hosts.yml",
        ".github/secret-scanning.yml",
        "id_rsa.pub",
        "server.crt",
        "/home/me/.env/main.py",
        "/repo/secrets/README.md",
        ".git/COMMIT_EDITMSG",
        ".git/rebase-merge/git-rebase-todo",
        "",
    ],
)
def test_what_only_sounds_like_a_secret_is_a_file_like_any_other(path: str) -> None:
    assert not keeps_secrets(path)
    check("a = <|>", None, path=path)


def test_secrets_are_seen_in_texts_without_a_name_too() -> None:
    check("-----BEGIN OPENSSH PRIVATE KEY-----\nb3<|>", "private key", invoked=True)
    check("\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n<|>", "private key")
    check("-----BEGIN CERTIFICATE-----\nMII<|>", None)
    check("TOKEN=<|>", "secrets", language_id="dotenv")
    check("TOKEN=<|>", None, language_id="dotenv", path=".env.example")


def test_a_language_can_be_switched_off() -> None:
    off = ("markdown", "Python")
    check("a = <|>", "python is in completion.disabled_languages", disabled_languages=off)
    check("a = <|>", "disabled_languages", disabled_languages=off, invoked=True)
    check("a = <|>", None, disabled_languages=off, language_id="pythonic")


@pytest.mark.parametrize(
    ("pattern", "path", "disabled"),
    [
        ("*.sql", "/repo/db/schema.sql", True),
        ("*.sql", "/repo/db/schema.py", False),
        ("vendor/", "/repo/a/vendor/b/c.go", True),
        ("/docs", "/repo/docs/index.md", True),
        ("/docs", "/repo/a/docs/index.md", False),
        ("src/gen/**", "/repo/src/gen/a/b.ts", True),
        ("src/gen/**", "/elsewhere/src/gen/a/b.ts", False),
        ("*.sql", "/elsewhere/schema.sql", True),
        ("*.sql", "C:\\code\\schema.sql", True),
        ("/docs", "C:\\code\\docs\\a.md", True),
    ],
)
def test_files_can_be_switched_off_by_patterns(pattern: str, path: str, disabled: bool) -> None:
    expected = "is in completion.disabled_files" if disabled else None
    # A pattern that means nothing leaves the others in force.
    patterns = ("!", pattern)
    check("a <|>", expected, path=path, roots=("/repo", "C:\\code\\"), disabled_files=patterns)


def test_later_patterns_take_back_earlier_ones() -> None:
    patterns = ("*.sql", "!keep.sql")
    check("<|>", None, path="/repo/keep.sql", disabled_files=patterns)
    check("<|>", "disabled_files", path="/repo/drop.sql", disabled_files=patterns)


def test_a_project_names_its_own_files(tmp_path: Path) -> None:
    (tmp_path / ".midfillignore").write_text("private/\n*.tex\n", encoding="utf-8")
    (tmp_path / "private").mkdir()
    roots = (str(tmp_path),)
    inside = str(tmp_path / "private" / "a.py")
    check("<|>", "a.py is named in a .midfillignore", path=inside, roots=roots, invoked=True)
    check("<|>", ".midfillignore", path=str(tmp_path / "thesis.tex"), roots=roots)
    check("<|>", None, path=str(tmp_path / "a.py"), roots=roots)


@pytest.mark.parametrize(
    "marked",
    [
        "a = <|>",
        "a = <|>\nb = 1",
        "a = <|>\r\nb = 1",
        "foo(<|>)",
        "foo(bar(<|>));  ",
        "foo('<|>'),",
        "if (<|>) {",
        "list.map((x<|>) => {",
        "def f(<|>):",
        "/* <|> */",
        "<!-- <|> -->",
        "<b><|></b>",
        "<img <|>/>",
        "{{ <|> }}",
        "${<|>}`",
        "#define A <|> \\",
        "let a = [<|>];\nlet b",
        "<|>",
    ],
)
def test_only_what_closes_may_follow_the_cursor(marked: str) -> None:
    check(marked, None)


@pytest.mark.parametrize(
    "marked",
    ["a = <|> + 1", "foo(<|>, 2)", "a = <|>  # why", "<|>-- i;", "return <|>*p", "(<|>) -> int {"],
)
def test_before_other_text_something_is_suggested_only_if_asked(marked: str) -> None:
    check(marked, "text that closes nothing follows")
    check(marked, None, invoked=True)
    check(marked, None, mid_line=True)


@pytest.mark.parametrize("marked", ["a = fo<|>o", "<|>return", "a<|>é", "e<|>\u0301", "x<|>_1"])
def test_within_a_word_something_is_suggested_only_if_asked(marked: str) -> None:
    check(marked, "rest of a word")
    check(marked, "rest of a word", mid_line=True)
    check(marked, None, invoked=True)


def test_what_a_program_wrote_is_left_alone_unless_asked() -> None:
    line = "var a=1;" * 1000
    check(line + "<|>", "the line is very long")
    check("short\n" + line + "<|>\nshort", "the line is very long")
    check((line + "\n") * 4 + "a = <|>", "the file's lines are very long")
    check("a = 1\n" * 350_000 + "b = <|>", "more than 2,000,000 characters")
    check(line + "<|>", None, invoked=True)
    check("a = 1\n" * 100_000 + "b = <|>", None)
    check("a = 1\r" * 10_000 + "b = <|>", None)
    check(line + "\nb = <|>", None)


TEXTS = st.text(alphabet=st.characters(codec=None), max_size=60) | st.text("\r\n\t /\\)]}=>{-é\0")


@given(
    path=TEXTS,
    language_id=TEXTS,
    text=TEXTS,
    cursor=st.integers(-5, 70),
    patterns=st.lists(TEXTS, max_size=3),
    roots=st.lists(TEXTS, max_size=2),
    invoked=st.booleans(),
)
def test_it_never_raises(
    path: str,
    language_id: str,
    text: str,
    cursor: int,
    patterns: list[str],
    roots: list[str],
    invoked: bool,
) -> None:
    reason = refusal(
        path=path,
        language_id=language_id,
        text=text,
        cursor=cursor,
        settings=CompletionSettings(disabled_files=tuple(patterns)),
        roots=roots,
        invoked=invoked,
    )
    assert reason is None or reason


@given(st.text(")]};,'\" \t>/*-<\\", max_size=30))
def test_closers_are_still_closers_with_more_of_them(rest: str) -> None:
    if closes_only(rest):
        assert closes_only(rest + ")")
        assert not closes_only(rest + "x")


def test_a_rest_of_any_kind_is_looked_at_in_no_time() -> None:
    began_s = time.process_time()
    for unit in (" ", ")", "</", "=> ", "{", "-", "</a", "*"):
        closes_only((unit * 5000)[:4998] + "x")
        closes_only("x" + unit * 100_000)
    assert time.process_time() - began_s < 0.5
