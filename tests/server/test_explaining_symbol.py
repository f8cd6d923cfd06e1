"""What is at a cursor, in every language, and where in a project it is defined."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill_server.context.gather import Surroundings
from midfill_server.context.index import WorkspaceIndex
from midfill_server.document import Snapshot
from midfill_server.explaining import Files, Meaning, Symbol, symbol_at, with_sources
from midfill_server.syntax import SyntaxTree, language_of
from tests.server.files import write_files

CURSOR = "<|>"

Told = tuple[str, str, str, str]
"""Kind, owner, signature, documentation."""

CASES: dict[str, tuple[str, str, Told]] = {
    "python method": (
        "python",
        'class A:\n    @property\n    def size(self) -> int:\n        """How many."""\n'
        "        return 1\n\n    def twice(self):\n        return 2 * self.si<|>ze\n",
        ("method", "A", "@property\ndef size(self) -> int:", "How many."),
    ),
    "python parameter": (
        "python",
        "def add(x: int, *, k=3):\n    return [x + <|>k for y in z]\n",
        ("parameter", "add", "k=3", ""),
    ),
    "python variable, and no constant of the same name": (
        "python",
        "total = 1\n\ndef f():\n    total = 2\n    return <|>total\n",
        ("variable", "f", "total = 2", ""),
    ),
    "python parameter of the nearer function": (
        "python",
        "def f(x):\n    def g(x: int):\n        return x<|>\n",
        ("parameter", "g", "x: int", ""),
    ),
    "python function in a function": (
        "python",
        'def f():\n    def g(a):\n        """Inner."""\n    return g<|>(1)\n',
        ("function", "f", "def g(a):", "Inner."),
    ),
    "python constant with its docstring": (
        "python",
        'LIMIT = 3\n"""The most."""\n\nprint(LIM<|>IT)\n',
        ("constant", "", "LIMIT = 3", "The most."),
    ),
    "python comment above": (
        "python",
        "# Adds.\n# Twice.\ndef add(): ...\n\nad<|>d()\n",
        ("function", "", "def add():", "Adds.\nTwice."),
    ),
    "python import of something unknown": (
        "python",
        "from os import path\n\npa<|>th.join\n",
        ("import", "", "from os import path", ""),
    ),
    "python roles": (
        "python",
        'def f(a):\n    """Use :class:`~x.Foo`.\n\n    :param a: the ``first``\n    :returns: it\n'
        '    """\n\nf<|>(1)\n',
        ("function", "", "def f(a):", "Use `x.Foo`.\n\n- `a`: the `first`\n- Returns: it"),
    ),
    "javascript method by its class": (
        "javascript",
        "class Cart {\n  /** Adds. */\n  add(item) {}\n}\nconst cart = new Cart();\n"
        "cart.ad<|>d(1);\n",
        ("method", "Cart", "add(item)", "Adds."),
    ),
    "typescript jsdoc": (
        "typescript",
        "/**\n * Adds {@link Q} things.\n *\n * @param {number} x - the x\n * @returns the sum\n"
        " * @throws {E} never\n */\nexport function add(x: number): number {\n  return x;\n}\n"
        "ad<|>d(2);\n",
        (
            "function",
            "",
            "export function add(x: number): number",
            "Adds `Q` things.\n\n- `x`: the x\n- Returns: the sum\n- Throws `E`: never",
        ),
    ),
    "typescript destructured parameter": (
        "typescript",
        "function f({ a, b: c }: Q): number {\n  return <|>c;\n}\n",
        ("parameter", "f", "{ a, b: c }: Q", ""),
    ),
    "typescript parameter without parentheses": (
        "typescriptreact",
        "const f = (ys: number[]) => ys.map(u => <|>u);\n",
        ("parameter", "", "u", ""),
    ),
    "jsx component": (
        "javascriptreact",
        "/** A button. */\nfunction Button(props) { return <b/>; }\nconst a = <But<|>ton />;\n",
        ("function", "", "function Button(props)", "A button."),
    ),
    "java": (
        "java",
        "class A {\n  /**\n   * Adds <code>x</code> &amp; more.\n   * @param x the x\n   */\n"
        "  @Override\n  public int add(int x) { return x; }\n"
        "  int two() { return ad<|>d(2); }\n}\n",
        (
            "method",
            "A",
            "@Override\npublic int add(int x)",
            "Adds `x` & more.\n- `x`: the x",
        ),
    ),
    "java field": (
        "java",
        "class A {\n  private int size = 1; // how many\n  int f() { return si<|>ze; }\n}\n",
        ("field", "A", "private int size = 1;", "how many"),
    ),
    "c": (
        "c",
        "/* Adds. */\nstatic int add(int x) { return x; }\nint main(void) { return ad<|>d(1); }\n",
        ("function", "", "static int add(int x)", "Adds."),
    ),
    "c variable": (
        "c",
        "int f(void) {\n  int a = 1, *p;\n  for (int i = 0; i < 3; i++) { a += i; }\n"
        "  return <|>p;\n}\n",
        ("variable", "f", "int a = 1, *p", ""),
    ),
    "cpp": (
        "cpp",
        "/// Adds.\n/// \\param x the x\nint add(int x);\n"
        "auto f = [](int q) { return ad<|>d(q); };\n",
        ("function", "", "int add(int x);", "Adds.\n- `x`: the x"),
    ),
    "csharp": (
        "csharp",
        'class A {\n  /// <summary>Adds to <see cref="B"/>.</summary>\n'
        '  /// <param name="x">the x</param>\n  public int Add(int x) { return x; }\n'
        "  int Two() { return Ad<|>d(2); }\n}\n",
        ("method", "A", "public int Add(int x)", "Adds to `B`.\n\n- `x`: the x"),
    ),
    "go": (
        "go",
        "package p\n\n// Add adds.\n//go:noinline\nfunc (s *S) Add(x int) error { return nil }\n\n"
        "func f(s *S) { s.Ad<|>d(1) }\n",
        ("method", "S", "func (s *S) Add(x int) error", "Add adds."),
    ),
    "go variable": (
        "go",
        "package p\nfunc f(ys []int) {\n\tfor i, y := range ys {\n\t\tprintln(i, <|>y)\n\t}\n}\n",
        ("variable", "f", "i, y := range ys", ""),
    ),
    "rust": (
        "rust",
        "/// Adds.\n///\n/// # Errors\n/// Never.\n#[inline]\npub fn add(x: i32) -> i32 { x }\n"
        "fn main() { ad<|>d(1); }\n",
        ("function", "", "pub fn add(x: i32) -> i32", "Adds.\n\n# Errors\nNever."),
    ),
    "rust associated function": (
        "rust",
        "struct A;\nimpl A {\n    /// Makes one.\n    pub fn new() -> Self { A }\n}\n"
        "fn main() { let a = A::ne<|>w(); }\n",
        ("method", "A", "pub fn new() -> Self", "Makes one."),
    ),
    "php": (
        "php",
        "<?php\n/** Adds.\n * @param int $x the x\n */\nfunction add(int $x) { return $x; }\n"
        "echo ad<|>d(1);\n",
        ("function", "", "function add(int $x)", "Adds.\n- `x`: the x"),
    ),
    "php variable": (
        "php",
        "<?php\nfunction f($ys) {\n  foreach ($ys as $k => $y) { echo $<|>y; }\n}\n",
        ("variable", "f", "foreach ($ys as $k => $y)", ""),
    ),
    "ruby": (
        "ruby",
        "class A\n  # Adds.\n  def add(x, ys: [])\n    x\n  end\n\n"
        "  def two\n    ad<|>d(2)\n  end\nend\n",
        ("method", "A", "def add(x, ys: [])", "Adds."),
    ),
    "ruby block": (
        "ruby",
        "def f(ys)\n  ys.each do |y|\n    puts <|>y\n  end\nend\n",
        ("parameter", "f", "y", ""),
    ),
    "shell": (
        "shellscript",
        '# Adds.\nadd() {\n  local total=$1\n  echo "$to<|>tal"\n}\n',
        ("variable", "add", "total=$1", ""),
    ),
    "shell function": (
        "shellscript",
        "# Adds.\nadd() {\n  echo 1\n}\nad<|>d 2\n",
        ("function", "", "add()", "Adds."),
    ),
}


def at(marked: str, language_id: str, uri: str = "") -> tuple[Snapshot, SyntaxTree, int]:
    before, _, behind = marked.partition(CURSOR)
    language = language_of(language_id)
    assert language is not None
    snapshot = Snapshot.of(
        before + behind,
        uri=uri or f"file:///p/a.{language.extensions[0]}",
        language_id=language_id,
    )
    tree = SyntaxTree.parse(snapshot.text, language)
    assert tree is not None
    return snapshot, tree, len(before)


def look(marked: str, language_id: str = "python") -> Symbol | None:
    return symbol_at(*at(marked, language_id))


def only(symbol: Symbol | None) -> Meaning:
    assert symbol is not None
    assert len(symbol.meanings) == 1, symbol.meanings
    return symbol.meanings[0]


@pytest.mark.parametrize("name", CASES)
def test_what_a_name_means(name: str) -> None:
    language_id, marked, expected = CASES[name]
    found = only(look(marked, language_id))
    assert (found.kind, found.owner, found.signature, found.documentation) == expected


@pytest.mark.parametrize("name", CASES)
def test_a_cursor_anywhere_in_a_name_finds_the_same(name: str) -> None:
    language_id, marked, _ = CASES[name]
    snapshot, tree, cursor = at(marked, language_id)
    symbol = symbol_at(snapshot, tree, cursor)
    assert symbol is not None
    assert snapshot.text[symbol.start : symbol.end] == symbol.name
    for other in range(symbol.start, symbol.end + 1):
        assert symbol_at(snapshot, tree, other) == symbol


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_is_no_reason_to_fail(name: str) -> None:
    language_id, marked, (kind, _, _, _) = CASES[name]
    broken = marked + "\n\n((( { \n"
    symbol = look(broken, language_id)
    # What is not closed may swallow all of it, but most is still found.
    assert symbol is None or symbol.meanings[0].kind in (kind, "variable", "parameter", "function")


def test_the_place_is_told() -> None:
    found = only(look("x = 1\n\n\ndef f():\n    return 2\n\nf<|>()\n"))
    assert (found.line, found.path.replace("\\", "/")[-5:], found.shown) == (3, "/a.py", "p/a.py")
    assert found.source == "def f():\n    return 2"


def test_the_text_of_a_method_has_the_indentation_of_its_class_no_more() -> None:
    found = only(look("class A:\n    def f(self):\n        if 1:\n            pass\n\nA.f<|>\n"))
    assert found.source == "def f(self):\n    if 1:\n        pass"


@pytest.mark.parametrize(
    "marked",
    [
        "de<|>f f(): ...",
        "x = 'na<|>me'\nname = 1",
        "# na<|>me\nname = 1",
        "x = <|> 1",
        "x = 1<|>2",
        "unknown<|>()",
        "<|>",
    ],
)
def test_where_nothing_is(marked: str) -> None:
    assert look(marked) is None


def test_what_stands_in_an_interpolation_is_code() -> None:
    assert only(look("name = 1\nx = f'{na<|>me}'")).kind == "constant"


def test_without_a_tree_there_is_nothing() -> None:
    assert symbol_at(Snapshot.of("x = 1"), None, 0) is None


def test_members_of_several_classes_are_all_told() -> None:
    text = "class A:\n    def f(self): ...\nclass B:\n    def f(self): ...\n\nwho().f<|>()\n"
    symbol = look(text)
    assert symbol is not None
    assert [one.owner for one in symbol.meanings] == ["A", "B"]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.integers(0, 300), st.text("({[:\n\"'<>|$@.é", max_size=4))
def test_nothing_that_is_typed_makes_it_fail(name: str, place: int, junk: str) -> None:
    language_id, marked, _ = CASES[name]
    text = marked.replace(CURSOR, "")
    place %= len(text) + 1
    text = text[:place] + junk + CURSOR + text[place:]
    symbol = look(text, language_id)
    assert symbol is None or symbol.meanings


# -- in other files -------------------------------------------------------------------------------

CART = '''\
"""What somebody buys."""


class Cart:
    """A cart."""

    def add(self, name: str) -> None:
        """Put something in."""


def open_cart(owner: str) -> Cart:
    """Begin one."""
    return Cart()
'''


class Project:
    def __init__(self, root: Path, files: Mapping[str, str]) -> None:
        self.root = root
        write_files(root, files)
        self.index = WorkspaceIndex()
        self.index.open([str(root)])
        self.around = Surroundings(self.index)
        self.settle()

    def settle(self) -> None:
        while self.index.step():
            pass

    def look(self, path: str, marked: str, language_id: str = "python") -> Symbol | None:
        snapshot, tree, cursor = at(marked, language_id, (self.root / path).as_uri())
        symbol_at(snapshot, tree, cursor, self.around)
        self.settle()
        symbol = symbol_at(snapshot, tree, cursor, self.around)
        return with_sources(symbol, Files()) if symbol is not None else None


@pytest.mark.parametrize(
    ("marked", "kind", "name", "line", "documentation"),
    [
        (
            "from shop.cart import open_cart\nopen_<|>cart('a')",
            "function",
            "open_cart",
            10,
            "Begin",
        ),
        ("from shop.cart import open_<|>cart", "function", "open_cart", 10, "Begin"),
        ("from shop.cart import Cart as C\nC<|>()", "class", "Cart", 3, "A cart."),
        (
            "from shop.cart import Cart\ndef f(cart: Cart):\n    cart.ad<|>d('x')",
            "method",
            "add",
            6,
            "Put",
        ),
        (
            "import shop.cart as shopping\nshopping.open_<|>cart",
            "function",
            "open_cart",
            10,
            "Begin",
        ),
        ("import shop.cart as shopping\nshop<|>ping.open_cart", "module", "shopping", None, "What"),
        ("from shop import ca<|>rt", "module", "cart", None, "What"),
    ],
)
def test_what_is_imported(
    tmp_path: Path, marked: str, kind: str, name: str, line: int | None, documentation: str
) -> None:
    project = Project(tmp_path, {"shop/__init__.py": "", "shop/cart.py": CART})
    found = only(project.look("main.py", marked))
    assert (found.kind, found.name, found.line) == (kind, name, line)
    assert found.shown == "shop/cart.py"
    assert found.documentation.startswith(documentation)


def test_without_an_import_the_nearest_is_meant(tmp_path: Path) -> None:
    files = {
        "a/one.go": "package a\n\n// Near.\nfunc Run() {}\n",
        "b/two.go": "package b\n\n// Far.\nfunc Run() {}\n",
        "a/bad.rs": "fn Run() {}\n",
    }
    project = Project(tmp_path, files)
    found = only(project.look("a/main.go", "package a\nfunc main() { Ru<|>n() }\n", "go"))
    assert (found.shown, found.documentation) == ("a/one.go", "Near.")
    symbol = project.look("main.go", "package m\nfunc main() { Ru<|>n() }\n", "go")
    assert symbol is not None
    assert {one.shown for one in symbol.meanings} == {"a/one.go", "b/two.go"}


def test_what_nobody_may_see_is_not_told(tmp_path: Path) -> None:
    files = {"lib.go": "package a\nfunc Run() {}\n", ".midfillignore": "lib.go\n"}
    project = Project(tmp_path, files)
    assert project.look("main.go", "package a\nfunc main() { Ru<|>n() }\n", "go") is None


def test_an_open_document_counts_in_place_of_its_file(tmp_path: Path) -> None:
    project = Project(tmp_path, {"shop/__init__.py": "", "shop/cart.py": CART})
    marked = "from shop.cart import Cart\nCart<|>()"
    snapshot, tree, cursor = at(marked, "python", (tmp_path / "main.py").as_uri())
    symbol_at(snapshot, tree, cursor, project.around)
    project.settle()
    symbol = symbol_at(snapshot, tree, cursor, project.around)
    assert symbol is not None
    opened = {str(tmp_path / "shop" / "cart.py"): "\n\n" + CART.replace("A cart.", "Edited.")}
    found = only(with_sources(symbol, Files(), opened))
    assert (found.line, found.documentation) == (5, "Edited.")


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    files, path = Files(), tmp_path / "a.py"
    path.write_text("def f(): ...\n")
    assert len(files.read(str(path)).definitions) == 1  # type: ignore[union-attr]
    path.write_text("def f(): ...\ndef ggg(): ...\n")
    assert len(files.read(str(path)).definitions) == 2  # type: ignore[union-attr]
    assert files.read(str(tmp_path / "b.py")) is None
    (tmp_path / "id_rsa.py").write_text("-----BEGIN RSA PRIVATE KEY-----\n")
    assert files.read(str(tmp_path / "id_rsa.py")) is None


def test_a_long_file_takes_milliseconds() -> None:
    part = (
        "class C{n}:\n    def method_{n}(self, value):\n        total = value + {n}\n"
        "        return self.method_{n}(total)\n\n\n"
        "def f_{n}(x):\n    return C{n}().method_{n}(x)\n\n\n"
    )
    text = "".join(part.format(n=n) for n in range(200))
    assert text.count("\n") == 2000
    snapshot, tree, cursor = at(text[:-10] + CURSOR + text[-10:], "python")
    places = range(cursor - 4000, cursor, 40)
    took = []
    for place in places:
        before = time.perf_counter()
        symbol_at(snapshot, tree, place)
        took.append(time.perf_counter() - before)
    # Generous: the machine may be busy. Mostly it is a few milliseconds.
    assert sorted(took)[len(took) // 2] < 0.1
