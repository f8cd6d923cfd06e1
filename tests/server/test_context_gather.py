"""What a model is shown of other files at a cursor, and that it stays while somebody types."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midfill_engine.types import ContextChunk
from midfill_server.context.gather import Surroundings, path_of
from midfill_server.context.index import WorkspaceIndex
from midfill_server.context.problems import Problem
from midfill_server.document import Snapshot
from midfill_server.syntax import SyntaxTree, language_of
from tests.server.files import write_files

CURSOR = "<|>"

_CART = '''\
import math


class Cart:
    """What somebody wants to buy."""

    limit: int = 3

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._items = []

    def add_item(self, name: str, *, price: float = 0.0) -> None:
        self._items.append((name, price))

    @property
    def total(self) -> float:
        return sum(price for _, price in self._items)

    def _audit(self) -> None: ...


def open_cart(owner: str, size: int = 3) -> Cart:
    return Cart(owner)
'''
_CART_OUTLINE = """\
class Cart:
    limit: int = 3
    def __init__(self, owner: str) -> None: ...
    def add_item(self, name: str, *, price: float = 0.0) -> None: ...
    @property
    def total(self) -> float: ...
    owner = owner
"""


class Room:
    """A workspace on disk with one session in it; time stands still."""

    def __init__(self, root: Path, files: Mapping[str, str]) -> None:
        self.root = root
        write_files(root, files)
        self.index = WorkspaceIndex()
        self.index.open([str(root)])
        self.around = Surroundings(self.index, clock=lambda: 0.0)
        self.settle()

    def settle(self) -> None:
        """Let the background do all that it has to do."""
        while self.index.step():
            pass

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def snapshot(self, name: str, text: str, version: int = 0) -> Snapshot:
        language = language_of("", name)
        language_id = language.id if language is not None else "plaintext"
        return Snapshot.of(text, uri=self.uri(name), version=version, language_id=language_id)

    def chunks(
        self, name: str, marked: str, *, settled: bool = True, max_characters: int = 4000
    ) -> tuple[ContextChunk, ...]:
        """Gather at the mark: once to have everything read, and then for the answer."""
        found: tuple[ContextChunk, ...] = ()
        for _ in range(3 if settled else 1):
            text, cursor = marked.replace(CURSOR, "", 1), marked.index(CURSOR)
            language = language_of("", name)
            found = self.around.gather(
                uri=self.uri(name),
                language=language,
                text=text,
                tree=SyntaxTree.parse(text, language),
                cursor=cursor,
                max_characters=max_characters,
            )
            self.settle()
        return found


def check(room: Room, name: str, marked: str, expected: str) -> None:
    """Assert what is shown at the mark; before each chunk its path stands as ``== path``."""
    shown = [f"== {one.path}\n{one.text}" for one in room.chunks(name, marked)]
    assert "".join(shown) == expected


def test_what_an_imported_function_takes(tmp_path: Path) -> None:
    room = Room(tmp_path, {"shop/cart.py": _CART, "main.py": ""})
    check(
        room,
        "main.py",
        "from shop.cart import open_cart\n\ncart = open_cart(<|>\n",
        "== shop/cart.py\ndef open_cart(owner: str, size: int = 3) -> Cart: ...\n",
    )


@pytest.mark.parametrize(
    "line",
    ["cart = Cart(<|>", "def f(cart: Cart) -> None:\n    cart.<|>", "cart = Cart('a')\ncart.ad<|>"],
)
def test_what_an_imported_class_has(tmp_path: Path, line: str) -> None:
    room = Room(tmp_path, {"shop/cart.py": _CART, "main.py": ""})
    marked = f"from shop.cart import Cart\n\n{line}\n"
    check(room, "main.py", marked, f"== shop/cart.py\n{_CART_OUTLINE}")


def test_what_the_cursors_line_uses_comes_first(tmp_path: Path) -> None:
    room = Room(
        tmp_path,
        {"a.py": "def first_one(a): ...\n", "b.py": "def other_one(b): ...\n", "main.py": ""},
    )
    imports = "from a import first_one\nfrom b import other_one\n\n"
    for line, path in (("first_one(<|>", "a.py"), ("other_one(<|>", "b.py")):
        room.around.closed(room.uri("main.py"))
        found = room.chunks("main.py", f"{imports}def f():\n    first_one(1)\n    {line}\n")
        assert found[0].path == path
        assert {one.path for one in found} == {"a.py", "b.py"}


def test_a_module_shows_what_is_used_of_it(tmp_path: Path) -> None:
    room = Room(tmp_path, {"shop/__init__.py": "", "shop/cart.py": _CART, "main.py": ""})
    check(
        room,
        "main.py",
        "from shop import cart\n\nc = cart.open_cart(<|>\n",
        "== shop/cart.py\ndef open_cart(owner: str, size: int = 3) -> Cart: ...\n",
    )


@pytest.mark.parametrize(
    ("files", "name", "marked", "expected"),
    [
        (
            {"cart.ts": "export class Cart {\n  add(name: string, price = 1): void {}\n}\n"},
            "main.ts",
            'import { Cart } from "./cart";\nconst cart = new Cart();\ncart.<|>\n',
            "== cart.ts\nexport class Cart {\n    add(name: string, price = 1): void;\n}\n",
        ),
        (
            {"Cart.java": "class Cart {\n  void add(String name, int price) { }\n}\n"},
            "Main.java",
            "class Main {\n  void f(Cart cart) {\n    cart.<|>\n  }\n}\n",
            "== Cart.java\nclass Cart {\n    void add(String name, int price);\n}\n",
        ),
        (
            {"go.mod": "module m\n", "cart.go": "package m\n\nfunc OpenCart(owner string) {}\n"},
            "main.go",
            "package m\n\nfunc main() {\n\tOpenCart(<|>\n}\n",
            "== cart.go\nfunc OpenCart(owner string)\n",
        ),
        (
            {"cart.h": "int open_cart(const char *owner);\n"},
            "main.c",
            '#include "cart.h"\n\nint main() {\n  open_cart(<|>\n}\n',
            "== cart.h\nint open_cart(const char *owner);\n",
        ),
        (
            {"cart.rb": "class Cart\n  def add(name, price: 1)\n  end\nend\n"},
            "main.rb",
            "require_relative 'cart'\n\ncart = Cart.<|>\n",
            "== cart.rb\nclass Cart\n  def add(name, price: 1)\nend\n",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[:10] else "",
)
def test_outlines_are_code_of_their_language(
    tmp_path: Path, files: dict[str, str], name: str, marked: str, expected: str
) -> None:
    check(Room(tmp_path, {**files, name: ""}), name, marked, expected)


def test_a_function_that_is_not_imported_is_not_meant(tmp_path: Path) -> None:
    room = Room(tmp_path, {"shop/query.py": "def query(text): ...\n", "main.py": ""})
    check(room, "main.py", "def f(items):\n    query = items\n    return query.<|>\n", "")


def test_nothing_is_shown_of_what_may_not_be(tmp_path: Path) -> None:
    files = {
        ".midfillignore": "private/\n",
        ".gitignore": "made/\n",
        "private/a.py": "def secret_a(x): ...\n",
        "made/b.py": "def made_b(x): ...\n",
        "main.py": "",
    }
    room = Room(tmp_path, files)
    marked = "from private.a import secret_a\nfrom made.b import made_b\nsecret_a(made_b(<|>\n"
    # Generated code is imported to be used, whether git keeps it or not.
    check(room, "main.py", marked, "== made/b.py\ndef made_b(x): ...\n")


_PRICES = """\
def price_of_cart(cart, rates, discount):
    subtotal = sum(item.price for item in cart.items)
    reduced = subtotal * discount.factor
    return reduced + rates.shipping + rates.handling
"""
_ALIKE = """\
def price_of_order(order, rates, discount):
    subtotal = sum(item.price for item in order.items)
    <|>
    return reduced + rates.shipping
"""


def test_an_alike_passage_of_a_file_beside_is_shown(tmp_path: Path) -> None:
    files = {"orders.py": "", "carts.py": _PRICES, "colours.py": "RED = 1\n\ndef paint(x): ...\n"}
    check(Room(tmp_path, files), "orders.py", _ALIKE, f"== carts.py\n{_PRICES}")


def test_what_was_edited_lately_counts_more(tmp_path: Path) -> None:
    far = {"orders.py": "", "deep/down/carts.py": _PRICES}
    room = Room(tmp_path, far)
    assert room.chunks("orders.py", _ALIKE) == ()
    room.around.opened(room.snapshot("deep/down/carts.py", ""))
    room.around.changed(room.snapshot("deep/down/carts.py", _PRICES, 1))
    check(room, "orders.py", _ALIKE, f"== deep/down/carts.py\n{_PRICES}")


@pytest.mark.parametrize("name", ["secrets.yaml", "id_rsa", "ignored/carts.py", ".env"])
def test_nothing_of_an_open_file_that_may_not_be_seen(tmp_path: Path, name: str) -> None:
    room = Room(tmp_path, {"orders.py": "", ".gitignore": "ignored/\n", name: _PRICES})
    room.around.opened(room.snapshot(name, _PRICES))
    room.around.changed(room.snapshot(name, _PRICES + "\n", 1))
    check(room, "orders.py", _ALIKE, "")


def test_nothing_is_shown_twice(tmp_path: Path) -> None:
    files = {"orders.py": "", "a.py": _PRICES, "b.py": _PRICES.replace(" + ", "+")}
    room = Room(tmp_path, files)
    assert len(room.chunks("orders.py", _ALIKE)) == 1
    # What is in the file itself already, is.
    room.around.closed(room.uri("orders.py"))
    assert room.chunks("orders.py", _PRICES + "\n\n" + _ALIKE)[0].path == "b.py"


def test_problems_nearby_are_told_as_a_comment(tmp_path: Path) -> None:
    room = Room(tmp_path, {"main.ts": ""})
    marked = "const a = 1;\nconst b = c;\n<|>\n"
    text = marked.replace(CURSOR, "")
    room.around.opened(room.snapshot("main.ts", text))
    found = Problem(first_line=1, last_line=1, message="Cannot find name 'c'.", code="2304")
    room.around.told(room.uri("main.ts"), [found])
    assert room.chunks("main.ts", marked)[0].volatile
    check(room, "main.ts", marked, "== main.ts\n// error: Cannot find name 'c'. (2304)\n")
    room.around.changed(room.snapshot("main.ts", text.replace("= c", "= d"), 1))
    check(room, "main.ts", marked, "")


def test_a_line_that_imports_is_told_what_the_project_uses(tmp_path: Path) -> None:
    project = '[project]\nname = "x"\ndependencies = ["requests>=2", "rich"]\n'
    room = Room(tmp_path, {"pyproject.toml": project, "main.py": ""})
    check(room, "main.py", "import <|>\n", "== pyproject.toml\n# requests >=2, rich\n")
    check(room, "main.py", "x = <|>\n", "")


def test_typing_a_line_changes_nothing(tmp_path: Path) -> None:
    files = {"shop/cart.py": _CART, "carts.py": _PRICES, "orders.py": ""}
    room = Room(tmp_path, files)
    head = "from shop.cart import Cart, open_cart\n\n\n"
    line = "reduced = open_cart(discount, size=len(subtotal)).total * Cart.limit"
    first = room.chunks("orders.py", head + _ALIKE)
    assert [one.path for one in first] == ["shop/cart.py", "carts.py"]
    for end in range(len(line) + 1):
        marked = head + _ALIKE.replace(CURSOR, line[:end] + CURSOR)
        assert room.chunks("orders.py", marked, settled=False) == first, line[:end]


def test_a_new_name_that_is_needed_comes_at_once_and_stays(tmp_path: Path) -> None:
    names = [f"make_{letter}" for letter in "abcdefgh"]
    files = {f"{name}.py": f"def {name}({'x' * 150}): ...\n" for name in names}
    room = Room(tmp_path, {**files, "main.py": ""})
    head = "".join(f"from {name} import {name}\n" for name in names)
    room.chunks("main.py", f"{head}\ndef f():\n    make_a(1)\n    <|>\n", max_characters=600)
    changes: list[list[str]] = []
    line = "make_h(2) + make_h(3)"
    for end in range(len(line) + 1):
        marked = f"{head}\ndef f():\n    make_a(1)\n    {line[:end]}<|>\n"
        found = room.chunks("main.py", marked, settled=False, max_characters=600)
        paths = [one.path for one in found]
        assert ("make_h.py" in paths) == (end > len("make_h"))
        if not changes or changes[-1] != paths:
            changes.append(paths)
    assert len(changes) == 2


@pytest.mark.parametrize("max_characters", [0, 10, 80, 200, 400, 1000])
def test_the_room_is_kept(tmp_path: Path, max_characters: int) -> None:
    room = Room(tmp_path, {"shop/cart.py": _CART, "carts.py": _PRICES, "orders.py": ""})
    marked = "from shop.cart import Cart, open_cart\n\n\nCart('a')\n" + _ALIKE
    found = room.chunks("orders.py", marked, max_characters=max_characters)
    assert sum(len(one.text) for one in found) <= max_characters
    assert bool(found) == (max_characters >= 80)


@pytest.mark.parametrize(
    "uri",
    ["", "untitled:Untitled-1", "http://[", "file:///%ff", "file:///a%00b.py", "git:/a.py?x#y"],
)
def test_what_is_no_file_gets_nothing(tmp_path: Path, uri: str) -> None:
    room = Room(tmp_path, {"a.py": ""})
    language = language_of("python")
    room.around.opened(Snapshot.of("x", uri=uri, language_id="python"))
    assert room.around.gather(uri=uri, language=language, text="x", tree=None, cursor=1) == ()
    assert isinstance(room.around.path_of(uri), str)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(alphabet=st.sampled_from('ab.( )\n\t:"é😀\r{}=\ud800Cartimpo'), max_size=80),
    at=st.integers(0, 80),
    name=st.sampled_from(["main.py", "main.ts", "x.go", "notes.txt", "Cart.java"]),
)
def test_nothing_is_raised_whatever_the_text(tmp_path: Path, text: str, at: int, name: str) -> None:
    room = Room(tmp_path, {"cart.py": _CART, "b.py": _PRICES})
    whole = "from cart import Cart\n" + text
    cursor = min(at, len(text)) + len(whole) - len(text)
    room.around.opened(room.snapshot(name, whole[:-1]))
    room.around.changed(room.snapshot(name, whole, 1))
    language = language_of("", name)
    tree = SyntaxTree.parse(whole, language)
    found: tuple[ContextChunk, ...] = ()
    for _ in range(2):
        found = room.around.gather(
            uri=room.uri(name), language=language, text=whole, tree=tree, cursor=cursor
        )
        room.settle()
    assert len({one.text for one in found}) == len(found)


def test_it_takes_little_time(tmp_path: Path) -> None:
    files = {f"part_{n}.py": _PRICES.replace("cart", f"cart_{n}") * 8 for n in range(20)}
    room = Room(tmp_path, {**files, "cart.py": _CART, "orders.py": ""})
    marked = "from cart import Cart\n\n\n" + _ALIKE
    room.chunks("orders.py", marked)
    took_s: list[float] = []
    for _ in range(20):
        # The processor's time: other programs may be busy.
        began_s = time.process_time()
        room.chunks("orders.py", marked, settled=False)
        took_s.append(time.process_time() - began_s)
    assert sorted(took_s)[10] < 0.01


def test_paths_of_uris(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "c#d.py"
    assert path_of(path.as_uri()) == str(path)
    room = Room(tmp_path, {"a b/c.py": ""})
    assert room.around.path_of(room.uri("a b/c.py")) == "a b/c.py"
    assert room.around.repo == tmp_path.name
