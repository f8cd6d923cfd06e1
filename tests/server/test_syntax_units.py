"""What is around the cursor, what is imported and what is defined, language by language."""

from __future__ import annotations

import pytest

from midfill_server.syntax import definitions, enclosing, identifiers, imports, language_of
from tests.server.syntax_marks import check_enclosing, tree_of

ENCLOSING: list[tuple[str, str, list[str]]] = [
    (
        "python",
        "class A:\n    @property\n    def f(self) -> int:\n        <|>\n",
        ["class A:", "@property\n    def f(self) -> int:"],
    ),
    (
        "python",
        "class A(B):\n    def f(self):\n        x = foo(1, <|>\n\n    def g(self):\n        pass\n",
        ["class A(B):", "def f(self):"],
    ),
    ("python", "def f():\n    x = 1\n\n    <|>\n\ndef g():\n    pass", ["def f():"]),
    ("python", "def f():\n    x = 1\n\n<|>", []),
    ("python", "def f():\n    x = 'abc<|>\n    y = 1\n", ["def f():"]),
    ("python", "class A:\n    def f(self):\n        pass\n\n    <|>\n", ["class A:"]),
    ("python", "# é😀\ndef f(é='😀'):\n    <|>\n", ["def f(é='😀'):"]),
    ("python", "<|>\ndef f(): pass\n", []),
    (
        "javascript",
        "export class A {\n  m(a) {\n    foo(<|>\n  }\n}",
        ["export class A {", "m(a) {"],
    ),
    (
        "javascript",
        "const f = async (a) => {\n  g(() => {\n    <|>\n  });\n};",
        ["const f = async (a) => {", "g(() => {"],
    ),
    (
        "javascript",
        "describe('x', () => {\n  it('y', () => {\n    <|>\n",
        ["describe('x', () => {", "it('y', () => {"],
    ),
    ("javascriptreact", "function A() {\n  return <a><|></a>;\n}", ["function A() {"]),
    (
        "typescript",
        "export function f<T>(a: T): T {\n  const x = <|>\n}",
        ["export function f<T>(a: T): T {"],
    ),
    (
        "typescriptreact",
        "export default function A({ b }: P) {\n  return <div><|></div>;\n}",
        ["export default function A({ b }: P) {"],
    ),
    (
        "java",
        "public class A {\n  @Override\n  public int f(int a) throws E {\n    return g(<|>\n  }\n}",
        ["public class A {", "@Override\n  public int f(int a) throws E {"],
    ),
    ("c", "static int *f(int a) {\n  <|>\n}", ["static int *f(int a) {"]),
    (
        "cpp",
        "namespace n {\nclass A {\n  template <class T> int f(T a) {\n    <|>\n  }\n};\n}",
        ["namespace n {", "class A {", "template <class T> int f(T a) {"],
    ),
    ("cpp", "int A::f() const {\n  x.<|>\n}", ["int A::f() const {"]),
    (
        "csharp",
        "namespace N {\n  public class A {\n    public int F(int a) {\n      G(<|>\n    }\n  }\n}",
        ["namespace N {", "public class A {", "public int F(int a) {"],
    ),
    ("go", "func (r *R) F(a int) error {\n\tx := <|>\n}", ["func (r *R) F(a int) error {"]),
    ("go", "type S struct {\n\t<|>\n}", ["type S struct {"]),
    (
        "rust",
        "impl<T> S<T> {\n    pub fn f(&self) -> i32 {\n        self.<|>\n    }\n}",
        ["impl<T> S<T> {", "pub fn f(&self) -> i32 {"],
    ),
    (
        "php",
        "<?php\nclass A {\n  public function f(int $a): string {\n    $this-><|>\n  }\n}",
        ["class A {", "public function f(int $a): string {"],
    ),
    (
        "ruby",
        "module M\n  class A < B\n    def f(a, b)\n      <|>\n    end\n  end\nend\n",
        ["module M", "class A < B", "def f(a, b)"],
    ),
    ("ruby", "class A\n  def f\n    foo(<|>\n  end\nend", ["class A", "def f"]),
    ("shellscript", 'f() {\n  echo "<|>\n}\n', ["f() {"]),
]

# kind, container, name, signature
DEFINITIONS: list[tuple[str, str, list[tuple[str, str, str, str]]]] = [
    (
        "python",
        "LIMIT = 5\n_private = 1\nx, y = 1, 2\n\n\n"
        "async def f(\n    a: int,\n    b: str = 'é',\n) -> str:\n    return ''\n\n\n"
        "@dataclass\nclass A(B):\n    size: int = 1\n\n    def __init__(self, a: int) -> None:\n"
        "        self.a: int = a\n        self._b = 1\n        self.a = 2\n\n"
        "    @property\n    def double(self) -> int:\n        def inner(): ...\n        return 2\n",
        [
            ("constant", "", "LIMIT", "LIMIT = 5"),
            ("function", "", "f", "async def f(a: int, b: str = 'é',) -> str: ..."),
            ("class", "", "A", "@dataclass class A(B): ..."),
            ("field", "A", "size", "size: int = 1"),
            ("method", "A", "__init__", "def __init__(self, a: int) -> None: ..."),
            ("method", "A", "double", "@property def double(self) -> int: ..."),
            ("field", "A", "a", "self.a: int = a"),
        ],
    ),
    (
        "javascript",
        "const f = async (a) => {\n  return a;\n};\nexport const LIMIT = 5;\n"
        "export default class A extends B {\n  size = 1;\n  m(a, b) { return 1; }\n}\n"
        "function* g() {}\nfoo();\n",
        [
            ("function", "", "f", "const f = async (a) =>"),
            ("constant", "", "LIMIT", "export const LIMIT = 5;"),
            ("class", "", "A", "export default class A extends B"),
            ("field", "A", "size", "size = 1"),
            ("method", "A", "m", "m(a, b)"),
            ("function", "", "g", "function* g()"),
        ],
    ),
    (
        "typescript",
        "export interface A<T> extends B {\n  x: number;\n  f(a: T): void;\n}\n"
        "type U = 'a' | 'b';\nexport abstract class C implements A {\n"
        "  constructor(private x: number) {}\n  abstract f(): void;\n}\n"
        "namespace N {\n  export function g(): void {}\n}\nenum E { A, B }\n",
        [
            ("type", "", "A", "export interface A<T> extends B { x: number; f(a: T): void; }"),
            ("type", "", "U", "type U = 'a' | 'b';"),
            ("class", "", "C", "export abstract class C implements A"),
            ("method", "C", "constructor", "constructor(private x: number)"),
            ("method", "C", "f", "abstract f(): void"),
            ("function", "", "g", "export function g(): void"),
            ("type", "", "E", "enum E { A, B }"),
        ],
    ),
    (
        "typescriptreact",
        "export const A = ({ b }: P) => {\n  return <div>{b}</div>;\n};\n",
        [("function", "", "A", "export const A = ({ b }: P) =>")],
    ),
    (
        "java",
        "package a;\npublic class A<T> extends B {\n  public static final int N = 1;\n"
        "  public A(int y) {}\n  @Override\n  public <U> T f(U a) throws E { return null; }\n"
        "  interface I { int g(); }\n}\n",
        [
            ("class", "", "A", "public class A<T> extends B"),
            ("field", "A", "N", "public static final int N = 1;"),
            ("method", "A", "A", "public A(int y)"),
            ("method", "A", "f", "@Override public <U> T f(U a) throws E"),
            ("class", "A", "I", "interface I"),
            ("method", "I", "g", "int g()"),
        ],
    ),
    (
        "c",
        "#define N 1\nint g(void);\nstatic int *f(int a, char *b) { return 0; }\n"
        "struct s { int a; };\ntypedef struct { int x; } T;\nenum e { A };\n",
        [
            ("constant", "", "N", "#define N 1"),
            ("function", "", "g", "int g(void);"),
            ("function", "", "f", "static int *f(int a, char *b)"),
            ("type", "", "s", "struct s { int a; }"),
            ("type", "", "T", "typedef struct { int x; } T;"),
            ("type", "", "e", "enum e { A }"),
        ],
    ),
    (
        "cpp",
        "namespace n {\nclass A : public B {\n public:\n  int f(int a) const;\n  int x;\n"
        "  template <class T> T g() {}\n};\n}\nint n::A::f(int a) const { return 1; }\n",
        [
            ("class", "", "A", "class A : public B"),
            ("method", "A", "f", "int f(int a) const;"),
            ("field", "A", "x", "int x;"),
            ("method", "A", "g", "template <class T> T g()"),
            ("method", "A", "f", "int n::A::f(int a) const"),
        ],
    ),
    (
        "csharp",
        "namespace N {\n  public class A : B {\n    public int X { get; set; }\n"
        "    private int y;\n    public A() {}\n    public int F(int a) => 1;\n  }\n"
        "  record R(int A);\n  enum E { A }\n}\n",
        [
            ("class", "", "A", "public class A : B"),
            ("field", "A", "X", "public int X { get; set; }"),
            ("field", "A", "y", "private int y;"),
            ("method", "A", "A", "public A()"),
            ("method", "A", "F", "public int F(int a)"),
            ("class", "", "R", "record R(int A)"),
            ("type", "", "E", "enum E { A }"),
        ],
    ),
    (
        "go",
        "package a\n\nconst C = 1\n\nfunc (r *R) F(a int) error { return nil }\n"
        "func g() {}\ntype S struct {\n\tA int\n}\ntype I interface{ F() }\n",
        [
            ("constant", "", "C", "const C = 1"),
            ("method", "R", "F", "func (r *R) F(a int) error"),
            ("function", "", "g", "func g()"),
            ("type", "", "S", "type S struct { A int }"),
            ("type", "", "I", "type I interface{ F() }"),
        ],
    ),
    (
        "rust",
        "pub const C: i32 = 1;\npub fn f<T>(a: T) -> i32\nwhere\n    T: X,\n{\n    1\n}\n"
        "struct S {\n    a: i32,\n}\nimpl S {\n    pub fn g(&self) {}\n}\n"
        "trait T {\n    fn h(&self);\n}\nmod m {\n    fn k() {}\n}\n",
        [
            ("constant", "", "C", "pub const C: i32 = 1;"),
            ("function", "", "f", "pub fn f<T>(a: T) -> i32 where T: X,"),
            ("type", "", "S", "struct S { a: i32, }"),
            ("method", "S", "g", "pub fn g(&self)"),
            ("class", "", "T", "trait T"),
            ("method", "T", "h", "fn h(&self)"),
            ("function", "", "k", "fn k()"),
        ],
    ),
    (
        "php",
        "<?php\nclass A extends B {\n  private $x = 1;\n"
        "  public function f(int $a): string { return ''; }\n}\nfunction g() {}\n",
        [
            ("class", "", "A", "class A extends B"),
            ("field", "A", "x", "private $x = 1;"),
            ("method", "A", "f", "public function f(int $a): string"),
            ("function", "", "g", "function g()"),
        ],
    ),
    (
        "ruby",
        "module M\n  class A < B\n    attr_reader :x, :y\n    def f(a)\n      1\n    end\n"
        "    def self.g\n    end\n  end\nend\n",
        [
            ("class", "", "M", "module M"),
            ("class", "M", "A", "class A < B"),
            ("field", "A", "x", "attr_reader :x, :y"),
            ("field", "A", "y", "attr_reader :x, :y"),
            ("method", "A", "f", "def f(a)"),
            ("method", "A", "g", "def self.g"),
        ],
    ),
    (
        "shellscript",
        "N=1\nf() {\n  echo\n}\nfunction g {\n  f\n}\n",
        [
            ("constant", "", "N", "N=1"),
            ("function", "", "f", "f()"),
            ("function", "", "g", "function g"),
        ],
    ),
]

IMPORTS: list[tuple[str, str, list[str]]] = [
    (
        "python",
        "import a\nfrom .b import (\n    c,\n)\nx = 1\n",
        ["import a", "from .b import (\n    c,\n)"],
    ),
    (
        "javascript",
        "import a from 'a';\nexport { b } from 'b';\nexport const c = 1;\n",
        ["import a from 'a';", "export { b } from 'b';"],
    ),
    ("java", "package a;\nimport b.C;\nclass D {}\n", ["import b.C;"]),
    ("c", '#include <a.h>\n#include "b.h"\n#define N\n', ["#include <a.h>\n", '#include "b.h"\n']),
    ("csharp", "using System;\nclass A {}\n", ["using System;"]),
    ("go", 'package a\n\nimport (\n\t"fmt"\n)\n', ['import (\n\t"fmt"\n)']),
    ("rust", "use a::{b, c};\npub use d;\nfn f() {}\n", ["use a::{b, c};", "pub use d;"]),
    ("php", "<?php\nuse A\\B;\nrequire 'c.php';\nf();\n", ["use A\\B;", "require 'c.php';"]),
    (
        "ruby",
        "require 'a'\nrequire_relative 'b'\nputs 1\n",
        ["require 'a'", "require_relative 'b'"],
    ),
    ("shellscript", "source a.sh\n. b.sh\necho\n", ["source a.sh", ". b.sh"]),
]


@pytest.mark.parametrize(("language_id", "marked", "expected"), ENCLOSING)
def test_what_holds_the_cursor(language_id: str, marked: str, expected: list[str]) -> None:
    check_enclosing(language_id, marked, expected)


@pytest.mark.parametrize(("language_id", "text", "expected"), DEFINITIONS)
def test_what_is_defined(
    language_id: str, text: str, expected: list[tuple[str, str, str, str]]
) -> None:
    found = definitions(tree_of(language_id, text))
    assert [(one.kind, one.container, one.name, one.signature) for one in found] == expected
    for one in found:
        assert one.name in text[one.start : one.end]


@pytest.mark.parametrize(("language_id", "text", "expected"), IMPORTS)
def test_what_is_imported(language_id: str, text: str, expected: list[str]) -> None:
    found = imports(tree_of(language_id, text))
    assert [text[one.start : one.end] for one in found] == expected


def test_long_signatures_are_cut() -> None:
    parameters = ", ".join(f"parameter_{index}: int = {index}" for index in range(100))
    (one,) = definitions(tree_of("python", f"def f({parameters}):\n    pass\n"))
    assert len(one.signature) < 320
    (constant,) = definitions(tree_of("python", f"TABLE = [\n{parameters},\n]\n"))
    assert constant.signature == "TABLE = ["


def test_nothing_is_found_without_a_tree() -> None:
    assert enclosing(None, 3) == ()
    assert imports(None) == ()
    assert definitions(None) == ()


def test_identifiers_are_names_and_no_keywords() -> None:
    counts = identifiers("def größe(self, a1):\n    return größe(_b, 42, 0x1f) if a1 else None")
    assert counts == {"größe": 2, "a1": 2, "_b": 1}
    assert identifiers("") == {}
    assert identifiers("a-b { c-d }", language_of("css")) == {"a-b": 1, "c-d": 1}
    assert identifiers("a-b") == {"a": 1, "b": 1}
