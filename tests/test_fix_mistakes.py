"""The mistakes that the benchmark of fixes makes in files that had none."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence

import pytest

from benchmarks import fix_python, fix_typescript
from benchmarks.fix_mutation import BREAKING, CLASSES, Mutation, typo

PYTHON = '''\
"""A module."""

from __future__ import annotations

import os
from typing import (
    Any,
    Sequence,
)


def joined(parts: Sequence[str], separator: str) -> str:
    """Join."""
    if not parts:
        print(parts)
    text = separator.join(str(part) for part in parts)
    return os.path.normpath(text)


def count(values: Any) -> int:
    number = len(list(values))
    return max(number, 1)
'''

TYPESCRIPT = """\
import { first, second } from "./other";

export function joined(parts: string[], separator: string): string {
  const text = parts.map((part) => first(part, 1)).join(separator);
  if (second(text, "now")) {
    return text;
  }
  return text.toUpperCase();
}
"""


def made(kind: str, *, text: str = PYTHON, seed: int = 1) -> list[Mutation]:
    module = fix_python if text is PYTHON else fix_typescript
    return list(module.mutations(kind, text, random.Random(seed)))


def same(one: str, other: str) -> int:
    """How many letters two texts begin with alike."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def changed(mutations: Sequence[Mutation], original: str) -> set[tuple[str, str]]:
    """What was replaced by what, around which nothing differs."""
    found: set[tuple[str, str]] = set()
    for each in mutations:
        start = same(original, each.text)
        was, now = original[start:], each.text[start:]
        behind = same(was[::-1], now[::-1])
        found.add((was[: len(was) - behind], now[: len(now) - behind]))
    return found


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_makes_mistakes_that_the_seed_decides(kind: str) -> None:
    mutations = made(kind)
    assert mutations
    assert mutations == made(kind)
    for mutation in mutations:
        assert mutation.text != PYTHON
        assert mutation.text[: mutation.at] == PYTHON[: mutation.at]
        if kind in BREAKING:
            with pytest.raises(SyntaxError):
                ast.parse(mutation.text)
        else:
            ast.parse(mutation.text)
    if len(mutations) > 4:
        assert mutations != made(kind, seed=2)


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind != "bad indentation"])
def test_typescript_has_the_same_classes_but_for_indentation(kind: str) -> None:
    mutations = made(kind, text=TYPESCRIPT)
    assert mutations
    assert mutations == made(kind, text=TYPESCRIPT)
    assert all(mutation.text != TYPESCRIPT for mutation in mutations)
    assert not made("bad indentation", text=TYPESCRIPT)


def test_a_mistyped_name_is_no_other_name_of_the_file() -> None:
    rng = random.Random(3)
    made_names = {typo("part", "part pat parts prt apart", rng) for _ in range(40)} - {None}
    assert len(made_names) > 5
    assert not made_names & {"part", "pat", "parts", "prt"}


def test_one_name_of_an_import_goes_and_the_others_stay() -> None:
    texts = {mutation.text for mutation in made("missing import")}
    assert PYTHON.replace("import os\n", "") in texts
    assert PYTHON.replace("    Any,\n", "") in texts
    assert PYTHON.replace(",\n    Sequence", "") in texts
    assert not any("annotations" not in text for text in texts)
    scripts = {mutation.text for mutation in made("missing import", text=TYPESCRIPT)}
    assert scripts == {
        TYPESCRIPT.replace("first, second", "second"),
        TYPESCRIPT.replace("first, second", "first"),
    }


def test_only_the_return_at_the_end_of_a_function_goes() -> None:
    texts = {mutation.text for mutation in made("missing return")}
    assert texts == {
        PYTHON.replace("    return os.path.normpath(text)\n", ""),
        PYTHON.replace("    return max(number, 1)\n", ""),
    }
    scripts = [mutation.text for mutation in made("missing return", text=TYPESCRIPT)]
    assert scripts == [TYPESCRIPT.replace("  return text.toUpperCase();\n", "")]


def test_arguments_are_left_out_or_too_many() -> None:
    found = changed(made("wrong argument count"), PYTHON)
    assert (", 1", "") in found
    assert any(not was and now.startswith(", ") for was, now in found)
    scripts = changed(made("wrong argument count", text=TYPESCRIPT), TYPESCRIPT)
    assert (', "now"', "") in scripts


def test_types_are_mixed_up_by_values_and_never_by_words_of_the_language() -> None:
    texts = {mutation.text for mutation in made("type mismatch")}
    assert PYTHON.replace("str(part)", "part") in texts
    assert PYTHON.replace("max(number, 1)", 'max(number, "1")') in texts
    scripts = {mutation.text for mutation in made("type mismatch", text=TYPESCRIPT)}
    assert TYPESCRIPT.replace('"now"', "5") in scripts
    assert all("separator: string): string" in text for text in scripts)


def test_what_is_not_used_is_new_in_the_file() -> None:
    for mutation in made("unused name"):
        was, now = changed([mutation], PYTHON).pop()
        assert not was
        assert "import " in now or " = " in now


def test_offsets_are_right_behind_other_letters() -> None:
    text = 'def grüße(größe: int) -> int:\n    "ü"\n    return größe + zahlen("ö", größe)\n'
    found = list(fix_python.mutations("wrong argument count", text, random.Random(1)))
    assert text.replace(", größe)", ")") in {mutation.text for mutation in found}
