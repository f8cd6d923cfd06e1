"""What kind a diagnostic is of, whichever checker says it; the names that it speaks of."""

from __future__ import annotations

import pytest

from midfill_server.fixing.diagnostic import (
    Diagnostic,
    Kind,
    expected_tokens,
    kind_of,
    quoted_names,
    suggested_names,
)


def _said(message: str, code: str = "") -> Diagnostic:
    return Diagnostic(start=0, end=0, message=message, code=code)


@pytest.mark.parametrize(
    ("message", "code", "kind"),
    [
        ("Undefined name `a`", "F821", Kind.UNDEFINED),
        ('"a" is not defined', "reportUndefinedVariable", Kind.UNDEFINED),
        ("Cannot find name 'a'. Did you mean 'b'?", "2552", Kind.UNDEFINED),
        ("undefined: fmt", "UndeclaredName", Kind.UNDEFINED),
        ("cannot find value `a` in this scope", "E0425", Kind.UNDEFINED),
        ("use of undeclared identifier 'a'", "undeclared_var_use", Kind.UNDEFINED),
        ("Expected `:`, found newline", "invalid-syntax", Kind.SYNTAX),
        ('Expected ":"', "", Kind.SYNTAX),
        ("';' expected.", "1005", Kind.SYNTAX),
        ("Unindent not expected", "", Kind.SYNTAX),
        ("Expected expression", "", Kind.SYNTAX),
        (
            'Cannot access attribute "a" for class "B*"',
            "reportAttributeAccessIssue",
            Kind.ATTRIBUTE,
        ),
        ('"B" has no attribute "a"', "attr-defined", Kind.ATTRIBUTE),
        ("Property 'a' does not exist on type 'B'.", "2339", Kind.ATTRIBUTE),
        ("b.a undefined (type B has no field or method a)", "", Kind.ATTRIBUTE),
        ('"a" is unknown import symbol', "reportAttributeAccessIssue", Kind.IMPORT),
        ('Import "a.b" could not be resolved', "reportMissingImports", Kind.IMPORT),
        ("Cannot find module './a' or its types.", "2307", Kind.IMPORT),
        ("Expected 1 positional argument", "reportCallIssue", Kind.ARGUMENTS),
        ("Expected 2 arguments, but got 3.", "2554", Kind.ARGUMENTS),
        ("too many arguments in call to f", "WrongArgCount", Kind.ARGUMENTS),
        ("`os` imported but unused", "F401", Kind.UNUSED),
        ("'a' is declared but its value is never read.", "6133", Kind.UNUSED),
        ("declared and not used: a", "UnusedVar", Kind.UNUSED),
        ("Missing return statement", "return", Kind.RETURN),
        (
            'Function with declared return type "A" must return value on all code paths',
            "reportReturnType",
            Kind.RETURN,
        ),
        ('Type "str" is not assignable to return type "int"', "reportReturnType", Kind.TYPE),
        ("Type 'string' is not assignable to type 'number'.", "TS2322", Kind.TYPE),
        ("mismatched types", "E0308", Kind.TYPE),
        ("This is not to my taste", "taste", Kind.OTHER),
    ],
)
def test_kinds_are_known_from_codes_or_messages(message: str, code: str, kind: Kind) -> None:
    assert kind_of(_said(message, code)) is kind


def test_names_in_quotes_of_any_sort_are_found() -> None:
    assert quoted_names('"a" is not a known attribute of module `os`') == ("a", "os")
    assert quoted_names("\u2018a\u2019 undeclared") == ("a",)
    assert quoted_names("undefined: fmt") == ("fmt",)


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("Cannot find name 'a'. Did you mean 'colour'?", ("colour",)),
        ("Cannot find name 'a'. Did you mean the instance member 'this.colour'?", ("colour",)),
        ("use of undeclared identifier 'a'; did you mean 'colour'?", ("colour",)),
        ('Name "a" is not defined; did you mean "colour"?', ("colour",)),
        (
            "b.A undefined (type B has no field or method A, but does have method colour)",
            ("colour",),
        ),
        ("Cannot find name 'a'.", ()),
    ],
)
def test_what_the_checker_proposes_is_read(message: str, names: tuple[str, ...]) -> None:
    assert suggested_names(_said(message)) == names


def test_proposals_may_be_in_what_is_related() -> None:
    related = Diagnostic(
        start=0,
        end=0,
        message="cannot find value `a`",
        related=("a local variable exists; did you mean `colour`?",),
    )
    assert suggested_names(related) == ("colour",)


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ("Expected `:`, found newline", (":",)),
        ('Expected ":"', (":",)),
        ("';' expected.", (";",)),
        ("expected ';' after expression", (";",)),
        ("'(' was never closed", (")",)),
        ("Expected expression", ()),
    ],
)
def test_tokens_that_are_missing_are_read(message: str, tokens: tuple[str, ...]) -> None:
    assert expected_tokens(message) == tokens
