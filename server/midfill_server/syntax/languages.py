"""The languages, as rows of data: what editors call them, how they comment, their grammars."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from midfill_server.syntax.grammars import GRAMMARS, Grammar

__all__ = ["LANGUAGES", "Language", "language_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One programming, markup or configuration language.

    ``line_comment`` is empty where the language has none; ``block_comment`` is then what encloses a
    comment. ``quotes`` are the characters that begin a string. ``grammar`` is ``None`` for a
    language that is known by name only: its texts have no tree.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    filenames: tuple[str, ...] = ()
    line_comment: str = ""
    block_comment: tuple[str, str] | None = None
    quotes: str = "\"'"
    grammar: Grammar | None = None

    def comment(self, text: str) -> str:
        """Return the lines of ``text`` as comments, or ``text`` as it is without any comment."""
        lines = text.split("\n")
        if self.line_comment:
            return "\n".join(f"{self.line_comment} {line}".rstrip() for line in lines)
        if self.block_comment is None:
            return text
        begin, end = self.block_comment
        return f"{begin} " + text.replace(end, "") + f" {end}"


def _language(
    id: str,
    name: str,
    extensions: str = "",
    comment: str = "",
    *,
    aliases: str = "",
    filenames: str = "",
    block: str = "",
    quotes: str = "\"'",
) -> Language:
    """Return one row; lists are written with spaces between them."""
    begin, _, end = block.partition(" ")
    return Language(
        id=id,
        name=name,
        aliases=tuple(aliases.split()),
        extensions=tuple(extensions.split()),
        filenames=tuple(filenames.split()),
        line_comment=comment,
        block_comment=(begin, end) if block else None,
        quotes=quotes,
        grammar=GRAMMARS.get(id),
    )


_C_BLOCK = "/* */"

# Ids are those of VS Code; aliases are what Neovim and others send instead.
LANGUAGES: tuple[Language, ...] = (
    _language("python", "Python", "py pyi pyw", "#", filenames="SConstruct wscript"),
    _language("typescript", "TypeScript", "ts mts cts", "//", block=_C_BLOCK, quotes="\"'`"),
    _language(
        "typescriptreact",
        "TSX",
        "tsx",
        "//",
        aliases="tsx typescript.tsx",
        block=_C_BLOCK,
        quotes="\"'`",
    ),
    _language("javascript", "JavaScript", "js mjs cjs", "//", block=_C_BLOCK, quotes="\"'`"),
    _language(
        "javascriptreact",
        "JSX",
        "jsx",
        "//",
        aliases="jsx javascript.jsx",
        block=_C_BLOCK,
        quotes="\"'`",
    ),
    _language("java", "Java", "java", "//", block=_C_BLOCK),
    _language("c", "C", "c h", "//", block=_C_BLOCK),
    _language(
        "cpp",
        "C++",
        "cpp cc cxx c++ hpp hh hxx h++ ipp inl cu cuh",
        "//",
        aliases="c++ cuda cuda-cpp",
        block=_C_BLOCK,
    ),
    _language("csharp", "C#", "cs csx", "//", aliases="cs c_sharp c#", block=_C_BLOCK),
    _language("go", "Go", "go", "//", block=_C_BLOCK, quotes="\"'`"),
    _language("rust", "Rust", "rs", "//", block=_C_BLOCK, quotes='"'),
    _language("php", "PHP", "php phtml", "//", block=_C_BLOCK),
    _language(
        "ruby",
        "Ruby",
        "rb rake gemspec ru",
        "#",
        filenames="Rakefile Gemfile Vagrantfile Brewfile Podfile",
    ),
    _language(
        "shellscript",
        "Shell",
        "sh bash zsh ksh bats",
        "#",
        aliases="sh bash zsh ksh shell",
        filenames=".bashrc .bash_profile .profile .zshrc PKGBUILD",
    ),
    # From here on there is no tree: the names, so that comments are written the right way.
    _language("lua", "Lua", "lua", "--"),
    _language("kotlin", "Kotlin", "kt kts", "//", block=_C_BLOCK),
    _language("swift", "Swift", "swift", "//", block=_C_BLOCK, quotes='"'),
    _language("scala", "Scala", "scala sc sbt", "//", block=_C_BLOCK, quotes='"'),
    _language("dart", "Dart", "dart", "//", block=_C_BLOCK),
    _language("groovy", "Groovy", "groovy gradle", "//", block=_C_BLOCK),
    _language("objective-c", "Objective-C", "m", "//", aliases="objc", block=_C_BLOCK),
    _language("zig", "Zig", "zig", "//"),
    _language("haskell", "Haskell", "hs", "--", block="{- -}", quotes='"'),
    _language("elixir", "Elixir", "ex exs", "#"),
    _language("erlang", "Erlang", "erl hrl", "%", quotes='"'),
    _language("clojure", "Clojure", "clj cljs cljc edn", ";", quotes='"'),
    _language("fsharp", "F#", "fs fsx fsi", "//", block="(* *)", quotes='"'),
    _language("ocaml", "OCaml", "ml mli", block="(* *)", quotes='"'),
    _language("julia", "Julia", "jl", "#", quotes='"'),
    _language("r", "R", "r", "#"),
    _language("perl", "Perl", "pl pm t", "#"),
    _language("powershell", "PowerShell", "ps1 psm1 psd1", "#", aliases="ps1", block="<# #>"),
    _language("bat", "Batch", "bat cmd", "REM", aliases="dosbatch", quotes='"'),
    _language("fish", "fish", "fish", "#"),
    _language("vim", "Vim script", "vim", '"', aliases="viml", quotes="'"),
    _language("lisp", "Lisp", "lisp el scm rkt", ";", aliases="scheme racket elisp", quotes='"'),
    _language("sql", "SQL", "sql", "--", block=_C_BLOCK),
    _language("html", "HTML", "html htm xhtml", block="<!-- -->", quotes='"'),
    _language("xml", "XML", "xml xsd xsl svg csproj props", block="<!-- -->", quotes='"'),
    _language("vue", "Vue", "vue", block="<!-- -->", quotes='"'),
    _language("svelte", "Svelte", "svelte", block="<!-- -->", quotes='"'),
    _language("css", "CSS", "css", block=_C_BLOCK),
    _language("scss", "SCSS", "scss", "//", aliases="sass", block=_C_BLOCK),
    _language("less", "Less", "less", "//", block=_C_BLOCK),
    _language("json", "JSON", "json", quotes='"', filenames=".prettierrc .babelrc"),
    _language("jsonc", "JSON with comments", "jsonc json5", "//", block=_C_BLOCK, quotes='"'),
    _language("yaml", "YAML", "yaml yml", "#"),
    _language("toml", "TOML", "toml", "#", filenames="Pipfile Cargo.lock"),
    _language("ini", "INI", "ini cfg conf properties", "#", aliases="dosini cfg properties conf"),
    _language("dockerfile", "Dockerfile", "dockerfile", "#", filenames="Dockerfile Containerfile"),
    _language(
        "makefile", "Makefile", "mk mak", "#", aliases="make", filenames="Makefile GNUmakefile"
    ),
    _language("cmake", "CMake", "cmake", "#", filenames="CMakeLists.txt", quotes='"'),
    _language("terraform", "Terraform", "tf tfvars hcl", "#", aliases="hcl", quotes='"'),
    _language("nix", "Nix", "nix", "#", quotes='"'),
    _language("proto3", "Protocol Buffers", "proto", "//", aliases="proto protobuf"),
    _language("graphql", "GraphQL", "graphql gql", "#", quotes='"'),
    _language("latex", "LaTeX", "tex sty cls", "%", aliases="tex", quotes=""),
    _language("markdown", "Markdown", "md markdown mdx", block="<!-- -->", quotes=""),
    _language("restructuredtext", "reStructuredText", "rst", "..", aliases="rst", quotes=""),
)


def language_of(language_id: str, path: str = "") -> Language | None:
    """Return the language that an editor calls ``language_id``, else that of the path's name.

    ``path`` may be a path with any separator, or a URI. ``None`` for plain text and what is not
    known.
    """
    by_id, by_extension, by_filename = _indexes()
    found = by_id.get(language_id.lower())
    if found is not None or not path:
        return found
    name = PurePosixPath(path.replace("\\", "/")).name
    return by_filename.get(name) or by_extension.get(name.rpartition(".")[2].lower())


@cache
def _indexes() -> tuple[dict[str, Language], dict[str, Language], dict[str, Language]]:
    """Return the languages by id or alias, by extension, and by a file's whole name."""
    by_id = {id: language for language in LANGUAGES for id in (language.id, *language.aliases)}
    by_extension = {end: language for language in LANGUAGES for end in language.extensions}
    by_filename = {name: language for language in LANGUAGES for name in language.filenames}
    return by_id, by_extension, by_filename
