"""What a checker found wrong, and what kind of thing that is, whichever checker says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from midfill_server.fixing.brackets import CLOSERS

__all__ = [
    "Diagnostic",
    "Kind",
    "expected_tokens",
    "kind_of",
    "lacks_arguments",
    "missing_parameters",
    "quoted_names",
    "suggested_names",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One thing that is wrong in a text: at the characters ``[start, end)``.

    ``code`` and ``source`` are the checker's own, ``severity`` is ``error``, ``warning``,
    ``information`` or ``hint``. ``related`` are messages about other places that belong to it.
    """

    start: int
    end: int
    message: str
    code: str = ""
    source: str = ""
    severity: str = "error"
    related: tuple[str, ...] = ()


class Kind(StrEnum):
    """What is to be done about a diagnostic, roughly."""

    UNDEFINED = "undefined"
    SYNTAX = "syntax"
    ATTRIBUTE = "attribute"
    ARGUMENTS = "arguments"
    UNUSED = "unused"
    RETURN = "return"
    TYPE = "type"
    IMPORT = "import"
    OTHER = "other"


_CODES: dict[Kind, str] = {
    Kind.UNDEFINED: "F821 F822 F823 reportUndefinedVariable name-defined no-undef 2304 2552 2503 "
    "undeclared_var_use E0425 E0433 E0412 UndeclaredName UndeclaredImportedName",
    Kind.SYNTAX: "E999 invalid-syntax syntax SyntaxError 1002 1003 1005 1009 1010 1068 1109 1110 "
    "1121 1123 1124 1125 1126 1127 1128 1129 1130 1131 1132 1134 1135 1136 1137 1138 1139 1140 "
    "1141 1142 1145 1146 1160 1161 1180 1181 1351 1381 1382 1433 1434 1435 17002 17008 17014",
    Kind.ATTRIBUTE: "reportAttributeAccessIssue reportOptionalMemberAccess attr-defined union-attr "
    "2339 2551 E0599 E0609 E0610 MissingFieldOrMethod no_member",
    Kind.ARGUMENTS: "reportCallIssue call-arg call-overload 2554 2555 2556 2575 2769 E0061 "
    "WrongArgCount",
    Kind.UNUSED: "F401 F811 F841 reportUnusedImport reportUnusedVariable no-unused-vars 6133 6192 "
    "6196 6198 unused_imports unused_variables UnusedImport UnusedVar RUF059 "
    "@typescript-eslint/no-unused-vars",
    Kind.RETURN: "return RET503 2355 2366 7030 MissingReturn missing-return",
    Kind.TYPE: "reportArgumentType reportAssignmentType reportReturnType reportOperatorIssue "
    "reportIndexIssue reportOptionalSubscript reportOptionalOperand reportGeneralTypeIssues "
    "arg-type return-value assignment operator index list-item dict-item 2322 2345 2365 2362 2363 "
    "2559 2741 2740 18047 18048 2531 2532 E0308 E0277 IncompatibleAssign MismatchedTypes",
    Kind.IMPORT: "reportMissingImports reportMissingModuleSource import-not-found import-untyped "
    "2305 2307 2614 2724 E0432 BrokenImport",
}
_BY_CODE = {code: kind for kind, codes in _CODES.items() for code in codes.split()}

# What messages of compilers say; the first that matches decides. Their codes say less, or nothing.
_BY_MESSAGE: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            Kind.RETURN,
            r"must return (?:a )?value|missing return|not all code paths return|lacks ending return"
            r"|missing return statement|control (?:may )?reach(?:es)? end of non-void",
        ),
        (
            Kind.IMPORT,
            r"unknown import symbol|could not be resolved|cannot find module|no module named"
            r"|has no exported member|unresolved import|could not import|cannot find package",
        ),
        (
            Kind.UNUSED,
            r"imported (?:and|but) (?:not used|unused)|declared and not used|never (?:used|read)"
            r"|is not (?:used|accessed)|never used|unused (?:import|variable)"
            r"|assigned to but never used|declared but",
        ),
        (
            Kind.ATTRIBUTE,
            r"no (?:field|method|member|attribute)|has no attribute|cannot access (?:attribute|"
            r"member)|does not exist on type|is not a known (?:attribute|member)",
        ),
        (
            Kind.UNDEFINED,
            r"undefined name|is not defined|undefined:|cannot find (?:name|value|type)"
            r"|undeclared (?:identifier|name)|unknown type name|is possibly unbound"
            r"|use of undeclared",
        ),
        (
            Kind.ARGUMENTS,
            r"(?:expected|takes) .*\bargument|(?:too (?:many|few)|missing|not enough|unexpected) .*"
            r"\bargument|no overloads? for|arguments? missing|no parameter named"
            r"|no overload (?:matches|variant)",
        ),
        (
            Kind.TYPE,
            r"not assignable|incompatible type|mismatched types|cannot (?:be assigned|use .* as)"
            r"|is not (?:supported for|a subtype)|unsupported operand",
        ),
        (
            Kind.SYNTAX,
            r"syntax ?error|expected (?:[`\"'][^`\"']+[`\"']|\w+$|an? )"
            r"|[`\"'][^`\"']+[`\"'] expected"
            r"|unexpected (?:token|indent)|indent|(?:never|not) closed|unterminated|unmatched"
            r"|^expected |missing closing|cannot have default|invalid syntax|^simple statements",
        ),
    )
)
# Some compilers have curly quotes.
_QUOTES = "`\"'\u2018\u2019\u201c\u201d"
_QUOTED = re.compile(rf"[{_QUOTES}]([^{_QUOTES}\n]{{1,120}})[{_QUOTES}]")
_SUGGESTION = re.compile(
    r"(?:did you (?:mean|intend)|perhaps you meant|a similar name exists|similarly named"
    r"|but does have)"
    rf"(?:[^{_QUOTES}\n]{{0,40}}[{_QUOTES}](?:this\.)?|[^{_QUOTES}\n]{{0,20}}(?:field|method) )"
    r"([^\W\d][\w.]*)",
    re.IGNORECASE,
)
_EXPECTED = re.compile(
    r"expected [`\"']([^`\"'\w\s]{1,3}|else|in|do|end|then)[`\"']"
    r"|[`\"']([^`\"'\w\s]{1,3})[`\"'] expected"
    r"|(?:missing|expecting) [`\"']?([^`\"'\w\s]{1,3})[`\"']?",
    re.IGNORECASE,
)
# Which counts are told, and in which order, differs.
_WANTED_AND_GIVEN = re.compile(
    r"(?:expected (?:at least )?|takes )(\d+).*? arguments?,? (?:but got|but|have) (\d+)"
    r"|function call, expected (?:at least )?(\d+), have (\d+)",
    re.IGNORECASE,
)
_TOO_FEW = re.compile(
    r"arguments? missing for|missing (?:\w+ )*arguments?\b|(?:too few|not enough) arguments"
    r"|expected \d+ more ",
    re.IGNORECASE,
)
_PARAMETERS = re.compile(
    r"(?:arguments? missing for parameters?|missing (?:\w+ )*arguments?) (.*?)(?: in call .*)?\Z"
    r"|argument for (\S+) was not provided",
    re.IGNORECASE,
)
_UNCLOSED = re.compile(r"[`\"']([(\[{])[`\"'] (?:was|is) (?:never|not) closed", re.IGNORECASE)


def kind_of(diagnostic: Diagnostic) -> Kind:
    """Return what kind a diagnostic is of, by its code, else by what its message says."""
    message = diagnostic.message.partition("\n")[0]
    # The one message that several codes share with what is something else.
    if _BY_MESSAGE[0][1].search(message):
        return Kind.RETURN
    code = re.sub(r"^(?:TS|error\[)|\]$", "", diagnostic.code)
    by_code = _BY_CODE.get(code)
    if by_code is Kind.ATTRIBUTE and _BY_MESSAGE[1][1].search(message):
        return Kind.IMPORT
    if by_code is not None:
        return by_code
    return next((kind for kind, said in _BY_MESSAGE if said.search(message)), Kind.OTHER)


def quoted_names(message: str) -> tuple[str, ...]:
    """Return what a message has in quotes, in order, each once."""
    found = dict.fromkeys(_QUOTED.findall(message))
    bare = re.match(r"(?:undefined|declared and not used): ([\w.]+)", message)
    if bare is not None:
        # Go's messages have no quotes.
        found.setdefault(bare[1])
    return tuple(found)


def suggested_names(diagnostic: Diagnostic) -> tuple[str, ...]:
    """Return the names that the checker itself proposes instead."""
    said = (diagnostic.message, *diagnostic.related)
    return tuple(
        dict.fromkeys(name.rstrip(".") for one in said for name in _SUGGESTION.findall(one))
    )


def expected_tokens(message: str) -> tuple[str, ...]:
    """Return the brackets, colons and the like that a message says are missing."""
    found = [one[1] or one[2] or one[3] for one in _EXPECTED.finditer(message)]
    found += [CLOSERS[one[1]] for one in _UNCLOSED.finditer(message)]
    return tuple(dict.fromkeys(found))


def lacks_arguments(diagnostic: Diagnostic) -> bool:
    """Return whether a diagnostic is that a call has too few arguments."""
    message = diagnostic.message.partition("\n")[0]
    counts = _WANTED_AND_GIVEN.search(message)
    if counts is not None:
        wanted, given = (int(count) for count in counts.groups() if count is not None)
        return given < wanted
    return _TOO_FEW.search(message) is not None


def missing_parameters(diagnostic: Diagnostic) -> tuple[str, ...]:
    """Return the parameters that a diagnostic says get no argument, as far as it names them."""
    said = (diagnostic.message.partition("\n")[0], *diagnostic.related)
    told = (found[1] or found[2] for one in said for found in _PARAMETERS.finditer(one))
    return tuple(dict.fromkeys(name for one in told for name in quoted_names(one)))
