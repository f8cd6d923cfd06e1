"""What files import from a workspace, in every language, and when that is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from midfill_server.context.imports import ImportedName, Imports
from midfill_server.context.index import WorkspaceIndex
from midfill_server.syntax import language_of
from tests.server.files import write_files


class _Workspace:
    """A workspace on disk whose background runs when the test says so."""

    def __init__(self, root: Path, files: Mapping[str, str]) -> None:
        write_files(root, files)
        self.root = root
        self.index = WorkspaceIndex()
        self.imports = Imports(self.index)
        self.index.open([str(root)])
        self.settle()

    def settle(self) -> None:
        while self.index.step():
            pass

    def ask(self, name: str, text: str) -> tuple[ImportedName, ...]:
        language = language_of("", name)
        assert language is not None
        return self.imports.names(str(self.root / name), text, language.id)

    def told(self, name: str, text: str) -> list[str]:
        """Return ``file:name[ as alias]=definitions`` for all that the text imports."""
        self.ask(name, text)
        self.settle()
        return [
            f"{Path(one.path).relative_to(self.root).as_posix()}:{one.name}"
            + (f" as {one.alias}" if one.alias not in ("", one.name) else "")
            + "="
            + ",".join(each.name for each in one.definitions)
            for one in self.ask(name, text)
        ]


def check(root: Path, files: Mapping[str, str], name: str, text: str, expected: list[str]) -> None:
    """Write ``files``, and compare what ``text``, as the file ``name``, imports from them."""
    assert _Workspace(root, files).told(name, text) == expected


_CART = (
    "class Cart:\n    def add(self, item): ...\n    def total(self): ...\n\n\ndef load(path): ...\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from shop.cart import Cart", ["shop/cart.py:Cart=Cart,add,total"]),
        ("from shop.cart import load as l", ["shop/cart.py:load as l=load"]),
        (
            "from shop.cart import (\n    Cart,  # a cart\n    load,\n)",
            ["shop/cart.py:Cart=Cart,add,total", "shop/cart.py:load=load"],
        ),
        ("from .cart import load", ["shop/cart.py:load=load"]),
        ("from . import cart", ["shop/cart.py: as cart=Cart,add,total,load"]),
        ("from shop import cart as c", ["shop/cart.py: as c=Cart,add,total,load"]),
        ("import shop.cart", ["shop/cart.py: as shop.cart=Cart,add,total,load"]),
        ("import os, shop.cart as c", ["shop/cart.py: as c=Cart,add,total,load"]),
        ("from ..tools import trim", ["tools.py:trim=trim"]),
        ("from .cart import *", ["shop/cart.py:*=Cart,add,total,load"]),
        ("from space.deep import thing", ["space/deep.py:thing=thing"]),
        ("from space import deep", ["space/deep.py: as deep=thing"]),
        (
            "from installed import Client",
            [".venv/lib/python3.12/site-packages/installed/client.py:Client=Client,get"],
        ),
        ("import json\nfrom re import sub\nimport missing.a", []),
        ("def f():\n    from .cart import load\n", ["shop/cart.py:load=load"]),
        (
            "from .cart import (load, Cart",
            ["shop/cart.py:load=load", "shop/cart.py:Cart=Cart,add,total"],
        ),
    ],
)
def test_python(tmp_path: Path, text: str, expected: list[str]) -> None:
    packages = ".venv/lib/python3.12/site-packages"
    files = {
        "shop/__init__.py": "",
        "shop/cart.py": _CART,
        "tools.py": "def trim(text): ...\n",
        "space/deep.py": "def thing(): ...\n",
        "elsewhere/json.py": "def loads(): ...\n",
        f"{packages}/installed/__init__.py": "from .client import Client\n",
        f"{packages}/installed/client.py": "class Client:\n    def get(self): ...\n",
    }
    check(tmp_path, files, "shop/main.py", text + "\n", expected)


@pytest.mark.parametrize("source", ["src", "engine", "packages/one/lib"])
def test_python_packages_may_lie_anywhere(tmp_path: Path, source: str) -> None:
    files = {f"{source}/shop/__init__.py": "", f"{source}/shop/cart.py": _CART}
    text = "from shop.cart import load\n"
    check(tmp_path, files, "tests/test_cart.py", text, [f"{source}/shop/cart.py:load=load"])


def test_names_that_a_package_gives_on(tmp_path: Path) -> None:
    files = {
        "shop/__init__.py": "from shop.api import *\nfrom .cart import Cart as Basket\n",
        "shop/api/__init__.py": "from .calls import order\n",
        "shop/api/calls.py": "def order(cart): ...\n",
        "shop/cart.py": _CART,
    }
    expected = ["shop/api/calls.py:order=order", "shop/cart.py:Cart as Basket=Cart,add,total"]
    check(tmp_path, files, "main.py", "from shop import Basket, order\n", sorted(expected))


def test_packages_that_import_each_other_end(tmp_path: Path) -> None:
    files = {"a/__init__.py": "from b import x\n", "b/__init__.py": "from a import x\n"}
    check(tmp_path, files, "main.py", "from a import x\n", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import { Cart } from './cart'", ["web/cart.ts:Cart=Cart,add"]),
        (
            'import { load as l, type Cart } from "./cart"',
            ["web/cart.ts:load as l=load", "web/cart.ts:Cart=Cart,add"],
        ),
        ("import { load } from './cart.js'", ["web/cart.ts:load=load"]),
        ("import * as c from './cart'", ["web/cart.ts: as c=Cart,add,load"]),
        ("import Button from '../ui/Button'", ["ui/Button.tsx:default as Button=Button"]),
        ("import { trim } from '../lib'", ["lib/trim.ts:trim=trim"]),
        ("import { trim } from '@lib/trim'", ["lib/trim.ts:trim=trim"]),
        ("import { trim } from 'lib/trim'", ["lib/trim.ts:trim=trim"]),
        ("const { load: l } = require('./cart')", ["web/cart.ts:load as l=load"]),
        ("const c = require('./cart')", ["web/cart.ts: as c=Cart,add,load"]),
        ("import React from 'react'\nimport './style.css'", []),
        ("export { load } from './cart'", ["web/cart.ts:load=load"]),
    ],
)
def test_typescript(tmp_path: Path, text: str, expected: list[str]) -> None:
    files = {
        "tsconfig.json": '{ // ours\n "compilerOptions": {\n'
        '"baseUrl": ".", "paths": {"@lib/*": ["lib/*"]},},}',
        "web/cart.ts": "export class Cart { add(item: string): void {} }\n"
        "export function load(p: string) {}\n",
        "ui/Button.tsx": "export default function Button(props: Props) { return null }\n",
        "lib/index.ts": "export * from './trim'\n",
        "lib/trim.ts": "export function trim(text: string): string { return text }\n",
    }
    check(tmp_path, files, "web/main.ts", text + "\n", expected)


def test_java(tmp_path: Path) -> None:
    base = "src/main/java/org/shop"
    files = {
        f"{base}/Cart.java": "package org.shop;\n"
        "public class Cart { public int total() { return 0; } }\n",
        f"{base}/util/Text.java": "package org.shop.util;\n"
        "class Text { static String trim(String s) { return s; } }\n",
    }
    text = (
        "import org.shop.Cart;\nimport static org.shop.util.Text.trim;\n"
        "import org.shop.util.*;\nimport java.util.List;\n"
    )
    expected = [
        f"{base}/Cart.java:Cart=Cart,total",
        f"{base}/util/Text.java:trim=trim",
        f"{base}/util/Text.java:*=Text,trim",
    ]
    check(tmp_path, files, f"{base}/app/Main.java", text, expected)


def test_go(tmp_path: Path) -> None:
    files = {
        "go.mod": "module example.org/shop\n\ngo 1.22\n",
        "cart/cart.go": "package cart\n\nfunc Total(c Cart) int { return 0 }\n",
        "cart/cart_test.go": "package cart\n\nfunc TestTotal() {}\n",
        "text/trim.go": "package text\n\nfunc Trim(s string) string { return s }\n",
    }
    text = (
        'package main\n\nimport (\n\t"fmt"\n'
        '\t"example.org/shop/cart"\n\tt "example.org/shop/text"\n)\n'
    )
    expected = ["cart/cart.go: as cart=Total", "text/trim.go: as t=Trim"]
    check(tmp_path, files, "cmd/main.go", text, expected)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("src/main.rs", "use crate::cart::Cart;", ["src/cart.rs:Cart=Cart,total"]),
        ("src/main.rs", "mod cart;", ["src/cart.rs: as cart=Cart,total"]),
        (
            "src/main.rs",
            "use crate::{cart::{self, Cart as C}, text::trim};",
            [
                "src/cart.rs: as cart=Cart,total",
                "src/cart.rs:Cart as C=Cart,total",
                "src/text/mod.rs:trim=trim",
            ],
        ),
        ("src/text/deep.rs", "use super::trim;", ["src/text/mod.rs:trim=trim"]),
        ("src/cart.rs", "use super::text::*;", ["src/text/mod.rs:*=trim"]),
        ("src/main.rs", "use std::io;\nuse serde::Serialize;", []),
        ("src/main.rs", "use my_core::Engine;", ["crates/my-core/src/lib.rs:Engine=Engine"]),
    ],
)
def test_rust(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    files = {
        "Cargo.toml": '[package]\nname = "shop"\n',
        "src/main.rs": "fn main() {}\n",
        "src/cart.rs": "pub struct Cart;\n\nimpl Cart {\n    pub fn total(&self) -> u32 { 0 }\n}\n",
        "src/text/mod.rs": "pub fn trim(s: &str) -> &str { s }\n",
        "crates/my-core/src/lib.rs": "pub struct Engine;\n",
    }
    check(tmp_path, files, name, text + "\n", expected)


def test_c(tmp_path: Path) -> None:
    files = {
        "src/near.h": "int near(int x);\n",
        "include/shop/cart.h": "int cart_total(const struct cart *c);\n",
        "other/shop/cart.h": "int other(void);\n",
    }
    text = '#include "near.h"\n#include <stdio.h>\n#  include <shop/cart.h>\n'
    expected = ["src/near.h:*=near", "include/shop/cart.h:*=cart_total"]
    check(tmp_path, files, "src/main.c", text, expected)


def test_csharp(tmp_path: Path) -> None:
    files = {
        "Models/Cart.cs": "namespace Shop.Models;\npublic class Cart { public int Total() => 0; }\n"
    }
    text = "using System;\nusing Shop.Models;\n"
    check(tmp_path, files, "Web/Main.cs", text, ["Models/Cart.cs:*=Cart,Total"])


def test_php(tmp_path: Path) -> None:
    files = {
        "composer.json": '{"autoload": {"psr-4": {"App\\\\": "source/"}}}',
        "source/Models/Cart.php": "<?php\n"
        "class Cart { public function total(): int { return 0; } }\n",
        "lib/Tools/Text.php": "<?php\nclass Text { public static function trim($s) {} }\n",
        "web/extra.php": "<?php\nfunction extra() {}\n",
    }
    text = (
        "<?php\nuse App\\Models\\Cart as C;\nuse Tools\\{Text};\n"
        "require_once __DIR__ . '/extra.php';\n"
    )
    expected = [
        "source/Models/Cart.php:Cart as C=Cart,total",
        "lib/Tools/Text.php:Text=Text,trim",
        "web/extra.php:*=extra",
    ]
    check(tmp_path, files, "web/main.php", text, expected)


def test_ruby_and_shell(tmp_path: Path) -> None:
    files = {
        "lib/shop/cart.rb": "class Cart\n  def total\n  end\nend\n",
        "bin/near.rb": "def near\nend\n",
        "bin/near.sh": "near() {\n  true\n}\n",
    }
    text = "require 'json'\nrequire 'shop/cart'\nrequire_relative 'near'\n"
    workspace = _Workspace(tmp_path, files)
    assert workspace.told("bin/main.rb", text) == [
        "lib/shop/cart.rb:*=Cart,total",
        "bin/near.rb:*=near",
    ]
    assert workspace.told("bin/main.sh", 'source "$HERE/near.sh"\n') == ["bin/near.sh:*=near"]


def test_what_is_new_is_known_at_the_next_key_and_the_old_stays_until_then(tmp_path: Path) -> None:
    workspace = _Workspace(tmp_path, {"a.py": "def one(): ...\n", "b.py": "def two(): ...\n"})
    first, second = "from a import one\n", "from a import one\nfrom b import two\n"
    assert workspace.ask("main.py", first) == ()
    workspace.settle()
    (one,) = workspace.ask("main.py", first)
    assert workspace.ask("main.py", second) == (one,)
    workspace.settle()
    assert [name.name for name in workspace.ask("main.py", second)] == ["one", "two"]


def test_typing_elsewhere_in_the_file_is_no_work(tmp_path: Path) -> None:
    workspace = _Workspace(tmp_path, {"a.py": "def one(): ...\n"})
    workspace.ask("main.py", "from a import one\n")
    workspace.settle()
    before = workspace.ask("main.py", "from a import one\nx")
    assert workspace.ask("main.py", "from a import one\nx = on") is before
    assert not workspace.index.step()


def test_definitions_follow_the_imported_file(tmp_path: Path) -> None:
    workspace = _Workspace(tmp_path, {"a.py": "def one(x): ...\n"})
    text = "from a import one\n"
    workspace.ask("main.py", text)
    workspace.settle()
    write_files(tmp_path, {"a.py": "def one(x, y, z): ...\n"})
    workspace.index.update(str(tmp_path / "a.py"))
    workspace.settle()
    path = str(tmp_path / "main.py")
    (name,) = workspace.imports.names(path, text, "python")
    assert "x, y, z" in name.definitions[0].text


def test_a_file_that_is_made_later_is_found(tmp_path: Path) -> None:
    workspace = _Workspace(tmp_path, {"main.py": ""})
    text = "from later import one\n"
    assert workspace.told("main.py", text) == []
    write_files(tmp_path, {"later.py": "def one(): ...\n"})
    workspace.index.update(str(tmp_path / "later.py"))
    workspace.settle()
    assert workspace.told("main.py", text) == ["later.py:one=one"]


def test_a_closed_file_is_forgotten(tmp_path: Path) -> None:
    workspace = _Workspace(tmp_path, {"a.py": "def one(): ...\n"})
    assert workspace.told("main.py", "from a import one\n")
    workspace.imports.forget(str(tmp_path / "main.py"))
    assert workspace.ask("main.py", "from a import one\n") == ()


def test_plain_text_imports_nothing(tmp_path: Path) -> None:
    check(tmp_path, {"a.py": ""}, "notes.md", "import a\nfrom a import b\n", [])
