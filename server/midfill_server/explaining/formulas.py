"""LaTeX in prose, as plain characters: models write it, and no editor renders it in a hover."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["without_latex"]

_SIGNS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(["cdot"], "·"),
        **dict.fromkeys(["times"], "×"),
        **dict.fromkeys(["leq", "le", "leqslant"], "≤"),
        **dict.fromkeys(["geq", "ge", "geqslant"], "≥"),
        **dict.fromkeys(["neq", "ne"], "≠"),
        **dict.fromkeys(["ldots", "dots", "cdots"], "…"),
        **dict.fromkeys(["to", "rightarrow"], "→"),
        **dict.fromkeys(["left", "right", "displaystyle", "quad", "qquad"], ""),
        "Rightarrow": "⇒",
        "div": "÷",
        "pm": "±",
        "approx": "≈",
        "equiv": "≡",
        "infty": "∞",
        "in": "∈",
        "notin": "∉",
        "cup": "\u222a",
        "cap": "∩",
        "subseteq": "⊆",
        "sum": "∑",
        "prod": "∏",
        "int": "∫",
        "sqrt": "√",
        "circ": "°",
        "mid": "|",
        "lfloor": "⌊",
        "rfloor": "⌋",
        "lceil": "⌈",
        "rceil": "⌉",
        "land": "∧",
        "lor": "\u2228",
        "neg": "¬",
        "alpha": "\u03b1",
        "beta": "β",
        "gamma": "\u03b3",
        "delta": "δ",
        "Delta": "Δ",
        "epsilon": "ε",
        "theta": "θ",
        "lambda": "λ",
        "mu": "μ",
        "pi": "π",
        "rho": "\u03c1",
        "sigma": "\u03c3",
        "Sigma": "Σ",
        "tau": "τ",
        "phi": "φ",
        "varphi": "φ",
        "psi": "ψ",
        "omega": "ω",
        "Omega": "Ω",
        **{
            name: name
            for name in (
                "sin", "cos", "tan", "arcsin", "arccos", "arctan", "log", "ln", "exp", "min",
                "max", "bmod", "gcd",
            )
        },
    }
)  # fmt: skip
_NAMES = "|".join(sorted(_SIGNS, key=len, reverse=True))
# Behind a letter or a path's sign it is a path, or an escape of the language.
_COMMAND = re.compile(rf"(?<![A-Za-z:./\\_])\\({_NAMES})(?![A-Za-z])")
_IN_MATH = re.compile(rf"\\({_NAMES})(?![A-Za-z])")
_STYLE = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|operatorname|texttt|mathbb)\s*\{([^{}]{0,200})\}"
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]{0,100})\}\s*\{([^{}]{0,100})\}")
_ROOT = re.compile(r"\\sqrt\s*\{([^{}]{0,100})\}")
_RAISED = re.compile(r"([\^_])\{([^{}]{0,60})\}")
_SPACE = re.compile(r"\\[,;:! ]")
_SIMPLE = re.compile(r"\w+\Z")
_MATH = re.compile(
    r"\\\(([^\n]{1,300}?)\\\)"
    r"|\\\[(.{1,300}?)\\\]"
    r"|\$\$(.{1,300}?)\$\$"
    # Dollars are money and shells' variables, too.
    r"|\$(?=[^$\n]{0,200}\\[a-z])([^$\n]{1,200})\$",
    re.DOTALL,
)
# Code is left alone: in it a backslash is one.
_CODE = re.compile(
    r"(?P<fence>^ {0,3}(?P<mark>`{3,}|~{3,})[^\n]*\n.{0,20000}?(?:^ {0,3}(?P=mark)|\Z))"
    r"|(?P<span>(?<!`)(?P<run>`+)(?!`)[^\n]{1,300}?(?<!`)(?P=run)(?!`))",
    re.DOTALL | re.MULTILINE,
)


def without_latex(text: str) -> str:
    """Return markdown with its formulas as code of plain characters; other text stays as it is."""
    if "\\" not in text and "$$" not in text:
        return text
    written: list[str] = []
    at = 0
    for code in _CODE.finditer(text):
        written += [_prose(text[at : code.start()]), code[0]]
        at = code.end()
    return "".join([*written, _prose(text[at:])])


def _prose(text: str) -> str:
    text = _MATH.sub(_formula, text)
    return _COMMAND.sub(lambda match: _SIGNS[match[1]], _fractions(text))


def _formula(match: re.Match[str]) -> str:
    inside = next(group for group in match.groups() if group is not None)
    if "`" in inside:
        return match[0]
    plain = _SPACE.sub(" ", _fractions(inside))
    plain = _IN_MATH.sub(lambda command: _SIGNS[command[1]], plain)
    plain = " ".join(plain.replace("\\", "").replace("{", "(").replace("}", ")").split())
    return f"`{plain}`" if plain else ""


def _fractions(text: str) -> str:
    """Return a text whose commands with arguments are written out, the innermost first."""
    if "\\" not in text:
        return text
    text = _STYLE.sub(r"\1", text)
    for _ in range(3):
        text = _FRACTION.sub(lambda match: f"{_held(match[1])}/{_held(match[2])}", text)
        text = _ROOT.sub(r"√(\1)", text)
        text = _RAISED.sub(lambda match: match[1] + _held(match[2]), text)
    return text


def _held(part: str) -> str:
    part = part.strip()
    return part if _SIMPLE.match(part) else f"({part})"
