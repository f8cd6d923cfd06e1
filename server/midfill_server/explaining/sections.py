"""An explanation in parts: what is certain is written here, the rest by a model, part by part.

Each part begins with text that the model sees as its own, and says how much it may add. So every
section is there and in its place, and nothing is asked of a model that syntax knows better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from midfill_server.explaining.facts import Facts
from midfill_server.explaining.markdown import code_span

__all__ = ["SECTIONS", "Part", "beginning", "code_parts", "diagnostic_parts", "meaning"]

SECTIONS = ("What it does", "Inputs and outputs", "Side effects and errors", "Caveat")
"""The headings of an explanation of code."""

_DIAGNOSTIC_SECTIONS = ("What it means", "Why it is reported here", "What to change")
_LINE_TOKENS = 40
_TOKENS_A_SENTENCE = 60
_MAX_LISTED = 12
_MAX_NAMED = 4
_MAX_TAKEN = 3
_ABSENT = re.compile(r"\b(?:None|undefined|null)\b|\bOptional\b|\bOption<|\A\?|\?[>\]]*\Z")
_ABSENT_WORDS = MappingProxyType({"python": "None", "rust": "None", "typescript": "undefined"})
_SHARED_DEFAULT = re.compile(r"([\w]+)(?:\s*:[^=]*)?\s*=\s*(?:\[|\{|list\(|dict\(|set\()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of an answer: ``opening``, and behind it what a model adds, if it is asked.

    It is asked for no more than ``max_tokens``, and for no more than ``max_sentences``. A part
    ``is_line`` if it ends with its line, where it has one sentence or none. Code blocks and further
    paragraphs come only where it ``may_quote``, and no block of the code that is ``known`` already.
    """

    opening: str
    max_tokens: int = 0
    max_sentences: int = 1
    is_line: bool = False
    may_quote: bool = False
    known: str = ""


def beginning(name: str, facts: Facts | None) -> str:
    """Return how an explanation of ``name``, in markdown, begins: with what it surely is.

    So small models come to what it does, instead of saying that it is a function with parameters.
    """
    if facts is None or facts.kind == "name":
        return f"{name} "
    if facts.kind == "class":
        return f"{name} is a class that "
    if any("property" in one for one in facts.decorators):
        return f"{name} is a property that "
    if any("contextmanager" in one for one in facts.decorators):
        return f"{name} is a context manager that "
    if facts.is_generator:
        return f"{name} is a generator that yields "
    if not facts.names:
        return f"{name} "
    if len(facts.names) > _MAX_TAKEN:
        return f"{name} takes {len(facts.names)} arguments and "
    comma = "," if len(facts.names) > 1 else ""
    return f"{name} takes {_named(facts.names)}{comma} and "


def meaning(marked: str) -> str:
    """Return how it begins to say what a diagnostic means: with what it is about, if known."""
    return f"The message means that {marked} " if marked else "The message means that "


def diagnostic_parts(line: str, marked: str, *, sentences: int) -> Iterator[Part]:
    """Yield the sections on a diagnostic of a ``line``.

    ``marked`` is markdown of what it is about, or empty.
    """
    yield from _written((_DIAGNOSTIC_SECTIONS[0], meaning(marked)), sentences)
    yield from _written((_DIAGNOSTIC_SECTIONS[1], "In this line, "), sentences, before="\n\n")
    yield Part(
        opening=f"\n\n### {_DIAGNOSTIC_SECTIONS[2]}\n\n",
        max_tokens=2 * _TOKENS_A_SENTENCE,
        max_sentences=sentences,
        may_quote=True,
        known=line,
    )


def _written(section: tuple[str, str], sentences: int, before: str = "") -> Iterator[Part]:
    """Yield a section that the model writes, behind its title and its first words."""
    title, begins = section
    yield Part(
        opening=f"{before}### {title}\n\n{begins}",
        max_tokens=_TOKENS_A_SENTENCE * sentences,
        max_sentences=sentences,
    )


def code_parts(
    begins: str, facts: Facts | None, language_id: str, *, sentences: int, described: int
) -> Iterator[Part]:
    """Yield the sections on some code; of inputs, the first ``described`` are said what they are.

    The first section begins with ``begins`` and has up to ``sentences``.
    """
    yield from _written((SECTIONS[0], begins), sentences)
    if facts is None:
        for title in SECTIONS[1:3]:
            yield from _written((title, ""), 2, before="\n\n")
        yield from _written((SECTIONS[3], "A caller should know "), 1, before="\n\n")
        return
    first, *rest = _inputs_and_outputs(facts, described)
    yield replace(first, opening=f"\n\n### {SECTIONS[1]}\n{first.opening}")
    yield from rest
    effects = _listed([*_effects(facts), *_errors(facts)])
    yield Part(
        opening=f"\n\n### {SECTIONS[2]}\n\n{effects}\n\n"
        f"### {SECTIONS[3]}\n\n{_caveat(facts, language_id)}"
    )


def _listed(lines: Iterable[str]) -> str:
    """Return a list in markdown."""
    return "\n".join(f"- {line}" for line in lines)


def _inputs_and_outputs(facts: Facts, described: int) -> Iterator[Part]:
    if facts.kind == "name":
        yield Part(opening="\n" + _listed(map(code_span, facts.inputs)))
        return
    if facts.kind == "lines":
        uses = f"Use {_named(facts.inputs, _MAX_LISTED)}" if facts.inputs else "Use no variable"
        sets = [f"Set {_named(facts.offers, _MAX_LISTED)}, which is used below."]
        lines = [f"{uses} from above.", *(sets if facts.offers else [])]
        yield Part(opening="\n" + _listed(lines))
        return
    for one in facts.inputs[:described]:
        yield Part(opening=f"\n- {code_span(one)}:", max_tokens=_LINE_TOKENS, is_line=True)
    rest = [code_span(one) for one in facts.inputs[described:_MAX_LISTED]]
    if len(facts.inputs) > _MAX_LISTED:
        rest.append(f"{len(facts.inputs) - _MAX_LISTED} more")
    if rest:
        yield Part(opening="\n" + _listed(rest))
    elif not facts.inputs:
        is_class = facts.kind == "class"
        nothing = "Declares no constructor." if is_class else "Takes no arguments."
        yield Part(opening=f"\n- {nothing}")
    if facts.kind == "function" and not facts.returns and not facts.is_generator:
        yield Part(opening="\n- Returns nothing.")
    elif facts.kind == "function":
        verb = "Yields" if facts.is_generator and not facts.output else "Returns"
        output = f" {code_span(facts.output)}" if facts.output else ""
        yield Part(opening=f"\n- {verb}{output}:", max_tokens=_LINE_TOKENS, is_line=True)
    elif facts.offers:
        yield Part(opening=f"\n- Offers {_named(facts.offers, _MAX_LISTED)}.")


def _effects(facts: Facts) -> Iterator[str]:
    if facts.kind == "name":
        yield "A name alone has none."
        return
    if facts.changes:
        yield f"Changes {_named(facts.changes)}."
    if facts.effects:
        theirs = "its effect" if len(facts.effects) == 1 else "their effects"
        yield f"Calls {_named(facts.effects)} for {theirs}."
    if not facts.changes and not facts.effects:
        yield "Changes nothing but its own variables, as far as the code shows."


def _errors(facts: Facts) -> Iterator[str]:
    if facts.kind == "name":
        return
    yield from facts.errors or ("Raises no error itself; what it calls may.",)


def _caveat(facts: Facts, language_id: str) -> str:
    """Return the first that holds of what callers overlook."""
    shared = [match for one in facts.inputs if (match := _SHARED_DEFAULT.match(one))]
    if language_id == "python" and facts.kind == "function" and shared:
        return f"All calls share one default of {code_span(shared[0][1])}: a change of it stays."
    absent = _ABSENT.search(facts.output) if facts.kind == "function" and facts.returns else None
    if absent is not None:
        word = absent[0] if absent[0] in ("None", "undefined", "null") else _word(language_id)
        first = "It has to be awaited, and what" if facts.is_async else "What"
        return f"{first} comes of it may be {code_span(word)}."
    if any("contextmanager" in one for one in facts.decorators):
        return "It is for a `with` statement; called alone, nothing of it runs."
    if facts.is_generator:
        return "Nothing of it runs before somebody iterates over what it returns."
    if facts.is_async:
        return "What it returns has to be awaited; its errors come to light only then."
    if facts.errors:
        return f"A caller has to be ready for this: {_lowered(facts.errors[0])}"
    if facts.effects or facts.calls:
        called = [one for one in (*facts.calls, *facts.effects) if "<-" not in one]
        return f"What it calls counts as well: {_named(dict.fromkeys(called))}."
    return "The code shows none."


def _word(language_id: str) -> str:
    return _ABSENT_WORDS.get(language_id, "null")


def _lowered(sentence: str) -> str:
    return "it " + sentence[0].lower() + sentence[1:]


def _named(names: Iterable[str], most: int = _MAX_NAMED) -> str:
    """Return names as a list within a sentence."""
    shown: Sequence[str] = [code_span(one) for one in names]
    if len(shown) > most:
        shown = [*shown[:most], f"{len(shown) - most} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
